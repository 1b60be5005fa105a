/**
 * Reads Coinbase Advanced Trade market data into market events: l2_data, market_trades and ticker.
 *
 * Owns: the books and the message number of one connection. Runs on: stream thread. Path: hot. Quotes come from the
 * book; from the ticker only on a connection without the book.
 *
 * Messages of all channels of a connection share one number that grows by one: a message that is missing may have
 * been of any book, so all of them need a new snapshot.
 * Source: Coinbase Advanced Trade documentation, "WebSocket Channels", and its AsyncAPI description.
 */
import type { Micros } from "../../core/time.ts";
import type { InstrumentIndex } from "../../market/instrument.ts";
import { price, quantity } from "../../market/price.ts";
import { isForeignRecord, microsOfUtcText, positiveText, scaledText, shownText, type ForeignRecord } from "../foreign.ts";
import { MapperCounts } from "../mapper-counts.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../mapper.ts";
import { VenueBook, venueTime } from "../venue-book.ts";
import { VenueBooks } from "../venue-books.ts";

export class CoinbaseAdvancedMapper implements Mapper {
  readonly #out: MapperOutput;
  readonly #books: VenueBooks<VenueBook>;
  /** Number of the last message; NaN before the first. */
  #sequence = Number.NaN;
  /** Grows over the life of the mapper; `reset` keeps it. */
  readonly counts = new MapperCounts();

  constructor(lookup: InstrumentLookup, out: MapperOutput) {
    this.#out = out;
    this.#books = new VenueBooks(lookup, (index, instrument) => new VenueBook(index, instrument, this.counts), this.counts);
  }

