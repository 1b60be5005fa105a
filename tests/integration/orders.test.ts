/**
 * Orders over real HTTP, on the real service with the paper broker and the simulated exchange.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningService, startService } from "../support/start-service.ts";

const key = (name: string): string => `tk_${name}${"x".repeat(32)}`;
const [TRADE, OTHER, ADMIN, LIMITED, READ] = ["trade", "other", "admin", "limited", "read"].map(key);
let service: RunningService;
let counter = 0;

beforeAll(async () => {
  service = await startService({
    env: {
      BOOTSTRAP_API_KEYS: `trade:${TRADE},trade:${OTHER},admin:${ADMIN},trade:${LIMITED},read:${READ}`, FEEDS: "sim", SIM_INSTRUMENTS: "4",
      RATE_LIMITS: '{"default":"100000/min","orders.batch":"300/min"}', LOG_LEVEL: "warn",
    },
  });
});
afterAll(async () => {
  await service.stop();
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

async function call(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}, apiKey = TRADE): Promise<Answer> {
  const answer = await fetch(service.page + path, {
    method, headers: { "x-api-key": apiKey ?? "", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, body: text === "" ? {} : JSON.parse(text) };
}

const fresh = (): string => `idempotency-${++counter}`;
const post = (orders: readonly unknown[], more: object = {}, idempotency = fresh(), apiKey = TRADE): Promise<Answer> =>
  call("POST", "/v1/orders/batch", { mode: "all_or_none", ...more, orders }, { "idempotency-key": idempotency }, apiKey);
const resting = (more: object = {}) => ({ symbol: "sim:BTC-USD", side: "buy", type: "limit", quantity: "0.01", limit_price: "1.00", time_in_force: "gtc", ...more });
const faultsOf = ({ body }: Answer): string[] => (Array.isArray(body["errors"]) ? body["errors"].map((fault: { path: string }) => fault.path) : []);
const ordersOf = ({ body }: Answer): { id: string; state: string; index: number; client_order_id: string; quantity: string; filled: string }[] => (Array.isArray(body["orders"]) ? body["orders"] : []);

describe("a batch", () => {
  it("is executed once and answers the same bytes for the same key", async () => {
    const idempotency = fresh();
    const legs = [resting({ client_order_id: "once-1" }), resting({ client_order_id: "once-2", symbol: "sim:ETH-USD" })];
    const first = await post(legs, {}, idempotency);
    expect([first.status, first.body["state"]]).toEqual([201, "completed"]);
    expect(ordersOf(first).map(({ index, client_order_id: id, state, quantity }) => [index, id, state, quantity])).toEqual([[0, "once-1", "accepted", "0.01"], [1, "once-2", "accepted", "0.01"]]);
    const again = await post(legs, {}, idempotency);
    expect(again.text).toBe(first.text);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(first.headers.get("idempotency-replayed")).toBeNull();
    const other = await post([resting()], {}, idempotency);
    expect([other.status, other.body["code"]]).toEqual([422, "idempotency_mismatch"]);
    const report = await call("GET", `/v1/orders/batch/${String(first.body["id"])}`);
    expect(report.body).toEqual(first.body);
  });

  it("is executed once when a hundred ask for it at the same time, and a hundred retries give the same report", async () => {
    const idempotency = fresh();
    const legs = [resting({ client_order_id: "hundred" })];
    const answers = await Promise.all(Array.from({ length: 100 }, () => post(legs, {}, idempotency)));
    const done = answers.filter(({ status }) => status === 201);
    for (const { status, headers, body } of answers) {
      if (status !== 201) expect([status, headers.get("retry-after"), body["code"]]).toEqual([409, "1", "still_running"]);
    }
    expect(done.length).toBeGreaterThan(0);
    const retries = await Promise.all(Array.from({ length: 100 }, () => post(legs, {}, idempotency)));
    expect(new Set([...done, ...retries].map(({ text }) => text)).size).toBe(1);
    const found = await call("GET", "/v1/orders?client_order_id=hundred");
    expect(found.body["items"]).toHaveLength(1);
  });

  it("is refused whole with every fault of every leg, and that is kept", async () => {
    const idempotency = fresh();
    const legs = [
      resting({ quantity: "0.123456789012345678901234567890" }), resting({ limit_price: "1.005", quantity: 0.1 }), resting({ symbol: "sim:NOPE", side: "long" }),
      { symbol: "sim:BTC-USD", side: "buy", type: "limit", quantity: "0.00001" }, resting({ client_order_id: "twin" }), resting({ client_order_id: "twin", colour: "red" }), "nonsense", resting({ quantity: "-1" }),
    ];
    const refused = await post(legs, {}, idempotency);
    expect([refused.status, refused.body["state"], refused.body["code"], refused.headers.get("content-type")]).toEqual([422, "rejected", "rejected", "application/problem+json"]);
    expect(faultsOf(refused).toSorted()).toEqual([
      "orders.0.quantity", "orders.1.limit_price", "orders.1.quantity", "orders.2.side", "orders.2.symbol", "orders.3.limit_price", "orders.3.quantity", "orders.5.client_order_id", "orders.5.colour", "orders.6", "orders.7.quantity",
    ]);
    expect(ordersOf(refused).map(({ index, id, state }) => [index, id, state])).toEqual(legs.map((_, index) => [index, null, "rejected"]));
    expect((await post(legs, {}, idempotency)).text).toBe(refused.text);
    expect((await call("GET", `/v1/orders/batch/${String(refused.body["id"])}`)).body).toMatchObject({ state: "rejected", orders: refused.body["orders"] });
  });

  it("needs a key of 8 to 128 characters, and 1 to 20 legs", async () => {
    expect((await call("POST", "/v1/orders/batch", { orders: [resting()] })).body).toMatchObject({ status: 400, code: "missing_idempotency_key" });
    for (const [length, status] of [[7, 400], [8, 201], [128, 201], [129, 400]] as const) expect((await post([resting()], {}, `${++counter}`.padStart(length, "k"))).status).toBe(status);
    expect((await post([])).status).toBe(422);
    expect((await post(Array.from({ length: 20 }, () => resting()))).status).toBe(201);
    expect(faultsOf(await post(Array.from({ length: 21 }, () => resting())))).toEqual(["orders"]);
  });

  it("is only checked in a dry run, which leaves the key free", async () => {
    const idempotency = fresh();
    const checked = await post([resting({ client_order_id: "dry" })], { dry_run: true }, idempotency);
    expect([checked.status, checked.body["state"], checked.body["id"]]).toEqual([200, "checked", null]);
    expect((await call("GET", "/v1/orders?client_order_id=dry")).body["items"]).toEqual([]);
    expect((await post([resting({ client_order_id: "dry" })], {}, idempotency)).status).toBe(201);
  });

  it("fills at the market and shows the fills in orders, positions and account", async () => {
    const filled = await post([resting({ type: "market", limit_price: undefined, quantity: "0.1" }), resting({ type: "market", limit_price: undefined, quantity: "0.2" })], {}, fresh(), OTHER);
    expect([filled.status, ...ordersOf(filled).map(({ state }) => state)]).toEqual([201, "filled", "filled"]);
    expect((await call("GET", "/v1/positions", undefined, {}, OTHER)).body).toMatchObject({ items: [{ symbol: "sim:BTC-USD", quantity: "0.3" }], next_cursor: null });
    expect((await call("GET", "/v1/account", undefined, {}, OTHER)).body).toMatchObject({ broker: "paper" });
    expect((await call("GET", "/v1/positions")).body).toMatchObject({ items: [] });
  });

  it("is rolled back when a leg fails, and nothing of it stays", async () => {
    const answer = await post([resting({ client_order_id: "rb-1" }), resting({ client_order_id: "rb-2", type: "market", limit_price: undefined, time_in_force: "fok", quantity: "90000000000" })]);
    if (answer.status === 422) expect(faultsOf(answer).every((path) => path.startsWith("orders.1"))).toBe(true);
    else expect([answer.status, answer.body["state"], answer.body["residual_exposure"]]).toEqual([409, "rolled_back", []]);
  });
});

describe("a client order id", () => {
  it("is the owner's for ever, and free for others", async () => {
    expect((await post([resting({ client_order_id: "mine" })])).status).toBe(201);
    expect(faultsOf(await post([resting(), resting({ client_order_id: "mine" })]))).toEqual(["orders.1.client_order_id"]);
    expect((await post([resting({ client_order_id: "mine" })], {}, fresh(), OTHER)).status).toBe(201);
    expect(faultsOf(await call("POST", "/v1/orders", resting({ client_order_id: "mine" })))).toEqual(["client_order_id"]);
  });
});

describe("a single order", () => {
  it("is placed, found, cancelled once, and seen by its owner and administrators only", async () => {
    const placed = await call("POST", "/v1/orders", resting({ client_order_id: "single", symbol: "sim:BTC-USD" }), { "idempotency-key": "single-key", "x-correlation-id": "corr-single" });
    expect([placed.status, placed.body["state"], placed.body["time_in_force"]]).toEqual([201, "accepted", "gtc"]);
    const path = `/v1/orders/${String(placed.body["id"])}`;
    expect((await call("POST", "/v1/orders", resting({ client_order_id: "single", symbol: "sim:BTC-USD" }), { "idempotency-key": "single-key" })).text).toBe(placed.text);
    expect((await call("GET", "/v1/orders?correlation_id=corr-single")).body["items"]).toMatchObject([{ id: placed.body["id"] }]);
    expect((await call("GET", path, undefined, {}, OTHER)).status).toBe(404);
    expect((await call("DELETE", path, undefined, {}, OTHER)).status).toBe(404);
    expect((await call("GET", path, undefined, {}, ADMIN)).status).toBe(200);
    expect((await call("GET", path, undefined, {}, READ)).status).toBe(403);
    const cancelled = await call("DELETE", path);
    expect([cancelled.status, cancelled.body["state"]]).toEqual([200, "cancelled"]);
    expect((await call("GET", path)).body).toEqual(cancelled.body);
    const twice = await call("DELETE", path);
    expect([twice.status, twice.body["code"]]).toEqual([409, "order_final"]);
  });

  it("lists every fault by field", async () => {
    expect(faultsOf(await call("POST", "/v1/orders", { side: "buy", type: "stop", quantity: "1e3", limit_price: "1" })).toSorted()).toEqual(["limit_price", "quantity", "stop_price", "symbol"]);
    expect(faultsOf(await call("POST", "/v1/orders", []))).toEqual(["body"]);
  });
});

describe("the list of orders", () => {
  it("goes through all pages, newest first, with the position of the channel orders", async () => {
    const first = await call("GET", "/v1/orders?limit=2");
    const second = await call("GET", `/v1/orders?limit=2&cursor=${String(first.body["next_cursor"])}`);
    const ids = [first, second].flatMap(({ body }) => (Array.isArray(body["items"]) ? body["items"].map((order: { id: string }) => order.id) : []));
    expect(ids).toHaveLength(4);
    expect(ids).toEqual([...ids].toSorted().toReversed());
    expect(first.body).toMatchObject({ epoch: expect.stringMatching(/^[0-9a-f]{12}$/), seq: expect.any(Number) });
    expect((await call("GET", "/v1/orders?state=filled&symbol=sim:BTC-USD", undefined, {}, OTHER)).body["items"]).toHaveLength(2);
    expect((await call("GET", "/v1/orders?state=odd")).status).toBe(422);
  });
});

describe("limits", () => {
  it("refuse the batch over the limit, while a known key is charged to default", async () => {
    const posts = [];
    for (let i = 0; i < 301; i++) posts.push(await post([{}], {}, `limited-${i}`, LIMITED));
    expect(posts.slice(0, 300).every(({ status }) => status === 422)).toBe(true);
    expect([posts[300]?.status, posts[300]?.headers.get("ratelimit-policy")]).toEqual([429, '"orders.batch";q=300;w=60']);
    const known = await post([{}], {}, "limited-0", LIMITED);
    expect([known.status, known.headers.get("idempotency-replayed"), known.headers.get("ratelimit-policy")]).toEqual([422, "true", '"default";q=100000;w=60']);
  });
});

describe("the kill switch", () => {
  it("refuses orders with 503 and Retry-After, still answers known keys, and lets cancel", async () => {
    const known = fresh();
    const before = await post([resting()], {}, known);
    const patch = async (value: boolean): Promise<void> => {
      const now = await call("GET", "/v1/admin/runtime-state", undefined, {}, ADMIN);
      const changed = await call("PATCH", "/v1/admin/runtime-state", { "orders.enabled": value, _reason: "a test" }, { "if-match": now.headers.get("etag") ?? "" }, ADMIN);
      expect(changed.status).toBe(200);
    };
    await patch(false);
    const refused = await post([resting()]);
    expect([refused.status, refused.body["code"], Number(refused.headers.get("retry-after")) > 0]).toEqual([503, "orders_disabled", true]);
    expect((await post([resting()], {}, known)).text).toBe(before.text);
    expect((await call("DELETE", `/v1/orders/${ordersOf(before)[0]?.id}`)).status).toBe(200);
    await patch(true);
    expect((await post([resting()])).status).toBe(201);
  });
});
