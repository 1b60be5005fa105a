/**
 * Orders over HTTP (protocol 3.1): batches, single orders, what became of them, account and positions of the owner.
 */
import { z } from "@hono/zod-openapi";
import { MalformedError } from "../core/errors.ts";
import type { Grant } from "../ports/access.ts";
import { ORDER_STATES } from "../ports/orders.ts";
import type { Trader, Trading, TradingAnswer } from "../ports/trading.ts";
import { KeysInUse } from "./keys-in-use.ts";
import { answerJson, JSON_TEXT } from "./list-answer.ts";
import { cursor, limit, symbols, time, writeCursor } from "./list-query.ts";
import { AccountSchema, BatchSchema, NewBatchSchema, NewOrderSchema, OrderSchema, PositionSchema } from "./order-schemas.ts";
import type { HttpContext } from "./problem.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

export interface OrderRoutesDeps {
  readonly trading: Trading;
}

const LIST = "orders";
const KEY_LENGTH_MIN = 8;
const KEY_LENGTH_MAX = 128;
const KEY = /^[\x20-\x7e]+$/;
const Id = z.object({ id: z.string().min(1).max(64) });
const state = z.enum(ORDER_STATES);
const ListQuery = z.object({
  client_order_id: z.string().min(1).max(128).optional(), correlation_id: z.string().min(1).max(128).optional(), symbol: symbols,
  state: z.union([state.transform((one) => [one]), z.array(state).max(ORDER_STATES.length)]).optional().openapi({ type: "array", items: { type: "string", enum: [...ORDER_STATES] } }),
  from: time("Created at or after"), to: time("Created before"), limit: limit(), cursor: cursor(LIST, z.string().max(64)),
});
const trade = { scope: "trade", limit: "default" } as const;
/** A problem with the members of a report beside its own. */
const REPORT = (description: string): ReturnType<typeof JSON_TEXT> => ({ description, content: { "application/problem+json": { schema: BatchSchema } } });
const IN_JSON = (schema: z.ZodType) => ({ required: true, content: { "application/json": { schema } } });

export function mountOrders(api: Api, deps: OrderRoutesDeps): void {
  mountBatches(api, deps);
  mountSingleOrders(api, deps);
  mountHoldings(api, deps);
}

function mountBatches(api: Api, { trading }: OrderRoutesDeps): void {
  const inUse = new KeysInUse();
  const limitOf = async (c: HttpContext, { keyId }: Grant) => {
    const key = c.env.incoming.headers["idempotency-key"];
    if (!isKey(key)) return "orders.batch";
    return !inUse.claim(c, keyId, key) || await trading.isKnownKey(keyId, key) ? "default" : "orders.batch";
  };
  api.add({ scope: "trade", limit: "orders.batch", limitOf }, {
    method: "post", path: "/v1/orders/batch", tags: ["orders"], summary: "Place 1 to 20 orders together",
    description: "Needs the header Idempotency-Key (8 to 128 characters): the same key and body get the stored answer, charged to default.",
    request: { body: IN_JSON(NewBatchSchema) },
    responses: {
      200: JSON_TEXT("A dry run: every check passed, nothing was sent", BatchSchema), 201: JSON_TEXT("completed or partial", BatchSchema), 409: REPORT("rolled_back, or a request with this key is under way"),
      422: REPORT("rejected: every fault by leg, nothing was sent; or the key was used with another body"), 502: REPORT("rollback_incomplete: see orders and residual_exposure"),
      503: REPORT("Kill switch, open breaker, or the process ends: then the batch goes on after the restart"),
    },
  }, async (c) => {
    const key = c.env.incoming.headers["idempotency-key"];
    if (!isKey(key)) throw keyFault(key);
    return answered(c, await trading.postBatch({ body: c.req.valid("json"), key, isFollower: inUse.isFollower(c) }, traderOf(c)));
  });

  api.add(trade, {
    method: "get", path: "/v1/orders/batch/{id}", tags: ["orders"], summary: "A batch as it is now", request: { params: Id },
    responses: { 200: JSON_TEXT("Its report", BatchSchema), 404: PROBLEM("No batch of that id") },
  }, async (c) => answerJson(c, await trading.batch(c.req.valid("param").id, traderOf(c))));
}

