/**
 * Batches and idempotency keys in SQL: the intent of a batch is one transaction, and so is its end with the answer that is kept.
 */
import { type Kysely, type RawBuilder, sql, type SqlBool, type Transaction } from "kysely";
import type { Clock } from "../../core/clock.ts";
import { ConflictError } from "../../core/errors.ts";
import type { Batch, BatchStore, BeginOutcome, FinalState, IdempotencyKey, KnownKey, Order, OrderFault, StoredAnswer } from "../../ports/orders.ts";
import type { Database } from "./database.ts";
import { batchOf, batchRow, orderOf, orderRow } from "./order-rows.ts";
import { newEpoch, type SqlOrderStore } from "./order-store.ts";
import type { Tables } from "./tables.ts";

/** Ends a transaction of which nothing shall stay; carries why. */
class Undone extends ConflictError {
  readonly outcome: BeginOutcome;

  constructor(outcome: BeginOutcome) {
    super("nothing of it stays");
    this.outcome = outcome;
  }
}

export interface BatchStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  /** Where listeners of order events are. */
  readonly orders: SqlOrderStore;
  /** The order resource as JSON text. */
  readonly payloadOf: (order: Order) => string;
}

export class SqlBatchStore implements BatchStore {
  readonly #deps: BatchStoreDeps;

  constructor(deps: BatchStoreDeps) {
    this.#deps = deps;
  }

  known(owner: string, key: string, since: number): Promise<KnownKey | null> {
    return this.#deps.database.run((db) => knownKey(db, owner, key, since));
  }

  async begin(batch: Batch, orders: readonly Order[], key: IdempotencyKey | null, since: number): Promise<BeginOutcome> {
    try {
      const events = await this.#deps.database.transaction(async (trx) => {
        await takeKey(trx, batch, key, null, since);
        const owner = batch.owner;
        await trx.insertInto("order_streams").values({ owner, epoch: newEpoch(), seq: "0", pruned: "0" }).onConflict((conflict) => conflict.doNothing()).execute();
        const { rows } = await intentStatement(orders, this.#deps.payloadOf).execute(trx);
        if (rows.length < orders.length) throw new Undone({ type: "taken", indexes: missing(orders, rows.map((row) => row.order_id)) });
        return rows;
      });
      this.#deps.orders.told(events);
      return { type: "begun" };
    } catch (error) {
      if (error instanceof Undone) return error.outcome;
      throw error;
    }
  }

  async reject(batch: Batch, report: string, key: IdempotencyKey, answer: StoredAnswer, since: number): Promise<KnownKey | null> {
    try {
      await this.#deps.database.transaction((trx) => takeKey(trx, batch, key, { report, answer }, since));
      return null;
    } catch (error) {
      if (error instanceof Undone && error.outcome.type === "known") return error.outcome.known;
      throw error;
    }
  }

  async rollBack(batchId: string, reason: OrderFault): Promise<void> {
    await this.#deps.database.run((db) => db.updateTable("batches").set({ phase: "rolling_back", reason_code: reason.code, reason: reason.message })
      .where("id", "=", batchId).where("state", "=", "running").where("phase", "=", "placing").execute());
  }

  finish(batchId: string, decide: (orders: readonly Order[]) => { readonly state: FinalState; readonly answer: StoredAnswer } | null): Promise<boolean> {
    return this.#deps.database.transaction(async (trx) => {
      const { rows } = await sql<{ state: string }>`select state from batches where id = ${batchId} for update`.execute(trx);
      if (rows[0]?.state !== "running") return true;
      const orders = await trx.selectFrom("orders").selectAll().where("batch_id", "=", batchId).orderBy("leg").forUpdate().execute();
      const decided = decide(orders.map(orderOf));
      if (decided === null) return false;
      const { status, contentType, body } = decided.answer;
      await sql`
        with answered as (update idempotency_keys set status = ${status}, content_type = ${contentType}, body = ${body} where batch_id = ${batchId})
        update batches set state = ${decided.state}, finished_at = ${String(this.#deps.clock.nowMicros())}::bigint where id = ${batchId}`.execute(trx);
      return true;
    });
  }

  async load(id: string): Promise<{ readonly batch: Batch; readonly report: string | null } | null> {
    const row = await this.#deps.database.run((db) => db.selectFrom("batches").selectAll().where("id", "=", id).executeTakeFirst());
    return row === undefined ? null : { batch: batchOf(row), report: row.report };
  }

  async running(limit: number): Promise<readonly Batch[]> {
    return (await this.#deps.database.run((db) => db.selectFrom("batches").selectAll().where("state", "=", "running").orderBy("id").limit(limit).execute())).map(batchOf);
  }

  async pruneKeys(before: number): Promise<number> {
    const gone = await this.#deps.database.run((db) => db.deleteFrom("idempotency_keys").where("created_at", "<", String(before)).where("status", "is not", null).executeTakeFirstOrThrow());
    return Number(gone.numDeletedRows);
  }
}

