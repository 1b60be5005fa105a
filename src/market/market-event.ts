/**
 * The events of a market, complete values all, and the delivery class of each.
 */
import type { Micros } from "../core/time.ts";
import { unreachable } from "../core/types.ts";
import type { InstrumentIndex } from "./instrument.ts";
import type { Price, Quantity } from "./price.ts";

export const BAR_INTERVALS = ["1s", "1m", "5m", "15m", "1h", "1d"] as const;
export type BarInterval = (typeof BAR_INTERVALS)[number];
export const BAR_INTERVAL_MICROS: Readonly<Record<BarInterval, number>> = {
  "1s": 1e6, "1m": 60e6, "5m": 300e6, "15m": 900e6, "1h": 3600e6, "1d": 86400e6,
};

/** Depths a book can be asked for; a Book event carries up to the largest. */
export const BOOK_DEPTHS = [1, 10, 25, 100] as const;
export type BookDepth = (typeof BOOK_DEPTHS)[number];
export const BOOK_DEPTH_MAX = 100;

interface Stamped {
  readonly instrument: InstrumentIndex;
  /** The venue's time; ours where the venue gives none. */
  readonly eventTime: Micros;
  /** When we read it. */
  readonly receiveTime: Micros;
  /**
   * The venue's own growing number of this kind of event and instrument (update id, trade id), when it has one:
   * a number that is not newer than the last is a repeat and is rejected as `stale`.
   */
  readonly sourceSequence?: number;
}

/** An execution. `side` is the aggressor's. */
export interface Trade extends Stamped {
  readonly kind: "trade";
  readonly id: string;
  readonly price: Price;
  readonly size: Quantity;
  readonly side: "buy" | "sell" | "unknown";
}

/** Best bid and offer. */
export interface Quote extends Stamped {
  readonly kind: "quote";
  readonly bid: Price;
  readonly bidSize: Quantity;
  readonly ask: Price;
  readonly askSize: Quantity;
}

/** One side of a book, best level LAST, in arrays that may be longer than `count`. */
export interface BookSideView {
  /** Number of levels in use. */
  readonly count: number;
  /** Price units; levels 0 to count - 1, the best at count - 1. */
  readonly prices: Float64Array;
  /** Size units, parallel to `prices`. */
  readonly sizes: Float64Array;
}

/** Both sides of a book as they stand during the call that hands the event over: the arrays are the venue's own and change afterwards. */
export interface Book extends Stamped {
  readonly kind: "book";
  readonly bids: BookSideView;
  readonly asks: BookSideView;
}

/** 24-hour statistics. Plain decimal text, because volumes may exceed 2^53 units; null where the venue says nothing. */
export interface Ticker extends Stamped {
  readonly kind: "ticker";
  readonly last: string;
  readonly open24h: string | null;
  readonly high24h: string | null;
  readonly low24h: string | null;
  readonly volume24h: string | null;
  readonly bid: string | null;
  readonly ask: string | null;
}

/** Open, high, low, close and volume of an interval. */
export interface Bar extends Stamped {
  readonly kind: "bar";
  readonly interval: BarInterval;
  /** First microsecond of the interval. */
  readonly start: Micros;
  readonly open: Price;
  readonly high: Price;
  readonly low: Price;
  readonly close: Price;
  /** Sum of sizes, in size units; a bigint because a day of a cheap coin exceeds 2^53. */
  readonly volume: bigint;
  /** Sum of price times size, in price units times size units. */
  readonly notional: bigint;
  readonly trades: number;
  readonly closed: boolean;
}

export const STATUS_STATES = ["live", "stale", "down", "halted"] as const;
export type StatusState = (typeof STATUS_STATES)[number];

/** State of a feed (instrument `venue:*`) or of one instrument. */
export interface Status extends Stamped {
  readonly kind: "status";
  readonly state: StatusState;
  /** One sentence for people, at most 200 characters; empty when there is nothing to say. */
  readonly reason: string;
}

export type MarketEvent = Trade | Quote | Book | Ticker | Bar | Status;
export type MarketEventKind = MarketEvent["kind"];

/** `latest`: the newest replaces the ones before. `every`: each must be delivered or counted as a gap. */
export type Delivery = "latest" | "every";

/** The delivery class of a kind; a bar is `every` once it is closed and `latest` while it runs. */
export function deliveryOf(kind: MarketEventKind): Delivery {
  switch (kind) {
    case "trade": return "every";
    case "bar":
    case "quote":
    case "book":
    case "ticker":
    case "status": return "latest";
    default: return unreachable(kind);
  }
}
