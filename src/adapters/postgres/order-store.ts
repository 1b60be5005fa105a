/**
 * Orders in SQL. A change and its event are one statement, so that neither is there without the other; events are numbered under
 * the lock of the owner's row, so that their numbers have no hole and follow the order of writing.
 */
import { randomBytes } from "node:crypto";
import { type RawBuilder, sql } from "kysely";
import type { Order, OrderChange, OrderEvent, OrderEvents, OrderPosition, OrderQuery, OrderState, OrderStore } from "../../ports/orders.ts";
import { ORDER_STATES } from "../../ports/orders.ts";
import type { Database } from "./database.ts";
import { orderOf } from "./order-rows.ts";

/** Events that one statement removes: others get their turn in between. */
const PRUNE_ROWS = 10_000;

interface EventRow {
  readonly n: string;
  readonly owner: string;
  readonly seq: string;
  readonly epoch: string;
  readonly order_id: string;
  readonly state: string;
  readonly payload: string;
}

/** An epoch for an owner's events: random, so that one that began anew is not taken for the old one. */
export function newEpoch(): string {
  return randomBytes(6).toString("hex");
}

export class SqlOrderStore implements OrderStore {
  readonly #database: Database;
  readonly #payloadOf: (order: Order) => string;
  readonly #listeners: ((events: readonly OrderEvent[]) => void)[] = [];

  /** @param payloadOf the order resource as JSON text */
  constructor(database: Database, payloadOf: (order: Order) => string) {
    this.#database = database;
    this.#payloadOf = payloadOf;
  }

  onEvents(listener: (events: readonly OrderEvent[]) => void): void {
    this.#listeners.push(listener);
  }

  /** Tells the listeners of rows that another store wrote. */
  told(rows: readonly EventRow[]): void {
    if (rows.length === 0) return;
    const events = rows.map(eventOf);
    for (const tell of this.#listeners) tell(events);
  }

  async write(changes: readonly OrderChange[]): Promise<ReadonlySet<string>> {
    if (changes.length === 0) return new Set();
    const { rows } = await this.#database.run((db) => changeStatement(changes, this.#payloadOf).execute(db));
    this.told(rows);
    return new Set(rows.map((row) => row.order_id));
  }

  async byIds(ids: readonly string[]): Promise<readonly Order[]> {
    if (ids.length === 0) return [];
    return (await this.#database.run((db) => db.selectFrom("orders").selectAll().where("id", "in", ids).execute())).map(orderOf);
  }

  async ofBatch(batchId: string): Promise<readonly Order[]> {
    return (await this.#database.run((db) => db.selectFrom("orders").selectAll().where("batch_id", "=", batchId).orderBy("leg").execute())).map(orderOf);
  }

  async list({ owner, clientOrderId, correlationId, symbols, states, from, to, limit, before }: OrderQuery): Promise<readonly Order[]> {
    const rows = await this.#database.run((db) => {
      let orders = db.selectFrom("orders").selectAll();
      if (owner !== null) orders = orders.where("owner", "=", owner);
      if (clientOrderId !== null) orders = orders.where("client_order_id", "=", clientOrderId);
      if (correlationId !== null) orders = orders.where("correlation_id", "=", correlationId);
      if (symbols.length > 0) orders = orders.where("symbol", "in", symbols);
      if (states.length > 0) orders = orders.where("state", "in", states);
      if (from !== null) orders = orders.where("created_at", ">=", String(from));
      if (to !== null) orders = orders.where("created_at", "<", String(to));
      if (before !== null) orders = orders.where("id", "<", before);
      return orders.orderBy("id", "desc").limit(limit).execute();
    });
    return rows.map(orderOf);
  }

  async open(states: readonly OrderState[], after: string, limit: number): Promise<readonly Order[]> {
    const rows = await this.#database.run((db) => db.selectFrom("orders").selectAll().where("state", "in", states)
      .where("state", "not in", ["filled", "rejected", "cancelled"]).where("id", ">", after).orderBy("id").limit(limit).execute());
    return rows.map(orderOf);
  }

  async taken(owner: string, clientOrderIds: readonly string[]): Promise<readonly string[]> {
    if (clientOrderIds.length === 0) return [];
    const rows = await this.#database.run((db) => db.selectFrom("orders").select("client_order_id").where("owner", "=", owner).where("client_order_id", "in", clientOrderIds).execute());
    return rows.map((row) => row.client_order_id);
  }

  async position(owner: string): Promise<OrderPosition> {
    const { epoch, seq } = await this.#stream(owner);
    return { epoch, seq };
  }

