/**
 * One name across venues, spellings, and what an unknown spelling may have meant.
 */
import { describe, expect, it } from "vitest";
import { aliasesOf, canonicalOf, commonAsset, pairOf } from "../../../src/market/canonical.ts";
import { SuggestionIndex } from "../../../src/market/suggestions.ts";

describe("a pair", () => {
  it.each([["BTC-USD", "BTC", "USD"], ["INFY", "INFY", null], ["BTC-USD-PERP", "BTC-USD-PERP", null], ["A-", "A-", null]])("%s is %s for %s", (symbol, base, quote) => {
    expect(pairOf(symbol)).toEqual({ base, quote });
  });

  it.each([["XBT-USD", "BTC-USD"], ["btc-usd", "BTC-USD"], ["ETH-XBT", "ETH-BTC"], ["XDG-EUR", "DOGE-EUR"], ["INFY", "INFY"], ["BTC-USDT", "BTC-USDT"]])("%s is called %s everywhere", (symbol, canonical) => {
    expect(canonicalOf(symbol)).toBe(canonical);
  });

  it("has further spellings, none of which is its symbol or native one", () => {
    expect(aliasesOf({ symbol: "BTC-USD", native: "XBT/USD" })).toEqual(["BTC/USD", "BTC_USD", "BTCUSD", "XBT-USD", "XBT_USD", "XBTUSD"]);
    expect(aliasesOf({ symbol: "INFY", native: "INFY" })).toEqual([]);
    expect(commonAsset("ETH")).toBe("ETH");
  });
});

describe("suggestions", () => {
  const index = new SuggestionIndex();
  for (const [venue, symbol] of [["sim", "BTC-USD"], ["kraken", "BTC-USD"], ["sim", "BTC-USDT"], ["sim", "ETH-USD"], ["sim", "SOL-USD"], ["sim", "BTC-EUR"]] as const) index.add({ id: `${venue}:${symbol}`, venue, symbol });

  it.each([
    ["sim:BTC-USDD", ["sim:BTC-USD", "kraken:BTC-USD", "sim:BTC-USDT"]], ["kraken:BTCUSD", ["kraken:BTC-USD", "sim:BTC-USD", "sim:BTC-USDT"]],
    ["BTC-USD", ["sim:BTC-USD", "kraken:BTC-USD", "sim:BTC-USDT"]], ["sim:ZZZZZZ", []], ["", []],
  ])("for %j are %j", (spelling, ids) => {
    expect(index.suggest(spelling)).toEqual(ids);
  });

  it("takes no longer for a spelling that is as long as a request may be", () => {
    expect(index.suggest(`sim:${"A".repeat(1_000_000)}`)).toEqual([]);
  });
});
