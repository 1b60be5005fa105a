/**
 * Records as the JSON messages of protocol section 2.3: one text per event, never per client.
 *
 * Path: hot. Concatenation by hand: every text inside a record is plain (record.ts), so nothing needs escaping.
 */
import { BAR_INTERVALS, STATUS_STATES } from "../market/market-event.ts";
import { formatBig, formatScaled, type Scale } from "../market/price.ts";
import type { Codec, CodecInstrument } from "./codec.ts";
import { extraOf, flagsOf, FLAG_JUMP, HEADER_WORDS, joinLimbs, KIND_BAR, KIND_BOOK, KIND_QUOTE, KIND_STATUS, KIND_TICKER, KIND_TRADE, kindOf, SIDES, TICKER_FIELDS, VWAP_EXTRA_SCALE } from "./record.ts";
import { BARS_SLOT, slotOf } from "./topic.ts";

/** JSON text frames, the encoding that everybody speaks. */
export const jsonCodec: Codec = {
  encoding: "json",
  isBinary: false,
  event: encodeJson,
  join: (messages, message) => `${String(messages)},${String(message)}`,
  frame: (messages) => `[${String(messages)}]`,
  control: (json) => json,
  read: null,
};

const SIDE_JSON: readonly string[] = SIDES.map((side) => `","side":"${side}","time":`);
const FLAGGED = ',"flags":["jump"]}';

/**
 * The JSON object of the record at word `at`.
 * @param depth levels of a side to show; only read for books
 * @param snapshot whether to mark it as a snapshot
 */
export function encodeJson(words: Float64Array, bytes: Uint8Array, at: number, of: CodecInstrument, depth: number, snapshot: boolean): string {
  const meta = words[at + 1] ?? 0;
  const mark = snapshot ? '"snapshot":true,' : "";
  switch (kindOf(meta)) {
    case KIND_TRADE: return tradeJson(words, bytes, at, meta, of, mark);
    case KIND_QUOTE: return quoteJson(words, at, meta, of, mark);
    case KIND_BOOK: return bookJson(words, at, meta, of, mark, depth);
    case KIND_TICKER: return tickerJson(words, bytes, at, of, mark);
    case KIND_BAR: return barJson(words, at, meta, of, mark);
    case KIND_STATUS: return statusJson(words, bytes, at, meta, of, mark);
    default: throw new Error(`unreachable record kind ${kindOf(meta)}`);
  }
}

/** A whole number up to 2^53 as text; splitting it keeps both halves in the engine's fast path. */
function whole(value: number): string {
  if (value < 1e9) return String(value);
  const high = Math.floor(value / 1e8);
  const low = value - high * 1e8;
  return String(high) + padded8(low);
}

function padded8(value: number): string {
  const text = String(value);
  return text.length === 8 ? text : "00000000".slice(text.length) + text;
}

function decimal(units: number, scale: Scale): string {
  if (units < 1e9) return formatScaled(units, scale);
  const digits = whole(units);
  const point = digits.length - scale;
  if (scale === 0) return digits;
  return point > 0 ? `${digits.slice(0, point)}.${digits.slice(point)}` : formatScaled(units, scale);
}

function tradeJson(words: Float64Array, bytes: Uint8Array, at: number, meta: number, of: CodecInstrument, mark: string): string {
  const extra = extraOf(meta);
  return `{"type":"trade",${mark}${of.symbolJson}${words[at + 2] ?? 0},"id":"${
    text(bytes, (at + HEADER_WORDS + 2) * 8, extra >>> 2)}","price":"${
    decimal(words[at + 5] ?? 0, of.priceScale)}","size":"${
    decimal(words[at + 6] ?? 0, of.sizeScale)}${SIDE_JSON[extra & 3] ?? ""}${
    whole(words[at + 3] ?? 0)},"received":${whole(words[at + 4] ?? 0)}${(flagsOf(meta) & FLAG_JUMP) !== 0 ? FLAGGED : "}"}`;
}

