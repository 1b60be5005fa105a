/**
 * Whatever a venue sends, a mapper says what it made of it and never throws; what it emits is a value of the right kind.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import { BinanceMapper } from "../../src/feeds/binance/normalise-v3.ts";
import { CoinbaseAdvancedMapper } from "../../src/feeds/coinbase/normalise-advanced.ts";
import { CoinbaseExchangeMapper } from "../../src/feeds/coinbase/normalise-exchange.ts";
import { krakenV2Native } from "../../src/feeds/kraken/instruments.ts";
import { KrakenV1Mapper } from "../../src/feeds/kraken/normalise-v1.ts";
import { KrakenV2Mapper } from "../../src/feeds/kraken/normalise-v2.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../../src/feeds/mapper.ts";
import type { MarketEvent } from "../../src/market/market-event.ts";
import { KeepingOutput, TestLookup, testInstrument } from "../support/venue-data.ts";

const now = micros(1_723_161_255_000_000);
const lookup = new TestLookup([testInstrument("v", "BTCUSDT", 2, 5), testInstrument("v", "BTC-USD", 2, 8), testInstrument("v", "XBT/USD", 1, 8)], krakenV2Native);

const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, "", "0", "-1", "1e9", "0.-10000", Number.NaN, -1, 0, 1e300, true, [], {}, { toString: 1 }, [[]], [null], "9".repeat(40), "0001-01-01T00:00:00Z"),
  fc.jsonValue({ maxDepth: 2 }), fc.integer(), fc.string({ maxLength: 5 }),
);

/** The value with one of its leaves or branches replaced. */
function spoiled(value: unknown, path: readonly number[], by: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined || typeof value !== "object" || value === null) return by;
  if (Array.isArray(value)) return value.map((each: unknown, i) => (i === first % value.length ? spoiled(each, rest, by) : each));
  const keys = Object.keys(value);
  return Object.fromEntries(Object.entries(value).map(([key, each]: [string, unknown]) => [key, key === keys[first % keys.length] ? spoiled(each, rest, by) : each]));
}

function isSound(event: MarketEvent): boolean {
  const times = Number.isSafeInteger(event.eventTime) && event.eventTime > 0 && event.receiveTime === now;
  const units = (...values: number[]): boolean => values.every((value) => Number.isSafeInteger(value) && value > 0);
  if (event.kind === "trade") return times && units(event.price, event.size);
  if (event.kind === "quote") return times && units(event.bid, event.bidSize, event.ask, event.askSize);
  if (event.kind === "book") {
    return times && [event.bids, event.asks].every(({ count, prices, sizes }) => units(...prices.subarray(0, Math.min(count, 20)), ...sizes.subarray(0, Math.min(count, 20))));
  }
  return times && event.kind === "ticker" && /^\d+(\.\d+)?$/.test(event.last);
}

