/**
 * Reads Binance spot market streams into market events: trade, aggTrade, bookTicker, depthUpdate and 24hrTicker.
 *
 * Owns: the books of one connection. Runs on: stream thread. Path: hot. Quotes come from bookTicker.
 *
 * Source: Binance spot API documentation, "WebSocket Streams" and "How to manage a local order book correctly".
 */
import type { Micros } from "../../core/time.ts";
import type { InstrumentIndex } from "../../market/instrument.ts";
import { price, quantity } from "../../market/price.ts";
import { isForeignRecord, microsOfMillis, positiveText, scaledText, shownText, type ForeignRecord } from "../foreign.ts";
import { MapperCounts } from "../mapper-counts.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../mapper.ts";
import { VenueBook, venueTime } from "../venue-book.ts";
import { VenueBooks } from "../venue-books.ts";

/** Reason given to `resync` by the first depth update of an instrument: no fault, only a snapshot to be fetched. */
export const SNAPSHOT_NEEDED = "depth updates wait for their first snapshot";

/** Depth updates kept per instrument until its snapshot comes: 100 s at the fastest stream. Beyond it the oldest goes. */
export const BUFFERED_UPDATES_MAX = 1000;

interface HeldUpdate {
  readonly update: ForeignRecord;
  readonly receiveTime: Micros;
}

class BinanceBook extends VenueBook {
  /** Last update id that the book contains. */
  lastId = 0;
  /** An update has been applied since the snapshot: from then on an older one is a repeat. */
  hasFollowed = false;
  held: HeldUpdate[] = [];
}

export class BinanceMapper implements Mapper {
  readonly #out: MapperOutput;
  readonly #books: VenueBooks<BinanceBook>;
  /** Grows over the life of the mapper; `reset` keeps it. */
  readonly counts = new MapperCounts();

  constructor(lookup: InstrumentLookup, out: MapperOutput) {
    this.#out = out;
    this.#books = new VenueBooks(lookup, (index, instrument) => new BinanceBook(index, instrument, this.counts), this.counts);
  }

  /** A message of a combined stream (`{stream, data}`) or of a raw one (the inside of `data`). */
  message(message: unknown, receiveTime: Micros): void {
    if (!isForeignRecord(message)) return this.#out.malformed("message is no object");
    const data = message["data"];
    const event = isForeignRecord(data) ? data : message;
    switch (event["e"]) {
      case "depthUpdate": return this.#depthUpdate(event, receiveTime);
      case "trade": return this.#trade(event, event["t"], receiveTime);
      case "aggTrade": return this.#trade(event, event["a"], receiveTime);
      case "24hrTicker": return this.#ticker(event, receiveTime);
      case undefined:
        if (typeof event["u"] === "number") return this.#bookTicker(event, receiveTime);
        return this.#control(event);
      default: return this.#out.control("other", shownText(event["e"]));
    }
  }

  /**
   * The answer of GET /api/v3/depth, fetched because `resync` asked. When it is older than the updates that are held,
   * `resync` is called again; updates stay held until a snapshot fits.
   */
  snapshot(native: string, body: unknown, receiveTime: Micros): void {
    const state = this.#books.of(native);
    if (state === undefined) return;
    const id = isForeignRecord(body) ? body["lastUpdateId"] : undefined;
    if (!isForeignRecord(body) || typeof id !== "number" || !Array.isArray(body["bids"]) || !Array.isArray(body["asks"])) {
      this.#out.malformed("depth snapshot without lastUpdateId, bids or asks");
      return this.#again(state, "depth snapshot could not be read");
    }
    if (state.isWhole && id <= state.lastId) {
      this.counts.outdated++;
      return;
    }
    const held = state.held;
    const first = held.find((each) => Number(each.update["u"]) > id);
    if (first !== undefined && Number(first.update["U"]) > id + 1) {
      return this.#again(state, `depth snapshot ${id} is older than the updates, which begin with ${shownText(first.update["U"])}`);
    }
    state.begin();
    state.load("bid", body["bids"], this.#out);
    state.load("ask", body["asks"], this.#out);
    state.lastId = id;
    state.hasFollowed = false;
    state.held = [];
    this.#emit(state, receiveTime, receiveTime);
    state.finish(this.#out);
    for (const each of held) this.#follow(state, each.update, each.receiveTime);
  }

  /** True while depth updates of this instrument wait for a snapshot. */
  resyncing(native: string): boolean {
    const state = this.#books.of(native);
    return state !== undefined && state.isCarried && !state.isWhole;
  }

  forget(instrument: InstrumentIndex): void {
    this.#books.forget(instrument);
  }

  reset(): void {
    this.#books.clear();
  }

  #trade(event: ForeignRecord, id: unknown, receiveTime: Micros): void {
    const state = this.#books.of(event["s"]);
    if (state === undefined) return;
    const at = scaledText(event["p"], state.priceScale);
    const size = scaledText(event["q"], state.sizeScale);
    if (!(at > 0) || !(size > 0) || typeof id !== "number") return this.#out.malformed("trade without price, size or id");
    const isBuyerMaker = event["m"];
    this.#out.event({
      kind: "trade", instrument: state.index, eventTime: venueTime(microsOfMillis(event["T"]), receiveTime, this.counts), receiveTime,
      sourceSequence: id, id: String(id), price: price(at), size: quantity(size),
      side: isBuyerMaker === true ? "sell" : isBuyerMaker === false ? "buy" : "unknown",
    });
  }

