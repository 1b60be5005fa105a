/**
 * What the mappers do apart from recorded traffic: present formats, controls, limits, and what is left out and counted.
 */
import { describe, expect, it } from "vitest";
import { micros } from "../../../src/core/time.ts";
import { BinanceMapper, BUFFERED_UPDATES_MAX, SNAPSHOT_NEEDED } from "../../../src/feeds/binance/normalise-v3.ts";
import { CoinbaseAdvancedMapper } from "../../../src/feeds/coinbase/normalise-advanced.ts";
import { CoinbaseExchangeMapper } from "../../../src/feeds/coinbase/normalise-exchange.ts";
import { krakenV2Native } from "../../../src/feeds/kraken/instruments.ts";
import { KrakenV1Mapper } from "../../../src/feeds/kraken/normalise-v1.ts";
import { KrakenV2Mapper, PRECISIONS_MAX } from "../../../src/feeds/kraken/normalise-v2.ts";
import { KeepingOutput, TestLookup, testInstrument } from "../../support/venue-data.ts";

const now = micros(1_723_161_255_000_000);
const lookup = new TestLookup([testInstrument("v", "BTCUSDT", 2, 5), testInstrument("v", "BTC-USD", 2, 8), testInstrument("v", "XBT/USD", 1, 8)], krakenV2Native);

function controls(out: KeepingOutput): [string, string][] {
  return out.controls.map(({ kind, detail }) => [kind, detail]);
}

