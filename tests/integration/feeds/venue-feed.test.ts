/**
 * What a venue's feed carries, what it says when things are missing, and its limits; against servers on this machine.
 */
import { describe, expect, it, type TestContext } from "vitest";
import type { VenueFeedOptions } from "../../../src/feeds/venue-feed-options.ts";
import { CountingSink, FeedHarness, until, type VenueName } from "../../support/feed-harness.ts";
import { startLoopbackVenue, type LoopbackOptions, type LoopbackVenue } from "../../support/loopback-venue.ts";
import { startScriptedVenue, type Answer, type ScriptedVenue } from "../../support/scripted-venue.ts";
import { capturePath, hasVenueData } from "../../support/venue-data.ts";

async function follow(test: TestContext, venue: VenueName, addresses: { readonly wsUrl: string; readonly restUrl: string; stop(): Promise<void> }, options: Partial<VenueFeedOptions>): Promise<FeedHarness> {
  const harness = new FeedHarness(venue, addresses, options, new CountingSink());
  test.onTestFinished(async () => {
    await harness.feed.stop();
    await addresses.stop();
  });
  await harness.feed.start();
  return harness;
}

async function loopback(test: TestContext, capture: string, options: Partial<LoopbackOptions>, feed: Partial<VenueFeedOptions>): Promise<{ venue: LoopbackVenue; harness: FeedHarness }> {
  const venue = await startLoopbackVenue({ capture: capturePath(capture), ...options });
  return { venue, harness: await follow(test, venue.kind, venue, feed) };
}

const played = (venue: LoopbackVenue, harness: FeedHarness): Promise<void> =>
  until("the end of the recording", () => venue.isAtEnd && harness.sample("ticker_feed_messages_total") >= venue.totals.messages, 15_000);

function symbolOf(native: string, base: string, status = "TRADING"): unknown {
  return {
    symbol: native, status, baseAsset: base, quoteAsset: "USDT", isSpotTradingAllowed: true,
    filters: [{ filterType: "PRICE_FILTER", tickSize: "0.01000000" }, { filterType: "LOT_SIZE", stepSize: "0.00001000" }],
  };
}

const trade = (native: string, id: number): unknown => ({
  stream: `${native.toLowerCase()}@trade`, data: { e: "trade", E: 1, s: native, t: id, p: "100.01", q: "1.00000", T: 1_700_000_000_000 + id, m: false },
});

/** Binance with three instruments, one of them halted; depth is empty but valid. */
function binance(answers: (path: string) => Answer | null = () => null): Promise<ScriptedVenue> {
  return startScriptedVenue((path) => answers(path) ?? (path === "/api/v3/exchangeInfo"
    ? { body: { symbols: [symbolOf("BTCUSDT", "BTC"), symbolOf("ETHUSDT", "ETH"), symbolOf("OLDUSDT", "OLD", "BREAK")] } }
    : { body: { lastUpdateId: 10, bids: [["100.00", "1.0"]], asks: [["100.02", "1.0"]] } }));
}

const pair = (base: string): unknown => ({ wsname: `${base}/USD`, pair_decimals: 1, lot_decimals: 8, status: "online" });
const product = (base: string): unknown => ({ id: `${base}-USD`, base_currency: base, quote_currency: "USD", quote_increment: "0.01", base_increment: "0.0001", status: "online" });
/** The instrument lists of three venues, by path. */
const LISTS: Readonly<Record<string, unknown>> = {
  "/api/v3/exchangeInfo": { symbols: [symbolOf("BTCUSDT", "BTC"), symbolOf("ETHUSDT", "ETH")] },
  "/products": [product("BTC"), product("ETH")],
  "/0/public/AssetPairs": { error: [], result: { a: pair("XBT"), b: pair("ETH"), c: pair("SOL") } },
};

