/**
 * Instruments and subscriptions of the real service over HTTP, with a venue on this machine whose list and REST a test decides.
 */
import { afterEach, describe, expect, it } from "vitest";
import { rmSync } from "node:fs";
import { systemClock, wait } from "../../src/core/clock.ts";
import { newDataFolder } from "../support/data-folder.ts";
import { until } from "../support/feed-harness.ts";
import { startScriptedVenue, type ScriptedVenue } from "../support/scripted-venue.ts";
import { type RunningService, startService } from "../support/start-service.ts";
import { StreamClient } from "../support/stream-client.ts";
import { member } from "../support/venue-data.ts";

const KEYS = { read: `tk_${"r".repeat(32)}`, trade: `tk_${"t".repeat(32)}`, admin: `tk_${"a".repeat(32)}` };
/** Some of these start the service twice. */
const TEST_MS = 60_000;
const LOOK_MS = 20;
const LIST_PATH = "/api/v3/exchangeInfo";

const symbol = (base: string, more: { readonly tick?: string; readonly status?: string } = {}): unknown => ({
  symbol: `${base}USDT`, status: more.status ?? "TRADING", baseAsset: base, quoteAsset: "USDT",
  filters: [{ filterType: "PRICE_FILTER", tickSize: more.tick ?? "0.01000000" }, { filterType: "LOT_SIZE", stepSize: "0.00001000" }],
});
const trade = (native: string, id: number): unknown => ({
  stream: `${native.toLowerCase()}@trade`, data: { e: "trade", E: Date.now(), s: native, t: id, p: "100.01", q: "1.00000", T: Date.now(), m: false },
});

/** A venue whose list may be changed, or taken away with null. */
class Venue {
  list: unknown[] | null;
  readonly scripted: ScriptedVenue;

  private constructor(list: unknown[] | null, scripted: ScriptedVenue) {
    this.list = list;
    this.scripted = scripted;
  }

  static async start(list: unknown[] | null): Promise<Venue> {
    const holder: { venue: Venue | null } = { venue: null };
    const scripted = await startScriptedVenue((path) => {
      if (path !== LIST_PATH) return { body: { lastUpdateId: 10, bids: [["100.00", "1.0"]], asks: [["100.02", "1.0"]] } };
      const now = holder.venue?.list ?? null;
      return now === null ? { status: 503, body: {} } : { body: { symbols: now } };
    });
    holder.venue = new Venue(list, scripted);
    return holder.venue;
  }

  /** SUBSCRIBE and UNSUBSCRIBE messages with their streams, in order. */
  said(): string[] {
    return this.scripted.heard.map((each) => `${String(member(each, "method"))} ${String(member(each, "params"))}`);
  }
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const running: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).toReversed()) await stop();
});

async function venueOf(list: unknown[] | null): Promise<Venue> {
  const venue = await Venue.start(list);
  running.push(() => venue.scripted.stop());
  return venue;
}

async function serviceOf(venue: Venue, env: Readonly<Record<string, string>> = {}, dataDir?: string) {
  const service: RunningService = await startService({
    ...(dataDir === undefined ? {} : { dataDir }),
    env: {
      FEEDS: "sim,binance", FEED_INSTRUMENTS: "binance:BTC-USDT", BINANCE_WS_URL: venue.scripted.wsUrl, BINANCE_REST_URL: venue.scripted.restUrl, WORKERS: "1",
      SIM_INSTRUMENTS: "5", SIM_EVENTS_PER_S: "50", BOOTSTRAP_API_KEYS: `read:${KEYS.read},trade:${KEYS.trade},admin:${KEYS.admin}`, ...env,
    },
  });
  running.push(() => service.stop("SIGKILL"));
  const ask = async (method: string, path: string, key: keyof typeof KEYS, body?: unknown): Promise<Answer> => {
    const answer = await fetch(`${service.page}${path}`, {
      method, headers: { "x-api-key": KEYS[key], ...(body === undefined ? {} : { "content-type": "application/json" }) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === "" ? null : JSON.parse(text) };
  };
  const get = (path: string): Promise<Answer> => ask("GET", path, "read");
  const ids = async (query: string): Promise<unknown[]> => items((await get(`/v1/instruments${query}`)).body).map((item) => member(item, "id"));
  const listState = async (venueName = "binance"): Promise<unknown> => items((await get("/v1/instruments/status")).body).find((item) => member(item, "venue") === venueName);
  const loaded = (): Promise<void> => eventually("the list", async () => member(await listState(), "source") === "venue");
  const subscribe = (body: unknown): Promise<Answer> => ask("POST", "/v1/subscriptions", "trade", body);
  return { service, ask, get, ids, listState, loaded, subscribe };
}

function items(body: unknown): unknown[] {
  const found = member(body, "items");
  return Array.isArray(found) ? found : [];
}

/** Looks again until it is so. */
async function eventually(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const endMs = systemClock.monotonicMs() + 10_000;
  while (!await isTrue()) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`waited in vain for ${what}`);
    await wait(systemClock, LOOK_MS);
  }
}

