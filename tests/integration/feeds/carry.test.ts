/**
 * What subscriptions make a venue's feed carry and release, on one connection; and lists that change or do not come.
 */
import { describe, expect, it, type TestContext } from "vitest";
import type { VenueFeedOptions } from "../../../src/feeds/venue-feed-options.ts";
import { assumedInstrument } from "../../../src/feeds/instrument-set.ts";
import type { ListOutcome } from "../../../src/ports/feeds.ts";
import { CountingSink, FeedHarness, until, type VenueName } from "../../support/feed-harness.ts";
import { startScriptedVenue, type Answer, type ScriptedVenue } from "../../support/scripted-venue.ts";

const symbol = (base: string, tick = "0.01000000", status = "TRADING"): unknown => ({
  symbol: `${base}USDT`, status, baseAsset: base, quoteAsset: "USDT",
  filters: [{ filterType: "PRICE_FILTER", tickSize: tick }, { filterType: "LOT_SIZE", stepSize: "0.00001000" }],
});
const product = (base: string): unknown => ({ id: `${base}-USD`, base_currency: base, quote_currency: "USD", quote_increment: "0.01", base_increment: "0.0001", status: "online" });
const pair = (base: string): unknown => ({ wsname: `${base}/USD`, pair_decimals: 1, lot_decimals: 8, status: "online" });
const LISTS: Readonly<Record<string, unknown>> = {
  "/api/v3/exchangeInfo": { symbols: ["BTC", "ETH", "SOL"].map((base) => symbol(base)) },
  "/products": ["BTC", "ETH", "SOL"].map(product),
  "/0/public/AssetPairs": { error: [], result: { a: pair("XBT"), b: pair("ETH"), c: pair("SOL") } },
};
const DEPTH = { lastUpdateId: 10, bids: [["100.00", "1.0"]], asks: [["100.02", "1.0"]] };
const trade = (native: string, id: number): unknown => ({
  stream: `${native.toLowerCase()}@trade`, data: { e: "trade", E: 1, s: native, t: id, p: "100.01", q: "1.00000", T: 1_700_000_000_000 + id, m: false },
});
const quote = (native: string, id: number): unknown => ({ stream: `${native.toLowerCase()}@bookTicker`, data: { u: id, s: native, b: "100.00", B: "1.0", a: `100.${10 + id}`, A: "1.0" } });
const depth = (native: string, id: number): unknown => ({ stream: `${native.toLowerCase()}@depth@100ms`, data: { e: "depthUpdate", E: 1, s: native, U: id, u: id, b: [["99.00", "1.0"]], a: [] } });

interface Followed {
  readonly venue: ScriptedVenue;
  readonly harness: FeedHarness;
  readonly outcomes: ListOutcome[];
}

async function follow(test: TestContext, name: VenueName, options: Partial<VenueFeedOptions> = {}, answers: (path: string) => Answer | null = () => null): Promise<Followed> {
  const venue = await startScriptedVenue((path) => answers(path) ?? { body: LISTS[path] ?? DEPTH }, (say) => {
    if (name === "kraken") say({ channel: "status", type: "update", data: [{ system: "online", api_version: "v2", connection_id: 1, version: "2.0.0" }] });
  });
  const outcomes: ListOutcome[] = [];
  const first = name === "binance" ? "BTC-USDT" : "BTC-USD";
  const harness = new FeedHarness(name, venue, { instruments: [first], listed: (outcome) => outcomes.push(outcome), ...options }, new CountingSink());
  test.onTestFinished(async () => {
    await harness.feed.stop();
    await venue.stop();
  });
  await harness.feed.start();
  return { venue, harness, outcomes };
}

const said = ({ venue }: Followed): string[] => venue.heard.map((each) => JSON.stringify(each));
const params = ({ venue }: Followed): unknown[] => venue.heard.map((each) => (typeof each === "object" && each !== null ? [Reflect.get(each, "method"), Reflect.get(each, "params")] : null));