describe.concurrent("what is carried", () => {
  it("carries the BTC and ETH pairs when nothing is configured", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, {});
    await until("the connection", () => venue.paths.length === 1);
    expect(venue.paths[0]).toBe(`/stream?streams=${["btcusdt", "ethusdt"].flatMap((each) => ["trade", "bookTicker", "depth@100ms", "ticker"].map((stream) => `${each}@${stream}`)).join("/")}`);
    expect(harness.sink.instruments.map((each) => each.id)).toEqual(["binance:*", "binance:BTC-USDT", "binance:ETH-USDT", "binance:OLD-USDT"]);
    expect(harness.sink.instruments[0]).toMatchObject({ symbol: "*", timeBase: "wall", simulated: false });
    expect(harness.feed.report()).toMatchObject({ name: "binance", venues: ["binance"], instruments: 2, simulated: false });
  });

  it("takes symbols, native spellings and ids, passes over other venues, and says what is unknown", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instruments: ["btcusdt", "binance:ETH-USDT", "kraken:ETH-USD", "NO-SUCH"] });
    await until("the connection", () => venue.paths.length === 1);
    expect(harness.feed.report().instruments).toBe(2);
    expect(harness.sample("ticker_feed_configured_unknown")).toBe(1);
    expect(harness.log.lines.find((line) => line.message.includes("unknown to the venue"))?.fields["instruments"]).toEqual(["NO-SUCH"]);
  });

  it("pulls in what clients ask for, together, without a new connection", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instruments: ["BTC-USDT"] });
    await until("the connection", () => venue.sockets.length === 1);
    venue.say(trade("BTCUSDT", 1));
    await until("the first trade", () => harness.count("trade") === 1);
    harness.feed.demand(2);
    harness.feed.demand(3);
    harness.feed.demand(2);
    harness.feed.demand(1);
    harness.feed.demand(99);
    await until("the subscription", () => venue.heard.length > 0);
    expect(venue.heard).toEqual([{ method: "SUBSCRIBE", id: 1, params: ["ethusdt", "oldusdt"].flatMap((each) => ["trade", "bookTicker", "depth@100ms", "ticker"].map((stream) => `${each}@${stream}`)) }]);
    expect(harness.sample("ticker_feed_instruments_pulled_in")).toBe(2);
    expect(venue.sockets).toHaveLength(1);
    venue.say(trade("ETHUSDT", 1));
    await until("ETH to be live", () => harness.states("binance:ETH-USDT").at(-1) === "live");
    venue.sockets[0]?.terminate();
    await until("another connection", () => venue.paths.length === 2);
    expect(venue.paths[1]).toContain("ethusdt@trade");
  });

  it.for([
    ["binance", '"ethusdt@trade"', 1], ["coinbase", '"ETH-USD"', 3], ["kraken", '"ETH/USD"', 3],
  ] as const)("subscribes at %s to what is asked for while the connection is still opening", async ([name, spelling, messages], test) => {
    const door = Promise.withResolvers<void>();
    const venue = await startScriptedVenue((path) => ({ body: LISTS[path] ?? { lastUpdateId: 10, bids: [], asks: [] } }), (say) => {
      if (name === "kraken") say({ channel: "status", type: "update", data: [{ system: "online", api_version: "v2", connection_id: 1, version: "2.0.0" }] });
    });
    venue.admit = door.promise;
    const harness = await follow(test, name, venue, { instruments: [name === "binance" ? "BTC-USDT" : "BTC-USD"] });
    await until("the knock", () => venue.knocks === 1);
    harness.feed.demand(2);
    door.resolve();
    await until("the subscription", () => venue.heard.filter((each) => JSON.stringify(each).includes(spelling)).length === messages);
    expect(venue.sockets).toHaveLength(1);
    if (name === "binance") expect(venue.paths[0]).not.toContain("ethusdt");
  });

  it("subscribes once to what is asked for between Kraken's connection and its greeting", async (test) => {
    const venue = await startScriptedVenue((path) => ({ body: LISTS[path] ?? {} }));
    const harness = await follow(test, "kraken", venue, { instruments: ["BTC-USD"] });
    await until("the connection", () => harness.feed.report().reason.startsWith("connected"));
    harness.feed.demand(2);
    venue.say({ channel: "status", type: "update", data: [{ system: "online", api_version: "v2", connection_id: 1, version: "2.0.0" }] });
    const heard = (): string[] => venue.heard.map((each) => JSON.stringify(each));
    await until("the first subscription", () => heard().length === 3);
    harness.feed.demand(3);
    await until("the last subscription", () => heard().filter((text) => text.includes("SOL/USD")).length === 3);
    expect(heard().filter((text) => text.includes("ETH/USD"))).toHaveLength(3);
    expect(heard()).toHaveLength(6);
  });

  it("pulls in up to the limit and refuses one more, counted", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instruments: ["BTC-USDT"], pulledInMax: 1 });
    await until("the connection", () => venue.sockets.length === 1);
    harness.feed.demand(2);
    expect(harness.sample("ticker_feed_pull_ins_refused_total")).toBe(0);
    harness.feed.demand(3);
    expect(harness.sample("ticker_feed_pull_ins_refused_total")).toBe(1);
    expect(harness.feed.report().instruments).toBe(2);
  });

  it.for([[3, 3, 0], [2, 2, 1]] as const)("makes at most %i instruments known", async ([instrumentsMax, known, refused], test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instrumentsMax });
    await until("the connection", () => venue.sockets.length === 1);
    expect(harness.sample("ticker_feed_instruments_known")).toBe(known);
    expect(harness.sample("ticker_feed_instruments_refused_total")).toBe(refused);
  });

  it("shows an instrument that the venue has halted, and its return with the next list", async (test) => {
    let status = "BREAK";
    const venue = await binance((path) => (path === "/api/v3/exchangeInfo" ? { body: { symbols: [symbolOf("OLDUSDT", "OLD", status)] } } : null));
    const harness = await follow(test, "binance", venue, { instruments: ["OLD-USDT"], listRefreshMs: 50 });
    await until("the halt", () => harness.states("binance:OLD-USDT").at(-1) === "halted");
    await until("the connection", () => venue.sockets.length === 1);
    status = "TRADING";
    venue.say(trade("OLDUSDT", 1));
    await until("trading", () => harness.states("binance:OLD-USDT").at(-1) === "live");
    expect(harness.statuses("binance:OLD-USDT").find(({ state }) => state === "halted")?.reason).toBe("not traded at the venue");
  });
});

