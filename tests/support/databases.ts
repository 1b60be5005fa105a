/**
 * A fresh, migrated database for one test file: the embedded one in a folder of its own, and a real Postgres where there is one.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, inject } from "vitest";
import { Database, embeddedPool, serverPool } from "../../src/adapters/postgres/database.ts";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { newDataFolder } from "./data-folder.ts";
import { NO_BREAKER } from "./no-breaker.ts";
import { newServerDatabase } from "./server-database.ts";

export interface OpenDatabase {
  readonly database: Database;
  /** Ends the database and removes it. */
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;

/** Opens an embedded database. */
export async function openEmbedded(clock: Clock = systemClock): Promise<OpenDatabase> {
  const folder = newDataFolder("ticker-database-");
  const database = new Database({ open: () => embeddedPool(join(folder, "postgres"), systemClock), clock, breaker: NO_BREAKER, timeoutMs: TIMEOUT_MS });
  await database.start();
  return {
    database,
    close: async () => {
      await database.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Opens a database of its own on a real server. */
export async function openServer(serverUrl: string, clock: Clock = systemClock): Promise<OpenDatabase> {
  const { url, drop } = await newServerDatabase(serverUrl);
  const database = new Database({ open: () => Promise.resolve(serverPool(url, TIMEOUT_MS, 10)), clock, breaker: NO_BREAKER, timeoutMs: TIMEOUT_MS });
  await database.start();
  return {
    database,
    close: async () => {
      await database.stop();
      await drop();
    },
  };
}

/** One suite for both databases; that of Postgres is skipped, and counted so, where there is none. */
export function forEachDatabase(suite: (name: string, open: (clock?: Clock) => Promise<OpenDatabase>) => void): void {
  describe("on the embedded database", () => {
    suite("embedded", openEmbedded);
  });
  const server = inject("postgres");
  describe.skipIf(server === "")("on a real Postgres", () => {
    suite("postgres", (clock) => openServer(server, clock));
  });
}
