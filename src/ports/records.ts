/**
 * How events enter the single writer and how its records leave it.
 */
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { MarketEvent } from "../market/market-event.ts";

/** Why an event was not accepted; each is a counter. */
export const REJECT_REASONS = ["stale", "crossed", "non_positive", "malformed", "future", "unknown_instrument", "wrong_venue"] as const;
export type RejectReason = (typeof REJECT_REASONS)[number];

/**
 * The entrance to ingest, called by feeds on the stream thread.
 *
 * Synchronous: when `event` returns, the event has its sequence number or a counted reason. Order of calls is order
 * of sequence. Nothing is queued, so a feed that is slowed down by this call is slowed down by TCP.
 */
export interface EventSink {
  /** Makes an instrument known, or updates the definition of a known id; answers its index. Before any event of it. */
  define(instrument: Instrument): InstrumentIndex;
  /** Numbers and records one event; null when accepted. */
  event(event: MarketEvent): RejectReason | null;
  /** Events that the venue sent and that never became one: counted for the venue, with the gap told to clients of trades. */
  lost(instrument: InstrumentIndex, kind: "trade", missed: number | null): void;
  /**
   * The end of one read of an upstream socket: what has been accepted may leave now. Feeds that cannot see the end of
   * a read call it after each message with `more` true: then it leaves at the end of the turn.
   */
  endOfRead(more: boolean): void;
}

/**
 * A flush: records of one or more events, in order of acceptance. Valid only during the call that hands it over.
 * Record i lies in `words` from `offsets[i]` to `offsets[i + 1]` (layout: protocol/record.ts).
 */
export interface RecordBatch {
  readonly count: number;
  readonly words: Float64Array;
  /** The bytes of `words`, for the text inside records. */
  readonly bytes: Uint8Array;
  /** At least `count + 1` entries, in words. */
  readonly offsets: Uint32Array;
}

/** Takes what ingest has written. Called on the stream thread; must not block or keep the batch. */
export interface RecordSink {
  /** An instrument became known or its definition changed. Always before its first record. */
  define(index: InstrumentIndex, instrument: Instrument): void;
  batch(batch: RecordBatch): void;
  /** Events lost before they had a sequence number (see EventSink.lost). */
  lost(index: InstrumentIndex, kind: "trade", missed: number | null): void;
}
