/**
 * What the stream thread tells main of the market: the records it has written, every few milliseconds. Plain data: it crosses by structured clone.
 *
 * Main acknowledges through a counter in shared memory. While it does not, it is told nothing, and afterwards the newest
 * values and the kept trades and closed bars in place of what it has missed.
 */
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";

/** What was kept of topics that moved without main: see fanout/record-cache.ts. */
export interface KeptRecords {
  readonly count: number;
  /** Record i lies in `words` from `offsets[i]` to `offsets[i + 1]`. */
  readonly words: Float64Array<ArrayBuffer>;
  readonly offsets: Uint32Array;
  /** Pairs of a topic and a sequence: trades or closed bars of the topic up to it are missing. */
  readonly holes: Float64Array;
}

export type MarketNotice =
  /** The first of a stream thread. `acknowledged` is one Int32: batches and snapshots that main has taken in. */
  | { readonly type: "begin"; readonly epoch: string; readonly acknowledged: SharedArrayBuffer }
  /** Always before the first record of the instrument. */
  | { readonly type: "define"; readonly index: InstrumentIndex; readonly instrument: Instrument }
  | { readonly type: "batch"; readonly count: number; readonly words: Float64Array<ArrayBuffer>; readonly offsets: Uint32Array }
  | { readonly type: "snapshot"; readonly records: KeptRecords }
  /** Trades that the venue lost before they had a number; null: nobody knows how many. */
  | { readonly type: "lost"; readonly index: InstrumentIndex; readonly missed: number | null };
