/**
 * Reads Kraken WebSocket v1, as recorded, into market events: book, trade, ticker and spread.
 *
 * Owns: the books of one connection. Runs on: stream thread. Path: hot. Quotes come from the book; from `spread` only
 * on a connection without the book.
 *
 * Source: Kraken, "WebSocket v1" and "Book checksum (v1)".
 */
import type { Micros } from "../../core/time.ts";
import type { InstrumentIndex } from "../../market/instrument.ts";
import { price, quantity } from "../../market/price.ts";
import { isForeignRecord, microsOfSecondsText, positiveText, scaledText, shownText, type ForeignRecord } from "../foreign.ts";
import { MapperCounts } from "../mapper-counts.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../mapper.ts";
import { venueTime } from "../venue-book.ts";
import { VenueBooks } from "../venue-books.ts";
import { depthOf, KrakenBook } from "./kraken-book.ts";

export class KrakenV1Mapper implements Mapper {
  readonly #out: MapperOutput;
  readonly #books: VenueBooks<KrakenBook>;
  /** Grows over the life of the mapper; `reset` keeps it. */
  readonly counts = new MapperCounts();

  constructor(lookup: InstrumentLookup, out: MapperOutput) {
    this.#out = out;
    this.#books = new VenueBooks(lookup, (index, instrument) => new KrakenBook(index, instrument, this.counts), this.counts);
  }

  /** Data is `[channel id, payload, (payload,) channel name, pair]`; everything else an object with `event`. */
  message(message: unknown, receiveTime: Micros): void {
    if (isForeignRecord(message)) return this.#control(message);
    if (!Array.isArray(message) || message.length < 4) return this.#out.malformed("message is neither object nor channel data");
    const channel: unknown = message.at(-2);
    if (typeof channel !== "string") return this.#out.malformed("channel data without a channel name");
    if (channel.startsWith("book")) return this.#bookData(message, channel, receiveTime);
    if (channel !== "trade" && channel !== "ticker" && channel !== "spread") return this.#out.control("other", shownText(channel));
    const book = this.#books.of(message.at(-1));
    if (book === undefined) return;
    if (channel === "trade") this.#trades(book, message[1], receiveTime);
    else if (channel === "ticker") this.#ticker(book, message[1], receiveTime);
    else this.#spread(book, message[1], receiveTime);
  }

  forget(instrument: InstrumentIndex): void {
    this.#books.forget(instrument);
  }

  reset(): void {
    this.#books.clear();
  }

