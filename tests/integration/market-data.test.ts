/**
 * Newest values, bars and history through the real process: what a producer pushes is what REST answers, and where the stream goes on.
 */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { Account } from "../support/account.ts";
import { newDataFolder } from "../support/data-folder.ts";
import { PushClient } from "../support/push-client.ts";
import { type RunningService, startService } from "../support/start-service.ts";
import { entriesOf, type Entry, StreamClient } from "../support/stream-client.ts";

const KEY = `tk_both${"b".repeat(36)}`;
const MINUTE = 60_000_000;
/** A minute an hour ago. */
const T0 = Math.floor((systemClock.nowMicros() - 3_600_000_000) / MINUTE) * MINUTE;
const A = "mine:ABC-USD";
const SYMBOLS = [A, "mine:ABD-USD", "mine:B", "other:ABC-USD"];
const dataDir = newDataFolder("ticker-market-data-");
const ENV = { FEEDS: "push", RATE_LIMITS: "off", BOOTSTRAP_API_KEYS: `admin:${KEY}`, TICKER_BARS_WRITE_MS: "50", TICKER_RING_TRADES_MAX: "256" };

let service: RunningService;
let producer: PushClient;
const clients: StreamClient[] = [];
let sent = 0;

async function start(): Promise<void> {
  service = await startService({ dataDir, env: ENV });
  const [, port] = await service.said(/push listening.*port=(\d+)/);
  producer = await PushClient.open(Number(port), KEY);
}

async function stop(): Promise<void> {
  for (const client of clients.splice(0)) client.close();
  producer.socket.destroy();
  expect(await service.stop()).toBe(0);
}

