/**
 * The one internal layout of an event with its sequence: 64-bit words, carried untouched between threads.
 *
 * Every word is a double, so a record is read and copied without a DataView; text is printable ASCII in the trailing
 * bytes, which can never look like a NaN. Path: hot; one writer, no allocation per event.
 *
 *   0 topic of the sequence   1 meta = kind | flags << 4 | extra << 8   2 sequence   3 event time   4 receive time
 *   trade   5 price, 6 size, 7.. id                    extra = side | id length << 2
 *   quote   5 bid, 6 bid size, 7 ask, 8 ask size
 *   book    5.. (price, size) best first, bids then asks    extra = bids | asks << 7
 *   ticker  5 to 12 lengths (-1: absent) of last open high low volume change bid ask, 13.. their text
 *   bar     5 start, 6 to 9 open high low close, 10 trades, 11 and 12 volume, 13 and 14 vwap    extra = closed
 *   status  5.. reason                                  extra = state | reason length << 3
 */
import { type Bar, type Book, BOOK_DEPTH_MAX, type BookSideView, type Quote, type Status, STATUS_STATES, type Ticker, type Trade } from "../market/market-event.ts";
import { divideHalfEven } from "../market/price.ts";

export const KIND_TRADE = 0;
export const KIND_QUOTE = 1;
export const KIND_BOOK = 2;
export const KIND_TICKER = 3;
export const KIND_BAR = 4;
export const KIND_STATUS = 5;

/** The price is further from the last one than the band allows. */
export const FLAG_JUMP = 1;

export const HEADER_WORDS = 5;
export const SIDES = ["buy", "sell", "unknown"] as const;
/** Longest trade id in bytes. */
export const TRADE_ID_MAX = 64;
/** Longest reason of a status in bytes. */
export const REASON_MAX = 200;
/** Decimals that a vwap has beyond the price's. */
export const VWAP_EXTRA_SCALE = 4;
/** Fields of a ticker in the order of the layout. */
export const TICKER_FIELDS = ["last", "open_24h", "high_24h", "low_24h", "volume_24h", "change_pct_24h", "bid", "ask"] as const;

const LIMB = 2n ** 52n;
const LIMB_MASK = LIMB - 1n;
const WORDS_FIRST = 1 << 16;
const COUNT_FIRST = 1 << 10;
/** Longest record: a book of 100 levels a side. */
const RECORD_WORDS_MAX = HEADER_WORDS + 4 * BOOK_DEPTH_MAX;

/** A number kept as two words of 52 bits. */
export function joinLimbs(low: number, high: number): bigint {
  return high === 0 ? BigInt(low) : BigInt(high) * LIMB + BigInt(low);
}

export function kindOf(meta: number): number {
  return meta & 15;
}

export function flagsOf(meta: number): number {
  return (meta >>> 4) & 15;
}

export function extraOf(meta: number): number {
  return meta >>> 8;
}

/** Whether text can stand in a record: printable ASCII without quote and backslash, so that no encoder must escape it. */
export function isPlainText(text: string, lengthMax: number): boolean {
  if (text.length > lengthMax) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 32 || code > 126 || code === 34 || code === 92) return false;
  }
  return true;
}

