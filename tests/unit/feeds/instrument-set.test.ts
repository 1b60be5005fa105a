/**
 * Known and carried instruments, their spellings and their scales.
 */
import { describe, expect, it } from "vitest";
import { assumeBinance } from "../../../src/feeds/binance/feed.ts";
import { assumeCoinbase, coinbaseDialect } from "../../../src/feeds/coinbase/feed.ts";
import { assumedInstrument, InstrumentSet, venueInstrument, type Entry } from "../../../src/feeds/instrument-set.ts";
import { assumeKraken, krakenVersion } from "../../../src/feeds/kraken/feed.ts";
import type { Instrument } from "../../../src/market/instrument.ts";
import { price, quantity } from "../../../src/market/price.ts";
import { CollectingSink } from "../../support/collecting-sink.ts";

function define(set: InstrumentSet, instrument: Instrument): Entry {
  const entry = set.define(instrument);
  if (entry === null) throw new Error("refused");
  return entry;
}

describe("InstrumentSet", () => {
  it("finds an instrument by symbol, native spelling and id, in any case", () => {
    const set = new InstrumentSet(new CollectingSink(), 10, (native) => [native.replace("XBT", "BTC")]);
    const entry = define(set, assumedInstrument("kraken", "BTC-USD", "XBT/USD"));
    for (const name of ["BTC-USD", "btc-usd", "kraken:BTC-USD", "XBT/USD", "xbt/usd", "BTC/USD"]) expect(set.find(name)).toBe(entry);
    expect(set.find("ETH-USD")).toBeUndefined();
  });

  it("answers mappers only for what is carried, in all spellings", () => {
    const set = new InstrumentSet(new CollectingSink(), 10, (native) => [native.replace("XBT", "BTC")]);
    const entry = define(set, assumedInstrument("kraken", "BTC-USD", "XBT/USD"));
    expect(set.byNative("XBT/USD")).toBeUndefined();
    expect(set.carry(entry)).toBe(true);
    expect(set.carry(entry)).toBe(false);
    expect([set.byNative("XBT/USD"), set.byNative("BTC/USD"), set.at(entry.index)]).toEqual([entry, entry, entry]);
  });

  it("keeps the scales in use when the venue's list changes, and counts its steps in them", () => {
    const sink = new CollectingSink();
    const set = new InstrumentSet(sink, 10);
    const entry = define(set, assumedInstrument("binance", "BTC-USDT", "BTCUSDT"));
    define(set, { ...assumedInstrument("binance", "BTC-USDT", "BTCUSDT"), priceScale: 2, sizeScale: 5, tickSize: price(1), lotSize: quantity(10), state: "halted" });
    expect(entry.instrument).toMatchObject({ priceScale: 8, sizeScale: 8, tickSize: 1_000_000, lotSize: 10_000, state: "halted" });
    expect(sink.instruments).toHaveLength(1);
    expect(sink.instruments[0]).toEqual(entry.instrument);
  });

  it("takes as many as the limit and refuses one more, but updates those it knows", () => {
    const set = new InstrumentSet(new CollectingSink(), 2);
    for (const symbol of ["A-B", "C-D"]) define(set, assumedInstrument("test", symbol, symbol));
    expect(set.refused).toBe(0);
    expect(set.define(assumedInstrument("test", "E-F", "E-F"))).toBeNull();
    expect(set.refused).toBe(1);
    expect(set.define(assumedInstrument("test", "A-B", "A-B"))).not.toBeNull();
  });

  it("names the venue itself", () => {
    expect(venueInstrument("binance", "wall")).toMatchObject({ id: "binance:*", symbol: "*" });
  });
});

describe("an instrument that the venue's list does not give", () => {
  it.each([
    [assumeBinance, "BTC-USDT", "BTC-USDT", "BTCUSDT"], [assumeBinance, "btcusdt", "BTC-USDT", "BTCUSDT"], [assumeBinance, "ETHBTC", "ETH-BTC", "ETHBTC"],
    [assumeCoinbase, "btc-usd", "BTC-USD", "BTC-USD"],
    [assumeKraken, "BTC-USD", "BTC-USD", "XBT/USD"], [assumeKraken, "xbt/usd", "BTC-USD", "XBT/USD"], [assumeKraken, "DOGE-EUR", "DOGE-EUR", "XDG/EUR"],
  ])("is assumed from its name: %o %s", (assume, name, symbol, native) => {
    expect(assume(name)).toMatchObject({ symbol, native, priceScale: 8, sizeScale: 8 });
  });

  it.each([[assumeBinance, "USDT"], [assumeBinance, "a b"], [assumeBinance, ""], [assumeCoinbase, "BTCUSD"], [assumeKraken, "XBTUSD"], [assumeKraken, "A/B/C"]])("%o makes nothing of %j", (assume, name) => {
    expect(assume(name)).toBeNull();
  });
});

describe("who speaks", () => {
  it.each([
    [{ channel: "l2_data" }, "advanced"], [{ type: "subscriptions" }, "exchange"], [{ type: "error", message: "x" }, "error"], [{}, null], [[], null], [7, null],
  ])("Coinbase: %j is %s", (message, dialect) => {
    expect(coinbaseDialect(message)).toBe(dialect);
  });

  it.each([
    [{ event: "systemStatus" }, "v1"], [[1, {}, "book-10", "XBT/USD"], "v1"], [{ channel: "status" }, "v2"], [{ method: "subscribe" }, "v2"], [{}, null], ["x", null],
  ])("Kraken: %j is %s", (message, version) => {
    expect(krakenVersion(message)).toBe(version);
  });
});