  message(message: unknown, receiveTime: Micros): void {
    if (!isForeignRecord(message)) return this.#out.malformed("message is no object");
    if (message["type"] === "error") return this.#out.control("error", shownText(message["message"]));
    const sequence = message["sequence_num"];
    if (typeof sequence === "number" && !this.#isNext(sequence)) return;
    const channel = message["channel"];
    switch (channel) {
      case "heartbeats": return this.#out.control("heartbeat", "");
      case "subscriptions": return this.#out.control("subscribed", "");
      case "l2_data":
      case "market_trades":
      case "ticker": break;
      case undefined: return this.#out.malformed("message without channel");
      default: return this.#out.control("other", shownText(channel));
    }
    const events = message["events"];
    if (!Array.isArray(events)) return this.#out.malformed("message without events");
    const sentTime = microsOfUtcText(message["timestamp"]);
    for (let i = 0; i < events.length; i++) {
      const event: unknown = events[i];
      if (!isForeignRecord(event)) this.#out.malformed("event is no object");
      else if (channel === "l2_data") this.#levels(event, sentTime, receiveTime);
      else if (channel === "market_trades") this.#trades(event, receiveTime);
      else this.#tickers(event, sentTime, receiveTime);
    }
  }

  forget(instrument: InstrumentIndex): void {
    this.#books.forget(instrument);
  }

  reset(): void {
    this.#books.clear();
    this.#sequence = Number.NaN;
  }

  /** False for a message that came before. After a loss or a repeat no book of the connection is trusted. */
  #isNext(sequence: number): boolean {
    const last = this.#sequence;
    if (sequence === last + 1 || Number.isNaN(last)) {
      this.#sequence = sequence;
      return true;
    }
    const reason = `message ${sequence} came after ${last}`;
    for (const book of this.#books.all()) if (book.isWhole) book.distrust(reason, this.#out);
    if (sequence > last) {
      this.#sequence = sequence;
      return true;
    }
    this.counts.outdated++;
    return false;
  }

  #levels(event: ForeignRecord, sentTime: number, receiveTime: Micros): void {
    const book = this.#books.of(event["product_id"]);
    if (book === undefined) return;
    const updates = event["updates"];
    if (!Array.isArray(updates)) return this.#out.malformed("l2_data event without updates");
    const isSnapshot = event["type"] === "snapshot";
    if (!isSnapshot && !book.isWhole) {
      this.counts.unappliable++;
      return book.distrust("update without a snapshot before it", this.#out);
    }
    let applied = 0;
    if (isSnapshot) {
      book.begin();
      for (let i = updates.length - 1; i >= 0; i--) if (this.#level(book, updates[i])) applied++;
    } else {
      for (let i = 0; i < updates.length; i++) if (this.#level(book, updates[i])) applied++;
      if (applied === 0) {
        this.counts.empty++;
        return;
      }
    }
    const newest: unknown = updates.at(-1);
    const levelTime = isForeignRecord(newest) && !isSnapshot ? microsOfUtcText(newest["event_time"]) : Number.NaN;
    const eventTime = book.timeOr(levelTime > 0 ? levelTime : sentTime, receiveTime, this.counts);
    book.emitBook(eventTime, receiveTime, this.#out);
    book.emitQuote(eventTime, receiveTime, this.#out);
    if (isSnapshot) book.finish(this.#out);
  }

  #level(book: VenueBook, level: unknown): boolean {
    const name = isForeignRecord(level) ? level["side"] : undefined;
    const side = name === "bid" ? "bid" : name === "offer" || name === "ask" ? "ask" : null;
    if (!isForeignRecord(level) || side === null) {
      this.#out.malformed("l2_data update without a side");
      return false;
    }
    return book.set(side, scaledText(level["price_level"], book.priceScale), scaledText(level["new_quantity"], book.sizeScale), this.#out);
  }

  #trades(event: ForeignRecord, receiveTime: Micros): void {
    const trades = event["trades"];
    if (!Array.isArray(trades)) return this.#out.malformed("market_trades event without trades");
    if (event["type"] === "snapshot") {
      this.counts.historical += trades.length;
      return;
    }
    // A message holds the trades of 250 ms, newest first: they leave in the order of their ids, which is that of execution.
    const ordered: unknown[] = trades.length === 1 ? trades : trades.toSorted(byNumber);
    for (let i = 0; i < ordered.length; i++) this.#trade(ordered[i], receiveTime);
  }

  /** `side` is that of the order in the book; the aggressor took the other. */
  #trade(trade: unknown, receiveTime: Micros): void {
    if (!isForeignRecord(trade)) return this.#out.malformed("trade is no object");
    const book = this.#books.of(trade["product_id"]);
    if (book === undefined) return;
    const at = scaledText(trade["price"], book.priceScale);
    const size = scaledText(trade["size"], book.sizeScale);
    const id = trade["trade_id"];
    const number = numberOf(trade);
    if (!(at > 0) || !(size > 0) || typeof id !== "string" || !(number >= 0)) return this.#out.malformed("trade without price, size or id");
    const makerSide = trade["side"];
    this.#out.event({
      kind: "trade", instrument: book.index, eventTime: venueTime(microsOfUtcText(trade["time"]), receiveTime, this.counts), receiveTime,
      sourceSequence: number, id, price: price(at), size: quantity(size),
      side: makerSide === "BUY" ? "sell" : makerSide === "SELL" ? "buy" : "unknown",
    });
  }

  #tickers(event: ForeignRecord, sentTime: number, receiveTime: Micros): void {
    const tickers = event["tickers"];
    if (!Array.isArray(tickers)) return this.#out.malformed("ticker event without tickers");
    for (let i = 0; i < tickers.length; i++) {
      const ticker: unknown = tickers[i];
      if (isForeignRecord(ticker)) this.#ticker(ticker, sentTime, receiveTime);
      else this.#out.malformed("ticker is no object");
    }
  }

  #ticker(ticker: ForeignRecord, sentTime: number, receiveTime: Micros): void {
    const book = this.#books.of(ticker["product_id"]);
    if (book === undefined) return;
    const last = positiveText(ticker["price"]);
    if (last === null) {
      this.counts.empty++;
      return;
    }
    const eventTime = venueTime(sentTime, receiveTime, this.counts);
    this.#out.event({
      kind: "ticker", instrument: book.index, eventTime, receiveTime, last, open24h: null,
      high24h: positiveText(ticker["high_24_h"]), low24h: positiveText(ticker["low_24_h"]), volume24h: positiveText(ticker["volume_24_h"]),
      bid: positiveText(ticker["best_bid"]), ask: positiveText(ticker["best_ask"]),
    });
    if (ticker["best_bid_quantity"] === undefined) return;
    book.emitNativeQuote(
      eventTime, receiveTime,
      scaledText(ticker["best_bid"], book.priceScale), scaledText(ticker["best_bid_quantity"], book.sizeScale),
      scaledText(ticker["best_ask"], book.priceScale), scaledText(ticker["best_ask_quantity"], book.sizeScale),
      this.#out, this.counts,
    );
  }
}

/** The trade's id as a number; NaN when it is none. */
function numberOf(trade: unknown): number {
  return isForeignRecord(trade) ? scaledText(trade["trade_id"], 0) : Number.NaN;
}

function byNumber(a: unknown, b: unknown): number {
  return numberOf(a) - numberOf(b);
}