describe("the Binance mapper", () => {
  function start(): { out: KeepingOutput; mapper: BinanceMapper } {
    const out = new KeepingOutput(lookup);
    return { out, mapper: new BinanceMapper(lookup, out) };
  }
  const update = (U: number, u: number, b: unknown[] = [["10.00", "1"]], a: unknown[] = []): unknown => ({ e: "depthUpdate", E: 1_723_161_255_208, s: "BTCUSDT", U, u, b, a });
  const snapshot = (lastUpdateId: number): unknown => ({ lastUpdateId, bids: [["9.00", "1"], ["8.00", "1"]], asks: [["11.00", "2"]] });

  it("asks for a snapshot with the first depth update, once, and holds updates until it comes", () => {
    const { out, mapper } = start();
    expect(mapper.resyncing("BTCUSDT")).toBe(false);
    for (const id of [5, 6, 7]) mapper.message(update(id, id), now);
    expect([out.resyncs, out.books.length, mapper.resyncing("BTCUSDT")]).toEqual([[{ native: "BTCUSDT", reason: SNAPSHOT_NEEDED }], 0, true]);
    mapper.snapshot("BTCUSDT", snapshot(5), now);
    expect([out.events.map((event) => event.kind === "book" && event.sourceSequence), out.syncs, mapper.counts.outdated]).toEqual([[5, 6, 7], ["BTCUSDT"], 1]);
    expect(out.books.at(-1)?.bids).toEqual([["10.00", "1.00000"], ["9.00", "1.00000"], ["8.00", "1.00000"]]);
  });

  it("asks again for a snapshot that is older than the updates it holds, or unreadable, and keeps them", () => {
    const { out, mapper } = start();
    mapper.message(update(5, 6), now);
    mapper.snapshot("BTCUSDT", snapshot(3), now);
    mapper.snapshot("BTCUSDT", { code: -1121, msg: "Invalid symbol." }, now);
    expect(out.resyncs.map(({ reason }) => reason)).toEqual([
      SNAPSHOT_NEEDED, "depth snapshot 3 is older than the updates, which begin with 5", "depth snapshot could not be read",
    ]);
    mapper.snapshot("BTCUSDT", snapshot(4), now);
    expect(out.books).toHaveLength(2);
  });

  it("ignores a snapshot that is older than a whole book, and one of an instrument that is not carried", () => {
    const { out, mapper } = start();
    mapper.snapshot("BTCUSDT", snapshot(9), now);
    mapper.snapshot("BTCUSDT", snapshot(8), now);
    mapper.snapshot("ETHUSDT", snapshot(8), now);
    expect([out.books.length, mapper.counts.outdated, mapper.counts.unknown, mapper.resyncing("ETHUSDT")]).toEqual([1, 1, 1, false]);
  });

  it("takes an update that begins before the book's last id, and refuses a gap of one", () => {
    const { out, mapper } = start();
    mapper.snapshot("BTCUSDT", snapshot(9), now);
    mapper.message(update(8, 12), now);
    mapper.message(update(11, 14), now);
    expect([out.books.length, out.resyncs]).toEqual([3, []]);
    mapper.message(update(16, 17), now);
    expect([out.books.length, out.resyncs.map(({ reason }) => reason)]).toEqual([3, ["update 16 came after 14"]]);
    mapper.snapshot("BTCUSDT", snapshot(15), now);
    expect([out.books.length, mapper.resyncing("BTCUSDT")]).toEqual([5, false]);
  });

  it(`holds ${BUFFERED_UPDATES_MAX} updates, and beyond that gives up the oldest, counted`, () => {
    const { out, mapper } = start();
    for (let id = 1; id <= BUFFERED_UPDATES_MAX; id++) mapper.message(update(id, id), now);
    expect(mapper.counts.overflowed).toBe(0);
    mapper.message(update(BUFFERED_UPDATES_MAX + 1, BUFFERED_UPDATES_MAX + 1), now);
    expect(mapper.counts.overflowed).toBe(1);
    mapper.snapshot("BTCUSDT", snapshot(0), now);
    expect(out.resyncs).toHaveLength(2);
    mapper.snapshot("BTCUSDT", snapshot(1), now);
    expect(out.books).toHaveLength(1 + BUFFERED_UPDATES_MAX);
  });

  it("skips an unreadable level, counted, and applies the rest; an update without any changes nothing", () => {
    const { out, mapper } = start();
    mapper.snapshot("BTCUSDT", snapshot(9), now);
    mapper.message(update(10, 10, [["10.001", "1"], ["10.00", "0.-10000"], ["-1.00", "1"], ["0.00", "1"], "x", ["9.50", "3"]]), now);
    expect([out.malformations.length, out.books.at(-1)?.bids[0]]).toEqual([5, ["9.50", "3.00000"]]);
    mapper.message(update(11, 11, [], []), now);
    mapper.message({ ...Object(update(12, 12)), b: null }, now);
    expect([out.books.length, out.malformations.length, mapper.counts.empty]).toEqual([2, 6, 2]);
    mapper.message({ ...Object(update(13, 13)), u: "13" }, now);
    expect(out.malformations.at(-1)).toBe("depthUpdate without U or u");
  });

  it("forgets everything at a reset but its counts", () => {
    const { out, mapper } = start();
    mapper.snapshot("BTCUSDT", snapshot(9), now);
    mapper.message({ e: "trade", s: "NONE", t: 1, p: "1", q: "1" }, now);
    mapper.reset();
    mapper.message(update(10, 10), now);
    expect([out.resyncs.length, mapper.counts.unknown]).toEqual([1, 1]);
  });

  it("reads the 24 hour ticker, and nothing from one of zeros", () => {
    const { out, mapper } = start();
    const ticker = { e: "24hrTicker", E: 1_569_805_259_092, s: "BTCUSDT", c: "61837.63000000", o: "60000.00000000", h: "62000.00000000", l: "0.00000000", v: "20014.58200000", b: "61837.63", a: "61837.64" };
    mapper.message(ticker, now);
    mapper.message({ ...ticker, c: "0.00000000" }, now);
    mapper.message({ u: 1, s: "BTCUSDT", b: "0.00000000", B: "0.00000000", a: "2.00000000", A: "1.00000000" }, now);
    expect(out.events).toEqual([{
      kind: "ticker", instrument: 0, eventTime: 1_569_805_259_092_000, receiveTime: now, last: "61837.63000000", open24h: "60000.00000000", high24h: "62000.00000000",
      low24h: null, volume24h: "20014.58200000", bid: "61837.63", ask: "61837.64",
    }]);
    expect([mapper.counts.empty, out.malformations]).toEqual([2, []]);
  });

  it("tells answers, errors and other streams apart", () => {
    const { out, mapper } = start();
    for (const message of [{ result: null, id: 1 }, { error: { code: 2, msg: "Invalid request" }, id: 1 }, { code: 3, msg: "Invalid JSON" }, { e: "kline" }, {}, 1, null, []]) mapper.message(message, now);
    expect(controls(out)).toEqual([["subscribed", ""], ["error", "Invalid request"], ["error", "Invalid JSON"], ["other", "kline"]]);
    expect(out.malformations).toHaveLength(4);
  });
});

