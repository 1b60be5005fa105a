/**
 * Every codec carries exactly the same message; MessagePack made by us and by others is read back as what it was.
 */
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import { BAR_INTERVALS, BOOK_DEPTHS, STATUS_STATES } from "../../src/market/market-event.ts";
import { price, quantity } from "../../src/market/price.ts";
import { CodecInstrument } from "../../src/protocol/codec.ts";
import { msgpackCodec, msgpackOfJson } from "../../src/protocol/codecs/msgpack.ts";
import { DEPTH_MAX, jsonOfMsgpack } from "../../src/protocol/codecs/msgpack-reader.ts";
import { jsonCodec } from "../../src/protocol/json-codec.ts";
import { RecordWriter } from "../../src/protocol/record.ts";
import { barsSlot, BOOK_SLOT, QUOTES_SLOT, STATUS_SLOT, TICKER_SLOT, TRADES_SLOT } from "../../src/protocol/topic.ts";
import { instrument } from "../support/stream-rig.ts";

const of = new CodecInstrument(instrument("t:A", { priceScale: 3, sizeScale: 8 }));
const units = fc.oneof(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const time = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }).map(micros);
const sequence = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 2 ** 32 - 2, max: 2 ** 32 + 2 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const decimal = fc.option(fc.nat().map((n) => `${n}.5`), { nil: null });
const id = fc.stringMatching(/^[A-Za-z0-9-]{0,64}$/);
const side = fc.array(fc.tuple(units, units), { maxLength: 110 }).map((levels) => ({
  count: levels.length, prices: Float64Array.from(levels, ([at]) => at), sizes: Float64Array.from(levels, ([, size]) => size),
}));
const stamps = fc.record({ instrument: fc.constant(0), eventTime: time, receiveTime: time });

/** Writes one event of any kind as the record of this sequence. */
const anyEvent: fc.Arbitrary<(writer: RecordWriter, sequence: number) => void> = fc.oneof(
  fc.tuple(stamps, id, units, units, fc.constantFrom("buy" as const, "sell" as const, "unknown" as const), fc.constantFrom(0, 1)).map(([at, tradeId, p, s, aggressor, flags]) => (writer: RecordWriter, seq: number) =>
    writer.trade({ kind: "trade", id: tradeId, price: price(p), size: quantity(s), side: aggressor, ...at }, TRADES_SLOT, seq, flags)),
  fc.tuple(stamps, units, units, units, units).map(([at, bid, bidSize, ask, askSize]) => (writer: RecordWriter, seq: number) =>
    writer.quote({ kind: "quote", bid: price(bid), bidSize: quantity(bidSize), ask: price(ask), askSize: quantity(askSize), ...at }, QUOTES_SLOT, seq, 0)),
  fc.tuple(stamps, side, side).map(([at, bids, asks]) => (writer: RecordWriter, seq: number) => writer.book({ kind: "book", bids, asks, ...at }, BOOK_SLOT, seq)),
  fc.tuple(stamps, fc.tuple(decimal, decimal, decimal, decimal, decimal, decimal), decimal).map(([at, [open24h, high24h, low24h, volume24h, bid, ask], change]) => (writer: RecordWriter, seq: number) =>
    writer.ticker({ kind: "ticker", last: "1.5", open24h, high24h, low24h, volume24h, bid, ask, ...at }, change, TICKER_SLOT, seq)),
  fc.tuple(stamps, fc.constantFrom(...BAR_INTERVALS), fc.bigInt({ min: 1n, max: 10n ** 24n }), units, fc.boolean()).map(([at, interval, volume, p, closed]) => (writer: RecordWriter, seq: number) =>
    writer.bar({ kind: "bar", interval, start: at.eventTime, open: price(p), high: price(p), low: price(p), close: price(p), volume, notional: volume * 3n, trades: seq, closed, ...at }, barsSlot(interval), seq)),
  fc.tuple(stamps, fc.string({ unit: "binary", maxLength: 210 }), fc.constantFrom(...STATUS_STATES)).map(([at, reason, state]) => (writer: RecordWriter, seq: number) =>
    writer.status({ kind: "status", state, reason, ...at }, STATUS_SLOT, seq)),
);

/** Without a key that the other decoder refuses. */
const anyJson = fc.jsonValue({ maxDepth: 6, stringUnit: "grapheme" }).filter((value) => !JSON.stringify(value).includes("__proto__"));

/** 64-bit integers would come out as bigints, which no JSON holds: the formats that some libraries cannot read as numbers. */
const decoded = (bytes: Uint8Array): unknown => decode(bytes, { useBigInt64: true });

describe("every codec", () => {
  it("carries exactly the same messages", () => {
    fc.assert(fc.property(fc.array(fc.tuple(anyEvent, sequence), { minLength: 1, maxLength: 20 }), fc.constantFrom(...BOOK_DEPTHS), fc.boolean(), (events, depth, isSnapshot) => {
      const writer = new RecordWriter();
      for (const [write, seq] of events) write(writer, seq);
      const [text, bytes] = [jsonCodec, msgpackCodec].map((codec) => {
        const messages = events.map((_, i) => codec.event(writer.words, writer.bytes, writer.offsets[i] ?? 0, of, depth, isSnapshot));
        return codec.frame(messages.reduce((joined, message) => codec.join(joined, message)), messages.length);
      });
      const messages: unknown = JSON.parse(String(text));
      expect(messages).toHaveLength(events.length);
      expect(decoded(bytes instanceof Uint8Array ? bytes : new Uint8Array())).toEqual(messages);
    }));
  });
});

