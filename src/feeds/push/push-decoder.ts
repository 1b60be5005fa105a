/**
 * One pushed object (protocol section 4, the shapes of section 2.3) to a market event, or what is wrong with it.
 *
 * Owns: the two arrays that a book is laid out in. Runs on: stream thread. Path: hot.
 */
import { micros, type Micros } from "../../core/time.ts";
import { unreachable } from "../../core/types.ts";
import { BOOK_DEPTH_MAX, type MarketEvent } from "../../market/market-event.ts";
import { price, quantity, type Scale, scaledOrNaN } from "../../market/price.ts";
import { isPlainText, TRADE_ID_MAX } from "../../protocol/record.ts";
import { fault, found, type PushFault } from "./push-fault.ts";
import type { PushInstrument, PushInstruments } from "./push-instruments.ts";

/** Longest decimal of a ticker, in characters. */
export const DECIMAL_TEXT_MAX = 60;

type Fields = Readonly<Record<string, unknown>>;

export class PushDecoder {
  /** Of the event decoded last. */
  instrument: PushInstrument | null = null;
  readonly #instruments: PushInstruments;
  readonly #idPrefix: string;
  readonly #bids = new SideBuffer();
  readonly #asks = new SideBuffer();

  /** @param idPrefix begins the ids of trades that come without one; differs from one start to the next */
  constructor(instruments: PushInstruments, idPrefix: string) {
    this.#instruments = instruments;
    this.#idPrefix = idPrefix;
  }

  /** A book's levels are valid until the next call. */
  decode(value: unknown, receiveTime: Micros): MarketEvent | PushFault {
    if (!isFields(value)) return fault("malformed", "event", `expected an object, found ${found(value)}; send one event or an array of events a line`);
    const kind = value["type"];
    if (kind !== "trade" && kind !== "quote" && kind !== "book" && kind !== "ticker") return typeFault(kind);
    const time = value["time"];
    if (time !== undefined && !isMicros(time)) {
      return fault("malformed", "time", `expected whole microseconds since 1970, found ${found(time)}; correct it or leave it out`);
    }
    const of = this.#find(value);
    if (of.kind === "fault") return of;
    this.instrument = of;
    const eventTime = time === undefined ? receiveTime : micros(time);
    switch (kind) {
      case "trade": return this.#trade(value, of, eventTime, receiveTime);
      case "quote": return quoteOf(value, of, eventTime, receiveTime);
      case "book": return this.#book(value, of, eventTime, receiveTime);
      case "ticker": return tickerOf(value, of, eventTime, receiveTime);
      default: return unreachable(kind);
    }
  }

  #find(event: Fields): PushInstrument | PushFault {
    const id = event["symbol"];
    if (typeof id !== "string") return fault("malformed", "symbol", `expected text, found ${found(id)}; send "venue:SYMBOL"`);
    const known = this.#instruments.find(id);
    if (known) return known;
    if (event["create"] === true) return this.#instruments.create(id, event);
    return fault("unknown_instrument", "symbol", `expected a known instrument, found ${found(id)}; send "create":true with its first event`);
  }

  #trade(event: Fields, of: PushInstrument, eventTime: Micros, receiveTime: Micros): MarketEvent | PushFault {
    const units = scaled(event["price"], of.instrument.priceScale);
    if (Number.isNaN(units)) return decimalFault("price", event["price"], of.instrument.priceScale);
    const size = scaled(event["size"], of.instrument.sizeScale);
    if (Number.isNaN(size)) return decimalFault("size", event["size"], of.instrument.sizeScale);
    const side = event["side"] ?? "unknown";
    if (side !== "buy" && side !== "sell" && side !== "unknown") {
      return fault("malformed", "side", `expected the aggressor, "buy", "sell" or "unknown", found ${found(side)}; correct it or leave it out`);
    }
    let id = event["id"];
    if (id === undefined) id = `${this.#idPrefix}-${++of.tradesNamed}`;
    else if (typeof id === "number" && Number.isSafeInteger(id)) id = String(id);
    if (typeof id !== "string" || id === "" || !isPlainText(id, TRADE_ID_MAX)) {
      return fault("malformed", "id", `expected 1 to ${TRADE_ID_MAX} printable ASCII characters without quote and backslash, found ${found(id)}; correct it or leave it out`);
    }
    return { kind: "trade", instrument: of.index, eventTime, receiveTime, id, price: price(units), size: quantity(size), side };
  }

  #book(event: Fields, of: PushInstrument, eventTime: Micros, receiveTime: Micros): MarketEvent | PushFault {
    const wrong = this.#bids.read(event["bids"], "bids", of, true) ?? this.#asks.read(event["asks"], "asks", of, false);
    return wrong ?? { kind: "book", instrument: of.index, eventTime, receiveTime, bids: this.#bids, asks: this.#asks };
  }
}

