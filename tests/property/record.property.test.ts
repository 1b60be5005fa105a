/**
 * A record says exactly what the event said: every kind, written and read back by the JSON codec.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import { BAR_INTERVALS } from "../../src/market/market-event.ts";
import { formatBig, formatScaled, price } from "../../src/market/price.ts";
import { CodecInstrument } from "../../src/protocol/codec.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import { changePercent, plainText, RecordWriter } from "../../src/protocol/record.ts";
import { barsSlot, BOOK_SLOT, STATUS_SLOT, TICKER_SLOT } from "../../src/protocol/topic.ts";
import { instrument } from "../support/stream-rig.ts";

const of = instrument("t:A", { priceScale: 3, sizeScale: 8 });
const codec = new CodecInstrument(of);
const stamps = { instrument: 0, eventTime: micros(1_700_000_000_000_001), receiveTime: micros(1_700_000_000_000_002) };
const units = fc.oneof(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const decimalText = fc.option(fc.tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: 0, max: 12 })).map(([n, scale]) => formatBig(n, scale)), { nil: null });

function read(writer: RecordWriter, i = 0, depth = 100): Record<string, unknown> {
  return JSON.parse(encodeJson(writer.words, writer.bytes, writer.offsets[i] ?? 0, codec, depth, false));
}

describe("a record", () => {
  it("carries a book of any depth, best first, cut at the depth asked for", () => {
    const levels = fc.array(fc.tuple(units, units), { maxLength: 120 });
    fc.assert(fc.property(levels, levels, fc.constantFrom(1, 10, 25, 100), (bids, asks, depth) => {
      const side = (all: readonly (readonly [number, number])[]) => ({ count: all.length, prices: Float64Array.from(all.toReversed(), ([p]) => p), sizes: Float64Array.from(all.toReversed(), ([, s]) => s) });
      const text = (all: readonly (readonly [number, number])[]) => all.slice(0, depth).map(([p, s]) => [formatScaled(p, 3), formatScaled(s, 8)]);
      const writer = new RecordWriter();
      writer.book({ kind: "book", bids: side(bids), asks: side(asks), ...stamps }, BOOK_SLOT, 7);
      expect(read(writer, 0, depth)).toEqual({ type: "book", symbol: "t:A", seq: 7, depth, bids: text(bids), asks: text(asks), time: stamps.eventTime, received: stamps.receiveTime });
    }));
  });

  it("carries the texts of a ticker as they are, absent ones as null", () => {
    fc.assert(fc.property(fc.tuple(decimalText, decimalText, decimalText, decimalText, decimalText, decimalText), fc.array(fc.constant(0), { maxLength: 3 }), ([open24h, high24h, low24h, volume24h, bid, ask], before) => {
      const writer = new RecordWriter();
      for (const _ of before) writer.status({ kind: "status", state: "live", reason: "before", ...stamps }, STATUS_SLOT, 1);
      writer.ticker({ kind: "ticker", last: "1.5", open24h, high24h, low24h, volume24h, bid, ask, ...stamps }, "-0.25", TICKER_SLOT, 9);
      expect(read(writer, before.length)).toEqual({
        type: "ticker", symbol: "t:A", seq: 9, last: "1.5", open_24h: open24h, high_24h: high24h, low_24h: low24h, volume_24h: volume24h, change_pct_24h: "-0.25", bid, ask, time: stamps.eventTime,
      });
    }));
  });

  it("carries a bar with sums beyond 2^53 and a vwap rounded half to even", () => {
    fc.assert(fc.property(fc.bigInt({ min: 1n, max: 10n ** 24n }), fc.bigInt({ min: 1n, max: 10n ** 30n }), fc.constantFrom(...BAR_INTERVALS), fc.boolean(), (volume, notional, interval, closed) => {
      fc.pre((notional * 10_000n) / volume < 2n ** 100n);
      const writer = new RecordWriter();
      writer.bar({ kind: "bar", interval, start: micros(1_700_000_000_000_000), open: price(1), high: price(4), low: price(1), close: price(2), volume, notional, trades: 3, closed, ...stamps }, barsSlot(interval), 2);
      const message = read(writer);
      expect(message).toMatchObject({ type: "bar", interval, start: 1_700_000_000_000_000, open: "0.001", high: "0.004", low: "0.001", close: "0.002", volume: formatBig(volume, 8), trades: 3, closed });
      const vwap = BigInt(String(message["vwap"]).replace(".", ""));
      const twiceError = (vwap * volume - notional * 10_000n) * 2n;
      expect(twiceError <= volume && twiceError >= -volume).toBe(true);
      if (twiceError === volume || twiceError === -volume) expect(vwap % 2n).toBe(0n);
    }));
  });

  it("carries a status with whatever reason, made printable", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 300 }), fc.constantFrom("live" as const, "stale" as const, "down" as const, "halted" as const), (reason, state) => {
      const writer = new RecordWriter();
      writer.status({ kind: "status", state, reason, ...stamps }, STATUS_SLOT, 1);
      expect(read(writer)).toEqual({ type: "status", symbol: "t:A", seq: 1, state, reason: plainText(reason, 200), time: stamps.eventTime });
    }));
  });
});

it.each([
  [101, 100, "1.00"], [100, 101, "-0.99"], [100, 100, "0.00"], [30_001, 20_000, "50.00"], [30_003, 20_000, "50.02"], [1, 3, "-66.67"], [5, 0, null],
])("says the change from %i over %i as %s percent, half to even", (last, open, change) => {
  expect(changePercent(last, open)).toBe(change);
});
