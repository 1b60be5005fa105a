/**
 * The book of one instrument on one connection, and how it becomes events.
 *
 * Owns: the order book, the last quote and the last venue time. Runs on: stream thread. Path: hot.
 */
import { micros, type Micros } from "../core/time.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import { BOOK_LEVELS_MAX, OrderBook, type BookSideName } from "../market/order-book.ts";
import { price, quantity, type Scale } from "../market/price.ts";
import { scaledText } from "./foreign.ts";
import type { MapperCounts } from "./mapper-counts.ts";
import type { MapperOutput } from "./mapper.ts";

/** 2009-01-03, before the first of these markets: an earlier time is a venue's way of saying nothing (year 1, 1970). */
const VENUE_TIME_MIN = 1_230_940_800_000_000;

function isVenueTime(time: number): boolean {
  return time >= VENUE_TIME_MIN && Number.isSafeInteger(time);
}

/** The venue's time when it makes sense, else ours. */
export function venueTime(time: number, receiveTime: Micros, counts: MapperCounts): Micros {
  if (isVenueTime(time)) return micros(time);
  counts.untimed++;
  return receiveTime;
}

export class VenueBook {
  readonly index: InstrumentIndex;
  readonly priceScale: Scale;
  readonly sizeScale: Scale;
  readonly book: OrderBook;
  /** A snapshot has been loaded and nothing has gone wrong since. */
  isWhole = false;
  /** The connection carries this book, so that quotes come from it and not from a best-bid-offer channel. */
  isCarried = false;
  /** Whether a level has changed since this was last set to false. */
  hasChanged = false;
  /** Last time that the venue gave for this book, in microseconds; 0 before the first. */
  lastTime = 0;
  #isDistrusted = false;
  #bid = 0;
  #bidSize = 0;
  #ask = 0;
  #askSize = 0;

  constructor(index: InstrumentIndex, instrument: Instrument, counts: MapperCounts) {
    this.book = new OrderBook(BOOK_LEVELS_MAX, counts);
    this.index = index;
    this.priceScale = instrument.priceScale;
    this.sizeScale = instrument.sizeScale;
  }

  /** Empties the book for a snapshot. */
  begin(): void {
    this.book.clear();
    this.isCarried = true;
    this.isWhole = false;
  }

  /** The snapshot is in: the book is whole. Its event comes first, so that nobody is told "live" before the value. */
  finish(out: MapperOutput): void {
    this.isWhole = true;
    this.#isDistrusted = false;
    out.synced(this.index);
  }

  /** Distrusts the book until the next snapshot, and says so once. */
  distrust(reason: string, out: MapperOutput): void {
    this.isCarried = true;
    this.isWhole = false;
    if (this.#isDistrusted) return;
    this.#isDistrusted = true;
    out.resync(this.index, reason);
  }

  /** Levels `[price, size, ...]` of decimal text from the last to the first: fast for a snapshot, which has the best level first. */
  load(side: BookSideName, levels: unknown, out: MapperOutput): void {
    if (!Array.isArray(levels)) return out.malformed("book side is no list");
    for (let i = levels.length - 1; i >= 0; i--) this.#level(side, levels[i], out);
  }

  /** Levels of decimal text in the order given; answers how many were readable. */
  apply(side: BookSideName, levels: unknown, out: MapperOutput): number {
    if (!Array.isArray(levels)) {
      out.malformed("book side is no list");
      return 0;
    }
    let applied = 0;
    for (let i = 0; i < levels.length; i++) if (this.#level(side, levels[i], out)) applied++;
    return applied;
  }

  #level(side: BookSideName, level: unknown, out: MapperOutput): boolean {
    if (!Array.isArray(level)) {
      out.malformed("book level is no list");
      return false;
    }
    return this.set(side, scaledText(level[0], this.priceScale), scaledText(level[1], this.sizeScale), out);
  }

  /** One level in units; false, and counted as malformed, when price or size is none. */
  set(side: BookSideName, at: number, size: number, out: MapperOutput): boolean {
    if (!(at > 0) || !(size >= 0)) {
      out.malformed("book level whose price or size is none, or finer than the instrument's scale");
      return false;
    }
    if (this.book.apply(side, price(at), quantity(size))) this.hasChanged = true;
    return true;
  }

  /** The venue's time when it makes sense, else the last one of this book, else ours. */
  timeOr(time: number, receiveTime: Micros, counts: MapperCounts): Micros {
    if (isVenueTime(time)) {
      this.lastTime = time;
      return micros(time);
    }
    counts.untimed++;
    return this.lastTime === 0 ? receiveTime : micros(this.lastTime);
  }

  /** The book as it stands, as an event. */
  emitBook(eventTime: Micros, receiveTime: Micros, out: MapperOutput): void {
    const book = this.book;
    out.event({ kind: "book", instrument: this.index, eventTime, receiveTime, bids: book.bids, asks: book.asks });
  }

  /** The best bid and offer of the book, when there are both and either has changed since the last quote. */
  emitQuote(eventTime: Micros, receiveTime: Micros, out: MapperOutput): void {
    const bids = this.book.bids;
    const asks = this.book.asks;
    if (bids.count === 0 || asks.count === 0) return;
    const bid = bids.prices[bids.count - 1] ?? Number.NaN;
    const bidSize = bids.sizes[bids.count - 1] ?? Number.NaN;
    const ask = asks.prices[asks.count - 1] ?? Number.NaN;
    const askSize = asks.sizes[asks.count - 1] ?? Number.NaN;
    if (bid === this.#bid && bidSize === this.#bidSize && ask === this.#ask && askSize === this.#askSize) return;
    this.#bid = bid;
    this.#bidSize = bidSize;
    this.#ask = ask;
    this.#askSize = askSize;
    emitQuote(this.index, eventTime, receiveTime, bid, bidSize, ask, askSize, out);
  }

  /** A best bid and offer as the venue's own channel says it, in units; superseded where the connection carries the book. */
  emitNativeQuote(
    eventTime: Micros, receiveTime: Micros, bid: number, bidSize: number, ask: number, askSize: number,
    out: MapperOutput, counts: MapperCounts,
  ): void {
    if (!(bid >= 0 && bidSize >= 0 && ask >= 0 && askSize >= 0)) return out.malformed("quote whose price or size is none");
    if (bid === 0 || bidSize === 0 || ask === 0 || askSize === 0) counts.empty++;
    else if (this.isCarried) counts.superseded++;
    else emitQuote(this.index, eventTime, receiveTime, bid, bidSize, ask, askSize, out);
  }
}

function emitQuote(
  instrument: InstrumentIndex, eventTime: Micros, receiveTime: Micros,
  bid: number, bidSize: number, ask: number, askSize: number, out: MapperOutput,
): void {
  out.event({
    kind: "quote", instrument, eventTime, receiveTime,
    bid: price(bid), bidSize: quantity(bidSize), ask: price(ask), askSize: quantity(askSize),
  });
}