/** One side of a pushed book: comes best first, is handed over best last. */
class SideBuffer {
  count = 0;
  readonly prices = new Float64Array(BOOK_DEPTH_MAX);
  readonly sizes = new Float64Array(BOOK_DEPTH_MAX);

  read(levels: unknown, field: string, of: PushInstrument, isBids: boolean): PushFault | null {
    if (!Array.isArray(levels)) return fault("malformed", field, `expected an array of [price,size], best first, found ${found(levels)}; send [] for an empty side`);
    if (levels.length > BOOK_DEPTH_MAX) return fault("limit", field, `expected at most ${BOOK_DEPTH_MAX} levels, found ${levels.length}; send the best ${BOOK_DEPTH_MAX}`);
    let last = isBids ? Number.POSITIVE_INFINITY : 0;
    for (let i = 0; i < levels.length; i++) {
      const level: unknown = levels[i];
      if (!Array.isArray(level) || level.length !== 2) return fault("malformed", `${field}[${i}]`, `expected [price,size], found ${found(level)}; correct the level`);
      const units = scaled(level[0], of.instrument.priceScale);
      if (Number.isNaN(units)) return decimalFault(`${field}[${i}][0]`, level[0], of.instrument.priceScale);
      const size = scaled(level[1], of.instrument.sizeScale);
      if (Number.isNaN(size)) return decimalFault(`${field}[${i}][1]`, level[1], of.instrument.sizeScale);
      if (!(units > 0) || !(size > 0)) return fault("non_positive", `${field}[${i}]`, `expected price and size above 0, found ${found(level)}; leave the level out`);
      if (isBids ? units >= last : units <= last) {
        return fault("malformed", `${field}[${i}]`, `expected levels best first (${isBids ? "falling" : "rising"}, each price once), found ${found(level)}; put them in order`);
      }
      last = units;
      const at = levels.length - 1 - i;
      this.prices[at] = units;
      this.sizes[at] = size;
    }
    this.count = levels.length;
    return null;
  }
}

function quoteOf(event: Fields, of: PushInstrument, eventTime: Micros, receiveTime: Micros): MarketEvent | PushFault {
  const { priceScale, sizeScale } = of.instrument;
  const bid = scaled(event["bid"], priceScale);
  const bidSize = scaled(event["bid_size"], sizeScale);
  const ask = scaled(event["ask"], priceScale);
  const askSize = scaled(event["ask_size"], sizeScale);
  if (Number.isNaN(bid)) return decimalFault("bid", event["bid"], priceScale);
  if (Number.isNaN(bidSize)) return decimalFault("bid_size", event["bid_size"], sizeScale);
  if (Number.isNaN(ask)) return decimalFault("ask", event["ask"], priceScale);
  if (Number.isNaN(askSize)) return decimalFault("ask_size", event["ask_size"], sizeScale);
  return { kind: "quote", instrument: of.index, eventTime, receiveTime, bid: price(bid), bidSize: quantity(bidSize), ask: price(ask), askSize: quantity(askSize) };
}

const TICKER_FIELDS = ["last", "open_24h", "high_24h", "low_24h", "volume_24h", "bid", "ask"] as const;

function tickerOf(event: Fields, of: PushInstrument, eventTime: Micros, receiveTime: Micros): MarketEvent | PushFault {
  const text = (field: (typeof TICKER_FIELDS)[number]): string | null => {
    const value = event[field];
    return typeof value === "string" ? value : null;
  };
  for (const field of TICKER_FIELDS) {
    const value = event[field];
    if ((value === undefined || value === null) && field !== "last") continue;
    if (typeof value !== "string" || value.length > DECIMAL_TEXT_MAX || !DECIMAL.test(value)) {
      return fault("malformed", field, `expected a plain decimal in quotes, found ${found(value)}; correct it${field === "last" ? "" : " or leave it out"}`);
    }
  }
  const last = text("last");
  if (last === null) return fault("malformed", "last", "expected a plain decimal in quotes, found nothing; send the last price");
  return {
    kind: "ticker", instrument: of.index, eventTime, receiveTime, last, open24h: text("open_24h"), high24h: text("high_24h"),
    low24h: text("low_24h"), volume24h: text("volume_24h"), bid: text("bid"), ask: text("ask"),
  };
}

const DECIMAL = /^-?\d+(\.\d+)?$/;

function scaled(value: unknown, scale: Scale): number {
  return typeof value === "string" ? scaledOrNaN(value, scale) : Number.NaN;
}

function decimalFault(field: string, value: unknown, scale: Scale): PushFault {
  return fault("malformed", field, `expected a plain decimal in quotes with at most ${scale} decimals and below 2^53 units, found ${found(value)}; correct it or create the instrument with other scales`);
}

function typeFault(kind: unknown): PushFault {
  if (kind === "auth") return fault("already_authenticated", "type", "expected events, found a second auth; open another connection for another key");
  return fault("malformed", "type", `expected "trade", "quote", "book" or "ticker", found ${found(kind)}; bars are built here from trades`);
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMicros(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
