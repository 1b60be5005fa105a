/**
 * The audit chain in SQL: records of their own, pages of it, and the walk that finds the first broken record.
 */
import { type SelectQueryBuilder, sql, type SqlBool } from "kysely";
import type { Clock } from "../../core/clock.ts";
import type { Audited, AuditHead, AuditLog, AuditPage, AuditQuery, AuditRecord, ChainVerdict, Charge } from "../../ports/audit.ts";
import { append, canonical, hashOf, recordOf } from "./audit-chain.ts";
import type { Database } from "./database.ts";
import type { AuditTable, Tables } from "./tables.ts";

/** Records of a page of the walk: 1,000 take some 10 ms to check. */
const WALK_RECORDS = 1000;
const BEFORE_THE_FIRST = "0".repeat(64);

export class SqlAuditLog implements AuditLog {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  record(change: Audited): Promise<AuditRecord> {
    return this.#database.transaction((trx) => append(trx, change, this.#clock.nowMicros()));
  }

  async list(query: AuditQuery): Promise<AuditPage> {
    const { limit } = query;
    const rows = await this.#database.run((db) => filtered(db.selectFrom("audit").selectAll(), query).orderBy("n", "desc").limit(limit + 1).execute());
    const items = rows.slice(0, limit).map(recordOf);
    return { items, next: rows.length > limit ? (items.at(-1)?.n ?? null) : null };
  }

  async head(): Promise<AuditHead> {
    const row = await this.#database.run((db) => db.selectFrom("audit_head").select(["n", "hash"]).executeTakeFirstOrThrow());
    return { n: Number(row.n), hash: row.hash };
  }

  async verify(): Promise<ChainVerdict> {
    const head = await this.head();
    let last: AuditHead = { n: 0, hash: BEFORE_THE_FIRST };
    while (last.n < head.n) {
      const { n } = last;
      const rows = await this.#database.run((db) => db.selectFrom("audit").selectAll().where("n", ">", String(n)).where("n", "<=", String(head.n)).orderBy("n").limit(WALK_RECORDS).execute());
      if (rows.length === 0) return broken(last.n, last.n + 1, "it is missing");
      for (const row of rows) {
        const why = faultOf(row, last);
        if (why !== null) return broken(last.n, last.n + 1, why);
        last = { n: Number(row.n), hash: row.hash };
      }
    }
    if (last.hash !== head.hash) return broken(head.n, head.n, "its hash is not that of the head of the chain");
    return await this.#beyondHead() ?? { valid: true, records: head.n, head: head.hash };
  }

  async remaining({ owner, name, max, windowMs }: Charge): Promise<{ readonly remaining: number; readonly resetMs: number }> {
    const row = await this.#database.run((db) => db.selectFrom("budgets").selectAll().where("owner", "=", owner).where("name", "=", name).executeTakeFirst());
    const endsInMs = row === undefined ? 0 : (Number(row.opened_at) - this.#clock.nowMicros()) / 1000 + windowMs;
    return row === undefined || endsInMs <= 0 ? { remaining: max, resetMs: windowMs } : { remaining: Math.max(0, max - row.used), resetMs: endsInMs };
  }

  /** Records that lie where the chain has not come to yet. */
  async #beyondHead(): Promise<ChainVerdict | null> {
    const row = await this.#database.run((db) => db.selectFrom("audit_head")
      .select((e) => ["n", e.selectFrom("audit").select((a) => [a.fn.min("audit.n").as("n")]).whereRef("audit.n", ">", "audit_head.n").as("beyond")]).executeTakeFirstOrThrow());
    return row.beyond === null ? null : broken(Number(row.n), Number(row.beyond), "it lies beyond the head of the chain");
  }
}

function filtered<O>(records: SelectQueryBuilder<Tables, "audit", O>, { before, action, actor, target, from, to }: AuditQuery): SelectQueryBuilder<Tables, "audit", O> {
  let found = records;
  if (before !== null) found = found.where("n", "<", String(before));
  if (action !== null) found = found.where("action", "=", action);
  if (actor !== null) found = found.where("actor", "=", actor);
  if (target !== null) found = found.where(sql<SqlBool>`strpos(',' || target || ',', ',' || ${target}::text || ',') > 0`);
  if (from !== null) found = found.where("time", ">=", String(from));
  if (to !== null) found = found.where("time", "<", String(to));
  return found;
}

function broken(records: number, n: number, why: string): ChainVerdict {
  return { valid: false, records, broken: n, why };
}

/** What is wrong with a record that should follow another; null: nothing. */
function faultOf(row: AuditTable, last: AuditHead): string | null {
  if (Number(row.n) !== last.n + 1) return "it is missing";
  if (row.prev_hash !== last.hash) return "it does not hold the hash of the record before it";
  const record = readable(row);
  if (record === null) return "its members are not what was written";
  const { hash, ...rest } = record;
  return hashOf(rest) === hash ? null : "its hash is not that of its members";
}

/** The record, unless `before` and `after` are other characters than were hashed. */
function readable(row: AuditTable): AuditRecord | null {
  try {
    const record = recordOf(row);
    return canonical(record.before) === row.before && canonical(record.after) === row.after ? record : null;
  } catch (error) {
    // JSON that cannot be read, or a time that is none.
    if (error instanceof SyntaxError || error instanceof RangeError || error instanceof TypeError) return null;
    throw error;
  }
}
