/**
 * The channel `orders` of the real service with the paper broker: what it says is what REST says, on any number of fan-out threads and
 * across a crash.
 */
import { rmSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { newDataFolder } from "../support/data-folder.ts";
import { restartablePorts, type RunningService, startService } from "../support/start-service.ts";
import { entriesOf, type Entry, type Message, StreamClient } from "../support/stream-client.ts";

const key = (name: string): string => `tk_${name}${"x".repeat(32)}`;
const [TRADE, OTHER, ADMIN] = ["trade", "other", "admin"].map(key);
const ENV = {
  BOOTSTRAP_API_KEYS: `trade:${TRADE},trade:${OTHER},admin:${ADMIN}`, FEEDS: "sim", SIM_INSTRUMENTS: "2", LOG_LEVEL: "warn",
  RATE_LIMITS: '{"default":"100000/min","orders.batch":"1000/min","admin.write":"100/h"}',
};
let service: RunningService;
const clients: StreamClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await service.stop();
});

async function rest(method: string, path: string, body?: unknown, apiKey = TRADE): Promise<{ readonly status: number; readonly body: Entry }> {
  const answer = await fetch(service.page + path, {
    method, headers: { "x-api-key": apiKey ?? "", "idempotency-key": `key-${Math.random()}`, ...(body === undefined ? {} : { "content-type": "application/json" }) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? {} : JSON.parse(text) };
}

/** A session that holds its orders, with the answer. */
async function holder(resume?: { readonly epoch: unknown; readonly seq: unknown }, apiKey = TRADE): Promise<{ readonly client: StreamClient; readonly topic: Entry }> {
  const client = new StreamClient(service.stream);
  clients.push(client);
  await client.next((m) => m.type === "welcome");
  client.say({ type: "auth", api_key: apiKey });
  await client.next((m) => m.type === "authenticated");
  const answer = await client.ask({ type: "subscribe", id: 1, channel: "orders", ...(resume === undefined ? {} : { resume: [resume] }) });
  return { client, topic: entriesOf(answer, "topics")[0] ?? {} };
}

const limit = (more: object = {}) => ({ symbol: "sim:BTC-USD", side: "buy", type: "limit", quantity: "0.01", limit_price: "1.00", time_in_force: "gtc", ...more });
const market = (more: object = {}) => ({ symbol: "sim:ETH-USD", side: "buy", type: "market", quantity: "0.001", time_in_force: "ioc", ...more });
const batch = (orders: readonly object[], mode = "best_effort") => rest("POST", "/v1/orders/batch", { mode, orders });
const idsOf = (body: Entry): string[] => entriesOf(body, "orders").map((leg) => String(leg["id"]));

/** Orders of many kinds, some cancelled, at the same time; answers their ids. */
async function trade(): Promise<readonly string[]> {
  const posted = await Promise.all([
    batch([limit(), market(), limit({ symbol: "sim:ETH-USD" })]), batch([market({ side: "sell" }), limit({ time_in_force: "ioc" })]),
    // The second leg cannot be filled at once: the first is taken back.
    batch([limit(), limit({ time_in_force: "fok", quantity: "0.02" })], "all_or_none"), batch([limit({ quantity: "0.02" }), market({ quantity: "0.002" })], "all_or_none"),
    rest("POST", "/v1/orders", limit()).then(({ body }) => ({ body: { orders: [body] } })), rest("POST", "/v1/orders", market()).then(({ body }) => ({ body: { orders: [body] } })),
  ]);
  const ids = posted.flatMap(({ body }) => idsOf(body));
  await Promise.all(ids.filter((_, i) => i % 2 === 0).map((id) => rest("DELETE", `/v1/orders/${id}`)));
  return ids;
}

/** Checks what a client was sent against REST once nothing happens any more, and that no event is missing. */
async function agree(client: StreamClient, fromSeq: number): Promise<readonly Message[]> {
  let body: Entry = {};
  await expect.poll(async () => {
    ({ body } = await rest("GET", "/v1/orders?limit=1000"));
    return entriesOf(body, "items").every((order) => ["accepted", "filled", "cancelled", "rejected"].includes(String(order["state"]))) && ordersOf(client).at(-1)?.["seq"] === body["seq"];
  }, { timeout: 10_000, interval: 20 }).toBe(true);
  const events = ordersOf(client);
  expect(events.map((m) => m["seq"])).toEqual(Array.from({ length: Number(body["seq"]) - fromSeq }, (_, i) => fromSeq + i + 1));
  const last = new Map(events.map((m) => [entryOf(m)["id"], entryOf(m)]));
  const listed = new Map(entriesOf(body, "items").map((item) => [item["id"], item]));
  for (const [id, order] of last) {
    expect(order).toEqual(listed.get(id));
    expect((await rest("GET", `/v1/orders/${String(id)}`)).body).toEqual(order);
  }
  return events;
}

function ordersOf(client: StreamClient): readonly Message[] {
  return client.messages.filter((m) => m.type === "order");
}

function entryOf(message: Message): Entry {
  return entriesOf({ order: [message["order"]] }, "order")[0] ?? {};
}

describe.each([1, 2])("with %i fan-out threads", (workers) => {
  it("says of every order what REST says, event by event, to each session of the owner and to nobody else", async () => {
    service = await startService({ env: { ...ENV, WORKERS: String(workers) } });
    await trade();
    const { body: before } = await rest("GET", "/v1/orders");
    const sessions = await Promise.all(Array.from({ length: 8 }, () => holder()));
    const { client: other } = await holder(undefined, OTHER);
    const ids = await trade();
    const resumed = await holder({ epoch: before["epoch"], seq: before["seq"] });
    expect(resumed.topic).toMatchObject({ channel: "orders", epoch: before["epoch"], seq: before["seq"], resumed: "exact" });
    await trade();
    for (const { client, topic } of [...sessions, resumed]) {
      expect(topic["epoch"]).toBe(before["epoch"]);
      const events = await agree(client, Number(topic["seq"]));
      const told = new Set(events.map((m) => entryOf(m)["id"]));
      for (const id of ids) expect(told).toContain(id);
      const states = new Set(events.map((m) => entryOf(m)["state"]));
      for (const state of ["pending", "sent", "accepted", "filled", "cancel_pending", "cancelled"]) expect(states).toContain(state);
    }
    await other.settled();
    expect(ordersOf(other)).toEqual([]);
  }, 60_000);
});

it("goes on after a crash where the client was, with every event once", async () => {
  const env = { ...ENV, ...(await restartablePorts()) };
  const dataDir = newDataFolder("ticker-orders-channel-");
  service = await startService({ env, dataDir });
  const { client, topic } = await holder();
  await trade();
  await agree(client, Number(topic["seq"]));
  const seen = ordersOf(client).slice(0, 5);
  const count = ordersOf(client).length;
  const trading = trade().catch(() => []);
  await expect.poll(() => ordersOf(client).length, { interval: 1 }).toBeGreaterThan(count + 3);
  service.signal("SIGKILL");
  await trading;
  await service.exited;
  service = await startService({ env, dataDir });
  await trade();
  const resumed = await holder({ epoch: topic["epoch"], seq: seen.at(-1)?.["seq"] });
  expect(resumed.topic).toMatchObject({ epoch: topic["epoch"], seq: seen.at(-1)?.["seq"], resumed: "exact" });
  await trade();
  await agree(resumed.client, Number(resumed.topic["seq"]));
  await service.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, 60_000);

it("comes within milliseconds of the answer, and ends with the key", async () => {
  service = await startService({ env: ENV });
  const { client } = await holder();
  const arrived = new Map<unknown, number>();
  client.socket.on("message", () => {
    for (const message of client.messages.slice(-20)) if (message.type === "order" && !arrived.has(message["seq"])) arrived.set(message["seq"], performance.now());
  });
  const lateMs: number[] = [];
  for (let i = 0; i < 30; i++) {
    const { body } = await rest("POST", "/v1/orders", limit());
    const answeredAt = performance.now();
    const told = await client.next((m) => m.type === "order" && entryOf(m)["id"] === body["id"] && entryOf(m)["state"] === "accepted");
    lateMs.push((arrived.get(told["seq"]) ?? performance.now()) - answeredAt);
  }
  expect(lateMs.toSorted((a, b) => a - b)[15]).toBeLessThan(20);
  const { body } = await rest("GET", "/v1/admin/keys", undefined, ADMIN);
  const owner = entryOf(ordersOf(client).at(-1) ?? { type: "" })["owner"];
  expect(entriesOf(body, "items").map((item) => item["id"])).toContain(owner);
  expect((await rest("DELETE", `/v1/admin/keys/${String(owner)}`, undefined, ADMIN)).status).toBeLessThan(300);
  expect(await client.closed()).toBe(4418);
}, 60_000);