  #bookData(message: readonly unknown[], channel: string, receiveTime: Micros): void {
    const book = this.#books.of(message.at(-1));
    if (book === undefined) return;
    const first = message[1];
    if (isForeignRecord(first) && (first["as"] !== undefined || first["bs"] !== undefined)) {
      return this.#snapshot(book, first, channel, receiveTime);
    }
    if (!book.isWhole) {
      this.counts.unappliable++;
      return book.distrust("update without a snapshot before it", this.#out);
    }
    book.hasChanged = false;
    const lastTime = book.lastTime;
    let newest = 0;
    let applied = 0;
    let checksum = Number.NaN;
    for (let i = 1; i < message.length - 2; i++) {
      const part = message[i];
      if (!isForeignRecord(part)) {
        this.#out.malformed("book payload is no object");
        continue;
      }
      const asks = part["a"];
      const bids = part["b"];
      if (asks !== undefined) applied += book.apply("ask", asks, this.#out);
      if (bids !== undefined) applied += book.apply("bid", bids, this.#out);
      newest = Math.max(newest, newestTime(asks), newestTime(bids));
      if (part["c"] !== undefined) checksum = typeof part["c"] === "string" ? Number(part["c"]) : -1;
    }
    if (applied === 0) {
      this.counts.empty++;
      return;
    }
    // Times of a pair grow with every update of the recordings; levels sent again ("r") keep their old one and say nothing.
    if (newest > 0 && (newest < lastTime || (newest === lastTime && !book.hasChanged))) {
      this.counts.outdated++;
      return book.distrust("update came again, or out of order", this.#out);
    }
    const eventTime = book.timeOr(newest, receiveTime, this.counts);
    book.conclude(false, checksum, eventTime, receiveTime, this.#out, this.counts);
  }

  #snapshot(book: KrakenBook, levels: ForeignRecord, channel: string, receiveTime: Micros): void {
    const asks = levels["as"];
    const bids = levels["bs"];
    const depth = Number(channel.slice("book-".length));
    book.begin();
    book.load("ask", asks, this.#out);
    book.load("bid", bids, this.#out);
    book.depth = depth > 0 ? depth : depthOf(Math.max(book.book.bids.count, book.book.asks.count));
    spell(book, asks);
    spell(book, bids);
    const eventTime = book.timeOr(Math.max(newestTime(asks), newestTime(bids)), receiveTime, this.counts);
    book.conclude(true, Number.NaN, eventTime, receiveTime, this.#out, this.counts);
  }

  /** Trades have no id in this format. */
  #trades(book: KrakenBook, trades: unknown, receiveTime: Micros): void {
    if (!Array.isArray(trades)) return this.#out.malformed("trade payload is no list");
    for (let i = 0; i < trades.length; i++) {
      const trade: unknown = trades[i];
      const at = Array.isArray(trade) ? scaledText(trade[0], book.priceScale) : Number.NaN;
      const size = Array.isArray(trade) ? scaledText(trade[1], book.sizeScale) : Number.NaN;
      if (!Array.isArray(trade) || !(at > 0) || !(size > 0)) {
        this.#out.malformed("trade without price or size");
        continue;
      }
      this.#out.event({
        kind: "trade", instrument: book.index, eventTime: venueTime(microsOfSecondsText(trade[2]), receiveTime, this.counts), receiveTime,
        id: "", price: price(at), size: quantity(size), side: trade[3] === "b" ? "buy" : trade[3] === "s" ? "sell" : "unknown",
      });
    }
  }

  /** Of pairs such as `v: [today, last 24 hours]` the second counts. */
  #ticker(book: KrakenBook, ticker: unknown, receiveTime: Micros): void {
    if (!isForeignRecord(ticker)) return this.#out.malformed("ticker payload is no object");
    const last = positiveText(member(ticker["c"], 0));
    if (last === null) {
      this.counts.empty++;
      return;
    }
    this.#out.event({
      kind: "ticker", instrument: book.index, eventTime: receiveTime, receiveTime, last,
      open24h: positiveText(member(ticker["o"], 1)), high24h: positiveText(member(ticker["h"], 1)),
      low24h: positiveText(member(ticker["l"], 1)), volume24h: positiveText(member(ticker["v"], 1)),
      bid: positiveText(member(ticker["b"], 0)), ask: positiveText(member(ticker["a"], 0)),
    });
  }

  /** `[bid, ask, time, bid size, ask size]`. */
  #spread(book: KrakenBook, spread: unknown, receiveTime: Micros): void {
    if (!Array.isArray(spread)) return this.#out.malformed("spread payload is no list");
    const time = microsOfSecondsText(spread[2]);
    book.emitNativeQuote(
      time === 0 ? receiveTime : venueTime(time, receiveTime, this.counts), receiveTime,
      scaledText(spread[0], book.priceScale), scaledText(spread[3], book.sizeScale),
      scaledText(spread[1], book.priceScale), scaledText(spread[4], book.sizeScale), this.#out, this.counts,
    );
  }

  #control(message: ForeignRecord): void {
    const event = message["event"];
    if (event === "heartbeat") this.#out.control("heartbeat", "");
    else if (message["status"] === "error") this.#out.control("error", shownText(message["errorMessage"]));
    else if (event === "subscriptionStatus") this.#out.control("subscribed", `${shownText(message["channelName"])} ${shownText(message["pair"])}`);
    else if (typeof event === "string") this.#out.control("other", `${event} ${shownText(message["status"])}`.trim());
    else this.#out.malformed("object without event");
  }
}

function member(list: unknown, index: number): unknown {
  return Array.isArray(list) ? list[index] : undefined;
}

/** Newest time of levels `[price, size, time]`, in microseconds; 0 when none has one. */
function newestTime(levels: unknown): number {
  if (!Array.isArray(levels)) return 0;
  let newest = 0;
  for (let i = 0; i < levels.length; i++) {
    const level: unknown = levels[i];
    if (!Array.isArray(level) || level[3] === "r") continue;
    const time = microsOfSecondsText(level[2]);
    if (time > newest) newest = time;
  }
  return newest;
}

/** Takes the number of decimals from the first level: Kraken writes all levels of a pair with the same. */
function spell(book: KrakenBook, levels: unknown): void {
  const level = member(levels, 0);
  const at = member(level, 0);
  const size = member(level, 1);
  if (typeof at !== "string" || typeof size !== "string") return;
  book.priceSpelled = spelledDecimals(at);
  book.sizeSpelled = spelledDecimals(size);
}

function spelledDecimals(text: string): number {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}