  #bookTicker(event: ForeignRecord, receiveTime: Micros): void {
    const state = this.#books.of(event["s"]);
    if (state === undefined) return;
    const id = event["u"];
    const bid = scaledText(event["b"], state.priceScale);
    const bidSize = scaledText(event["B"], state.sizeScale);
    const ask = scaledText(event["a"], state.priceScale);
    const askSize = scaledText(event["A"], state.sizeScale);
    if (!(bid >= 0 && bidSize >= 0 && ask >= 0 && askSize >= 0) || typeof id !== "number") {
      return this.#out.malformed("bookTicker whose price or size is none");
    }
    if (bid === 0 || bidSize === 0 || ask === 0 || askSize === 0) {
      this.counts.empty++;
      return;
    }
    this.#out.event({
      kind: "quote", instrument: state.index, eventTime: receiveTime, receiveTime, sourceSequence: id,
      bid: price(bid), bidSize: quantity(bidSize), ask: price(ask), askSize: quantity(askSize),
    });
  }

  #ticker(event: ForeignRecord, receiveTime: Micros): void {
    const state = this.#books.of(event["s"]);
    if (state === undefined) return;
    const last = positiveText(event["c"]);
    if (last === null) {
      this.counts.empty++;
      return;
    }
    this.#out.event({
      kind: "ticker", instrument: state.index, eventTime: venueTime(microsOfMillis(event["E"]), receiveTime, this.counts), receiveTime,
      last, open24h: positiveText(event["o"]), high24h: positiveText(event["h"]), low24h: positiveText(event["l"]),
      volume24h: positiveText(event["v"]), bid: positiveText(event["b"]), ask: positiveText(event["a"]),
    });
  }

  #depthUpdate(update: ForeignRecord, receiveTime: Micros): void {
    const state = this.#books.of(update["s"]);
    if (state === undefined) return;
    if (typeof update["U"] !== "number" || typeof update["u"] !== "number") return this.#out.malformed("depthUpdate without U or u");
    this.#follow(state, update, receiveTime);
  }

  /**
   * Applies an update that continues the book. It may begin before the book's last id (sizes are absolute, and Binance
   * allows it); one that begins after the next id shows a loss, one that ends before it, a repeat.
   */
  #follow(state: BinanceBook, update: ForeignRecord, receiveTime: Micros): void {
    if (!state.isWhole) return this.#hold(state, update, receiveTime);
    const first = Number(update["U"]);
    const last = Number(update["u"]);
    if (last <= state.lastId) {
      this.counts.outdated++;
      if (state.hasFollowed) state.distrust(`update ${first} to ${last} came again after ${state.lastId}`, this.#out);
      return;
    }
    if (first > state.lastId + 1) {
      state.distrust(`update ${first} came after ${state.lastId}`, this.#out);
      return this.#hold(state, update, receiveTime);
    }
    state.lastId = last;
    state.hasFollowed = true;
    const applied = state.apply("bid", update["b"], this.#out) + state.apply("ask", update["a"], this.#out);
    if (applied === 0) this.counts.empty++;
    else this.#emit(state, venueTime(microsOfMillis(update["E"]), receiveTime, this.counts), receiveTime);
  }

  #hold(state: BinanceBook, update: ForeignRecord, receiveTime: Micros): void {
    if (state.held.length >= BUFFERED_UPDATES_MAX) {
      state.held.shift();
      this.counts.overflowed++;
    }
    state.held.push({ update, receiveTime });
    state.distrust(SNAPSHOT_NEEDED, this.#out);
  }

  #again(state: BinanceBook, reason: string): void {
    if (!state.isWhole) this.#out.resync(state.index, reason);
  }

  #emit(state: BinanceBook, eventTime: Micros, receiveTime: Micros): void {
    const book = state.book;
    this.#out.event({
      kind: "book", instrument: state.index, eventTime, receiveTime, sourceSequence: state.lastId, bids: book.bids, asks: book.asks,
    });
  }

  #control(message: ForeignRecord): void {
    const error = isForeignRecord(message["error"]) ? message["error"] : message;
    if (typeof error["msg"] === "string") this.#out.control("error", shownText(error["msg"]));
    else if (message["result"] === null) this.#out.control("subscribed", "");
    else this.#out.malformed("message of no known kind");
  }
}