const NO_LIMITS = { RATE_LIMITS: "off" };

describe("instruments", { timeout: TEST_MS }, () => {
  it("are found by id, native spelling, alias and part, page by page, and an unknown one gets suggestions", async () => {
    const { get, ids, loaded } = await serviceOf(await venueOf(["BTC", "ETH", "SOL"].map((base) => symbol(base))), NO_LIMITS);
    await loaded();
    expect(await ids("?venue=binance")).toEqual(["binance:BTC-USDT", "binance:ETH-USDT", "binance:SOL-USDT"]);
    expect(await ids("?q=eth")).toEqual(["binance:ETH-USDT", "sim:ETH-USD"]);
    expect(await ids("?canonical=BTC-USD")).toEqual(["sim:BTC-USD"]);
    expect(await ids("?symbol=binance:BTCUSDT&symbol=sim:ETH-USD")).toEqual(["binance:BTC-USDT", "sim:ETH-USD"]);
    const seen: unknown[] = [];
    for (let cursor = ""; ;) {
      const { body } = await get(`/v1/instruments?limit=3${cursor}`);
      seen.push(...items(body).map((item) => member(item, "id")));
      const next = member(body, "next_cursor");
      if (typeof next !== "string") break;
      cursor = `&cursor=${next}`;
    }
    expect(seen).toHaveLength(8);
    expect(new Set(seen).size).toBe(8);
    for (const spelling of ["binance:BTC-USDT", "binance:BTCUSDT", "binance:XBT%2FUSDT"]) {
      expect(await get(`/v1/instruments/${spelling}`)).toEqual({ status: 200, body: {
        id: "binance:BTC-USDT", venue: "binance", symbol: "BTC-USDT", native: "BTCUSDT", base: "BTC", quote: "USDT", canonical: "BTC-USDT", state: "active",
        tick_size: "0.01", lot_size: "0.00001", simulated: false, delisted_at: null,
      } });
    }
    expect(await get("/v1/instruments/binance:BTC-USDTT")).toMatchObject({ status: 404, body: { code: "unknown_symbol", did_you_mean: ["binance:BTC-USDT"], detail: expect.stringContaining("did you mean binance:BTC-USDT") } });
    expect(await get("/v1/instruments?cursor=nonsense")).toMatchObject({ status: 422, body: { errors: [{ path: "query.cursor" }] } });
    expect(await get("/v1/instruments?state=odd")).toMatchObject({ status: 422, body: { errors: [{ path: "query.state" }] } });
  });

  it("are compared at a refresh on demand, on the record, and a refresh that fails keeps the old list", async () => {
    const venue = await venueOf([symbol("BTC"), symbol("ETH"), symbol("SOL")]);
    const { ask, get, loaded, listState, service } = await serviceOf(venue, { RATE_LIMITS: '{"default":"10000/min"}' });
    await loaded();
    expect((await ask("POST", "/v1/admin/instruments/refresh", "trade")).status).toBe(403);
    venue.list = [symbol("BTC", { tick: "0.10000000" }), symbol("ETH", { status: "HALT" }), symbol("NEW")];
    expect(await ask("POST", "/v1/admin/instruments/refresh", "admin")).toEqual({ status: 200, body: { items: [{
      venue: "binance", ok: true, failure: null, count: 4, listed_count: 1, delisted_count: 1, changed_count: 2, listed: ["binance:NEW-USDT"], delisted: ["binance:SOL-USDT"],
      changed: [{ id: "binance:BTC-USDT", members: ["tick_size"] }, { id: "binance:ETH-USDT", members: ["state"] }],
    }] } });
    expect((await get("/v1/instruments/binance:SOL-USDT")).body).toMatchObject({ state: "inactive", delisted_at: expect.any(Number) });
    await service.said(/list of instruments has changed/);
    venue.list = null;
    expect(await ask("POST", "/v1/admin/instruments/refresh", "admin")).toMatchObject({ status: 200, body: { items: [{ venue: "binance", ok: false, failure: expect.stringContaining("503"), count: 4, changed_count: 0 }] } });
    expect(await listState()).toMatchObject({ loaded: true, source: "venue", count: 4, active: 2, stale: true, why: expect.stringContaining("503"), last_refresh: expect.any(Number), next_refresh: expect.any(Number) });
    expect(await listState("sim")).toMatchObject({ loaded: true, source: "feed", count: 5, stale: false, last_refresh: null });
    const audit = (await ask("GET", "/v1/admin/audit", "admin")).body;
    expect(items(audit).filter((item) => member(item, "action") === "instruments.refreshed")).toHaveLength(2);
    for (let i = 0; i < 3; i++) expect((await ask("POST", "/v1/admin/instruments/refresh", "admin")).status).toBe(200);
    const asked = venue.scripted.asked.filter((path) => path === LIST_PATH).length;
    expect(await ask("POST", "/v1/admin/instruments/refresh", "admin")).toMatchObject({ status: 429, body: { code: "rate_limited" } });
    expect(venue.scripted.asked.filter((path) => path === LIST_PATH)).toHaveLength(asked);
  });

  it("are refreshed on schedule", async () => {
    const venue = await venueOf([symbol("BTC")]);
    const { ids, loaded } = await serviceOf(venue, { ...NO_LIMITS, TICKER_INSTRUMENTS_REFRESH_MS: "100" });
    await loaded();
    venue.list = [symbol("BTC"), symbol("ETH")];
    await eventually("the new one", async () => (await ids("?venue=binance")).length === 2);
    expect(await ids("?q=eth&venue=binance")).toEqual(["binance:ETH-USDT"]);
  });

  it("of the last run are used while the venue's REST is away, and the state says so", async () => {
    const folder = newDataFolder("ticker-registry-");
    running.push(async () => rmSync(folder, { recursive: true, force: true }));
    const venue = await venueOf([symbol("BTC"), symbol("ETH")]);
    const first = await serviceOf(venue, NO_LIMITS, folder);
    await first.loaded();
    expect(await first.service.stop()).toBe(0);
    venue.list = null;
    const { get, ids, listState } = await serviceOf(venue, NO_LIMITS, folder);
    await until("the stream of the venue", () => venue.scripted.sockets.length === 2);
    expect(venue.scripted.paths[1]).toContain("btcusdt@trade");
    expect(await ids("?venue=binance")).toEqual(["binance:BTC-USDT", "binance:ETH-USDT"]);
    await eventually("the failure", async () => String(member(await listState(), "why")).includes("503"));
    expect(await listState()).toMatchObject({ loaded: true, source: "cache", stale: true, count: 2, age_s: expect.any(Number) });
    venue.scripted.say(trade("BTCUSDT", 1));
    await eventually("a trade", async () => items((await get("/v1/trades?symbol=binance:BTC-USDT")).body).length === 1);
  });

  it("of a venue that never answered are none, and the state says why", async () => {
    const { listState, get } = await serviceOf(await venueOf(null), NO_LIMITS);
    await eventually("the failure", async () => member(await listState(), "last_attempt") !== null);
    expect(await listState()).toMatchObject({ loaded: false, source: "none", count: 0, stale: true, last_refresh: null, age_s: null });
    expect((await get("/v1/instruments/binance:BTC-USDT")).status).toBe(404);
  });
});

