/**
 * `kill -9` in the middle of batches of orders, with a broker that fails: afterwards every batch comes to an end, and its report
 * is what the broker's own books say. Many more runs: `npm run crash:orders -- --runs N`.
 */
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { newServerDatabase } from "../support/server-database.ts";
import { type CrashBroker, CrashSession } from "../load/orders-crash-run.ts";

const TIMEOUT_MS = 240_000;

/** Faults of the runs, with what the processes wrote. */
async function faultsOf(broker: CrashBroker, databaseUrl: string | null, seeds: readonly number[]): Promise<readonly string[]> {
  const session = await CrashSession.open({ broker, databaseUrl });
  onTestFinished(() => session.close());
  const found: string[] = [];
  for (const seed of seeds) {
    const { faults } = await session.run(seed, String(seed));
    found.push(...faults.map(({ kind, what }) => `seed ${seed}: ${kind}: ${what}\n${session.output}`));
  }
  return found;
}

describe("on the embedded database", () => {
  it("loses nothing and executes nothing twice at a broker that takes ids again", async () => {
    expect(await faultsOf("ccxt", null, [2, 3])).toEqual([]);
  }, TIMEOUT_MS);
});

describe.skipIf(inject("postgres") === "")("on a real Postgres", () => {
  it("loses nothing and executes nothing twice at a broker that takes an id once", async () => {
    const { url, drop } = await newServerDatabase(inject("postgres"));
    onTestFinished(drop);
    expect(await faultsOf("alpaca", url, [100, 102])).toEqual([]);
  }, TIMEOUT_MS);
});