beforeAll(start);
afterAll(async () => {
  await stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const get = (path: string, headers: Readonly<Record<string, string>> = { "x-api-key": KEY }) => fetch(service.page + path, { headers });
async function body(path: string): Promise<Entry> {
  const answer = await get(path);
  expect(answer.status, path).toBe(200);
  const json: Entry = JSON.parse(await answer.text());
  return json;
}
const items = async (path: string) => entriesOf(await body(path), "items");
async function refused(path: string): Promise<Entry> {
  const answer = await get(path);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  const json: Entry = JSON.parse(await answer.text());
  return json;
}

const trade = (symbol: string, price: string, time: number) => ({ type: "trade", symbol, create: true, price_scale: 4, size_scale: 4, price, size: "1.5", side: "buy", id: `T${++sent}`, time });
/** Asks again until it is true. @throws {Error} after ten seconds */
async function eventually(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = systemClock.monotonicMs() + 10_000;
  while (!await isTrue()) if (systemClock.monotonicMs() > deadline) throw new Error(`waited 10 s for: ${what}`);
}

/** Sends lines and waits until REST shows the last trade. */
async function push(...lines: readonly unknown[]): Promise<void> {
  producer.send(...lines, trade("mark:M", "1", systemClock.nowMicros()));
  const mark = `T${sent}`;
  await eventually("the last trade", async () => {
    const answer = await get("/v1/trades?venue=mark");
    const text = await answer.text();
    return answer.status === 200 && entriesOf(JSON.parse(text), "items")[0]?.["id"] === mark;
  });
}

async function session(): Promise<StreamClient> {
  const client = new StreamClient(service.stream);
  clients.push(client);
  await client.opened();
  client.say({ type: "auth", api_key: KEY });
  await client.next((m) => m.type === "authenticated");
  return client;
}

describe("before anything was recorded", () => {
  it("says that nothing is known yet, and when to come back", async () => {
    const answer = await get("/v1/quotes");
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toMatchObject({ code: "no_data_yet" });
    expect(await body("/v1/stats")).toMatchObject({ epoch: null, instruments: 0, sessions: 0, venues: {} });
  });
});

describe("newest values", () => {
  beforeAll(() => push(
    ...SYMBOLS.map((symbol, i) => trade(symbol, `10.${i}`, T0 + i)),
    ...SYMBOLS.flatMap((symbol) => [
      { type: "quote", symbol, bid: "9.99", bid_size: "1", ask: "10.01", ask_size: "2", time: T0 },
      { type: "quote", symbol, bid: "9.9876", bid_size: "0.0001", ask: "10.01", ask_size: "2", time: T0 + 1 },
      { type: "book", symbol, bids: [["9.99", "1"], ["9.98", "2"]], asks: [["10.01", "2"], ["10.02", "3"]], time: T0 },
      { type: "ticker", symbol, last: "10.5", open_24h: "10", high_24h: null, low_24h: "9.5", volume_24h: "123456789012345678901234567890.5", bid: "9.99", time: T0 },
    ]),
  ));

  it("are what the stream sends as snapshots, member for member, with the epoch beside them", async () => {
    const client = await session();
    for (const [channel, path, options] of [["quotes", "/v1/quotes", {}], ["ticker", "/v1/ticker", {}], ["trades", "/v1/trades", { recent: 1 }], ["book", `/v1/book/${A}?depth=1`, { depth: 1 }], ["book", `/v1/book/${A}`, {}]] as const) {
      const answer = await client.ask({ type: "subscribe", id: `${channel} ${path}`, channel, symbols: [A], ...options });
      const [topic] = entriesOf(answer, "topics");
      const snapshot = await client.next((m) => m["snapshot"] === true && m["symbol"] === A);
      const value = channel === "book" ? await body(path) : (await items(`${path}?symbol=${A}`))[0];
      expect({ ...value, snapshot: true }, path).toEqual({ ...snapshot, epoch: topic?.["epoch"] });
      expect(value?.["seq"]).toBe(topic?.["seq"]);
    }
  });

  it("name the position from which a stream goes on without a hole", async () => {
    const [last] = await items(`/v1/trades?symbol=${A}`);
    const [quote] = await items(`/v1/quotes?symbol=${A}`);
    const [other] = await items(`/v1/quotes?symbol=mine:B`);
    await push(...[1, 2, 3, 4, 5].map((n) => trade(A, `11.${n}`, T0 + n)), { type: "quote", symbol: "mine:B", bid: "1", bid_size: "1", ask: "2", ask_size: "1", time: T0 + 9 });
    const client = await session();
    const resume = async (channel: string, from: Entry | undefined) => {
      const answer = await client.ask({ type: "subscribe", id: Math.random(), channel, symbols: [String(from?.["symbol"])], resume: [{ symbol: from?.["symbol"], epoch: from?.["epoch"], seq: from?.["seq"] }] });
      return entriesOf(answer, "topics")[0];
    };
    expect(await resume("trades", last)).toMatchObject({ resumed: "exact", seq: last?.["seq"] });
    expect(await resume("quotes", quote)).toMatchObject({ resumed: "exact", seq: quote?.["seq"] });
    expect(await resume("quotes", other)).toMatchObject({ resumed: "snapshot", seq: Number(other?.["seq"]) + 1 });
    await push(trade(A, "12", T0 + 6));
    await client.next((m) => m["price"] === "12.0000");
    const account = Account.of(client.messages);
    expect([account.faults, account.lost, account.held.get(`trades ${A}`)]).toEqual([[], 0, Number(last?.["seq"]) + 6]);
    expect(client.of("trade", A).map((m) => m["price"])).toEqual(["11.1000", "11.2000", "11.3000", "11.4000", "11.5000", "12.0000"]);
  });

  it("come by symbol (the venue's spelling too), by venue, and page by page, each once", async () => {
    const names = async (query: string) => (await items(`/v1/quotes?${query}`)).map((item) => item["symbol"]);
    expect(await names("")).toEqual(SYMBOLS);
    expect(await names(`symbol=mine:B&symbol=${A}&symbol=mine:B`)).toEqual([A, "mine:B"]);
    expect(await names("venue=other")).toEqual(["other:ABC-USD"]);
    expect(await names(`venue=other&symbol=${A}`)).toEqual([]);
    expect(await names("venue=nobody")).toEqual([]);
    for (const limit of [1, 2, 3, 4]) {
      const found: unknown[] = [];
      for (let cursor: string | null = ""; cursor !== null;) {
        const page = await body(`/v1/quotes?limit=${limit}${cursor === "" ? "" : `&cursor=${cursor}`}`);
        found.push(...entriesOf(page, "items").map((item) => item["symbol"]));
        cursor = typeof page["next_cursor"] === "string" ? page["next_cursor"] : null;
      }
      expect(found, `pages of ${limit}`).toEqual(SYMBOLS);
    }
  });

  it("are refused with what was meant where the symbol, the depth, the limit or the cursor is wrong", async () => {
    expect(await refused("/v1/quotes?symbol=mine:ABE-USD&symbol=mine:B")).toMatchObject({ status: 422, code: "unknown_symbol", did_you_mean: expect.arrayContaining([A]), errors: [{ path: "query.symbol", message: expect.stringContaining("mine:ABE-USD") }] });
    expect(await refused("/v1/book/mine:ABE-USD")).toMatchObject({ status: 404, code: "unknown_symbol", did_you_mean: expect.arrayContaining([A]) });
    expect(await refused("/v1/book/mark:M")).toMatchObject({ status: 404, code: "no_value" });
    for (const [path, member] of [[`/v1/book/${A}?depth=5`, "depth"], ["/v1/quotes?limit=0", "limit"], ["/v1/quotes?limit=1001", "limit"], ["/v1/quotes?limit=x", "limit"], ["/v1/quotes?cursor=x", "cursor"], ["/v1/quotes?cursor=WyJiYXJzIiwieCJd", "cursor"], ["/v1/quotes?venue=a&venue=b", "venue"]] as const) {
      expect(await refused(path), path).toMatchObject({ status: 422, code: "validation_failed", errors: [{ path: `query.${member}` }] });
    }
    expect((await items("/v1/quotes?limit=1000")).length).toBe(4);
    expect((await items(`/v1/quotes?${"symbol=mine:B&".repeat(500)}`)).length).toBe(1);
    expect(await refused(`/v1/quotes?${"symbol=mine:B&".repeat(501)}`)).toMatchObject({ status: 422, code: "validation_failed" });
  });

  it("of tickers are public at /data; the others need a key", async () => {
    const answer = await get("/data?venue=mine", {});
    expect(answer.status).toBe(200);
    expect(entriesOf(JSON.parse(await answer.text()), "items").map((item) => [item["symbol"], item["last"], item["change_pct_24h"], item["ask"]])).toEqual(SYMBOLS.slice(0, 3).map((symbol) => [symbol, "10.5", "5.00", null]));
    for (const path of ["/v1/quotes", "/v1/trades", "/v1/ticker", "/v1/stats", `/v1/book/${A}`, "/v1/history/bars", `/v1/history/trades?symbol=${A}`]) expect((await get(path, {})).status, path).toBe(401);
  });

  it("are counted in the stats, with sessions and feeds", async () => {
    const client = await session();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["mine:*"] });
    await eventually("the subscription in the stats", async () => Number((await body("/v1/stats"))["subscriptions"]) >= 1);
    const stats = await body("/v1/stats");
    expect(stats).toMatchObject({ epoch: expect.any(String), instruments: 5, feeds: [{ name: "push", state: "live" }], events: { quote: 9, book: 4, ticker: 4 } });
    expect(Number(stats["sessions"])).toBeGreaterThanOrEqual(1);
    const counted = Object.values(stats["events"] ?? {}).reduce((sum, count) => sum + Number(count), 0);
    const byVenue = Object.values(stats["venues"] ?? {}).reduce((sum: number, venue: Entry) => sum + Number(venue["events"]), 0);
    expect(Math.abs(byVenue - counted), "the copy may be some events ahead of the report").toBeLessThanOrEqual(20);
  });
});

