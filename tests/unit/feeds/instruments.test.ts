/**
 * Instrument lists of the venues: tick, lot, state, and room for what their books hold.
 */
import { describe, expect, it } from "vitest";
import { parseBinanceInstruments } from "../../../src/feeds/binance/instruments.ts";
import { parseCoinbaseInstruments } from "../../../src/feeds/coinbase/instruments.ts";
import { krakenV2Native, parseKrakenInstruments } from "../../../src/feeds/kraken/instruments.ts";

function binance(symbol: object): unknown {
  return { symbols: [{
    symbol: "BTCUSDT", baseAsset: "BTC", quoteAsset: "USDT", status: "TRADING",
    filters: [
      { filterType: "PRICE_FILTER", maxPrice: "1000000.00000000", tickSize: "0.01000000" },
      { filterType: "LOT_SIZE", maxQty: "9000.00000000", stepSize: "0.00001000" },
    ],
    ...symbol,
  }] };
}

describe("Binance's exchangeInfo", () => {
  it("gives tick and lot size in units of a scale with room for older orders", () => {
    const { instruments, skipped } = parseBinanceInstruments(binance({}));
    expect(skipped).toBe(0);
    expect(instruments).toEqual([{
      id: "binance:BTC-USDT", venue: "binance", symbol: "BTC-USDT", native: "BTCUSDT", priceScale: 6, sizeScale: 8, tickSize: 10_000, lotSize: 1_000,
      state: "active", simulated: false, mayCross: false, timeBase: "wall",
    }]);
  });

  it("leaves room for a hundred times the largest order below 2^53, but never less than the lot size needs", () => {
    const sizeScale = (maxQty: string, stepSize: string): number | undefined => parseBinanceInstruments(binance({
      filters: [{ filterType: "PRICE_FILTER", tickSize: "0.01" }, { filterType: "LOT_SIZE", maxQty, stepSize }],
    })).instruments[0]?.sizeScale;
    expect(sizeScale("90000", "1")).toBe(8);
    expect(sizeScale("900000", "1")).toBe(7);
    expect(sizeScale("92141578.00000000", "1.00000000")).toBe(5);
    expect(sizeScale("9222449010000", "1")).toBe(0);
    expect(sizeScale("9222449010000", "0.01")).toBe(2);
  });

  it("knows which instruments trade", () => {
    const state = (status: string): string | undefined => parseBinanceInstruments(binance({ status })).instruments[0]?.state;
    expect(["TRADING", "HALT", "BREAK", "END_OF_DAY", "NEW_WORD"].map(state)).toEqual(["active", "halted", "inactive", "inactive", "inactive"]);
  });

  it("skips and counts what it cannot read, and refuses what is no list", () => {
    for (const broken of [{ symbol: 1 }, { filters: [] }, { filters: null }, { baseAsset: "币" }, { filters: [{ filterType: "PRICE_FILTER", tickSize: "0.0000000000000001" }] }]) {
      expect(parseBinanceInstruments(binance(broken))).toEqual({ instruments: [], skipped: 1 });
    }
    expect(parseBinanceInstruments({ symbols: [null, 1] })).toEqual({ instruments: [], skipped: 2 });
    for (const body of [null, [], { code: -1003, msg: "Too many requests" }]) {
      expect(() => parseBinanceInstruments(body)).toThrow("binance: expected a list of instruments in exchangeInfo \"symbols\", found undefined");
    }
  });
});

describe("Coinbase's product list", () => {
  const product = { id: "BTC-GBP", base_currency: "BTC", quote_currency: "GBP", quote_increment: "0.01", base_increment: "0.00000001", status: "online", trading_disabled: false };

  it("gives tick and lot size and the state", () => {
    const { instruments } = parseCoinbaseInstruments([product, { ...product, trading_disabled: true }, { ...product, status: "delisted" }]);
    expect(instruments.map(({ id, native, priceScale, sizeScale, tickSize, lotSize, state }) => [id, native, priceScale, sizeScale, tickSize, lotSize, state])).toEqual([
      ["coinbase:BTC-GBP", "BTC-GBP", 2, 8, 1, 1, "active"], ["coinbase:BTC-GBP", "BTC-GBP", 2, 8, 1, 1, "halted"], ["coinbase:BTC-GBP", "BTC-GBP", 2, 8, 1, 1, "inactive"],
    ]);
  });

  it("skips and counts what it cannot read, and refuses what is no list", () => {
    expect(parseCoinbaseInstruments([{ ...product, quote_increment: 0.01 }, { ...product, base_increment: "0" }, product]).skipped).toBe(2);
    expect(() => parseCoinbaseInstruments({ message: "NotFound" })).toThrow("coinbase: expected a list of instruments in /products, found object");
  });
});

describe("Kraken's AssetPairs", () => {
  const pair = { altname: "XBTUSD", wsname: "XBT/USD", pair_decimals: 1, lot_decimals: 8, status: "online" };

  it("gives today's symbol, the v1 spelling and decimals", () => {
    const { instruments } = parseKrakenInstruments({ error: [], result: { XXBTZUSD: pair, XDGEUR: { ...pair, wsname: "XDG/EUR", pair_decimals: 0, status: "cancel_only" } } });
    expect(instruments.map(({ id, native, priceScale, sizeScale, tickSize, state }) => [id, native, priceScale, sizeScale, tickSize, state])).toEqual([
      ["kraken:BTC-USD", "XBT/USD", 1, 8, 1, "active"], ["kraken:DOGE-EUR", "XDG/EUR", 0, 8, 1, "halted"],
    ]);
  });

  it("spells pairs as v2 does", () => {
    expect(["XBT/USD", "ETH/XBT", "XDG/XBT", "ADA/EUR", "BTC/USD"].map(krakenV2Native)).toEqual(["BTC/USD", "ETH/BTC", "DOGE/BTC", "ADA/EUR", "BTC/USD"]);
  });

  it("skips dark pools and what it cannot read, and refuses an error by its words", () => {
    const { instruments, skipped } = parseKrakenInstruments({ result: { "XETHXXBT.d": { ...pair, wsname: undefined }, A: { ...pair, pair_decimals: "1" }, B: { ...pair, lot_decimals: 16 }, C: pair } });
    expect([instruments.length, skipped]).toEqual([1, 3]);
    expect(() => parseKrakenInstruments({ error: ["EGeneral:Too many requests"] })).toThrow("found EGeneral:Too many requests");
    expect(() => parseKrakenInstruments(null)).toThrow("expected \"result\" with pairs in AssetPairs");
  });
});