function mountSingleOrders(api: Api, { trading }: OrderRoutesDeps): void {
  const path = "/v1/orders";
  const inUse = new KeysInUse();
  api.add(trade, {
    method: "get", path, tags: ["orders"], summary: "Orders, newest first, with the position of the channel orders", request: { query: ListQuery },
    responses: { 200: JSON_OF("A page", z.object({ items: z.array(OrderSchema), next_cursor: z.string().nullable(), epoch: z.string(), seq: z.int() })) },
  }, async (c) => {
    const query = c.req.valid("query");
    const { items, next, position } = await trading.orders({
      clientOrderId: query.client_order_id ?? null, correlationId: query.correlation_id ?? null, symbols: query.symbol, states: query.state ?? [],
      from: query.from ?? null, to: query.to ?? null, limit: query.limit, before: query.cursor ?? null,
    }, traderOf(c));
    return c.json({ items: [...items], next_cursor: next === null ? null : writeCursor(LIST, next), ...position }, 200);
  });

  api.add(trade, {
    method: "post", path, tags: ["orders"], summary: "Place an order", description: "Idempotency-Key is optional. The state of the order says what became of it.", request: { body: IN_JSON(NewOrderSchema) },
    responses: { 201: JSON_TEXT("The order, also when the broker rejected it", OrderSchema), 409: REPORT("A request with this key is under way"), 503: REPORT("Kill switch, open breaker, or the process ends") },
  }, async (c) => {
    const key = c.env.incoming.headers["idempotency-key"];
    if (key !== undefined && !isKey(key)) throw keyFault(key);
    const trader = traderOf(c);
    const isFollower = key !== undefined && !inUse.claim(c, trader.owner, key);
    return answered(c, await trading.postOrder({ body: c.req.valid("json"), key: key ?? null, isFollower }, trader));
  });

  api.add(trade, {
    method: "get", path: `${path}/{id}`, tags: ["orders"], summary: "One order", request: { params: Id },
    responses: { 200: JSON_OF("The order", OrderSchema), 404: PROBLEM("No order of that id") },
  }, async (c) => c.json(await trading.order(c.req.valid("param").id, traderOf(c)), 200));

  api.add(trade, {
    method: "delete", path: `${path}/{id}`, tags: ["orders"], summary: "Cancel an order", request: { params: Id },
    responses: {
      200: JSON_OF("Cancelled", OrderSchema), 202: JSON_OF("Asked for; the broker has not said what became of it", OrderSchema), 404: PROBLEM("No order of that id"),
      409: PROBLEM("It has ended, is on its way to the broker, or the broker refused; `order` says how it is"),
    },
  }, async (c) => {
    const order = await trading.cancel(c.req.valid("param").id, traderOf(c));
    return order.state === "cancelled" ? c.json(order, 200) : c.json(order, 202);
  });
}

function mountHoldings(api: Api, { trading }: OrderRoutesDeps): void {
  api.add(trade, {
    method: "get", path: "/v1/account", tags: ["orders"], summary: "Balances", responses: { 200: JSON_OF("What is there and what is not bound by open orders", AccountSchema), 502: PROBLEM("The broker does not answer") },
  }, async (c) => {
    const { broker, account } = await trading.account(traderOf(c));
    return c.json({ broker, balances: [...account.balances] }, 200);
  });

  api.add(trade, {
    method: "get", path: "/v1/positions", tags: ["orders"], summary: "Positions", request: { query: z.object({ symbol: symbols }) },
    responses: { 200: JSON_OF("All of them", z.object({ items: z.array(PositionSchema), next_cursor: z.null() })), 502: PROBLEM("The broker does not answer") },
  }, async (c) => {
    const { symbol } = c.req.valid("query");
    const items = (await trading.positions(traderOf(c))).filter((each) => symbol.length === 0 || symbol.includes(each.symbol));
    return c.json({ items: items.map((each) => ({ symbol: each.symbol, quantity: each.quantity, average_price: each.averagePrice })), next_cursor: null }, 200);
  });
}

function isKey(key: string | readonly string[] | undefined): key is string {
  return typeof key === "string" && key.length >= KEY_LENGTH_MIN && key.length <= KEY_LENGTH_MAX && KEY.test(key);
}

function keyFault(key: string | readonly string[] | undefined): MalformedError {
  const expected = `send Idempotency-Key with ${KEY_LENGTH_MIN} to ${KEY_LENGTH_MAX} printable ASCII characters, a new one for each new request`;
  return key === undefined ? new MalformedError(`the header Idempotency-Key is missing; ${expected}`, "missing_idempotency_key") : new MalformedError(`the header Idempotency-Key cannot be used; ${expected}`, "invalid_idempotency_key");
}

function traderOf(c: HttpContext): Trader {
  const grant = c.get("grant");
  return { owner: grant?.keyId ?? "anonymous", isAdmin: grant?.scopes.includes("admin") ?? false, requestId: c.get("requestId"), correlationId: c.get("correlationId") };
}

const STATUSES = [200, 201, 409, 422, 502, 503] as const;

/** An answer that trading has made, byte for byte. */
function answered(c: HttpContext, { status, contentType, body, isReplay, retryAfterS }: TradingAnswer): Response {
  const known = STATUSES.find((each) => each === status);
  if (known === undefined) throw new Error(`expected a status of ${STATUSES.join(", ")} from trading, found ${status}`);
  return c.body(body, known, {
    "content-type": contentType, ...(isReplay ? { "Idempotency-Replayed": "true" } : {}), ...(retryAfterS === null ? {} : { "Retry-After": String(retryAfterS) }),
  });
}