describe("history of bars", () => {
  const bars = (query: string) => items(`/v1/history/bars?${query}`);
  const minutes = [0, 1, 2, 3, 4].map((n) => T0 + n * MINUTE);
  beforeAll(async () => {
    await push(["mine:H1", "mine:H2"].flatMap((symbol) => minutes.flatMap((start, n) => [trade(symbol, `${n + 1}`, start + 1), trade(symbol, `${n + 2}.25`, start + 2)])), trade("mine:H1", "99", systemClock.nowMicros()));
    await eventually("ten bars", async () => (await bars("symbol=mine:H1&symbol=mine:H2")).length === 10);
  });

  it("gives closed bars by start, then symbol, exactly", async () => {
    const found = await bars("symbol=mine:H1&symbol=mine:H2");
    expect(found.map((item) => [item["start"], item["symbol"]])).toEqual(minutes.flatMap((start) => [[start, "mine:H1"], [start, "mine:H2"]]));
    expect(found[0]).toEqual({ symbol: "mine:H1", interval: "1m", start: T0, open: "1.0000", high: "2.2500", low: "1.0000", close: "2.2500", volume: "3.0000", trades: 2, vwap: "1.62500000" });
  });

  it("does not hold the running bar", async () => {
    const now = systemClock.nowMicros();
    for (const item of await bars("symbol=mine:H1&interval=1d")) expect(Number(item["start"]) + 86_400_000_000).toBeLessThanOrEqual(now);
    for (const item of await bars("symbol=mine:H1&interval=1h")) expect(Number(item["start"]) + 3_600_000_000).toBeLessThanOrEqual(now);
  });

  it("takes times as RFC 3339 and as microseconds: from is inside, to is outside", async () => {
    const from = new Date(T0 / 1000 + 60_000).toISOString();
    const query = `symbol=mine:H1&from=${from}&to=${T0 + 3 * MINUTE}`;
    expect((await bars(query)).map((item) => item["start"])).toEqual([T0 + MINUTE, T0 + 2 * MINUTE]);
    expect(await refused(`/v1/history/bars?from=${T0}&to=${T0}`)).toMatchObject({ status: 422, errors: [{ path: "query.to" }] });
    expect(await refused("/v1/history/bars?from=yesterday")).toMatchObject({ status: 422, errors: [{ path: "query.from" }] });
    expect(await refused("/v1/history/bars?interval=2m")).toMatchObject({ status: 422, errors: [{ path: "query.interval" }] });
    expect(await refused("/v1/history/bars?symbol=mine:H3")).toMatchObject({ status: 422, code: "unknown_symbol" });
  });

  it("pages through ties, each bar once, for every page size and in every format; csv and ndjson equal json", async () => {
    const whole = await bars("symbol=mine:H1&symbol=mine:H2&limit=1000");
    for (const limit of [1, 3, 7, 10]) {
      const found: unknown[] = [];
      for (let cursor: string | null = ""; cursor !== null;) {
        const answer = await get(`/v1/history/bars?symbol=mine:H1&symbol=mine:H2&format=ndjson&limit=${limit}${cursor === "" ? "" : `&cursor=${cursor}`}`);
        found.push(...(await answer.text()).trimEnd().split("\n").map((line): unknown => JSON.parse(line)));
        cursor = answer.headers.get("x-next-cursor");
      }
      expect(found, `pages of ${limit}`).toEqual(whole);
    }
    const csv = await get("/v1/history/bars?symbol=mine:H1&symbol=mine:H2&format=csv&limit=1000");
    expect([csv.headers.get("content-type"), csv.headers.get("content-disposition"), csv.headers.get("x-next-cursor")]).toEqual(["text/csv; charset=utf-8", 'attachment; filename="bars-1m.csv"', null]);
    const [head = "", ...rows] = (await csv.text()).trimEnd().split("\r\n");
    expect(rows.map((row) => Object.fromEntries(row.split(",").map((cell, i) => [head.split(",")[i], cell])))).toEqual(whole.map((item) => Object.fromEntries(Object.entries(item).map(([name, value]) => [name, String(value)]))));
    expect(await refused("/v1/history/bars?cursor=WyJiYXJzIix7InN0YXJ0IjotMX1d")).toMatchObject({ status: 422, errors: [{ path: "query.cursor" }] });
    expect(await refused("/v1/history/bars?format=xml")).toMatchObject({ status: 422, errors: [{ path: "query.format" }] });
  });
});