describe("the Coinbase Advanced Trade mapper", () => {
  const trade = (trade_id: string, side = "SELL"): unknown => ({ trade_id, product_id: "BTC-USD", price: "1260.01", size: "0.3", side, time: "2019-08-14T20:42:27.265Z" });
  function start(): { out: KeepingOutput; mapper: CoinbaseAdvancedMapper; say: (channel: string, events: unknown, sequence_num: number) => void } {
    const out = new KeepingOutput(lookup);
    const mapper = new CoinbaseAdvancedMapper(lookup, out);
    return { out, mapper, say: (channel, events, sequence_num) => mapper.message({ channel, timestamp: "2023-02-09T20:32:50.714964855Z", sequence_num, events }, now) };
  }

  it("gives the trades of a message in the order of their ids, with the taker's side, and no history", () => {
    const { out, mapper, say } = start();
    say("market_trades", [{ type: "snapshot", trades: [trade("7"), trade("6")] }], 0);
    say("market_trades", [{ type: "update", trades: [trade("10", "BUY"), trade("9"), trade("8", "X")] }], 1);
    expect(out.events.map((event) => event.kind === "trade" && [event.id, event.side, event.sourceSequence, event.price, event.size, event.eventTime])).toEqual([
      ["8", "unknown", 8, 126_001, 30_000_000, 1_565_815_347_265_000], ["9", "buy", 9, 126_001, 30_000_000, 1_565_815_347_265_000], ["10", "sell", 10, 126_001, 30_000_000, 1_565_815_347_265_000],
    ]);
    expect(mapper.counts.historical).toBe(2);
  });

  it("gives a ticker, and a quote of it only while the connection has no book", () => {
    const { out, mapper, say } = start();
    const ticker = {
      type: "ticker", product_id: "BTC-USD", price: "21932.98", volume_24_h: "16038.28770938", low_24_h: "21835.29", high_24_h: "23011.18",
      best_bid: "21931.98", best_bid_quantity: "8000.21", best_ask: "21933.98", best_ask_quantity: "8038.07770938",
    };
    say("ticker", [{ type: "snapshot", tickers: [ticker] }], 0);
    expect(out.events.map(({ kind, eventTime }) => [kind, eventTime])).toEqual([["ticker", 1_675_974_770_714_964], ["quote", 1_675_974_770_714_964]]);
    say("l2_data", [{ type: "snapshot", product_id: "BTC-USD", updates: [{ side: "bid", price_level: "10.00", new_quantity: "1" }, { side: "offer", price_level: "11.00", new_quantity: "1" }] }], 1);
    say("ticker", [{ type: "update", tickers: [ticker] }], 2);
    expect([out.count("ticker"), out.count("quote"), mapper.counts.superseded]).toEqual([2, 2, 1]);
  });

  it("emits a quote only when the best bid or offer has changed", () => {
    const { out, say } = start();
    const level = (side: string, price_level: string, new_quantity: string): unknown => ({ side, event_time: "2023-02-09T20:32:50.5Z", price_level, new_quantity });
    say("l2_data", [{ type: "snapshot", product_id: "BTC-USD", updates: [level("bid", "10.00", "1"), level("bid", "9.00", "1"), level("offer", "11.00", "1")] }], 0);
    say("l2_data", [{ type: "update", product_id: "BTC-USD", updates: [level("bid", "9.00", "5")] }], 1);
    say("l2_data", [{ type: "update", product_id: "BTC-USD", updates: [level("bid", "10.00", "5")] }], 2);
    say("l2_data", [{ type: "update", product_id: "BTC-USD", updates: [level("bid", "9.00", "0"), level("offer", "11.00", "0")] }], 3);
    expect([out.count("book"), out.count("quote")]).toEqual([4, 2]);
    expect(out.events.at(-1)).toMatchObject({ kind: "book", eventTime: 1_675_974_770_500_000 });
  });

  it("wants an update of a book without snapshot explained once, and says when one is unreadable", () => {
    const { out, mapper, say } = start();
    const event = { type: "update", product_id: "BTC-USD", updates: [{ side: "bid", price_level: "10.00", new_quantity: "1" }] };
    say("l2_data", [event, event], 0);
    expect([out.resyncs.length, mapper.counts.unappliable, out.events.length]).toEqual([1, 2, 0]);
    say("l2_data", [{ type: "snapshot", product_id: "BTC-USD", updates: [{ side: "left", price_level: "10.00", new_quantity: "1" }, 3] }, null, { product_id: "BTC-USD" }], 1);
    expect([out.malformations.length, out.count("book"), out.syncs.length]).toEqual([4, 1, 1]);
  });

  it("counts heartbeats into the numbering and starts anew after a reset", () => {
    const { out, mapper, say } = start();
    say("l2_data", [{ type: "snapshot", product_id: "BTC-USD", updates: [] }], 0);
    say("heartbeats", [{ heartbeat_counter: "3049" }], 1);
    say("subscriptions", [], 3);
    expect(out.resyncs).toEqual([{ native: "BTC-USD", reason: "message 3 came after 1" }]);
    mapper.reset();
    say("candles", [], 0);
    mapper.message({ type: "error", message: "authentication failure" }, now);
    mapper.message({ sequence_num: 1 }, now);
    expect([controls(out), out.resyncs.length, out.malformations.length]).toEqual([[["heartbeat", ""], ["subscribed", ""], ["other", "candles"], ["error", "authentication failure"]], 1, 1]);
  });
});