const l2 = (side: string): unknown => ({ side, event_time: "2023-02-09T20:32:50.5Z", price_level: "10.00", new_quantity: "1" });
const envelope = (channel: string, events: unknown[]): unknown => ({ channel, timestamp: "2023-02-09T20:32:50.714964855Z", events });
const venues: { venue: string; make: (lookup: InstrumentLookup, out: MapperOutput) => Mapper; messages: unknown[] }[] = [
  {
    venue: "Binance", make: (lookup, out) => new BinanceMapper(lookup, out), messages: [
      { stream: "s", data: { e: "trade", E: 1e12, s: "BTCUSDT", t: 1, p: "10.00", q: "1", T: 1.6e12, m: true } },
      { u: 1, s: "BTCUSDT", b: "10.00", B: "1", a: "11.00", A: "2" },
      { e: "depthUpdate", E: 1.6e12, s: "BTCUSDT", U: 8, u: 12, b: [["10.00", "1"], ["9.00", "0"]], a: [["11.00", "1"]] },
      { e: "24hrTicker", E: 1.6e12, s: "BTCUSDT", c: "10.00", o: "9", h: "11", l: "9", v: "1", b: "10", a: "11" },
    ],
  },
  {
    venue: "Coinbase Advanced Trade", make: (lookup, out) => new CoinbaseAdvancedMapper(lookup, out), messages: [
      envelope("l2_data", [{ type: "snapshot", product_id: "BTC-USD", updates: [l2("bid"), l2("offer")] }]),
      envelope("l2_data", [{ type: "update", product_id: "BTC-USD", updates: [l2("bid"), l2("offer")] }]),
      envelope("market_trades", [{ type: "update", trades: [{ trade_id: "2", product_id: "BTC-USD", price: "1.01", size: "0.3", side: "SELL", time: "2019-08-14T20:42:27.265Z" }, { trade_id: "1" }] }]),
      envelope("ticker", [{ type: "update", tickers: [{ product_id: "BTC-USD", price: "1.01", best_bid: "1", best_bid_quantity: "1", best_ask: "2", best_ask_quantity: "1" }] }]),
    ],
  },
  {
    venue: "Coinbase Exchange", make: (lookup, out) => new CoinbaseExchangeMapper(lookup, out), messages: [
      { type: "snapshot", product_id: "BTC-USD", bids: [["10.00", "1"]], asks: [["11.00", "1"]] },
      { type: "l2update", product_id: "BTC-USD", time: "2021-04-17T16:43:37.075687Z", changes: [["buy", "10.00", "2"], ["sell", "11.00", "0"]] },
      { type: "match", product_id: "BTC-USD", trade_id: 1, price: "1.01", size: "0.3", side: "buy", time: "2021-04-17T16:43:37.075687Z" },
      { type: "ticker", product_id: "BTC-USD", price: "1.01", best_bid: "1", best_bid_size: "1", best_ask: "2", best_ask_size: "1", time: "2021-04-17T16:43:37.075687Z" },
    ],
  },
  {
    venue: "Kraken v1", make: (lookup, out) => new KrakenV1Mapper(lookup, out), messages: [
      [1, { as: [["11.0", "1.0", "1618678123.481570"]], bs: [["10.0", "1.0", "1618678123.481570"]] }, "book-10", "XBT/USD"],
      [1, { a: [["11.0", "2.0", "1618678124.481570"]] }, { b: [["10.0", "0.0", "1618678124.481570", "r"]] }, "book-10", "XBT/USD"],
      [1, [["354.1", "0.89594024", "1618678142.557535", "s", "l", ""]], "trade", "XBT/USD"],
      [1, { a: ["13.2", 35, "35.7"], b: ["13.1", 1, "1.0"], c: ["13.2", "3.7"], v: ["1", "2"], l: ["1", "2"], h: ["1", "2"], o: ["1", "2"] }, "ticker", "XBT/USD"],
      [1, ["10.0", "11.0", "1633053779.916349", "1.0", "1.0"], "spread", "XBT/USD"],
    ],
  },
  {
    venue: "Kraken v2", make: (lookup, out) => new KrakenV2Mapper(lookup, out), messages: [
      { channel: "book", type: "snapshot", data: [{ symbol: "BTC/USD", bids: [{ price: 10, qty: 1 }], asks: [{ price: 11, qty: 1 }], timestamp: "2023-02-09T20:32:50.5Z" }] },
      { channel: "book", type: "update", data: [{ symbol: "BTC/USD", bids: [{ price: 10, qty: 2 }], asks: [{ price: 11, qty: 0 }], timestamp: "2023-02-09T20:32:51.5Z" }] },
      { channel: "trade", type: "update", data: [{ symbol: "BTC/USD", side: "buy", price: 10.1, qty: 0.25, trade_id: 2, timestamp: "2023-02-09T20:32:50.5Z" }] },
      { channel: "ticker", type: "update", data: [{ symbol: "BTC/USD", bid: 9.9, bid_qty: 1.2, ask: 10.1, ask_qty: 2.3, last: 10, volume: 1e-7, low: 9, high: 11 }] },
      { channel: "instrument", type: "snapshot", data: { pairs: [{ symbol: "BTC/USD", price_precision: 1, qty_precision: 8 }] } },
      { method: "subscribe", result: { channel: "book", depth: 10, symbol: "BTC/USD" }, success: true },
    ],
  },
];

describe.each(venues)("the mapper of $venue", ({ make, messages }) => {
  it("survives any message, spoiled ones between good ones, and emits only sound events", () => {
    const path = fc.array(fc.nat({ max: 12 }), { maxLength: 6 });
    const spoiling = fc.record({ which: fc.nat({ max: messages.length - 1 }), path, by: junk });
    fc.assert(fc.property(fc.array(fc.oneof(spoiling, junk.map((by) => ({ which: 0, path: [], by }))), { minLength: 1, maxLength: 12 }), (run) => {
      const out = new KeepingOutput(lookup);
      const mapper = make(lookup, out);
      if (mapper instanceof BinanceMapper) mapper.snapshot("BTCUSDT", { lastUpdateId: 9, bids: [["9.00", "1"]], asks: [] }, now);
      for (const [i, { which, path, by }] of run.entries()) {
        mapper.message(messages[i % messages.length], now);
        mapper.message(spoiled(messages[which], path, by), now);
        if (mapper instanceof BinanceMapper) mapper.snapshot("BTCUSDT", by, now);
      }
      expect(out.events.filter((event) => !isSound(event))).toEqual([]);
    }), { numRuns: 300 });
  });
});
