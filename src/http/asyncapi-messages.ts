/**
 * Messages of the stream as JSON schemas (protocol section 2), for the AsyncAPI document.
 */
import { BAR_INTERVALS, BOOK_DEPTHS } from "../market/market-event.ts";
import { ORDER_STATES } from "../ports/orders.ts";
import { STREAM_ERRORS } from "../protocol/errors.ts";

/** JSON Schema, draft 7 as AsyncAPI 3.0 reads it. */
export type Schema = Readonly<Record<string, unknown>>;

const text = (description?: string): Schema => ({ type: "string", ...(description === undefined ? {} : { description }) });
const whole = (description?: string): Schema => ({ type: "integer", ...(description === undefined ? {} : { description }) });
const flag: Schema = { type: "boolean" };
const one = (value: string | boolean): Schema => ({ const: value });
const among = (values: readonly (string | number)[]): Schema => ({ enum: values });
const list = (items: Schema): Schema => ({ type: "array", items });
const decimal = text("Plain decimal, equal in value to what the venue sent.");
const micros = whole("Microseconds since 1970 UTC.");
const symbol = text("Instrument id, `venue:SYMBOL`.");
const seq = whole("Of the topic: starts at 1, grows by 1 with every event.");
const level: Schema = { type: "array", items: decimal, minItems: 2, maxItems: 2, description: "Price and size." };
const channels = ["trades", "quotes", "book", "bars", "ticker", "status"];
const orders = one("orders");
const everyMs = among([100, 250, 1000, 5000]);
const id: Schema = { type: ["string", "integer"], description: "Chosen by the client, echoed in the answer." };

/** An object with these members; names that end in `?` are optional. */
function object(members: Readonly<Record<string, Schema>>, description?: string): Schema {
  const entries = Object.entries(members);
  return {
    type: "object", ...(description === undefined ? {} : { description }),
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace(/\?$/, ""), schema])),
    required: entries.filter(([name]) => !name.endsWith("?")).map(([name]) => name),
  };
}

const selection = {
  channel: among(channels), symbols: { ...list(text("Instrument id, `venue:*` or `*`.")), minItems: 1, maxItems: 500 }, "interval?": among(BAR_INTERVALS),
  "depth?": among(BOOK_DEPTHS), "recent?": { type: "integer", minimum: 0, maximum: 256 }, "every_ms?": everyMs,
};
const topic = object({
  channel: among(channels), symbol, "interval?": among(BAR_INTERVALS), "depth?": among(BOOK_DEPTHS), "every_ms?": everyMs, "recent?": whole(),
  epoch: text("Changes when the continuity of `seq` was lost."), seq, live: flag, "resumed?": among(["exact", "snapshot", "gap"]), "simulated?": flag,
});
const orderTopic = object({ channel: orders, epoch: text(), seq: whole("Of the owner: grows by 1 with every event of any order."), live: flag, "resumed?": among(["exact", "gap"]) }, "The owner's orders: one topic.");
const anyTopic: Schema = { oneOf: [topic, orderTopic] };
const rejected = object({ symbol: text(), code: whole(), name: text(), "message?": text(), "did_you_mean?": list(text()) });
const event = { "snapshot?": flag, symbol, seq };

const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: "null" }] });
const amount = text("Plain decimal, equal in value to what was sent.");
const order = object({
  id: text(), client_order_id: text(), broker_order_id: orNull(text()), symbol, side: among(["buy", "sell"]), type: among(["market", "limit", "stop", "stop_limit"]), quantity: amount,
  limit_price: orNull(amount), stop_price: orNull(amount), time_in_force: among(["gtc", "ioc", "fok", "day"]), state: among(ORDER_STATES), filled: amount, average_price: orNull(amount),
  created_at: micros, updated_at: micros, error: orNull(object({ code: text(), message: text() })), owner: text(), broker: text(), batch_id: text(),
}, "The order as it was after the event: what `GET /v1/orders/{id}` answered then.");

/** What a client sends. */
export const COMMANDS: Readonly<Record<string, Schema>> = {
  auth: object({ type: one("auth"), api_key: text("A key `tk_…` or a ticket `tt_…`."), "encoding?": among(["json", "msgpack"]), "id?": id }, "The first frame, within 10 s."),
  subscribe: object({
    type: one("subscribe"), "id?": id, ...selection, "atomic?": flag, "resume?": list(object({ symbol, epoch: text(), seq })),
  }, "Acknowledged before any data of its topics."),
  subscribeOrders: object({
    type: one("subscribe"), "id?": id, channel: orders, "resume?": { ...list(object({ epoch: text(), seq: whole("The last one that you have, or that of `GET /v1/orders`.") })), maxItems: 1 },
  }, "All orders of the key's owner; needs the scope `trade`. No snapshot: `GET /v1/orders` answers `epoch` and `seq` to start from."),
  unsubscribe: object({ type: one("unsubscribe"), "id?": id, "all?": flag, "channel?": among([...channels, "orders"]), "symbols?": list(text()) }),
  list: object({ type: one("list"), "id?": id }),
  ping: object({ type: one("ping"), "id?": id }, "The bare text `ping` is answered with `pong`."),
};

