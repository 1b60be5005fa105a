/**
 * The database behind one door: Kysely over pg or the embedded pool, migrated, every use under a deadline and a breaker.
 *
 * Owns: the pool. A database that is away or silent shows as StoreError within `timeoutMs`; the stream does not notice.
 */
import { Kysely, PostgresDialect, type PostgresPool, sql, type Transaction } from "kysely";
import { Migrator } from "kysely/migration";
import pg from "pg";
import type { Clock } from "../../core/clock.ts";
import type { Component } from "../../core/component.ts";
import { AppError, messageOf, ResourceError, StoreError } from "../../core/errors.ts";
import type { Breaker } from "../../ports/breakers.ts";
import { EmbeddedPool } from "./embedded-pool.ts";
import * as m0001 from "./migrations/0001-control-plane.ts";
import * as m0002 from "./migrations/0002-trading.ts";
import * as m0003 from "./migrations/0003-paper.ts";
import type { Tables } from "./tables.ts";

const MIGRATIONS = { "0001-control-plane": m0001, "0002-trading": m0002, "0003-paper": m0003 };

export interface DatabaseDeps {
  /** Opens the pool, at the start. */
  readonly open: () => Promise<PostgresPool>;
  readonly clock: Clock;
  readonly breaker: Breaker;
  /** Milliseconds that one use may take. */
  readonly timeoutMs: number;
}

/** A pool of a Postgres server. Idle connections that break are replaced; their errors must have a listener. */
export function serverPool(url: string, timeoutMs: number, connectionsMax: number): PostgresPool {
  const pool = new pg.Pool({
    connectionString: url, max: connectionsMax, connectionTimeoutMillis: timeoutMs, query_timeout: timeoutMs, statement_timeout: timeoutMs,
    idle_in_transaction_session_timeout: timeoutMs * 2, keepAlive: true, application_name: "ticker-service",
  });
  pool.on("error", () => undefined);
  // One that is in use and breaks between two statements tells nobody else: without a listener the process ends.
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/** The embedded database in a folder, which must be locked. */
export function embeddedPool(folder: string, clock: Clock): Promise<PostgresPool> {
  return EmbeddedPool.open(folder, clock);
}

export class Database implements Component {
  readonly name = "database";
  readonly #deps: DatabaseDeps;
  #db: Kysely<Tables> | null = null;

  constructor(deps: DatabaseDeps) {
    this.#deps = deps;
  }

  /** Opens and migrates. @throws {ResourceError} when the database cannot be reached or used. */
  async start(): Promise<void> {
    const pool = await this.#deps.open();
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    this.#db = db;
    const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(MIGRATIONS) } });
    const { error } = await migrator.migrateToLatest();
    if (error !== undefined) throw new ResourceError(`the database cannot be used: ${messageOf(error)}; check DATABASE_URL and that its user may create tables`, { cause: error });
  }

  async stop(): Promise<void> {
    const db = this.#db;
    this.#db = null;
    await db?.destroy();
  }

  /** Runs statements. @throws {StoreError} when the database is away, silent, or its breaker is open; other AppErrors pass through. */
  run<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    return this.#guarded(() => work(this.#open()));
  }

  /** Runs statements in one transaction, serialised by whatever rows they lock. After a StoreError nobody knows whether it took place. */
  transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.#guarded(() => this.#open().transaction().execute(work));
  }

  /** For health: one statement. */
  async ping(): Promise<void> {
    await this.run((db) => sql`select 1`.execute(db));
  }

  #open(): Kysely<Tables> {
    if (this.#db === null) throw new StoreError("the database is not open");
    return this.#db;
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    const { breaker, clock, timeoutMs } = this.#deps;
    return breaker.run(() => new Promise<T>((resolve, reject) => {
      const late = clock.after(timeoutMs, () => reject(new StoreError(`the database did not answer within ${timeoutMs} ms`)));
      work().then(resolve, (error: unknown) => reject(asStoreError(error))).finally(() => late.stop());
    }));
  }
}

/** SQLSTATE classes that are about our statement, not about the server: 22 data, 23 integrity, 42 syntax. */
const OURS = /^(22|23|42)/;

function asStoreError(error: unknown): unknown {
  if (error instanceof AppError || error instanceof TypeError || error instanceof RangeError) return error;
  const code = typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : "";
  if (OURS.test(code)) return error;
  return new StoreError(`the database is away: ${messageOf(error)}`, { cause: error });
}