describe("the Coinbase Exchange mapper", () => {
  it("tells heartbeats, answers, errors and unknown messages apart", () => {
    const out = new KeepingOutput(lookup);
    const mapper = new CoinbaseExchangeMapper(lookup, out);
    for (const message of [{ type: "heartbeat" }, { type: "subscriptions" }, { type: "error", message: "Failed to subscribe", reason: "x is not a valid product" }, { type: "status" }, {}, []]) mapper.message(message, now);
    expect(controls(out)).toEqual([["heartbeat", ""], ["subscribed", ""], ["error", "Failed to subscribe x is not a valid product"], ["other", "status"]]);
    expect(out.malformations).toHaveLength(2);
  });
});

describe("the Kraken v2 mapper", () => {
  // The example of Kraken's own checksum guide.
  const bids = [[45283.5, 0.1], [45283.4, 1.54582015], [45282.1, 0.1], [45281, 0.1], [45280.3, 1.54592586], [45279, 0.0799], [45277.6, 0.03310103], [45277.5, 0.3], [45277.3, 1.54602737], [45276.6, 0.15445238]];
  const asks = [[45285.2, 0.001], [45286.4, 1.54571953], [45286.6, 1.54571109], [45289.6, 1.54560911], [45290.2, 0.1589066], [45291.8, 1.54553491], [45294.7, 0.04454749], [45296.1, 0.3538], [45297.5, 0.09945542], [45299.5, 0.18772827]];
  const levels = (side: number[][]): unknown[] => side.map(([price, qty]) => ({ price, qty }));
  const book = (type: string, entry: object): unknown => ({ channel: "book", type, data: [{ symbol: "BTC/USD", ...entry }] });
  const example = book("snapshot", { bids: levels(bids), asks: levels(asks), checksum: 3310070434, timestamp: "2023-10-06T17:35:55.440295Z" });
  function start(): { out: KeepingOutput; mapper: KrakenV2Mapper } {
    const out = new KeepingOutput(lookup);
    return { out, mapper: new KrakenV2Mapper(lookup, out) };
  }

  it("agrees with the checksum of Kraken's own example, and refuses a book that differs in one digit", () => {
    const { out, mapper } = start();
    mapper.message(example, now);
    expect([mapper.counts.proved, out.syncs, out.count("book"), out.count("quote")]).toEqual([1, ["XBT/USD"], 1, 1]);
    mapper.message(JSON.parse(JSON.stringify(example).replace("0.18772827", "0.18772828")), now);
    expect([mapper.counts.disproved, out.count("book"), out.resyncs]).toEqual([1, 1, [{ native: "XBT/USD", reason: "checksum of the book differs" }]]);
    mapper.message(book("update", { bids: [{ price: 1, qty: 1 }], asks: [], checksum: 1 }), now);
    expect([mapper.counts.unappliable, out.resyncs.length]).toEqual([1, 1]);
  });

  it("cuts a book to the depth of its subscription after each message", () => {
    const { out, mapper } = start();
    mapper.message({ method: "subscribe", result: { channel: "book", depth: 10, snapshot: true, symbol: "BTC/USD" }, success: true }, now);
    mapper.message(example, now);
    mapper.message(book("update", { bids: [{ price: 45284, qty: 1 }], asks: [] }), now);
    expect(out.books.at(-1)?.bids.map(([at]) => at)).toEqual(["45284.0", ...bids.slice(0, 9).map(([at]) => Number(at).toFixed(1))]);
    expect(controls(out)).toEqual([["subscribed", "book BTC/USD"]]);
  });

  it(`keeps the precision of ${PRECISIONS_MAX} pairs and counts further ones`, () => {
    const { mapper } = start();
    const pairs = Array.from({ length: PRECISIONS_MAX }, (_, i) => ({ symbol: `P${i}/USD`, price_precision: 1, qty_precision: 8 }));
    mapper.message({ channel: "instrument", type: "snapshot", data: { assets: [], pairs } }, now);
    expect(mapper.counts.overflowed).toBe(0);
    mapper.message({ channel: "instrument", type: "update", data: { pairs: [pairs[0], { symbol: "ONE/MORE", price_precision: 1, qty_precision: 8 }] } }, now);
    expect(mapper.counts.overflowed).toBe(1);
  });

  it("takes a number exactly or calls it malformed", () => {
    const { out, mapper } = start();
    const trade = (price: unknown): unknown => ({ channel: "trade", type: "update", data: [{ symbol: "BTC/USD", side: "sell", price, qty: 0.1 + 0.2, trade_id: 1 }] });
    mapper.message(trade(100.1), now);
    expect(out.malformations, "0.30000000000000004 is finer than eight decimals").toHaveLength(1);
    for (const price of [100.15, -1, 0, "100.1", null]) mapper.message({ channel: "trade", type: "update", data: [{ symbol: "BTC/USD", side: "sell", price, qty: 1, trade_id: 1 }] }, now);
    expect([out.malformations.length, out.events.length]).toEqual([6, 0]);
  });

  it("gives a ticker and, without a book, its quote; zeros give nothing", () => {
    const { out, mapper } = start();
    const ticker = { symbol: "BTC/USD", bid: 99.9, bid_qty: 1.2, ask: 100.1, ask_qty: 2.3, last: 100, volume: 1234.5, low: 90, high: 110, timestamp: "2026-07-10T00:00:02.123456Z" };
    mapper.message({ channel: "ticker", type: "snapshot", data: [ticker] }, now);
    mapper.message({ channel: "ticker", type: "update", data: [{ symbol: "BTC/USD", bid: 0, bid_qty: 0, ask: 0, ask_qty: 0, last: 0 }] }, now);
    expect(out.events.map((event) => (event.kind === "ticker" ? [event.last, event.volume24h, event.bid, event.open24h] : [event.kind, event.eventTime]))).toEqual([
      ["100", "1234.5", "99.9", null], ["quote", 1_783_641_602_123_456],
    ]);
    expect(mapper.counts.empty).toBe(2);
  });

  it("tells heartbeats, answers, errors and unknown messages apart", () => {
    const { out, mapper } = start();
    for (const message of [
      { channel: "heartbeat" }, { channel: "status", type: "update", data: [{ system: "online" }] }, { method: "subscribe", success: false, error: "Currency pair not supported" },
      { method: "pong" }, { channel: "ohlc", data: [] }, { channel: "book", data: {} }, { channel: "book", data: [1] }, { channel: "instrument" }, 5,
    ]) mapper.message(message, now);
    expect(controls(out)).toEqual([["heartbeat", ""], ["other", "status"], ["error", "Currency pair not supported"], ["other", "pong"], ["other", "ohlc"]]);
    expect(out.malformations).toHaveLength(4);
  });
});

