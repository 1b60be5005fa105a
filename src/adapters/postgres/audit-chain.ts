/**
 * Appends to the audit chain inside a transaction, together with the effect that the record tells of.
 *
 * The row of the head is locked first, so changes are serialised and the chain has neither hole nor fork.
 */
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import type { Transaction } from "kysely";
import { RateLimitError } from "../../core/errors.ts";
import { type Micros, micros } from "../../core/time.ts";
import type { Audited, AuditRecord, Charge, Json } from "../../ports/audit.ts";
import type { AuditTable, Tables } from "./tables.ts";

const HEAD = 1;

/** JSON text in canonical form (RFC 8785). */
export function canonical(value: Json): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("expected a JSON value");
  return text;
}

/** Lower-case hex SHA-256 of a record without its own hash. */
export function hashOf(record: Omit<AuditRecord, "hash">): string {
  return createHash("sha256").update(canonical({ ...record })).digest("hex");
}

/** Locks the chain until the transaction ends: nobody else changes anything that is audited meanwhile. Answers its head. */
export function lockHead(trx: Transaction<Tables>): Promise<{ readonly n: string; readonly hash: string }> {
  return trx.selectFrom("audit_head").select(["n", "hash"]).where("id", "=", HEAD).forUpdate().executeTakeFirstOrThrow();
}

/**
 * Uses up what the change costs, then appends its record. Nothing of it stays when the transaction fails.
 * @throws {RateLimitError} when the budget is used up
 */
export async function append(trx: Transaction<Tables>, { entry, charge }: Audited, now: Micros): Promise<AuditRecord> {
  const head = await lockHead(trx);
  if (charge !== null) await use(trx, charge, now);
  const { actor } = entry;
  const record: Omit<AuditRecord, "hash"> = {
    n: Number(head.n) + 1, time: now, actor: storable(actor.keyId), address: storable(actor.address), action: storable(entry.action), target: storable(entry.target),
    before: storableJson(entry.before), after: storableJson(entry.after), reason: entry.reason === null ? null : storable(entry.reason), request_id: actor.requestId, correlation_id: actor.correlationId, prev_hash: head.hash,
  };
  const hash = hashOf(record);
  const n = String(record.n);
  await trx.insertInto("audit").values({ ...record, n, time: String(now), before: canonical(record.before), after: canonical(record.after), hash }).execute();
  await trx.updateTable("audit_head").set({ n, hash }).where("id", "=", HEAD).execute();
  return { ...record, hash };
}

/** Text that is read back as it was written: the database has neither NUL nor half a surrogate pair. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\ufffd");
}

/** JSON without half surrogate pairs, which have no canonical form (RFC 8785 section 3.2.2.2). */
function storableJson(value: Json): Json {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null) return value;
  if (isList(value)) return value.map(storableJson);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name.toWellFormed(), storableJson(member)]));
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/** A row as it was appended. */
export function recordOf(row: AuditTable): AuditRecord {
  return { ...row, n: Number(row.n), time: micros(Number(row.time)), before: JSON.parse(row.before), after: JSON.parse(row.after) };
}

async function use(trx: Transaction<Tables>, charge: Charge, now: Micros): Promise<void> {
  const { owner, name } = charge;
  const row = await trx.selectFrom("budgets").selectAll().where("owner", "=", owner).where("name", "=", name).executeTakeFirst();
  const opened = Number(row?.opened_at ?? 0);
  const endsInMs = (opened - now) / 1000 + charge.windowMs;
  const isOpen = row !== undefined && endsInMs > 0;
  const used = isOpen ? row.used : 0;
  if (used >= charge.max) {
    const budget = { name, max: charge.max, windowMs: charge.windowMs, resetMs: endsInMs };
    throw new RateLimitError(`${name}: ${charge.max} changes in ${charge.windowMs / 1000} s are used up`, Math.ceil(endsInMs / 1000), budget);
  }
  const values = { opened_at: String(isOpen ? opened : now), used: used + 1 };
  await trx.insertInto("budgets").values({ owner, name, ...values }).onConflict((conflict) => conflict.columns(["owner", "name"]).doUpdateSet(values)).execute();
}
