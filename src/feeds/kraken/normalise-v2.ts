/**
 * Reads Kraken WebSocket v2 into market events: book, trade, ticker.
 *
 * Owns: the books of one connection. Runs on: stream thread. Path: hot. Quotes come from the book; from the ticker
 * (`event_trigger` bbo) only on a connection without the book.
 *
 * Prices and sizes are JSON numbers: they become units exactly, or are malformed (see scaledNumber).
 * Source: Kraken, "WebSocket v2" and "Book checksum (v2)".
 */
import type { Micros } from "../../core/time.ts";
import type { InstrumentIndex } from "../../market/instrument.ts";
import type { BookSideName } from "../../market/order-book.ts";
import { price, quantity } from "../../market/price.ts";
import { isForeignRecord, microsOfUtcText, positiveNumberText, scaledNumber, shownText, type ForeignRecord } from "../foreign.ts";
import { MapperCounts } from "../mapper-counts.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../mapper.ts";
import { venueTime } from "../venue-book.ts";
import { VenueBooks } from "../venue-books.ts";
import { depthOf, KrakenBook } from "./kraken-book.ts";

/** Pairs whose precision is kept; more than Kraken lists by an order of magnitude. Further ones fall back to the instrument's scales. */
export const PRECISIONS_MAX = 20_000;

interface Precision {
  readonly price: number;
  readonly size: number;
}

export class KrakenV2Mapper implements Mapper {
  readonly #out: MapperOutput;
  readonly #books: VenueBooks<KrakenBook>;
  /** Decimals of pairs by symbol, as the instrument channel says them. */
  readonly #precisions = new Map<string, Precision>();
  /** Grows over the life of the mapper; `reset` keeps it. */
  readonly counts = new MapperCounts();

  constructor(lookup: InstrumentLookup, out: MapperOutput) {
    this.#out = out;
    this.#books = new VenueBooks(lookup, (index, instrument) => new KrakenBook(index, instrument, this.counts), this.counts);
  }

  message(message: unknown, receiveTime: Micros): void {
    if (!isForeignRecord(message)) return this.#out.malformed("message is no object");
    const channel = message["channel"];
    const isSnapshot = message["type"] === "snapshot";
    switch (channel) {
      case "heartbeat": return this.#out.control("heartbeat", "");
      case "status": return this.#out.control("other", "status");
      case "instrument": return this.#instruments(message["data"]);
      case undefined: return this.#answer(message);
      case "book":
      case "trade":
      case "ticker": break;
      default: return this.#out.control("other", shownText(channel));
    }
    const data = message["data"];
    if (!Array.isArray(data)) return this.#out.malformed("channel data is no list");
    if (channel === "trade" && isSnapshot) {
      this.counts.historical += data.length;
      return;
    }
    for (let i = 0; i < data.length; i++) {
      const entry: unknown = data[i];
      if (!isForeignRecord(entry)) {
        this.#out.malformed("channel data is no object");
        continue;
      }
      const book = this.#books.of(entry["symbol"]);
      if (book === undefined) continue;
      if (channel === "book") this.#bookData(book, entry, isSnapshot, receiveTime);
      else if (channel === "trade") this.#trade(book, entry, receiveTime);
      else this.#ticker(book, entry, receiveTime);
    }
  }

  forget(instrument: InstrumentIndex): void {
    this.#books.forget(instrument);
  }

  reset(): void {
    this.#books.clear();
  }

