/**
 * The audit chain on both databases: pages and filters, and a walk that finds whatever was tampered with and names it.
 */
import fc from "fast-check";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SqlAuditLog } from "../../src/adapters/postgres/audit-log.ts";
import { micros } from "../../src/core/time.ts";
import type { AuditQuery, Json } from "../../src/ports/audit.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { OPERATOR } from "../support/settings-rig.ts";

const ANY: AuditQuery = { limit: 50, before: null, action: null, actor: null, target: null, from: null, to: null };
const START = 1_700_000_000_000_000;

interface Chain {
  readonly audit: SqlAuditLog;
  /** A second apart. */
  readonly append: (action: string, target: string, after?: Json, actor?: string) => Promise<void>;
}

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());
  beforeEach(() => emptied(opened));

  const chain = (): Chain => {
    const clock = new FakeClock(START);
    const audit = new SqlAuditLog(opened.database, clock);
    return {
      audit,
      append: async (action, target, after = null, actor = OPERATOR.keyId) => {
        await audit.record({ entry: { actor: { ...OPERATOR, keyId: actor }, action, target, before: null, after, reason: null }, charge: null });
        clock.advance(1000);
      },
    };
  };

  describe("pages of the chain", () => {
    pages(chain);
  });
  describe("a walk over the chain", () => {
    walks(chain, () => opened);
  });
  describe("a budget", () => {
    budgets(() => opened);
  });
});

function pages(chain: () => Chain): void {
  it("come newest first, each record once, whatever their size", async () => {
    const { audit, append } = chain();
    for (let i = 0; i < 7; i++) await append("key.created", `key_${i}`);
    for (const limit of [1, 2, 3, 7, 8]) {
      const seen: number[] = [];
      for (let before: number | null = null; ;) {
        const page = await audit.list({ ...ANY, limit, before });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        seen.push(...page.items.map(({ n }) => n));
        if (page.next === null) break;
        before = page.next;
      }
      expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1]);
    }
  });

  it("are filtered by action, actor, one of the targets, and time from the first up to the second", async () => {
    const { audit, append } = chain();
    await append("settings.changed", "log.level,orders.enabled", null, "a");
    await append("settings.changed", "orders.enabled", null, "b");
    await append("key.revoked", "orders", null, "b");
    const found = async (query: Partial<AuditQuery>) => (await audit.list({ ...ANY, ...query })).items.map(({ n }) => n);
    expect(await found({ action: "settings.changed" })).toEqual([2, 1]);
    expect(await found({ actor: "b" })).toEqual([3, 2]);
    expect(await found({ target: "orders.enabled" })).toEqual([2, 1]);
    expect(await found({ target: "orders" })).toEqual([3]);
    expect(await found({ target: "log.level,orders" })).toEqual([]);
    expect(await found({ target: "%" })).toEqual([]);
    expect(await found({ action: "settings.changed", actor: "b", target: "orders.enabled" })).toEqual([2]);
    expect(await found({ from: micros(START + 1_000_000), to: micros(START + 2_000_000) })).toEqual([2]);
    expect(await found({ from: micros(START + 1_000_001) })).toEqual([3]);
    expect(await found({ actor: "'; drop table audit; --" })).toEqual([]);
  });

  it("hold values as they were, whatever the text", async () => {
    const { audit } = chain();
    const anything = fc.string({ unit: fc.oneof(fc.constantFrom("\0", "\ud800", "\udc00", "\ufffd", "\u{1F6A7}", "e\u0301"), fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 })) });
    await fc.assert(fc.asyncProperty(fc.jsonValue({ maxDepth: 3 }), fc.jsonValue({ maxDepth: 1, stringUnit: "binary" }), anything, anything, async (value, other, reason, text) => {
      const json: Json = JSON.parse(JSON.stringify([value, other, text, { [text]: text }]));
      const written = await audit.record({ entry: { actor: OPERATOR, action: "a", target: "t", before: json, after: { x: json }, reason }, charge: null });
      const [read] = (await audit.list({ ...ANY, limit: 1 })).items;
      expect(read).toEqual(written);
    }), { numRuns: 50 });
    expect(await audit.verify()).toMatchObject({ valid: true });
  });
}

/** Text columns and what another text in each means. */
const TEXTS = ["actor", "address", "action", "target", "before", "after", "reason", "request_id", "correlation_id", "prev_hash", "hash"] as const;