function quoteJson(words: Float64Array, at: number, meta: number, of: CodecInstrument, mark: string): string {
  return `{"type":"quote",${mark}${of.symbolJson}${words[at + 2] ?? 0},"bid":"${
    decimal(words[at + 5] ?? 0, of.priceScale)}","bid_size":"${
    decimal(words[at + 6] ?? 0, of.sizeScale)}","ask":"${
    decimal(words[at + 7] ?? 0, of.priceScale)}","ask_size":"${
    decimal(words[at + 8] ?? 0, of.sizeScale)}","time":${
    whole(words[at + 3] ?? 0)},"received":${whole(words[at + 4] ?? 0)}${(flagsOf(meta) & FLAG_JUMP) !== 0 ? FLAGGED : "}"}`;
}

function bookJson(words: Float64Array, at: number, meta: number, of: CodecInstrument, mark: string, depth: number): string {
  const extra = extraOf(meta);
  const bids = extra & 127;
  const asks = extra >>> 7;
  const first = at + HEADER_WORDS;
  return `{"type":"book",${mark}${of.symbolJson}${words[at + 2] ?? 0},"depth":${depth},"bids":[${
    levelsJson(words, first, Math.min(bids, depth), of)}],"asks":[${
    levelsJson(words, first + bids * 2, Math.min(asks, depth), of)}],"time":${
    whole(words[at + 3] ?? 0)},"received":${whole(words[at + 4] ?? 0)}}`;
}

function levelsJson(words: Float64Array, first: number, count: number, of: CodecInstrument): string {
  let json = "";
  for (let i = 0; i < count; i++) {
    const at = first + i * 2;
    json += `${i === 0 ? '["' : ',["'}${decimal(words[at] ?? 0, of.priceScale)}","${decimal(words[at + 1] ?? 0, of.sizeScale)}"]`;
  }
  return json;
}

function tickerJson(words: Float64Array, bytes: Uint8Array, at: number, of: CodecInstrument, mark: string): string {
  let json = `{"type":"ticker",${mark}${of.symbolJson}${words[at + 2] ?? 0}`;
  const lengths = at + HEADER_WORDS;
  let textAt = lengths + TICKER_FIELDS.length;
  for (let i = 0; i < TICKER_FIELDS.length; i++) {
    const length = words[lengths + i] ?? -1;
    if (length < 0) {
      json += `,"${TICKER_FIELDS[i]}":null`;
    } else {
      json += `,"${TICKER_FIELDS[i]}":"${text(bytes, textAt * 8, length)}"`;
      textAt += (length + 7) >>> 3;
    }
  }
  return `${json},"time":${whole(words[at + 3] ?? 0)}}`;
}

function barJson(words: Float64Array, at: number, meta: number, of: CodecInstrument, mark: string): string {
  const interval = BAR_INTERVALS[slotOf(words[at] ?? 0) - BARS_SLOT] ?? "1m";
  const scale = of.priceScale;
  return `{"type":"bar",${mark}${of.symbolJson}${words[at + 2] ?? 0},"interval":"${interval}","start":${
    whole(words[at + 5] ?? 0)},"open":"${
    decimal(words[at + 6] ?? 0, scale)}","high":"${
    decimal(words[at + 7] ?? 0, scale)}","low":"${
    decimal(words[at + 8] ?? 0, scale)}","close":"${
    decimal(words[at + 9] ?? 0, scale)}","volume":"${
    formatBig(joinLimbs(words[at + 11] ?? 0, words[at + 12] ?? 0), of.sizeScale)}","trades":${
    words[at + 10] ?? 0},"vwap":"${
    formatBig(joinLimbs(words[at + 13] ?? 0, words[at + 14] ?? 0), scale + VWAP_EXTRA_SCALE)}","closed":${extraOf(meta) === 1}}`;
}

function statusJson(words: Float64Array, bytes: Uint8Array, at: number, meta: number, of: CodecInstrument, mark: string): string {
  const extra = extraOf(meta);
  return `{"type":"status",${mark}${of.symbolJson}${words[at + 2] ?? 0},"state":"${STATUS_STATES[extra & 7] ?? "down"}","reason":"${
    text(bytes, (at + HEADER_WORDS) * 8, extra >>> 3)}","time":${whole(words[at + 3] ?? 0)}}`;
}

function text(bytes: Uint8Array, from: number, length: number): string {
  let made = "";
  for (let i = from; i < from + length; i++) made += String.fromCharCode(bytes[i] ?? 63);
  return made;
}