describe.concurrent("a subscription", () => {
  it.for([
    ["binance", "binance:ETH-USDT", '"ethusdt@trade"'], ["coinbase", "coinbase:ETH-USD", '"ETH-USD"'], ["kraken", "kraken:ETH-USD", '"ETH/USD"'],
  ] as const)("is said to %s on the open connection, and taken back there", async ([name, id, spelling], test) => {
    const followed = await follow(test, name);
    await until("the first subscription", () => followed.venue.sockets.length === 1 && (name === "binance" || followed.venue.heard.length >= 3));
    const before = followed.venue.heard.length;
    expect(followed.harness.feed.carry(id, ["trades"])).toBe("carried");
    await until("one more subscription", () => said(followed).slice(before).some((text) => text.includes(spelling)));
    const asked = said(followed).slice(before).filter((text) => text.includes(spelling));
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatch(/trade/);
    followed.harness.feed.release(id, ["trades"]);
    await until("its end", () => said(followed).some((text) => /unsubscribe/i.test(text) && text.includes(spelling)));
    expect(followed.venue.sockets).toHaveLength(1);
    expect(followed.harness.feed.report()).toMatchObject({ instruments: 1, reconnects: 0 });
    expect(followed.harness.statuses(id).at(-1)).toEqual({ state: "stale", reason: "no longer carried" });
  });

  it("lets only its channels flow, counts the others, and is counted against others", async (test) => {
    const followed = await follow(test, "binance");
    const { harness, venue } = followed;
    await until("the connection", () => venue.sockets.length === 1);
    const { feed } = harness;
    expect(feed.carry("binance:ETH-USDT", ["trades"])).toBe("carried");
    expect(feed.carry("binance:ETH-USDT", ["trades", "quotes"])).toBe("carried");
    await until("the subscription", () => venue.heard.length === 1);
    expect(params(followed)).toEqual([["SUBSCRIBE", ["ethusdt@trade", "ethusdt@bookTicker"]]]);
    for (const message of [trade("ETHUSDT", 1), quote("ETHUSDT", 1), depth("ETHUSDT", 11), trade("BTCUSDT", 1)]) venue.say(message);
    await until("the last trade", () => harness.count("trade") === 2);
    expect([harness.count("quote"), harness.count("book")]).toEqual([1, 0]);
    expect(harness.states("binance:ETH-USDT").at(-1)).toBe("live");
    feed.release("binance:ETH-USDT", ["trades"]);
    feed.release("binance:ETH-USDT", ["trades", "quotes"]);
    await until("the end", () => venue.heard.length === 2);
    expect(params(followed)[1]).toEqual(["UNSUBSCRIBE", ["ethusdt@trade", "ethusdt@bookTicker"]]);
    for (const message of [trade("ETHUSDT", 2), quote("ETHUSDT", 2), trade("BTCUSDT", 2)]) venue.say(message);
    await until("the trade of what is still carried", () => harness.count("trade") === 3);
    expect(harness.count("quote")).toBe(1);
    expect(harness.sample("ticker_feed_instruments_pulled_in")).toBe(0);
  });

  it("does not let other channels flow that the venue sends all the same, and counts them", async (test) => {
    const { harness, venue } = await follow(test, "binance");
    await until("the connection", () => venue.sockets.length === 1);
    harness.feed.carry("binance:ETH-USDT", ["trades"]);
    for (const message of [quote("ETHUSDT", 1), trade("ETHUSDT", 1)]) venue.say(message);
    await until("the trade", () => harness.count("trade") === 1);
    expect(harness.count("quote")).toBe(0);
    expect(harness.sample("ticker_feed_unwanted_total")).toBe(1);
  });

  it("that loses the book leaves the quotes of the venue, which the book had replaced", async (test) => {
    const { harness, venue } = await follow(test, "binance");
    await until("the connection", () => venue.sockets.length === 1);
    harness.feed.carry("binance:ETH-USDT", ["quotes"]);
    harness.feed.carry("binance:ETH-USDT", ["book"]);
    await until("the subscription", () => venue.heard.length === 1);
    venue.say(depth("ETHUSDT", 11));
    await until("the book", () => harness.count("book") > 0);
    harness.feed.release("binance:ETH-USDT", ["book"]);
    await until("its end", () => venue.heard.length === 2);
    venue.say(depth("ETHUSDT", 14));
    const books = harness.count("book");
    const quotes = harness.count("quote");
    venue.say(quote("ETHUSDT", 20));
    await until("the quote", () => harness.count("quote") === quotes + 1);
    expect(harness.count("book")).toBe(books);
    expect(harness.states("binance:ETH-USDT").at(-1)).toBe("live");
  });

  it("does not take away what a client or the configuration asked for", async (test) => {
    const { harness, venue } = await follow(test, "binance");
    await until("the connection", () => venue.sockets.length === 1);
    harness.feed.demand(2);
    harness.feed.carry("binance:ETH-USDT", ["trades"]);
    harness.feed.carry("binance:BTC-USDT", ["trades"]);
    await until("the subscription", () => venue.heard.length === 1);
    harness.feed.release("binance:ETH-USDT", ["trades"]);
    harness.feed.release("binance:BTC-USDT", ["trades"]);
    harness.feed.carry("binance:SOL-USDT", ["trades"]);
    await until("another subscription", () => venue.heard.length === 2);
    expect(JSON.stringify(venue.heard[1])).not.toContain("UNSUBSCRIBE");
    expect(harness.feed.report().instruments).toBe(3);
  });

  it("that comes and goes within a moment is not said at all", async (test) => {
    const followed = await follow(test, "binance");
    await until("the connection", () => followed.venue.sockets.length === 1);
    followed.harness.feed.carry("binance:ETH-USDT", ["trades"]);
    followed.harness.feed.release("binance:ETH-USDT", ["trades"]);
    followed.harness.feed.carry("binance:SOL-USDT", ["ticker"]);
    await until("the subscription", () => followed.venue.heard.length === 1);
    expect(params(followed)).toEqual([["SUBSCRIBE", ["solusdt@ticker"]]]);
  });

  it("is in the address of the next connection, with its channels alone", async (test) => {
    const { harness, venue } = await follow(test, "binance");
    await until("the connection", () => venue.sockets.length === 1);
    harness.feed.carry("binance:ETH-USDT", ["ticker"]);
    venue.sockets[0]?.terminate();
    await until("another connection", () => venue.paths.length === 2);
    expect(venue.paths[1]).toMatch(/btcusdt@ticker\/ethusdt@ticker$/);
  });

  it("waits for an instrument that is not known yet, and is of no other venue", async (test) => {
    let isAway = true;
    const { harness } = await follow(test, "binance", { listRefreshMs: 50 }, (path) => (isAway && path === "/api/v3/exchangeInfo" ? { status: 500, body: {} } : null));
    expect(harness.feed.carry("binance:ETH-USDT", ["trades"])).toBe("unknown");
    expect(harness.feed.carry("kraken:ETH-USD", ["trades"])).toBe("foreign");
    expect(harness.sample("ticker_feed_instruments_waiting")).toBe(1);
    isAway = false;
    await until("two carried", () => harness.feed.report().instruments === 2);
    expect(harness.sample("ticker_feed_instruments_waiting")).toBe(0);
  });

  it("shares the limit with what clients pull in: one fits, one more is refused and changes nothing", async (test) => {
    const { harness, venue } = await follow(test, "binance", { pulledInMax: 1 });
    await until("the connection", () => venue.sockets.length === 1);
    expect(harness.feed.carry("binance:ETH-USDT", ["trades"])).toBe("carried");
    expect(harness.feed.carry("binance:SOL-USDT", ["trades"])).toBe("full");
    expect(harness.sample("ticker_feed_pull_ins_refused_total")).toBe(1);
    expect(harness.feed.carry("binance:BTC-USDT", ["trades"])).toBe("carried");
    harness.feed.release("binance:ETH-USDT", ["trades"]);
    expect(harness.feed.carry("binance:SOL-USDT", ["trades"])).toBe("carried");
  });
});