describe("history of trades", () => {
  const path = "/v1/history/trades?symbol=mine:K";
  beforeAll(() => push(Array.from({ length: 300 }, (_, i) => trade("mine:K", `${i + 1}`, T0 + i))));

  it("holds the kept trades and says from when on nothing is missing", async () => {
    const page = await body(`${path}&limit=1000`);
    expect(entriesOf(page, "items").map((item) => item["seq"])).toEqual(Array.from({ length: 256 }, (_, i) => 45 + i));
    expect(page).toMatchObject({ kept_from: T0 + 44, kept: [{ symbol: "mine:K", seq: 45, time: T0 + 44 }], next_cursor: null });
    expect(entriesOf(page, "items")[0]).toMatchObject({ type: "trade", price: "45.0000", size: "1.5000", epoch: (await body("/v1/stats"))["epoch"] });
  });

  it("pages and filters by venue time", async () => {
    const found: unknown[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const page = await body(`${path}&symbol=${A}&limit=100&from=${T0 + 5}&to=${T0 + 250}${cursor === "" ? "" : `&cursor=${cursor}`}`);
      found.push(...entriesOf(page, "items").map((item) => `${String(item["symbol"])} ${String(item["time"])}`));
      cursor = typeof page["next_cursor"] === "string" ? page["next_cursor"] : null;
    }
    expect(found).toEqual([`${A} ${T0 + 5}`, `${A} ${T0 + 6}`, ...Array.from({ length: 206 }, (_, i) => `mine:K ${T0 + 44 + i}`)]);
  });

  it("comes as csv, with the range in a header", async () => {
    const answer = await get(`${path}&format=csv&limit=2`);
    expect([answer.headers.get("x-kept-from"), answer.headers.get("x-next-cursor")]).toEqual([String(T0 + 44), expect.any(String)]);
    expect((await answer.text()).split("\r\n").slice(0, 2)).toEqual(["symbol,seq,id,price,size,side,time,received,epoch", expect.stringMatching(new RegExp(`^mine:K,45,T\\d+,45\\.0000,1\\.5000,buy,${T0 + 44},\\d{16},\\w+$`))]);
  });

  it("needs a symbol that there is", async () => {
    expect(await refused("/v1/history/trades")).toMatchObject({ status: 422, errors: [{ path: "query.symbol" }] });
    expect(await refused("/v1/history/trades?symbol=mine:KK")).toMatchObject({ status: 422, code: "unknown_symbol" });
  });
});