describe("subscriptions", { timeout: TEST_MS }, () => {
  it("reach the venue on the same connection, count, and are found again after a restart", async () => {
    const folder = newDataFolder("ticker-registry-");
    running.push(async () => rmSync(folder, { recursive: true, force: true }));
    const venue = await venueOf(["BTC", "ETH", "SOL"].map((base) => symbol(base)));
    const { ask, get, loaded, subscribe, service } = await serviceOf(venue, NO_LIMITS, folder);
    await loaded();
    await until("the connection", () => venue.scripted.sockets.length === 1);
    const one = await subscribe({ symbols: ["binance:ETHUSDT"], channels: ["trades"] });
    expect(one).toMatchObject({ status: 201, body: { symbols: ["binance:ETH-USDT"], channels: ["trades"], owner: expect.any(String), created_at: expect.any(Number) } });
    await until("the subscribe frame", () => venue.said().length === 1);
    expect(venue.said()).toEqual(["SUBSCRIBE ethusdt@trade"]);
    expect(await subscribe({ symbols: ["binance:ETH-USDT", "binance:ETHUSDT"], channels: ["trades"] })).toEqual({ status: 200, body: one.body });
    const two = await subscribe({ symbols: ["binance:SOL-USDT", "binance:ETH-USDT"] });
    expect(two).toMatchObject({ status: 201, body: { symbols: ["binance:ETH-USDT", "binance:SOL-USDT"], channels: ["trades", "quotes", "book", "bars", "ticker", "status"] } });
    await until("the further frames", () => venue.said().length === 3);
    expect(venue.said().slice(1).toSorted()).toEqual(["SUBSCRIBE ethusdt@bookTicker,ethusdt@depth@100ms,ethusdt@ticker", "SUBSCRIBE solusdt@trade,solusdt@bookTicker,solusdt@depth@100ms,solusdt@ticker"]);
    venue.scripted.say(trade("SOLUSDT", 1));
    await eventually("the trade", async () => items((await get("/v1/trades?symbol=binance:SOL-USDT")).body).length === 1);
    expect(await ask("DELETE", `/v1/subscriptions/${String(member(one.body, "id"))}`, "trade")).toEqual({ status: 204, body: null });
    expect((await ask("DELETE", `/v1/subscriptions/${String(member(one.body, "id"))}`, "trade")).status).toBe(404);
    expect(items((await get("/v1/subscriptions")).body)).toEqual([two.body]);
    expect(venue.scripted.sockets).toHaveLength(1);
    expect(await service.stop()).toBe(0);

    const again = await serviceOf(venue, NO_LIMITS, folder);
    await until("another connection", () => venue.scripted.sockets.length === 2);
    expect(venue.scripted.paths[1]).toContain("btcusdt@ticker/ethusdt@trade/ethusdt@bookTicker/ethusdt@depth@100ms/ethusdt@ticker/solusdt@trade");
    expect(items((await again.get("/v1/subscriptions")).body)).toEqual([two.body]);
    expect((await again.ask("DELETE", `/v1/subscriptions/${String(member(two.body, "id"))}`, "trade")).status).toBe(204);
    await until("the end", () => venue.said().some((text) => text.startsWith("UNSUBSCRIBE")));
    expect(venue.said().at(-1)).toBe("UNSUBSCRIBE ethusdt@trade,ethusdt@bookTicker,ethusdt@depth@100ms,ethusdt@ticker,solusdt@trade,solusdt@bookTicker,solusdt@depth@100ms,solusdt@ticker");
  });

  it("with some channels give way to a client that wants another one, which then stays", async () => {
    const venue = await venueOf([symbol("BTC"), symbol("ETH")]);
    const { ask, loaded, subscribe, service } = await serviceOf(venue, NO_LIMITS);
    await loaded();
    const { body } = await subscribe({ symbols: ["binance:ETH-USDT"], channels: ["trades"] });
    await until("the subscribe frame", () => venue.said().length === 1);
    venue.scripted.say(trade("ETHUSDT", 1));
    const client = new StreamClient(service.stream);
    await client.opened();
    client.say({ type: "auth", api_key: KEYS.read });
    client.say({ type: "subscribe", id: 1, channel: "trades", symbols: ["binance:ETH-USDT"] });
    client.say({ type: "subscribe", id: 2, channel: "quotes", symbols: ["binance:ETH-USDT"] });
    await until("the other channels", () => venue.said().length === 2);
    expect(venue.said()[1]).toBe("SUBSCRIBE ethusdt@bookTicker,ethusdt@depth@100ms,ethusdt@ticker");
    expect((await ask("DELETE", `/v1/subscriptions/${String(member(body, "id"))}`, "trade")).status).toBe(204);
    venue.scripted.say({ stream: "ethusdt@bookTicker", data: { u: 1, s: "ETHUSDT", b: "100.00", B: "1.0", a: "100.10", A: "1.0" } });
    await until("the quote", () => client.messages.some(({ type }) => type === "quote"));
    expect(venue.said()).toHaveLength(2);
    client.socket.terminate();
  });

  it("name every symbol that is unknown or not traded, and refuse what is no subscription", async () => {
    const { ask, loaded, subscribe, get } = await serviceOf(await venueOf([symbol("BTC"), symbol("OLD", { status: "BREAK" })]), NO_LIMITS);
    await loaded();
    expect(await subscribe({ symbols: ["binance:BTC-USDT", "binance:BTC-USDTT", "binance:OLD-USDT"] })).toMatchObject({ status: 422, body: {
      code: "unknown_symbol", did_you_mean: ["binance:BTC-USDT"],
      errors: [{ path: "body.symbols.1", message: expect.stringContaining("did you mean binance:BTC-USDT") }, { path: "body.symbols.2", message: expect.stringContaining("not traded") }],
    } });
    for (const [body, path] of [
      [{ symbols: [] }, "body.symbols"], [{ symbols: ["sim:BTC-USD"], channels: [] }, "body.channels"], [{ symbols: ["sim:BTC-USD"], channels: ["orders"] }, "body.channels.0"],
      [{ symbols: ["sim:BTC-USD"], every: 1 }, "body.every"], [{ symbols: Array.from({ length: 501 }, () => "sim:BTC-USD") }, "body.symbols"], [{}, "body.symbols"],
    ] as const) expect(await subscribe(body)).toMatchObject({ status: 422, body: { errors: [{ path }] } });
    expect((await subscribe({ symbols: Array.from({ length: 500 }, () => "sim:BTC-USD") })).status).toBe(201);
    expect((await ask("POST", "/v1/subscriptions", "read", { symbols: ["sim:BTC-USD"] })).status).toBe(403);
    expect(items((await get("/v1/subscriptions")).body)).toHaveLength(1);
  });

  it("are one when two ask for the same at once; a venue takes as many as the limit and refuses one more, kept out of the database", async () => {
    const venue = await venueOf(["BTC", "ETH", "SOL", "ADA"].map((base) => symbol(base)));
    const { loaded, subscribe, get } = await serviceOf(venue, { ...NO_LIMITS, TICKER_FEED_PULLED_IN_MAX: "2", TICKER_CARRIED_SUBSCRIPTIONS_MAX: "3" });
    await loaded();
    const both = await Promise.all([subscribe({ symbols: ["binance:ETH-USDT"] }), subscribe({ symbols: ["binance:ETH-USDT"] })]);
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 201]);
    expect(both[0]?.body).toEqual(both[1]?.body);
    expect(await subscribe({ symbols: ["binance:SOL-USDT", "binance:ADA-USDT"] })).toMatchObject({ status: 409, body: { code: "carry_limit" } });
    expect((await subscribe({ symbols: ["binance:SOL-USDT"] })).status).toBe(201);
    expect(await subscribe({ symbols: ["binance:ADA-USDT"] })).toMatchObject({ status: 409, body: { code: "carry_limit" } });
    expect((await subscribe({ symbols: ["sim:BTC-USD"] })).status).toBe(201);
    expect(await subscribe({ symbols: ["sim:ETH-USD"] })).toMatchObject({ status: 409, body: { code: "subscription_limit" } });
    expect(items((await get("/v1/subscriptions")).body)).toHaveLength(3);
    await until("both at the venue", () => venue.said().join(" ").includes("solusdt@trade"));
    expect(venue.said().join(" ")).not.toContain("adausdt");
  });

  it("are limited by subscriptions.write: so many writes pass and one more is refused", async () => {
    const { subscribe, loaded } = await serviceOf(await venueOf([symbol("BTC")]), { RATE_LIMITS: '{"subscriptions.write":"3/min","default":"10000/min"}' });
    await loaded();
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await subscribe({ symbols: ["sim:BTC-USD"] })).status);
    expect(statuses).toEqual([201, 200, 200, 429]);
  });
});
