/**
 * The log of runtime settings in SQL: a row per revision, written in one transaction with its audit record.
 */
import type { Clock } from "../../core/clock.ts";
import { PreconditionError } from "../../core/errors.ts";
import { micros } from "../../core/time.ts";
import type { Audited, Json } from "../../ports/audit.ts";
import type { SettingsLog, SettingsRevision } from "../../ports/settings-log.ts";
import { append, canonical, lockHead } from "./audit-chain.ts";
import type { Database } from "./database.ts";
import type { SettingsTable } from "./tables.ts";

const NOTHING_CHANGED: SettingsRevision = { revision: 0, overrides: {}, updatedBy: null, updatedAt: null };

export class SqlSettingsLog implements SettingsLog {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async newest(): Promise<SettingsRevision> {
    const row = await this.#database.run((db) => db.selectFrom("settings").selectAll().orderBy("revision", "desc").limit(1).executeTakeFirst());
    return row === undefined ? NOTHING_CHANGED : revisionOf(row);
  }

  async at(revision: number): Promise<SettingsRevision | null> {
    if (revision === 0) return NOTHING_CHANGED;
    const row = await this.#database.run((db) => db.selectFrom("settings").selectAll().where("revision", "=", revision).executeTakeFirst());
    return row === undefined ? null : revisionOf(row);
  }

  append(expected: number, overrides: Readonly<Record<string, Json>>, change: Audited): Promise<SettingsRevision> {
    return this.#database.transaction(async (trx) => {
      // Behind the lock nobody else appends; and whoever is late is told so before the budget is looked at.
      await lockHead(trx);
      const newest = await trx.selectFrom("settings").select((e) => e.fn.max("revision").as("revision")).executeTakeFirst();
      const found = newest?.revision ?? 0;
      if (found !== expected) throw new PreconditionError(412, `expected revision ${expected}, the newest is ${found}: read it, and decide anew`);
      const record = await append(trx, change, this.#clock.nowMicros());
      const row: SettingsTable = { revision: expected + 1, overrides: canonical(overrides), updated_by: record.actor, updated_at: String(record.time), audit_n: String(record.n) };
      await trx.insertInto("settings").values(row).execute();
      return revisionOf(row);
    });
  }
}

function revisionOf(row: SettingsTable): SettingsRevision {
  return { revision: row.revision, overrides: JSON.parse(row.overrides), updatedBy: row.updated_by, updatedAt: micros(Number(row.updated_at)) };
}