it("are fed to main with several fan-out threads as well", async () => {
  const threaded = await startService({ env: { WORKERS: "2", RATE_LIMITS: "off", SIM_INSTRUMENTS: "5", BOOTSTRAP_API_KEYS: `admin:${KEY}` } });
  try {
    const depth = async () => {
      const answer = await fetch(`${threaded.page}/v1/book/sim:ETH-USD`, { headers: { "x-api-key": KEY } });
      const bids: unknown = answer.status === 200 ? JSON.parse(await answer.text()).bids : null;
      return Array.isArray(bids) ? bids.length : 0;
    };
    await expect.poll(depth, { timeout: 5_000, interval: 10 }).toBe(10);
  } finally {
    await threaded.stop();
  }
});

describe("after a restart", () => {
  it("the bars are there, of instruments that no feed has yet as well; kept trades and their cursors are not", async () => {
    const before = await items("/v1/history/bars?symbol=mine:H1&symbol=mine:H2&limit=1000");
    const { next_cursor: cursor } = await body("/v1/history/trades?symbol=mine:K&limit=1");
    const { epoch } = await body("/v1/stats");
    await stop();
    await start();
    expect(await items("/v1/history/bars?symbol=mine:H1&symbol=mine:H2&limit=1000")).toEqual(before);
    await push(trade("mine:K", "1", T0));
    expect((await body("/v1/stats"))["epoch"]).not.toBe(epoch);
    expect(await refused(`/v1/history/trades?symbol=mine:K&cursor=${String(cursor)}`)).toMatchObject({ status: 422, code: "cursor_expired" });
    expect(await items("/v1/history/trades?symbol=mine:K")).toMatchObject([{ seq: 1 }]);
  });
});