describe("the Kraken v1 mapper", () => {
  it("gives no quote of a spread once the connection has the book", () => {
    const out = new KeepingOutput(lookup);
    const mapper = new KrakenV1Mapper(lookup, out);
    const spread = [3, ["43770.20000", "43770.30000", "1633053779.916349", "0.00917717", "0.31670440"], "spread", "XBT/USD"];
    mapper.message(spread, now);
    mapper.message([1, { as: [["43771.00000", "1.00000000", "1633053779.000000"]], bs: [["43770.00000", "1.00000000", "1633053779.000000"]] }, "book-10", "XBT/USD"], now);
    mapper.message(spread, now);
    expect([out.events.map(({ kind }) => kind), mapper.counts.superseded]).toEqual([["quote", "book", "quote"], 1]);
  });

  it("tells heartbeats, answers, errors and unknown messages apart", () => {
    const out = new KeepingOutput(lookup);
    const mapper = new KrakenV1Mapper(lookup, out);
    for (const message of [
      { event: "heartbeat" }, { event: "subscriptionStatus", status: "subscribed", channelName: "trade", pair: "XBT/USD" },
      { event: "subscriptionStatus", status: "error", errorMessage: "Currency pair not supported" }, { event: "systemStatus", status: "online" },
      [1, {}, "ohlc-5", "XBT/USD"], {}, [1, 2], [1, {}, 3, "XBT/USD"], [1, {}, "trade", "XBT/USD"], [1, [], "ticker", "XBT/USD"], [1, {}, "spread", "XBT/USD"],
    ]) mapper.message(message, now);
    expect(controls(out)).toEqual([["heartbeat", ""], ["subscribed", "trade XBT/USD"], ["error", "Currency pair not supported"], ["other", "systemStatus online"], ["other", "ohlc-5"]]);
    expect(out.malformations).toHaveLength(6);
  });
});

it("hands out each count as a labelled sample", () => {
  const out = new KeepingOutput(lookup);
  const mapper = new KrakenV2Mapper(lookup, out);
  mapper.message({ channel: "trade", type: "snapshot", data: [1, 2] }, now);
  const samples = mapper.counts.samples({ venue: "kraken" });
  expect(samples).toHaveLength(11);
  expect(samples.find(({ labels }) => labels["reason"] === "historical")).toMatchObject({ name: "ticker_mapper_left_out_total", type: "counter", labels: { venue: "kraken" }, value: 2 });
});