describe.concurrent("what is lost", () => {
  it("counts trades whose numbers never came, across a reconnect too", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instruments: ["BTC-USDT"] });
    await until("the connection", () => venue.sockets.length === 1);
    for (const id of [7, 8, 11, 11, 12]) venue.say(trade("BTCUSDT", id));
    await until("the trades", () => harness.count("trade") === 5);
    expect(harness.sink.losses).toEqual([{ index: 1, missed: 2 }]);
    venue.sockets[0]?.terminate();
    await until("another connection", () => venue.sockets.length === 2);
    venue.say(trade("BTCUSDT", 20));
    await until("the next trade", () => harness.count("trade") === 6);
    expect(harness.sink.losses).toEqual([{ index: 1, missed: 2 }, { index: 1, missed: 7 }]);
    expect(harness.sample("ticker_feed_trades_missed_total")).toBe(9);
  });

  it("does not trust the book of a connection that ended, even when the next update would fit", async (test) => {
    let depth: Answer = { body: { lastUpdateId: 10, bids: [["100.00", "1.0"]], asks: [["100.02", "1.0"]] } };
    const venue = await binance((path) => (path.startsWith("/api/v3/depth") ? depth : null));
    const harness = await follow(test, "binance", venue, { instruments: ["BTC-USDT"] });
    const update = (id: number): unknown => ({
      stream: "btcusdt@depth@100ms", data: { e: "depthUpdate", E: 1, s: "BTCUSDT", U: id, u: id, b: [["100.00", `${id}.0`]], a: [] },
    });
    await until("the connection", () => venue.sockets.length === 1);
    venue.say(update(11));
    await until("snapshot and update", () => harness.count("book") === 2);
    depth = { status: 500, body: {} };
    venue.sockets[0]?.terminate();
    await until("another connection", () => venue.sockets.length === 2);
    venue.say(update(12));
    venue.say(trade("BTCUSDT", 1));
    await until("the trade", () => harness.count("trade") === 1);
    await until("a refused snapshot", () => harness.sample("ticker_feed_rest_failures_total") > 0);
    expect(harness.count("book")).toBe(2);
    expect(harness.states("binance:BTC-USDT").at(-1)).toBe("stale");
    depth = { body: { lastUpdateId: 11, bids: [["100.00", "11.0"]], asks: [["100.02", "1.0"]] } };
    await until("snapshot and updates", () => harness.count("book") === 4);
    await until("live", () => harness.states("binance:BTC-USDT").at(-1) === "live");
  });

  it("tells stale and down apart: a lost connection, a venue that is away, and its return", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instruments: ["BTC-USDT"] });
    await until("the connection", () => venue.sockets.length === 1);
    venue.say(trade("BTCUSDT", 1));
    await until("live", () => harness.states("binance:BTC-USDT").at(-1) === "live");
    await venue.stop();
    await until("down", () => harness.states("binance:*").at(-1) === "down");
    const states = harness.statuses("binance:*");
    expect(states.filter(({ state }, i) => state !== states[i - 1]?.state).map(({ state }) => state)).toEqual(["stale", "live", "stale", "down"]);
    expect(harness.states("binance:BTC-USDT").at(-1)).toBe("down");
    expect(harness.feed.report()).toMatchObject({ state: "down" });
    expect(harness.feed.report().reason).toMatch(/^cannot connect: .*ECONNREFUSED/);
  });

  it("shows an instrument without data as stale while the rest goes on, and live with its next event", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instrumentSilenceMs: 300 });
    await until("the connection", () => venue.sockets.length === 1);
    for (const native of ["BTCUSDT", "ETHUSDT"]) venue.say(trade(native, 1));
    await until("live", () => harness.states("binance:ETH-USDT").at(-1) === "live");
    let id = 1;
    await until("ETH to be stale", () => {
      venue.say(trade("BTCUSDT", ++id));
      return harness.states("binance:ETH-USDT").at(-1) === "stale";
    });
    expect(harness.statuses("binance:ETH-USDT").at(-1)?.reason).toContain("no data");
    expect(harness.states("binance:BTC-USDT").at(-1)).toBe("live");
    expect(harness.sample("ticker_feed_instrument_silences_total")).toBeGreaterThanOrEqual(1);
    venue.say(trade("ETHUSDT", 2));
    await until("ETH to be live", () => harness.states("binance:ETH-USDT").at(-1) === "live");
  });

  it("counts and samples what cannot be read, and goes on", async (test) => {
    const venue = await binance();
    const harness = await follow(test, "binance", venue, { instruments: ["BTC-USDT"] });
    await until("the connection", () => venue.sockets.length === 1);
    for (let i = 0; i < 50; i++) venue.sockets[0]?.send("{no json");
    venue.say(17);
    venue.say({ stream: "x", data: { e: "trade", s: "BTCUSDT", p: "NaN" } });
    venue.say(trade("BTCUSDT", 1));
    await until("the trade", () => harness.count("trade") === 1);
    expect(harness.feed.counters.malformed).toBe(52);
    expect(harness.log.lines.filter((line) => line.message.includes("could not be read"))).toHaveLength(1);
  });
});

