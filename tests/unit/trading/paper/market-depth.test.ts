/**
 * What the paper broker sees of the market: the newest book, else the quote, and neither while the feed does not deliver.
 */
import { describe, expect, it } from "vitest";
import type { NewestValue, QuoteValue, ValueKind } from "../../../../src/ports/newest-values.ts";
import { NewestDepth } from "../../../../src/trading/paper/market-depth.ts";
import { BTC, exact, instrumentOf } from "../../../support/paper-market.ts";

const QUOTE: QuoteValue = { symbol: BTC, epoch: "e", seq: 4, bid: "99.00", bidSize: "1.0000", ask: "101.00", askSize: "2.0000", time: 1, received: 1 };
const BOOK = { bids: [["99.50", "3.0000"], ["99.00", "1.0000"]], asks: [["100.50", "0.1234"]] };

function marketOf(values: { readonly book?: object; readonly quote?: QuoteValue; readonly state?: string; readonly venue?: string }) {
  const value = (members: object | undefined): NewestValue | null => members ? { symbol: BTC, epoch: "e", seq: 7, time: 1, json: JSON.stringify(members) } : null;
  return new NewestDepth({
    find: (spelling) => (spelling === BTC ? instrumentOf(BTC) : null), instruments: () => [instrumentOf(BTC), instrumentOf("nse:INFY"), instrumentOf("sim:ETH-BTC")], quote: () => values.quote ?? null,
    newest: (symbol: string, { channel, depth }: ValueKind) => {
      if (channel === "book") return depth === 100 ? value(values.book) : null;
      const state = symbol === BTC ? values.state : values.venue;
      return value(state === undefined ? undefined : { type: "status", state });
    },
  });
}

describe("the depth", () => {
  it("is the newest book, exact and best first", () => {
    const depth = marketOf({ book: BOOK, quote: QUOTE, state: "live", venue: "live" }).depthOf(BTC);
    expect(depth?.version).toBe("e 7");
    expect([...depth?.bids ?? []]).toEqual([{ price: exact("99.5"), quantity: exact("3") }, { price: exact("99"), quantity: exact("1") }]);
    expect([...depth?.asks ?? []]).toEqual([{ price: exact("100.5"), quantity: exact("0.1234") }]);
  });

  it("is the quote where there is no book, and nothing without either or of an unknown instrument", () => {
    const depth = marketOf({ quote: QUOTE }).depthOf(BTC);
    expect([depth?.version, [...depth?.asks ?? []]]).toEqual(["e 4", [{ price: exact("101"), quantity: exact("2") }]]);
    expect(marketOf({}).depthOf(BTC)).toBeNull();
    expect(marketOf({ book: BOOK }).depthOf("sim:NONE")).toBeNull();
  });

  it.each([["stale", "live"], ["halted", "live"], ["live", "down"], [undefined, "stale"]])("is nothing while the instrument is %s and its venue %s", (state, venue) => {
    expect(marketOf({ book: BOOK, quote: QUOTE, venue, ...(state === undefined ? {} : { state }) }).depthOf(BTC)).toBeNull();
  });

  it("knows in which currencies pairs are paid", () => {
    expect(marketOf({}).currencies()).toEqual(["BTC", "USD"]);
  });
});
