/**
 * The ledger of the paper broker in SQL: a commit is one statement, and so one round trip and one transaction.
 */
import { type RawBuilder, sql } from "kysely";
import { ConflictError } from "../../core/errors.ts";
import { micros } from "../../core/time.ts";
import { formatDecimal, parseDecimal } from "../../market/decimal.ts";
import { ORDER_SIDES, ORDER_TYPES, TIMES_IN_FORCE } from "../../ports/broker.ts";
import {
  PAPER_MONEY_SCALE, PAPER_NOTIONAL_SCALE, PAPER_RATE_SCALE, PAPER_UNIT_SCALE,
  type PaperChanges, type PaperKey, type PaperLedger, type PaperOrder, type PaperState,
} from "../../ports/paper.ts";
import type { Database } from "./database.ts";
import type { PaperOrdersTable } from "./paper-tables.ts";

const HEAD = 1;
/** Keys of one slice. */
const KEYS_MAX = 10_000;
const STATES = ["accepted", "partially_filled", "filled", "cancelled", "rejected"] as const;

export class SqlPaperLedger implements PaperLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The head is locked by every commit: what another process began is done or refused before this reads. */
  open(writer: string): Promise<PaperState> {
    return this.#database.transaction(async (trx) => {
      const head = await trx.updateTable("paper_head").set({ writer }).where("id", "=", HEAD).returning("revision").executeTakeFirstOrThrow();
      const orders = await trx.selectFrom("paper_orders").selectAll().where("is_open", "=", true).orderBy("number").execute();
      const cash = await trx.selectFrom("paper_cash").selectAll().execute();
      const positions = await trx.selectFrom("paper_positions").selectAll().execute();
      const last = await trx.selectFrom("paper_orders").select("number").orderBy("number", "desc").limit(1).executeTakeFirst();
      return {
        orders: orders.map(orderOf), orderNumber: Number(last?.number ?? 0), revision: Number(head.revision),
        cash: cash.map((row) => ({ ...row, total: units(row.total, PAPER_MONEY_SCALE), revision: Number(row.revision) })),
        positions: positions.map((row) => ({ ...row, quantity: units(row.quantity, PAPER_UNIT_SCALE), cost: units(row.cost, PAPER_NOTIONAL_SCALE), revision: Number(row.revision) })),
      };
    });
  }

  async eachKey(take: (keys: readonly PaperKey[]) => void): Promise<void> {
    for (let after = 0, isMore = true; isMore;) {
      const from = String(after);
      const rows = await this.#database.run((db) => db.selectFrom("paper_orders").select(["number", "owner", "client_order_id"]).where("number", ">", from).orderBy("number").limit(KEYS_MAX).execute());
      take(rows.map(({ owner, client_order_id: clientOrderId }) => ({ owner, clientOrderId })));
      after = Number(rows.at(-1)?.number ?? 0);
      isMore = rows.length === KEYS_MAX;
    }
  }

  async commit(writer: string, { orders, fills, cash, positions, revision }: PaperChanges): Promise<void> {
    const { rows } = await this.#database.run((db) => sql<{ writer: string }>`
      with head as (
        update paper_head set revision = greatest(revision, ${String(revision)}::bigint) where id = ${HEAD} and writer = ${writer} returning writer),
      put_orders as (
        insert into paper_orders select r.* from head, ${records("paper_orders", orders.map(rowOf))}
        on conflict (number) do update set
          state = excluded.state, is_open = excluded.is_open, is_triggered = excluded.is_triggered, priority = excluded.priority, ahead = excluded.ahead,
          rested_at = excluded.rested_at, filled = excluded.filled, notional = excluded.notional, fees = excluded.fees, fill_count = excluded.fill_count,
          code = excluded.code, reason = excluded.reason, updated_at = excluded.updated_at, revision = excluded.revision
        where excluded.revision > paper_orders.revision),
      put_fills as (
        insert into paper_fills select r.* from head, ${records("paper_fills", fills.map((fill) => ({
          order_number: fill.orderNumber, n: fill.n, price: formatDecimal(fill.price, PAPER_UNIT_SCALE), quantity: formatDecimal(fill.quantity, PAPER_UNIT_SCALE),
          fee: formatDecimal(fill.fee, PAPER_MONEY_SCALE), is_maker: fill.isMaker, time: fill.time,
        })))}
        on conflict (order_number, n) do nothing),
      put_cash as (
        insert into paper_cash select r.* from head, ${records("paper_cash", cash.map((row) => ({ ...row, total: formatDecimal(row.total, PAPER_MONEY_SCALE) })))}
        on conflict (owner, currency) do update set total = excluded.total, revision = excluded.revision where excluded.revision > paper_cash.revision),
      put_positions as (
        insert into paper_positions select r.* from head, ${records("paper_positions", positions.map((row) => ({
          ...row, quantity: formatDecimal(row.quantity, PAPER_UNIT_SCALE), cost: formatDecimal(row.cost, PAPER_NOTIONAL_SCALE),
        })))}
        on conflict (owner, symbol) do update set quantity = excluded.quantity, cost = excluded.cost, revision = excluded.revision
        where excluded.revision > paper_positions.revision)
      select writer from head`.execute(db));
    if (rows.length === 0) throw new ConflictError("another process has taken over the ledger of the paper account; stop one of the two", "ledger_taken");
  }

  async find({ owner, clientOrderId }: PaperKey): Promise<PaperOrder | null> {
    const row = await this.#database.run((db) => db.selectFrom("paper_orders").selectAll().where("owner", "=", owner).where("client_order_id", "=", clientOrderId).executeTakeFirst());
    return row ? orderOf(row) : null;
  }
}

/** Rows of a table from JSON, by the names of its columns: one parameter however many there are. */
function records(table: string, rows: readonly object[]): RawBuilder<unknown> {
  return sql`json_populate_recordset(null::${sql.table(table)}, ${JSON.stringify(rows)}::json) as r`;
}

function rowOf(order: PaperOrder): Readonly<Record<keyof PaperOrdersTable, string | number | boolean | null>> {
  const amount = (value: bigint | null): string | null => (value === null ? null : formatDecimal(value, PAPER_UNIT_SCALE));
  return {
    number: order.number, owner: order.owner, client_order_id: order.clientOrderId, symbol: order.symbol, side: order.side, type: order.type,
    time_in_force: order.timeInForce, quantity: formatDecimal(order.quantity, PAPER_UNIT_SCALE), limit_price: amount(order.limitPrice), stop_price: amount(order.stopPrice),
    currency: order.currency, price_scale: order.priceScale, maker_rate: formatDecimal(order.makerRate, PAPER_RATE_SCALE), taker_rate: formatDecimal(order.takerRate, PAPER_RATE_SCALE),
    state: order.state, is_open: order.state === "accepted" || order.state === "partially_filled", is_triggered: order.isTriggered, priority: order.priority,
    ahead: formatDecimal(order.ahead, PAPER_UNIT_SCALE), rested_at: order.restedAt, filled: formatDecimal(order.filled, PAPER_UNIT_SCALE),
    notional: formatDecimal(order.notional, PAPER_NOTIONAL_SCALE), fees: formatDecimal(order.fees, PAPER_MONEY_SCALE), fill_count: order.fillCount,
    code: order.code, reason: order.reason, created_at: order.createdAt, updated_at: order.updatedAt, expires_at: order.expiresAt, revision: order.revision,
  };
}

function orderOf(row: PaperOrdersTable): PaperOrder {
  const amount = (text: string | null): bigint | null => (text === null ? null : units(text, PAPER_UNIT_SCALE));
  return {
    number: Number(row.number), owner: row.owner, clientOrderId: row.client_order_id, symbol: row.symbol, side: oneOf(ORDER_SIDES, row.side), type: oneOf(ORDER_TYPES, row.type),
    timeInForce: oneOf(TIMES_IN_FORCE, row.time_in_force), quantity: units(row.quantity, PAPER_UNIT_SCALE), limitPrice: amount(row.limit_price), stopPrice: amount(row.stop_price),
    currency: row.currency, priceScale: row.price_scale, makerRate: units(row.maker_rate, PAPER_RATE_SCALE), takerRate: units(row.taker_rate, PAPER_RATE_SCALE),
    state: oneOf(STATES, row.state), isTriggered: row.is_triggered, priority: Number(row.priority), ahead: units(row.ahead, PAPER_UNIT_SCALE), restedAt: micros(Number(row.rested_at)),
    filled: units(row.filled, PAPER_UNIT_SCALE), notional: units(row.notional, PAPER_NOTIONAL_SCALE), fees: units(row.fees, PAPER_MONEY_SCALE), fillCount: row.fill_count,
    code: row.code, reason: row.reason, createdAt: micros(Number(row.created_at)), updatedAt: micros(Number(row.updated_at)),
    expiresAt: row.expires_at === null ? null : micros(Number(row.expires_at)), revision: Number(row.revision),
  };
}

function units(text: string, scale: number): bigint {
  const value = parseDecimal(text, scale);
  if (value === null) throw new Error(`expected a decimal of at most ${scale} decimals in the ledger of the paper account, found "${text}"`);
  return value;
}

function oneOf<T extends string>(values: readonly T[], text: string): T {
  const found = values.find((value) => value === text);
  if (found === undefined) throw new Error(`expected one of ${values.join(", ")} in the ledger of the paper account, found "${text}"`);
  return found;
}