  #bookData(book: KrakenBook, entry: ForeignRecord, isSnapshot: boolean, receiveTime: Micros): void {
    const sum = entry["checksum"];
    const checksum = sum === undefined ? Number.NaN : typeof sum === "number" ? sum : -1;
    const time = microsOfUtcText(entry["timestamp"]);
    if (isSnapshot) {
      const precision = this.#precisions.get(shownText(entry["symbol"]));
      book.priceSpelled = precision?.price ?? book.priceScale;
      book.sizeSpelled = precision?.size ?? book.sizeScale;
      book.begin();
      this.#levels(book, "ask", entry["asks"], true);
      this.#levels(book, "bid", entry["bids"], true);
      book.depth = Math.max(book.depth, depthOf(Math.max(book.book.bids.count, book.book.asks.count)));
      const eventTime = book.timeOr(time, receiveTime, this.counts);
      return book.conclude(true, checksum, eventTime, receiveTime, this.#out, this.counts);
    }
    if (!book.isWhole) {
      this.counts.unappliable++;
      return book.distrust("update without a snapshot before it", this.#out);
    }
    book.hasChanged = false;
    const lastTime = book.lastTime;
    const applied = this.#levels(book, "ask", entry["asks"], false) + this.#levels(book, "bid", entry["bids"], false);
    if (applied === 0) {
      this.counts.empty++;
      return;
    }
    if (!book.hasChanged && time <= lastTime) {
      this.counts.outdated++;
      return book.distrust("update came again", this.#out);
    }
    const eventTime = book.timeOr(time, receiveTime, this.counts);
    book.conclude(false, checksum, eventTime, receiveTime, this.#out, this.counts);
  }

  /** Answers how many levels were readable. A snapshot has its best level first and is loaded from its worst. */
  #levels(book: KrakenBook, side: BookSideName, levels: unknown, isSnapshot: boolean): number {
    if (levels === undefined) return 0;
    if (!Array.isArray(levels)) {
      this.#out.malformed("book side is no list");
      return 0;
    }
    let applied = 0;
    for (let i = 0; i < levels.length; i++) {
      const level: unknown = levels[isSnapshot ? levels.length - 1 - i : i];
      if (!isForeignRecord(level)) this.#out.malformed("book level is no object");
      else if (book.set(side, scaledNumber(level["price"], book.priceScale), scaledNumber(level["qty"], book.sizeScale), this.#out)) applied++;
    }
    return applied;
  }

  #trade(book: KrakenBook, trade: ForeignRecord, receiveTime: Micros): void {
    const at = scaledNumber(trade["price"], book.priceScale);
    const size = scaledNumber(trade["qty"], book.sizeScale);
    const id = trade["trade_id"];
    const side = trade["side"];
    if (!(at > 0) || !(size > 0) || typeof id !== "number") return this.#out.malformed("trade without price, size or id");
    this.#out.event({
      kind: "trade", instrument: book.index, eventTime: venueTime(microsOfUtcText(trade["timestamp"]), receiveTime, this.counts), receiveTime,
      sourceSequence: id, id: String(id), price: price(at), size: quantity(size), side: side === "buy" || side === "sell" ? side : "unknown",
    });
  }

  /** A zero is Kraken's way of saying nothing: an instrument that has no trade or no bid yet. */
  #ticker(book: KrakenBook, ticker: ForeignRecord, receiveTime: Micros): void {
    const time = microsOfUtcText(ticker["timestamp"]);
    const last = positiveNumberText(ticker["last"]);
    const isTimed = ticker["timestamp"] !== undefined && time !== 0;
    const eventTime = isTimed ? venueTime(time, receiveTime, this.counts) : receiveTime;
    if (last !== null) {
      this.#out.event({
        kind: "ticker", instrument: book.index, eventTime, receiveTime, last, open24h: null,
        high24h: positiveNumberText(ticker["high"]), low24h: positiveNumberText(ticker["low"]),
        volume24h: positiveNumberText(ticker["volume"]), bid: positiveNumberText(ticker["bid"]), ask: positiveNumberText(ticker["ask"]),
      });
    } else if (ticker["last"] !== undefined) this.counts.empty++;
    book.emitNativeQuote(
      eventTime, receiveTime,
      scaledNumber(ticker["bid"], book.priceScale), scaledNumber(ticker["bid_qty"], book.sizeScale),
      scaledNumber(ticker["ask"], book.priceScale), scaledNumber(ticker["ask_qty"], book.sizeScale), this.#out, this.counts,
    );
  }

  /** The instrument channel knows how many decimals enter the checksum, better than a list that may be older. */
  #instruments(data: unknown): void {
    const pairs = isForeignRecord(data) ? data["pairs"] : undefined;
    if (!Array.isArray(pairs)) return this.#out.malformed("instrument data without pairs");
    for (let i = 0; i < pairs.length; i++) {
      const pair: unknown = pairs[i];
      const symbol = isForeignRecord(pair) ? pair["symbol"] : undefined;
      const at = isForeignRecord(pair) ? pair["price_precision"] : undefined;
      const size = isForeignRecord(pair) ? pair["qty_precision"] : undefined;
      if (typeof symbol !== "string" || typeof at !== "number" || typeof size !== "number") this.#out.malformed("instrument without precisions");
      else if (this.#precisions.size < PRECISIONS_MAX || this.#precisions.has(symbol)) this.#precisions.set(symbol, { price: at, size });
      else this.counts.overflowed++;
    }
  }

  /** The answer to a request: `{method, success, result | error}`. */
  #answer(message: ForeignRecord): void {
    const result = message["result"];
    if (message["success"] === false || message["error"] !== undefined) return this.#out.control("error", shownText(message["error"]));
    if (message["method"] !== "subscribe" || !isForeignRecord(result)) return this.#out.control("other", shownText(message["method"]));
    const depth = result["depth"];
    const book = typeof depth === "number" && depth > 0 ? this.#books.of(result["symbol"]) : undefined;
    if (book !== undefined && typeof depth === "number") book.depth = depth;
    this.#out.control("subscribed", `${shownText(result["channel"])} ${shownText(result["symbol"])}`.trim());
  }
}
