/**
 * Closed bars in SQL: many at once in, pages by start and symbol out.
 */
import { type SqlBool, sql } from "kysely";
import { type Micros, micros } from "../../core/time.ts";
import type { BarQuery, BarStore, StoredBar } from "../../ports/storage.ts";
import type { Database } from "./database.ts";
import type { BarsTable } from "./tables.ts";

/** Rows that one statement removes: others get their turn in between. */
const PRUNE_ROWS = 10_000;

export class SqlBarStore implements BarStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async put(bars: readonly StoredBar[]): Promise<void> {
    const rows = onceEach(bars);
    if (rows.length === 0) return;
    const column = (of: (bar: StoredBar) => string): string[] => rows.map(of);
    await this.#database.run((db) => sql`
      insert into bars (symbol, interval, start, open, high, low, close, volume, vwap, trades)
      select * from unnest(
        ${column((b) => b.symbol)}::text[], ${column((b) => b.interval)}::text[], ${column((b) => String(b.start))}::bigint[],
        ${column((b) => b.open)}::text[], ${column((b) => b.high)}::text[], ${column((b) => b.low)}::text[], ${column((b) => b.close)}::text[],
        ${column((b) => b.volume)}::text[], ${column((b) => b.vwap)}::text[], ${column((b) => String(b.trades))}::integer[])
      on conflict (symbol, interval, start) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, vwap = excluded.vwap, trades = excluded.trades
      where excluded.trades >= bars.trades`.execute(db));
  }

  async query({ symbols, interval, from, to, limit, after }: BarQuery): Promise<readonly StoredBar[]> {
    const rows = await this.#database.run((db) => {
      let bars = db.selectFrom("bars").selectAll().where("interval", "=", interval);
      if (symbols.length > 0) bars = bars.where("symbol", "in", symbols);
      if (from !== null) bars = bars.where("start", ">=", String(from));
      if (to !== null) bars = bars.where("start", "<", String(to));
      if (after !== null) bars = bars.where(sql<SqlBool>`(start, symbol) > (${String(after.start)}::bigint, ${after.symbol}::text)`);
      return bars.orderBy("start").orderBy("symbol").limit(limit).execute();
    });
    return rows.map(barOf);
  }

  async hasAny(symbols: readonly string[]): Promise<boolean> {
    if (symbols.length === 0) return false;
    const found = await this.#database.run((db) => db.selectFrom("bars").select("symbol").where("symbol", "in", symbols).limit(1).executeTakeFirst());
    return found !== undefined;
  }

  async prune(interval: string, before: Micros): Promise<number> {
    for (let removed = 0; ;) {
      const { numAffectedRows } = await this.#database.run((db) => sql`
        delete from bars where ctid = any (array(
          select ctid from bars where interval = ${interval} and start < ${String(before)}::bigint limit ${PRUNE_ROWS}))`.execute(db));
      removed += Number(numAffectedRows ?? 0n);
      if (Number(numAffectedRows ?? 0n) < PRUNE_ROWS) return removed;
    }
  }
}

/** One statement cannot change a row twice: of the same bar the last with the most trades stays. */
function onceEach(bars: readonly StoredBar[]): StoredBar[] {
  const kept = new Map<string, StoredBar>();
  for (const bar of bars) {
    const key = `${bar.symbol} ${bar.interval} ${bar.start}`;
    const before = kept.get(key);
    if (before === undefined || bar.trades >= before.trades) kept.set(key, bar);
  }
  return [...kept.values()];
}

function barOf(row: BarsTable): StoredBar {
  return { ...row, start: micros(Number(row.start)) };
}