  async since(owner: string, epoch: string, seq: number, limit: number): Promise<OrderEvents> {
    const stream = await this.#stream(owner);
    const position = { epoch: stream.epoch, seq: stream.seq };
    if (epoch !== stream.epoch || seq > stream.seq) return { type: "gap", reason: "restart", position };
    if (seq < stream.pruned) return { type: "gap", reason: "expired", position, pruned: stream.pruned };
    const rows = await this.#database.run((db) => db.selectFrom("order_events").select(["n", "owner", "seq", "epoch", "order_id", "state", "payload"])
      .where("owner", "=", owner).where("seq", ">", String(seq)).where("seq", "<=", String(stream.seq)).orderBy("seq").limit(limit).execute());
    const events = rows.map(eventOf);
    // Removed between the two readings.
    const first = events[0]?.seq ?? stream.seq + 1;
    if (first > seq + 1) return { type: "gap", reason: "expired", position, pruned: first - 1 };
    return { type: "events", events, position };
  }

  async pruneEvents(before: number): Promise<number> {
    for (let removed = 0; ;) {
      const { rows } = await this.#database.run((db) => sql<{ count: string }>`
        with gone as (
          delete from order_events where (owner, seq) in (select owner, seq from order_events where time < ${String(before)}::bigint order by time, seq limit ${PRUNE_ROWS}) returning owner, seq
        ), marked as (
          update order_streams s set pruned = g.last from (select owner, max(seq) as last from gone group by owner) g where s.owner = g.owner and s.pruned < g.last
        ) select count(*)::text as count from gone`.execute(db));
      const count = Number(rows[0]?.count ?? 0);
      removed += count;
      if (count < PRUNE_ROWS) return removed;
    }
  }

  /** The row of an owner, made when it is new: its epoch must stay from the first time that somebody saw it. */
  async #stream(owner: string): Promise<OrderPosition & { readonly pruned: number }> {
    const read = () => this.#database.run((db) => db.selectFrom("order_streams").select(["epoch", "seq", "pruned"]).where("owner", "=", owner).executeTakeFirst());
    const row = await read();
    if (row === undefined) {
      await this.#database.run((db) => db.insertInto("order_streams").values({ owner, epoch: newEpoch(), seq: "0", pruned: "0" }).onConflict((conflict) => conflict.doNothing()).execute());
    }
    const { epoch = "", seq = "0", pruned = "0" } = row ?? await read() ?? {};
    return { epoch, seq: Number(seq), pruned: Number(pruned) };
  }
}

/** Changes orders whose version is as expected, numbers the events, writes them, and answers them. */
function changeStatement(changes: readonly OrderChange[], payloadOf: (order: Order) => string): RawBuilder<EventRow> {
  const column = (of: (change: OrderChange) => string | null): (string | null)[] => changes.map(of);
  return sql<EventRow>`
    with input as (
      select * from unnest(
        ${column(({ order }) => order.id)}::text[], ${column(({ order }) => String(order.version))}::integer[], ${column(({ order }) => order.state)}::text[],
        ${column(({ order }) => order.filled)}::text[], ${column(({ order }) => order.averagePrice)}::text[], ${column(({ order }) => order.brokerOrderId)}::text[],
        ${column(({ order }) => order.error?.code ?? null)}::text[], ${column(({ order }) => order.error?.message ?? null)}::text[],
        ${column(({ order }) => (order.sentAt === null ? null : String(order.sentAt)))}::bigint[], ${column(({ order }) => String(order.updatedAt))}::bigint[],
        ${column(({ order }) => payloadOf(order))}::text[], ${column(({ cause }) => cause)}::text[]
      ) with ordinality as t (id, version, state, filled, average_price, broker_order_id, error_code, error, sent_at, updated_at, payload, cause, place)
    ), changed as (
      update orders o set state = i.state, filled = i.filled, average_price = i.average_price, broker_order_id = i.broker_order_id, error_code = i.error_code, error = i.error,
        sent_at = i.sent_at, updated_at = i.updated_at, version = o.version + 1
      from input i where o.id = i.id and o.version = i.version
      returning o.id, o.owner, o.batch_id, o.request_id, o.correlation_id, i.state, i.payload, i.cause, i.updated_at, i.place
    ), streams as (
      update order_streams s set seq = s.seq + c.count from (select owner, count(*) as count from changed group by owner) c where s.owner = c.owner
      returning s.owner, s.epoch, s.seq - c.count as before
    )
    insert into order_events (owner, seq, epoch, order_id, batch_id, state, cause, payload, time, request_id, correlation_id)
    select c.owner, s.before + row_number() over (partition by c.owner order by c.place), s.epoch, c.id, c.batch_id, c.state, c.cause, c.payload, c.updated_at, c.request_id, c.correlation_id
    from changed c join streams s on s.owner = c.owner order by c.owner, c.place
    returning n, owner, seq, epoch, order_id, state, payload`;
}

export function eventOf(row: EventRow): OrderEvent {
  const state = ORDER_STATES.find((each) => each === row.state);
  if (state === undefined) throw new Error(`expected a state of an order in the database, found "${row.state}"`);
  return { n: Number(row.n), owner: row.owner, seq: Number(row.seq), epoch: row.epoch, orderId: row.order_id, state, json: row.payload };
}