async function knownKey(db: Kysely<Tables>, owner: string, key: string, since: number): Promise<KnownKey | null> {
  const row = await db.selectFrom("idempotency_keys").selectAll().where("owner", "=", owner).where("key", "=", key)
    .where(sql<SqlBool>`(created_at >= ${String(since)}::bigint or status is null)`).executeTakeFirst();
  if (row === undefined) return null;
  const { status, content_type: contentType, body } = row;
  return { fingerprint: row.fingerprint, batchId: row.batch_id, answer: status === null || contentType === null || body === null ? null : { status, contentType, body } };
}

/**
 * Writes the batch and takes its key. Two that do so at the same time: the second waits for the first and then knows its key.
 * @throws {Undone} when the key is known
 */
async function takeKey(trx: Transaction<Tables>, batch: Batch, key: IdempotencyKey | null, final: { readonly report: string; readonly answer: StoredAnswer } | null, since: number): Promise<void> {
  await trx.insertInto("batches").values(batchRow(batch, final?.report ?? null)).execute();
  if (key === null) return;
  const values = {
    owner: key.owner, key: key.key, fingerprint: key.fingerprint, batch_id: batch.id, status: final?.answer.status ?? null, content_type: final?.answer.contentType ?? null,
    body: final?.answer.body ?? null, created_at: String(batch.createdAt),
  };
  const { owner: _owner, key: _key, ...renewed } = values;
  const { numInsertedOrUpdatedRows } = await trx.insertInto("idempotency_keys").values(values).onConflict((conflict) => conflict.columns(["owner", "key"]).doUpdateSet(renewed)
    .where(sql<SqlBool>`idempotency_keys.created_at < ${String(since)}::bigint and idempotency_keys.status is not null`)).executeTakeFirstOrThrow();
  if (Number(numInsertedOrUpdatedRows) > 0) return;
  const known = await knownKey(trx, key.owner, key.key, since);
  if (known === null) throw new Error(`the idempotency key ${key.key} is neither free nor known`);
  throw new Undone({ type: "known", known });
}

/** Inserts orders whose client order id is free, with their first events. */
function intentStatement(orders: readonly Order[], payloadOf: (order: Order) => string): RawBuilder<{ n: string; owner: string; seq: string; epoch: string; order_id: string; state: string; payload: string }> {
  const rows = orders.map(orderRow);
  const column = (of: (row: (typeof rows)[number]) => string | null): (string | null)[] => rows.map(of);
  return sql`
    with input as (
      select * from unnest(
        ${column((r) => r.id)}::text[], ${column((r) => r.owner)}::text[], ${column((r) => r.client_order_id)}::text[], ${column((r) => r.broker)}::text[],
        ${column((r) => r.batch_id)}::text[], ${column((r) => String(r.leg))}::integer[], ${column((r) => r.symbol)}::text[], ${column((r) => r.side)}::text[],
        ${column((r) => r.type)}::text[], ${column((r) => r.quantity)}::text[], ${column((r) => r.limit_price)}::text[], ${column((r) => r.stop_price)}::text[],
        ${column((r) => r.time_in_force)}::text[], ${column((r) => r.state)}::text[], ${column((r) => r.filled)}::text[], ${column((r) => r.created_at)}::bigint[],
        ${column((r) => String(r.version))}::integer[], ${column((r) => r.request_id)}::text[], ${column((r) => r.correlation_id)}::text[], ${orders.map(payloadOf)}::text[]
      ) as t (id, owner, client_order_id, broker, batch_id, leg, symbol, side, type, quantity, limit_price, stop_price, time_in_force, state, filled, created_at, version, request_id, correlation_id, payload)
    ), made as (
      insert into orders (id, owner, client_order_id, broker, batch_id, leg, symbol, side, type, quantity, limit_price, stop_price, time_in_force, state, filled, created_at, updated_at, version, request_id, correlation_id)
      select id, owner, client_order_id, broker, batch_id, leg, symbol, side, type, quantity, limit_price, stop_price, time_in_force, state, filled, created_at, created_at, version, request_id, correlation_id from input
      on conflict (owner, client_order_id) do nothing returning id
    ), kept as (
      select i.* from input i join made m on m.id = i.id
    ), streams as (
      update order_streams s set seq = s.seq + c.count from (select owner, count(*) as count from kept group by owner) c where s.owner = c.owner
      returning s.owner, s.epoch, s.seq - c.count as before
    )
    insert into order_events (owner, seq, epoch, order_id, batch_id, state, cause, payload, time, request_id, correlation_id)
    select k.owner, s.before + row_number() over (partition by k.owner order by k.leg), s.epoch, k.id, k.batch_id, k.state, 'intent', k.payload, k.created_at, k.request_id, k.correlation_id
    from kept k join streams s on s.owner = k.owner order by k.leg
    returning n, owner, seq, epoch, order_id, state, payload`;
}

function missing(orders: readonly Order[], made: readonly string[]): number[] {
  return orders.filter(({ id }) => !made.includes(id)).map(({ index }) => index);
}