describe.concurrent("the list", () => {
  const isList = (path: string): boolean => path === "/api/v3/exchangeInfo";

  it("is asked for on demand, once for those who ask together, and says what is there", async (test) => {
    let list = [symbol("BTC"), symbol("ETH")];
    const { harness, outcomes, venue } = await follow(test, "binance", {}, (path) => (isList(path) ? { body: { symbols: list } } : null));
    await until("the first list", () => outcomes.length === 1);
    list = [symbol("BTC"), symbol("NEW")];
    const [one, other] = await Promise.all([harness.feed.refresh(), harness.feed.refresh()]);
    expect(one).toBe(other);
    expect(venue.asked.filter(isList)).toHaveLength(2);
    expect(one.kind === "loaded" ? one.instruments.map(({ id }) => id) : one).toEqual(["binance:BTC-USDT", "binance:NEW-USDT"]);
    expect(harness.sink.instruments.map(({ id, state }) => [id, state])).toEqual([
      ["binance:*", "active"], ["binance:BTC-USDT", "active"], ["binance:ETH-USDT", "inactive"], ["binance:NEW-USDT", "active"],
    ]);
  });

  it("that is empty counts as failed and takes nothing away", async (test) => {
    let list = [symbol("BTC")];
    const { harness, outcomes } = await follow(test, "binance", {}, (path) => (isList(path) ? { body: { symbols: list } } : null));
    await until("the first list", () => outcomes.length === 1);
    list = [];
    expect(await harness.feed.refresh()).toMatchObject({ kind: "failed", failure: expect.stringContaining("expected instruments in the list, found none") });
    expect(harness.sink.instruments.map(({ state }) => state)).toEqual(["active", "active"]);
  });

  it("of an earlier run is used while the venue's REST is away, and the stream begins without waiting for it", async (test) => {
    const cached = ["BTC", "ETH"].map((base) => assumedInstrument("binance", `${base}-USDT`, `${base}USDT`));
    const { harness, outcomes, venue } = await follow(test, "binance", { cached: [...cached, assumedInstrument("kraken", "BTC-USD", "XBT/USD")] }, (path) => (isList(path) ? { status: 503, body: {} } : null));
    expect(harness.sink.instruments.map(({ id }) => id)).toEqual(["binance:*", "binance:BTC-USDT", "binance:ETH-USDT"]);
    await until("the connection", () => venue.sockets.length === 1);
    await until("the failure", () => outcomes.length === 1);
    expect(outcomes[0]).toMatchObject({ kind: "failed", venue: "binance", failure: expect.stringContaining("503") });
    expect(harness.feed.carry("binance:ETH-USDT", ["trades"])).toBe("carried");
  });

  it("is not asked for through a breaker that is open", async (test) => {
    const { harness, outcomes, venue } = await follow(test, "binance", { breaker: { run: () => Promise.reject(new Error("open")) } });
    await until("the failure", () => outcomes.length === 1);
    expect(outcomes[0]).toMatchObject({ kind: "failed", failure: "open" });
    expect(venue.asked).toEqual([]);
    await harness.feed.stop();
    expect(await harness.feed.refresh()).toMatchObject({ kind: "failed", failure: "the feed is not running" });
  });
});