function walks(chain: () => Chain, opened: () => OpenDatabase): void {
  const filled = async (records: number): Promise<SqlAuditLog> => {
    const { audit, append } = chain();
    for (let i = 1; i <= records; i++) await append(`action.${i}`, `target ${i}`, { value: i, text: "some \u00e9" });
    return audit;
  };
  const run = (text: string) => opened().database.run((db) => sql.raw(text).execute(db));

  it("finds nothing wrong with an empty chain, and with one that is as it was written", async () => {
    expect(await chain().audit.verify()).toEqual({ valid: true, records: 0, head: "0".repeat(64) });
    const audit = await filled(5);
    const { hash } = await audit.head();
    expect(await audit.verify()).toEqual({ valid: true, records: 5, head: hash });
  });

  it("walks more than one page, and goes on while others append", async () => {
    const { audit, append } = chain();
    for (let i = 0; i < 1005; i++) await append("a", "t");
    const [verdict] = await Promise.all([audit.verify(), append("a", "t"), append("a", "t")]);
    expect(verdict.valid).toBe(true);
    await run("update audit set target = 'u' where n = 1003");
    expect(await audit.verify()).toMatchObject({ valid: false, broken: 1003, records: 1002 });
  });

  it("finds any one character changed in any text of any record, and names the record", async () => {
    const audit = await filled(6);
    await fc.assert(fc.asyncProperty(fc.constantFrom(...TEXTS), fc.integer({ min: 1, max: 6 }), fc.nat(), fc.constantFrom("~", " ", "0", "\u00e8"), async (column, n, where, character) => {
      const { rows: [row] } = await opened().database.run((db) => sql<{ text: string | null }>`select ${sql.ref(column)} as text from audit where n = ${String(n)}`.execute(db));
      const before = row?.text ?? null;
      const at = where % ((before?.length ?? 0) + 1);
      const after = before === null ? character : before.slice(0, at) + character + before.slice(at + 1);
      fc.pre(after !== before);
      const write = (text: string | null) => opened().database.run((db) => sql`update audit set ${sql.ref(column)} = ${text} where n = ${String(n)}`.execute(db));
      await write(after);
      const verdict = await audit.verify();
      await write(before);
      expect(verdict).toMatchObject({ valid: false, broken: n, records: n - 1 });
    }), { numRuns: 120 });
    expect((await audit.verify()).valid).toBe(true);
  });

  it("finds another time, a missing record at any place, and one too many", async () => {
    for (const [tampering, broken] of [
      ["update audit set time = time + 1 where n = 3", 3], ["delete from audit where n = 1", 1], ["delete from audit where n = 4", 4], ["delete from audit where n = 6", 6],
      ["insert into audit select 9, time, actor, address, action, target, before, after, reason, request_id, correlation_id, hash, 'h' from audit where n = 6", 9],
      ["update audit set n = 60 where n = 6", 6], ["update audit_head set hash = repeat('a', 64)", 6], ["update audit_head set n = 5, hash = (select hash from audit where n = 5)", 6],
      ["update audit set before = ' ' || before where n = 2", 2], ["update audit set after = 'no json' where n = 5", 5], ["update audit set reason = '' where n = 2", 2],
    ] as const) {
      await emptied(opened());
      const audit = await filled(6);
      await run(tampering);
      expect(await audit.verify(), tampering).toMatchObject({ valid: false, broken });
    }
  });
}

function budgets(opened: () => OpenDatabase): void {
  it("shows what is left without using it", async () => {
    const clock = new FakeClock(START);
    const audit = new SqlAuditLog(opened().database, clock);
    const charge = { owner: "k", name: "admin.write", max: 2, windowMs: 10_000 };
    const use = () => audit.record({ entry: { actor: OPERATOR, action: "a", target: "t", before: null, after: null, reason: null }, charge });
    expect(await audit.remaining(charge)).toEqual({ remaining: 2, resetMs: 10_000 });
    await use();
    clock.advance(4_000);
    expect(await audit.remaining(charge)).toEqual({ remaining: 1, resetMs: 6_000 });
    await use();
    await expect(use()).rejects.toMatchObject({ status: 429, retryAfterS: 6, budget: { name: "admin.write", max: 2, windowMs: 10_000, resetMs: 6_000 } });
    expect(await audit.head()).toMatchObject({ n: 2 });
    clock.advance(6_000);
    expect(await audit.remaining(charge)).toEqual({ remaining: 2, resetMs: 10_000 });
  });

  it("is exact when 40 changes come at once", async () => {
    const audit = new SqlAuditLog(opened().database, new FakeClock(START));
    const charge = { owner: "k", name: "admin.write", max: 5, windowMs: 10_000 };
    const outcomes = await Promise.allSettled(Array.from({ length: 40 }, () => audit.record({ entry: { actor: OPERATOR, action: "a", target: "t", before: null, after: null, reason: null }, charge })));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
    expect(await audit.verify()).toMatchObject({ valid: true, records: 5 });
  });
}

async function emptied({ database }: OpenDatabase): Promise<void> {
  await database.run(async (db) => {
    await db.deleteFrom("audit").execute();
    await db.deleteFrom("budgets").execute();
    await db.updateTable("audit_head").set({ n: "0", hash: "0".repeat(64) }).execute();
  });
}
