/**
 * The newest value of everything as services see it: a copy on the main thread, some milliseconds behind the stream.
 *
 * Every value is the message that the stream sends as a snapshot, so a client that subscribes with the value's `epoch`
 * and `seq` goes on exactly there. Reading never waits and never touches the stream thread.
 */
import type { BarInterval, BookDepth } from "../market/market-event.ts";
import type { Instrument } from "../market/instrument.ts";
import type { Channel } from "../protocol/topic.ts";

/** What to look at: a channel with its options. */
export interface ValueKind {
  readonly channel: Channel;
  /** Only read for bars. */
  readonly interval?: BarInterval;
  /** Only read for books. */
  readonly depth?: BookDepth;
}

export interface NewestValue {
  readonly symbol: string;
  readonly epoch: string;
  readonly seq: number;
  /** The venue's time, microseconds since 1970. */
  readonly time: number;
  /** The message of protocol 2.3 as JSON text, with `epoch` as its last member. */
  readonly json: string;
}

/** Best bid and ask as plain decimal text, equal in value to what the venue sent. */
export interface QuoteValue {
  readonly symbol: string;
  readonly epoch: string;
  readonly seq: number;
  readonly bid: string;
  readonly bidSize: string;
  readonly ask: string;
  readonly askSize: string;
  /** The venue's time, microseconds since 1970. */
  readonly time: number;
  /** When we read it. */
  readonly received: number;
}

export interface TradeQuery {
  readonly symbol: string;
  /** Trades after this sequence number; 0: from the first that is kept. */
  readonly after: number;
  /** Microseconds; trades of this venue time or later. */
  readonly from: number | null;
  /** Microseconds; trades before this venue time. */
  readonly to: number | null;
  readonly max: number;
}

export interface KeptTrades {
  /** Oldest first, by sequence number. */
  readonly trades: readonly NewestValue[];
  /** The first trade that is kept of the instrument, whatever was asked for; every one after it is kept. Null when none is. */
  readonly first: { readonly seq: number; readonly time: number } | null;
}

export interface NewestValues {
  /** Changes when the stream began anew; null before anything was heard of it. */
  epoch(): string | null;
  /** Milliseconds since the stream was last heard of; null before. */
  ageMs(): number | null;
  /** By id, ascending; without the venues themselves. */
  instruments(): readonly Instrument[];
  /** By id or by the venue's own spelling behind `venue:`. */
  find(spelling: string): Instrument | null;
  /** Ids that an unknown spelling may have meant; at most three. */
  suggest(spelling: string): readonly string[];
  /** Null when the instrument is unknown or has no such value yet. */
  newest(symbol: string, kind: ValueKind): NewestValue | null;
  /** The newest quote, for those who reckon with it. */
  quote(symbol: string): QuoteValue | null;
  /** The kept trades of one instrument. Those before them are gone. */
  trades(query: TradeQuery): KeptTrades;
  /** Events of each venue since the stream began, by venue: the sum of all sequence numbers, so none is left out. */
  eventsByVenue(): ReadonlyMap<string, number>;
}

/**
 * Told of each record of one kind that main has taken in: every trade, quote, ticker, bar and status in order, of books
 * the newest of every few milliseconds. What main missed while it was behind comes as far as it is kept (fanout/record-cache.ts).
 */
export type RecordListener = (words: Float64Array, bytes: Uint8Array, at: number, instrument: Instrument) => void;