describe.skipIf(!hasVenueData).concurrent("a venue that is not at its best", { timeout: 30_000 }, () => {
  it("streams what is configured although there is no list at all", async (test) => {
    const { venue, harness } = await loopback(test, "BINANCE_SPOT_BTCUSDT_2024-08-08", {}, { instruments: ["BTC-USDT"] });
    await played(venue, harness);
    expect(harness.count("quote")).toBe(28_040);
    expect(harness.count("trade")).toBe(9_757);
    expect(harness.count("book")).toBeGreaterThanOrEqual(3_449);
    expect(harness.feed.counters).toMatchObject({ resyncs: 0, malformed: 0, tradesMissed: 0 });
    expect(harness.sample("ticker_feed_list_failures_total")).toBeGreaterThanOrEqual(1);
  });

  it("asks again for a list and snapshots that were answered with 500", async (test) => {
    const { venue, harness } = await loopback(test, "BINANCE", { speed: 20, faults: { restStatus: 500, restFailures: 4 } }, { instruments: ["NKN-USDT"] });
    await until("a whole book", () => harness.states("binance:NKN-USDT").at(-1) === "live", 10_000);
    await until("the list", () => harness.sample("ticker_feed_instruments_known") > 1_000, 10_000);
    expect(harness.sample("ticker_feed_rest_failures_total")).toBe(4);
    expect(harness.sink.instruments.find((each) => each.id === "binance:NKN-USDT")).toMatchObject({ priceScale: 8, tickSize: 10_000 });
    expect(venue.connections).toBe(1);
  });

  it("holds updates back while a snapshot is slow", async (test) => {
    const { venue, harness } = await loopback(test, "BINANCE", { faults: { restDelayMs: 150 } }, { instruments: ["NKN-USDT", "BLZ-ETH", "LRC-BTC", "RUNE-EUR"] });
    await played(venue, harness);
    await until("the last snapshot", () => harness.feed.counters.synced === 4);
    expect(harness.count("book")).toBe(176);
    expect(harness.feed.counters.resyncs).toBe(0);
  });

  it("replaces a connection that only answers pings", async (test) => {
    const { venue, harness } = await loopback(test, "COINBASE", { speed: 0, faults: { silentAfter: 500 } }, { instruments: ["YFI-BTC"], silenceMs: 300 });
    await until("three connections", () => venue.connections >= 3);
    expect(harness.sample("ticker_feed_disconnects_total", { reason: "silence" })).toBeGreaterThanOrEqual(2);
    expect(harness.states("coinbase:*")).toContain("stale");
  });

  it("keeps away from a venue that accepts and closes at once", async (test) => {
    const { venue, harness } = await loopback(test, "KRAKEN", { faults: { acceptThenClose: true } }, {
      instruments: ["BTC-CHF"], connection: { backoffFirstMs: 200, backoffMaxMs: 30_000, backoffMinMs: 100 },
    });
    const endMs = performance.now() + 1_000;
    await until("a second", () => performance.now() > endMs);
    expect(venue.connections).toBeGreaterThan(0);
    expect(venue.connections).toBeLessThanOrEqual(8);
    expect(harness.sample("ticker_feed_disconnects_total", { reason: "closed" })).toBeGreaterThanOrEqual(1);
  });

  it("understands a server that plays a recording without looking at what we say, known instruments included", async (test) => {
    const { venue, harness } = await loopback(test, "COINBASE", { isImpatient: true }, { instruments: ["YFI-BTC"] });
    await played(venue, harness);
    expect(harness.count("book")).toBe(9_729);
    expect(harness.count("trade")).toBe(97);
    expect(harness.feed.report().instruments).toBe(10);
    expect(harness.sample("ticker_feed_instruments_pulled_in")).toBe(9);
  });
});