/** Text made fit for a record: other characters become `?`, the rest is cut off. */
export function plainText(text: string, lengthMax: number): string {
  return isPlainText(text, lengthMax) ? text : text.slice(0, lengthMax).replace(/[^ -!#-[\]-~]/g, "?");
}

/** 100 * (last - open) / open, half-even at 2 decimals (protocol section 1); null when either is missing or open is 0. */
export function changePercent(last: number, open: number): string | null {
  if (!(open > 0) || Number.isNaN(last)) return null;
  const hundredths = divideHalfEven((BigInt(last) - BigInt(open)) * 10_000n, BigInt(open));
  const magnitude = hundredths < 0n ? -hundredths : hundredths;
  const text = magnitude.toString().padStart(3, "0");
  return `${hundredths < 0n ? "-" : ""}${text.slice(0, -2)}.${text.slice(-2)}`;
}

/** Collects the records of a flush. Grows to the largest flush seen and keeps that size. */
export class RecordWriter {
  words = new Float64Array(WORDS_FIRST);
  bytes = new Uint8Array(this.words.buffer);
  offsets = new Uint32Array(COUNT_FIRST);
  count = 0;
  #at = 0;

  /** Forgets what was written; the buffers stay. */
  clear(): void {
    this.count = 0;
    this.#at = 0;
  }

  trade(event: Trade, topic: number, sequence: number, flags: number): void {
    const side = event.side === "buy" ? 0 : event.side === "sell" ? 1 : 2;
    const at = this.#begin(topic, KIND_TRADE | (flags << 4) | ((side | (event.id.length << 2)) << 8), sequence, event.eventTime, event.receiveTime);
    const words = this.words;
    words[at] = event.price;
    words[at + 1] = event.size;
    this.#end(this.#text(at + 2, event.id));
  }

  quote(event: Quote, topic: number, sequence: number, flags: number): void {
    const at = this.#begin(topic, KIND_QUOTE | (flags << 4), sequence, event.eventTime, event.receiveTime);
    const words = this.words;
    words[at] = event.bid;
    words[at + 1] = event.bidSize;
    words[at + 2] = event.ask;
    words[at + 3] = event.askSize;
    this.#end(at + 4);
  }

  book(event: Book, topic: number, sequence: number): void {
    const bids = Math.min(event.bids.count, BOOK_DEPTH_MAX);
    const asks = Math.min(event.asks.count, BOOK_DEPTH_MAX);
    const at = this.#begin(topic, KIND_BOOK | ((bids | (asks << 7)) << 8), sequence, event.eventTime, event.receiveTime);
    this.#end(this.#levels(this.#levels(at, event.bids, bids), event.asks, asks));
  }

  ticker(event: Ticker, change: string | null, topic: number, sequence: number): void {
    const at = this.#begin(topic, KIND_TICKER, sequence, event.eventTime, event.receiveTime);
    let end = at + TICKER_FIELDS.length;
    end = this.#optional(at, end, event.last);
    end = this.#optional(at + 1, end, event.open24h);
    end = this.#optional(at + 2, end, event.high24h);
    end = this.#optional(at + 3, end, event.low24h);
    end = this.#optional(at + 4, end, event.volume24h);
    end = this.#optional(at + 5, end, change);
    end = this.#optional(at + 6, end, event.bid);
    this.#end(this.#optional(at + 7, end, event.ask));
  }

  /** The vwap is rounded half-even at the price's scale + 4. */
  bar(event: Bar, topic: number, sequence: number): void {
    const at = this.#begin(topic, KIND_BAR | ((event.closed ? 1 : 0) << 8), sequence, event.eventTime, event.receiveTime);
    const words = this.words;
    const vwap = divideHalfEven(event.notional * 10n ** BigInt(VWAP_EXTRA_SCALE), event.volume);
    words[at] = event.start;
    words[at + 1] = event.open;
    words[at + 2] = event.high;
    words[at + 3] = event.low;
    words[at + 4] = event.close;
    words[at + 5] = event.trades;
    words[at + 6] = Number(event.volume & LIMB_MASK);
    words[at + 7] = Number(event.volume >> 52n);
    words[at + 8] = Number(vwap & LIMB_MASK);
    words[at + 9] = Number(vwap >> 52n);
    this.#end(at + 10);
  }

  status(event: Status, topic: number, sequence: number): void {
    const reason = plainText(event.reason, REASON_MAX);
    const extra = STATUS_STATES.indexOf(event.state) | (reason.length << 3);
    const at = this.#begin(topic, KIND_STATUS | (extra << 8), sequence, event.eventTime, event.receiveTime);
    this.#end(this.#text(at, reason));
  }

  #begin(topic: number, meta: number, sequence: number, eventTime: number, receiveTime: number): number {
    if (this.#at + RECORD_WORDS_MAX > this.words.length) this.#grow();
    if (this.count + 2 > this.offsets.length) this.#growOffsets();
    const words = this.words;
    const at = this.#at;
    this.offsets[this.count] = at;
    words[at] = topic;
    words[at + 1] = meta;
    words[at + 2] = sequence;
    words[at + 3] = eventTime;
    words[at + 4] = receiveTime;
    return at + HEADER_WORDS;
  }

  #end(at: number): void {
    this.#at = at;
    this.offsets[++this.count] = at;
  }

  #levels(at: number, side: BookSideView, count: number): number {
    const words = this.words;
    const { prices, sizes } = side;
    for (let level = side.count - 1; level >= side.count - count; level--) {
      words[at++] = prices[level] ?? 0;
      words[at++] = sizes[level] ?? 0;
    }
    return at;
  }

  #optional(lengthAt: number, at: number, text: string | null): number {
    this.words[lengthAt] = text === null ? -1 : text.length;
    return text === null ? at : this.#text(at, text);
  }

  /** Each text starts on a word of its own. */
  #text(at: number, text: string): number {
    const bytes = this.bytes;
    const words = (text.length + 7) >>> 3;
    if (words > 0) this.words[at + words - 1] = 0;
    let byte = at * 8;
    for (let i = 0; i < text.length; i++) bytes[byte++] = text.charCodeAt(i);
    return at + words;
  }

  #grow(): void {
    const words = new Float64Array(this.words.length * 2);
    words.set(this.words.subarray(0, this.#at));
    this.words = words;
    this.bytes = new Uint8Array(words.buffer);
  }

  #growOffsets(): void {
    const offsets = new Uint32Array(this.offsets.length * 2);
    offsets.set(this.offsets);
    this.offsets = offsets;
  }
}