/** What the server sends as control frames: one JSON object each. */
export const CONTROLS: Readonly<Record<string, Schema>> = {
  welcome: object({ type: one("welcome"), protocol: whole(), server: text(), auth_timeout_ms: whole(), time: micros }),
  authenticated: object({
    type: one("authenticated"), session: text(), key_id: text(), scopes: list(text()), encoding: among(["json", "msgpack"]), heartbeat_ms: whole(),
    limits: object({ topics: whole(), frame_bytes: whole(), commands_per_s: whole() }),
  }),
  subscribed: object({ type: one("subscribed"), "id?": id, topics: list(anyTopic), rejected: list(rejected), more: flag }),
  unsubscribed: object({ type: one("unsubscribed"), "id?": id, topics: list(anyTopic), rejected: list(rejected), more: flag }),
  subscriptions: object({ type: one("subscriptions"), "id?": id, topics: list(anyTopic), more: flag }),
  pong: object({ type: one("pong"), "id?": id, time: micros, messages: whole(), unsent_bytes: whole(), lane: among(["live", "lagging"]) }),
  heartbeat: object({
    type: one("heartbeat"), time: micros,
    feeds: { type: "object", additionalProperties: object({ state: text(), age_ms: { type: ["integer", "null"] }, "simulated?": flag }) },
    "banner?": text("What operators tell everybody; absent when there is nothing"),
  }),
  goodbye: object({ type: one("goodbye"), code: whole(), reason: text(), reconnect: flag, "reconnect_after_ms?": whole() }),
  error: object({ type: one("error"), "id?": id, code: among(Object.keys(STREAM_ERRORS).map(Number)), name: among(Object.values(STREAM_ERRORS)), message: text(), retryable: flag }),
};

/** What data frames hold: JSON arrays of these. */
export const EVENTS: Readonly<Record<string, Schema>> = {
  trade: object({ type: one("trade"), ...event, id: text(), price: decimal, size: decimal, side: { ...among(["buy", "sell"]), description: "The aggressor." }, time: micros, received: micros }),
  trade_summary: object({
    type: one("trade_summary"), symbol, first_seq: seq, seq, count: whole(), volume: decimal, open: decimal, high: decimal, low: decimal, close: decimal, vwap: decimal, time: micros,
  }),
  quote: object({ type: one("quote"), ...event, bid: decimal, bid_size: decimal, ask: decimal, ask_size: decimal, time: micros, received: micros }),
  book: object({ type: one("book"), ...event, depth: among(BOOK_DEPTHS), bids: list(level), asks: list(level), time: micros, received: micros }),
  bar: object({
    type: one("bar"), ...event, interval: among(BAR_INTERVALS), start: micros, open: decimal, high: decimal, low: decimal, close: decimal, volume: decimal, trades: whole(),
    vwap: decimal, closed: flag,
  }),
  ticker: object({
    type: one("ticker"), ...event, last: decimal, open_24h: decimal, high_24h: decimal, low_24h: decimal, volume_24h: decimal, change_pct_24h: decimal, bid: decimal, ask: decimal, time: micros,
  }),
  status: object({ type: one("status"), ...event, state: among(["live", "stale", "down", "halted"]), reason: text(), time: micros }),
  order: object({ type: one("order"), seq: whole("Of the owner: grows by exactly 1 with every event, and is never folded."), epoch: text(), order }),
  gap: object({
    type: one("gap"), channel: among([...channels, "orders"]), "symbol?": symbol, "seq?": whole("Of orders after a restart: counting begins anew here."), epoch: text(), "from?": seq, "to?": seq, reason: among(["slow", "restart", "upstream", "expired"]), "interval?": among(BAR_INTERVALS),
    "depth?": among(BOOK_DEPTHS), "missed?": { type: ["integer", "null"] },
  }, "What can never be reconstructed, before the next value of the topic."),
  lagging: object({ type: one("lagging"), since: micros, age_ms: whole(), unsent_bytes: whole() }),
  caught_up: object({ type: one("caught_up"), folded: whole(), lost: whole() }),
};