describe("MessagePack of JSON", () => {
  it("is read by another's decoder as what the JSON says", () => {
    fc.assert(fc.property(anyJson, (value) => {
      const json = JSON.stringify(value);
      expect(decoded(msgpackOfJson(json))).toEqual(JSON.parse(json));
    }), { numRuns: 500 });
  });

  it.each([
    0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, 2 ** 53, 1e16, 12_345_678_901_234_568, 1e21, 1e308, 5e-324, 0.5, 1.5, -1, -32, -33, -128, -129, -(2 ** 31), -(2 ** 31) - 1, -0.5,
    "", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(65_535), "x".repeat(65_536), "é".repeat(16), "😀".repeat(8), '"', "\\", "a\\\"b", "\u0000", "\u2028",
    true, false, null, [], {}, "a:b,c}]", { a: "}" },
  ])("keeps a value at the edge of a format: %#", (value) => {
    for (const json of [JSON.stringify(value), JSON.stringify([value, value]), JSON.stringify({ a: value, b: value })]) expect(decoded(msgpackOfJson(json))).toEqual(JSON.parse(json));
  });

  it.each([15, 16, 17, 65_535, 65_536])("keeps an array and a map of %i entries", (count) => {
    const array = Array.from({ length: count }, (_, i) => i);
    const map = Object.fromEntries(array.map((i) => [`k${i}`, i]));
    expect(decoded(msgpackOfJson(JSON.stringify([array, 1])))).toEqual([array, 1]);
    expect(decoded(msgpackOfJson(JSON.stringify({ map, z: 1 })))).toEqual({ map, z: 1 });
  });

  it("has times as 64-bit floats and other whole numbers as integers", () => {
    expect([...msgpackOfJson("1763650000123456")]).toEqual([0xcb, ...encode(1763650000123456, { forceIntegerToFloat: true }).slice(1)]);
    expect([...msgpackOfJson("4711")]).toEqual([0xcd, 0x12, 0x67]);
  });

  it("replaces a lone surrogate, which UTF-8 cannot hold", () => {
    expect(decoded(msgpackOfJson(JSON.stringify("a\ud800b")))).toBe("a\ufffdb");
  });

  it("does not change when the next one is made", () => {
    const first = msgpackOfJson('{"a":1}');
    msgpackOfJson('{"b":2}');
    expect(decoded(first)).toEqual({ a: 1 });
  });

  it.each(["", "{", "[1,", '{"a"', '"abc', "[1]x", "tru", "[1 2]", "{}{}"])("is refused for what is no JSON: %s", (text) => {
    expect(() => msgpackOfJson(text)).toThrow();
  });
});

describe("a client's MessagePack", () => {
  it("of another's encoder is read as the JSON it stands for", () => {
    fc.assert(fc.property(anyJson, (value) => {
      expect(JSON.parse(jsonOfMsgpack(encode(value)))).toEqual(JSON.parse(JSON.stringify(value)));
    }), { numRuns: 500 });
  });

  it("reads every width of a number", () => {
    const bytes = [[0xe0], [0xff], [0xd0, 0x80], [0xd1, 0x80, 0], [0xd2, 0x80, 0, 0, 0], [0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], [0xcf, 0, 0, 0, 1, 0, 0, 0, 0], [0xca, 0x3f, 0x80, 0, 0]];
    expect(bytes.map((each) => JSON.parse(jsonOfMsgpack(Uint8Array.from(each))))).toEqual([-32, -1, -128, -32_768, -(2 ** 31), -2, 2 ** 32, 1]);
  });

  it("that is no command is refused with a sentence, whatever the bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      let json: string;
      try {
        json = jsonOfMsgpack(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxError);
        return;
      }
      expect(() => JSON.parse(json)).not.toThrow();
    }), { numRuns: 2_000 });
  });

  it.each<readonly [string, readonly number[], RegExp]>([
    ["nothing", [], /end within/],
    ["half a string", [0xa5, 0x61], /end within/],
    ["a map that claims four billion members", [0xdf, 0xff, 0xff, 0xff, 0xff], /end within/],
    ["an array that claims 33 million entries", [0xdd, 1, 0xff, 0xff, 0xff], /end within/],
    ["two values", [0xc0, 0xc0], /1 bytes follow/],
    ["bytes", [0xc4, 1, 0], /0xc4/],
    ["an extension", [0xd4, 0xff, 0], /0xd4/],
    ["a timestamp", [0xd6, 0xff, 0, 0, 0, 0], /0xd6/],
    ["the unused format", [0xc1], /0xc1/],
    ["a number as key", [0x81, 1, 1], /keys of a map/],
    ["not a number", [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], /finite/],
    ["infinity", [0xca, 0x7f, 0x80, 0, 0], /finite/],
    ["bad UTF-8", [0xa1, 0xff], /UTF-8/],
  ])("is refused: %s", (_what, bytes, message) => {
    expect(() => jsonOfMsgpack(Uint8Array.from(bytes))).toThrow(message);
  });

  it("may be 16 deep and no deeper", () => {
    const nested = (depth: number): Uint8Array => Uint8Array.from([...Array.from({ length: depth }, () => 0x91), 0xc0]);
    expect(jsonOfMsgpack(nested(DEPTH_MAX))).toBe(`${"[".repeat(16)}null${"]".repeat(16)}`);
    expect(() => jsonOfMsgpack(nested(DEPTH_MAX + 1))).toThrow(/16 deep/);
    expect(() => jsonOfMsgpack(new Uint8Array(65_536).fill(0x91))).toThrow(/16 deep/);
  });
});
