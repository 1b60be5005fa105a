/**
 * What main hands to the stream thread and that hands to its workers: plain data, it crosses by structured clone.
 */
import type { FanoutOptions } from "../fanout/options.ts";
import type { KeyRecord } from "../ports/access.ts";

/** One entry of `FEEDS`, parsed. */
export type FeedSpec =
  | { readonly kind: "sim" }
  | { readonly kind: "push" }
  | { readonly kind: "venue"; readonly venue: "binance" | "coinbase" | "kraken"; readonly wsUrl: string | null; readonly restUrl: string | null }
  | { readonly kind: "replay"; readonly path: string; /** 1 is the recorded pace, 0 as fast as possible. */ readonly speed: number };

export interface StreamOptions {
  readonly host: string;
  readonly streamPort: number;
  /** Fan-out threads; 1 means inside the stream thread. */
  readonly workers: number;
  readonly flushMaxMs: number;
  readonly feeds: readonly FeedSpec[];
  /** Ids (`venue:SYMBOL` or the venue's spelling) carried from the start; empty: the venue's BTC and ETH pairs. */
  readonly feedInstruments: readonly string[];
  readonly feedSilenceMs: number;
  readonly feedInstrumentSilenceMs: number;
  readonly feedPulledInMax: number;
  readonly sim: { readonly seed: number; readonly instruments: number; readonly eventsPerS: number };
  readonly push: { readonly host: string; readonly port: number; readonly lineBytesMax: number; readonly connectionsMax: number };
  readonly instrumentsMax: number;
  /** A price this many percent away from the last one is flagged, not dropped. */
  readonly jumpBandPct: number;
  readonly fanout: FanoutOptions;
  readonly keys: readonly KeyRecord[];
}
