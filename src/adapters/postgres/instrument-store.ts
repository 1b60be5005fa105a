/**
 * The venues' instrument lists in SQL: one row an instrument, one row a venue for when it was asked, one row a change.
 */
import { sql } from "kysely";
import { micros, type Micros } from "../../core/time.ts";
import { type Instrument, instrumentId } from "../../market/instrument.ts";
import { price, quantity } from "../../market/price.ts";
import type { InstrumentChange, InstrumentChangeKind, InstrumentStore, ListRefresh, ListUpdate, RegisteredInstrument } from "../../ports/storage.ts";
import type { Database } from "./database.ts";

/** Changes that are kept, newest first. */
export const CHANGES_MAX = 10_000;

export class SqlInstrumentStore implements InstrumentStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async list(): Promise<readonly RegisteredInstrument[]> {
    const rows = await this.#database.run((db) => db.selectFrom("instruments").selectAll().orderBy("id").execute());
    return rows.map((row) => ({ instrument: instrumentOf(row.id, row.definition), delistedAt: row.delisted_at === null ? null : timeOf(row.delisted_at) }));
  }

  async refreshes(): Promise<readonly ListRefresh[]> {
    const rows = await this.#database.run((db) => db.selectFrom("instrument_refreshes").selectAll().orderBy("venue").execute());
    return rows.map((row) => ({
      venue: row.venue, refreshedAt: row.refreshed_at === null ? null : timeOf(row.refreshed_at), attemptedAt: timeOf(row.attempted_at),
      failure: row.failure, count: row.count,
    }));
  }

  async changes(limit: number): Promise<readonly InstrumentChange[]> {
    const rows = await this.#database.run((db) => db.selectFrom("instrument_changes").selectAll().orderBy("time", "desc").orderBy("id").orderBy("kind").limit(limit).execute());
    return rows.map((row) => ({ kind: kindOf(row.kind), id: row.id, members: row.members === "" ? [] : row.members.split(","), time: timeOf(row.time) }));
  }

  async save({ refresh, instruments, changes }: ListUpdate): Promise<void> {
    const { venue, refreshedAt, attemptedAt, failure, count } = refresh;
    await this.#database.transaction(async (trx) => {
      const values = { refreshed_at: refreshedAt === null ? null : String(refreshedAt), attempted_at: String(attemptedAt), failure, count };
      await trx.insertInto("instrument_refreshes").values({ venue, ...values }).onConflict((conflict) => conflict.column("venue").doUpdateSet(values)).execute();
      if (instruments.length > 0) {
        await sql`insert into instruments (id, venue, definition, delisted_at)
          select * from unnest(
            ${instruments.map((each) => each.instrument.id)}::text[], ${instruments.map((each) => each.instrument.venue)}::text[],
            ${instruments.map((each) => JSON.stringify(each.instrument))}::text[], ${instruments.map((each) => (each.delistedAt === null ? null : String(each.delistedAt)))}::bigint[])
          on conflict (id) do update set venue = excluded.venue, definition = excluded.definition, delisted_at = excluded.delisted_at`.execute(trx);
      }
      if (changes.length === 0) return;
      await sql`insert into instrument_changes (id, kind, members, time)
        select * from unnest(
          ${changes.map((each) => each.id)}::text[], ${changes.map((each) => each.kind)}::text[], ${changes.map((each) => each.members.join(","))}::text[],
          ${changes.map((each) => String(each.time))}::bigint[])
        on conflict do nothing`.execute(trx);
      await sql`delete from instrument_changes where time < (select time from instrument_changes order by time desc offset ${CHANGES_MAX - 1} limit 1)`.execute(trx);
    });
  }

  async forget(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.#database.run((db) => sql`delete from instruments where id = any(${[...ids]}::text[])`.execute(db));
  }
}

function timeOf(text: string): Micros {
  return micros(Number(text));
}

function kindOf(text: string): InstrumentChangeKind {
  if (text === "listed" || text === "delisted" || text === "changed") return text;
  throw new TypeError(`instrument_changes: expected listed, delisted or changed, found "${text}"`);
}

/** @throws {TypeError} when the text is not what `save` wrote: somebody else did. */
function instrumentOf(id: string, text: string): Instrument {
  const read: unknown = JSON.parse(text);
  if (typeof read !== "object" || read === null) throw new TypeError(`instruments: expected an object as the definition of ${id}, found ${typeof read}`);
  const member = (name: string): unknown => Reflect.get(read, name);
  const words = (name: string): string => {
    const value = member(name);
    if (typeof value !== "string") throw new TypeError(`instruments: expected text as ${name} of ${id}, found ${typeof value}`);
    return value;
  };
  const number = (name: string): number => {
    const value = member(name);
    if (typeof value !== "number" || !Number.isSafeInteger(value)) throw new TypeError(`instruments: expected a whole number as ${name} of ${id}, found ${String(value)}`);
    return value;
  };
  const state = words("state");
  if (state !== "active" && state !== "halted" && state !== "inactive") throw new TypeError(`instruments: expected a state of ${id}, found "${state}"`);
  return {
    id: instrumentId(words("venue"), words("symbol")), venue: words("venue"), symbol: words("symbol"), native: words("native"), state,
    priceScale: number("priceScale"), sizeScale: number("sizeScale"), tickSize: price(number("tickSize")), lotSize: quantity(number("lotSize")),
    simulated: member("simulated") === true, mayCross: member("mayCross") === true, timeBase: member("timeBase") === "event" ? "event" : "wall",
  };
}
