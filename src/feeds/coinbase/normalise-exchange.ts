/**
 * Reads the older Coinbase Exchange feed (`ws-feed.pro`), as recorded, into market events.
 *
 * Owns: the books of one connection. Runs on: stream thread. Path: hot. Quotes come from the book; from the ticker,
 * where it tells sizes, only on a connection without the book.
 *
 * Book updates of this format have no number and no checksum: an update that is repeated or comes out of order shows in
 * its time, a lost one only if the book crosses. The present format (normalise-advanced.ts) numbers its messages.
 * Source: Coinbase Exchange documentation, "WebSocket Channels".
 */
import type { Micros } from "../../core/time.ts";
import type { InstrumentIndex } from "../../market/instrument.ts";
import { price, quantity } from "../../market/price.ts";
import { isForeignRecord, microsOfUtcText, positiveText, scaledText, shownText, type ForeignRecord } from "../foreign.ts";
import { MapperCounts } from "../mapper-counts.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../mapper.ts";
import { VenueBook, venueTime } from "../venue-book.ts";
import { VenueBooks } from "../venue-books.ts";

export class CoinbaseExchangeMapper implements Mapper {
  readonly #out: MapperOutput;
  readonly #books: VenueBooks<VenueBook>;
  /** Grows over the life of the mapper; `reset` keeps it. */
  readonly counts = new MapperCounts();

  constructor(lookup: InstrumentLookup, out: MapperOutput) {
    this.#out = out;
    this.#books = new VenueBooks(lookup, (index, instrument) => new VenueBook(index, instrument, this.counts), this.counts);
  }

  message(message: unknown, receiveTime: Micros): void {
    if (!isForeignRecord(message)) return this.#out.malformed("message is no object");
    switch (message["type"]) {
      case "l2update": return this.#update(message, receiveTime);
      case "match": return this.#trade(message, receiveTime);
      case "ticker": return this.#ticker(message, receiveTime);
      case "snapshot": return this.#snapshot(message, receiveTime);
      case "last_match":
        this.counts.historical++;
        return;
      case "heartbeat": return this.#out.control("heartbeat", "");
      case "subscriptions": return this.#out.control("subscribed", "");
      case "error": return this.#out.control("error", `${shownText(message["message"])} ${shownText(message["reason"])}`.trim());
      case undefined: return this.#out.malformed("message without type");
      default: return this.#out.control("other", shownText(message["type"]));
    }
  }

  forget(instrument: InstrumentIndex): void {
    this.#books.forget(instrument);
  }

  reset(): void {
    this.#books.clear();
  }

  #snapshot(message: ForeignRecord, receiveTime: Micros): void {
    const book = this.#books.of(message["product_id"]);
    if (book === undefined) return;
    book.begin();
    book.load("bid", message["bids"], this.#out);
    book.load("ask", message["asks"], this.#out);
    const time = message["time"];
    const eventTime = time === undefined ? receiveTime : book.timeOr(microsOfUtcText(time), receiveTime, this.counts);
    book.emitBook(eventTime, receiveTime, this.#out);
    book.emitQuote(eventTime, receiveTime, this.#out);
    book.finish(this.#out);
  }

  #update(message: ForeignRecord, receiveTime: Micros): void {
    const book = this.#books.of(message["product_id"]);
    if (book === undefined) return;
    if (!book.isWhole) {
      this.counts.unappliable++;
      return book.distrust("update without a snapshot before it", this.#out);
    }
    const changes = message["changes"];
    if (!Array.isArray(changes)) return this.#out.malformed("l2update without changes");
    const lastTime = book.lastTime;
    const eventTime = book.timeOr(microsOfUtcText(message["time"]), receiveTime, this.counts);
    if (eventTime < lastTime) return book.distrust("update is older than the one before it", this.#out);
    book.hasChanged = false;
    let applied = 0;
    for (let i = 0; i < changes.length; i++) if (this.#change(book, changes[i])) applied++;
    if (applied === 0) {
      this.counts.empty++;
      return;
    }
    if (!book.hasChanged && eventTime === lastTime) {
      this.counts.outdated++;
      return book.distrust("update came again", this.#out);
    }
    if (book.book.isCrossed) return book.distrust("bid is at or above ask", this.#out);
    book.emitBook(eventTime, receiveTime, this.#out);
    book.emitQuote(eventTime, receiveTime, this.#out);
  }

  #change(book: VenueBook, change: unknown): boolean {
    const side = Array.isArray(change) ? (change[0] === "buy" ? "bid" : change[0] === "sell" ? "ask" : null) : null;
    if (!Array.isArray(change) || side === null) {
      this.#out.malformed("change that is no [side, price, size]");
      return false;
    }
    return book.set(side, scaledText(change[1], book.priceScale), scaledText(change[2], book.sizeScale), this.#out);
  }

  /** `side` is that of the order in the book; the aggressor took the other. */
  #trade(message: ForeignRecord, receiveTime: Micros): void {
    const book = this.#books.of(message["product_id"]);
    if (book === undefined) return;
    const at = scaledText(message["price"], book.priceScale);
    const size = scaledText(message["size"], book.sizeScale);
    const id = message["trade_id"];
    if (!(at > 0) || !(size > 0) || typeof id !== "number") return this.#out.malformed("match without price, size or id");
    const makerSide = message["side"];
    this.#out.event({
      kind: "trade", instrument: book.index, eventTime: venueTime(microsOfUtcText(message["time"]), receiveTime, this.counts), receiveTime,
      sourceSequence: id, id: String(id), price: price(at), size: quantity(size),
      side: makerSide === "buy" ? "sell" : makerSide === "sell" ? "buy" : "unknown",
    });
  }

  #ticker(message: ForeignRecord, receiveTime: Micros): void {
    const book = this.#books.of(message["product_id"]);
    if (book === undefined) return;
    const last = positiveText(message["price"]);
    if (last === null) {
      this.counts.empty++;
      return;
    }
    const time = message["time"];
    const eventTime = time === undefined ? receiveTime : venueTime(microsOfUtcText(time), receiveTime, this.counts);
    this.#out.event({
      kind: "ticker", instrument: book.index, eventTime, receiveTime, last,
      open24h: positiveText(message["open_24h"]), high24h: positiveText(message["high_24h"]), low24h: positiveText(message["low_24h"]),
      volume24h: positiveText(message["volume_24h"]), bid: positiveText(message["best_bid"]), ask: positiveText(message["best_ask"]),
    });
    if (message["best_bid_size"] === undefined) return;
    book.emitNativeQuote(
      eventTime, receiveTime,
      scaledText(message["best_bid"], book.priceScale), scaledText(message["best_bid_size"], book.sizeScale),
      scaledText(message["best_ask"], book.priceScale), scaledText(message["best_ask_size"], book.sizeScale),
      this.#out, this.counts,
    );
  }
}
