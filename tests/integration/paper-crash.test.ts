/**
 * The paper broker killed at any moment: what anybody was told is in the ledger, and its books balance.
 */
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { Database, embeddedPool, serverPool } from "../../src/adapters/postgres/database.ts";
import { systemClock } from "../../src/core/clock.ts";
import { newDataFolder } from "../support/data-folder.ts";
import { newServerDatabase } from "../support/server-database.ts";
import { NO_BREAKER } from "../support/no-breaker.ts";
import { BTC, exact, paperRig } from "../support/paper-market.ts";

const CHILD = fileURLToPath(new URL("../support/paper-crash-child.ts", import.meta.url));
const OPEN = ["accepted", "partially_filled"];

interface Place {
  readonly folder: string;
  readonly url: string;
}

/** Trades until so many lines were told, then kills; answers what was told last of each order. */
async function killedAfter(lines: number, { folder, url }: Place): Promise<Map<string, { readonly state: string; readonly filled: string }>> {
  const child = spawn(process.execPath, [CHILD, folder, url], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const told = new Map<string, { state: string; filled: string }>();
  let count = 0;
  for await (const line of createInterface(child.stdout)) {
    const [id = "", state = "", filled = ""] = line.split(" ");
    told.set(id, { state, filled });
    if (++count === lines) child.kill("SIGKILL");
  }
  expect(count).toBeGreaterThanOrEqual(lines);
  return told;
}

/** Answers how many orders were told of. */
async function agrees({ folder, url }: Place, told: ReadonlyMap<string, { readonly state: string; readonly filled: string }>): Promise<number> {
  const database = new Database({
    open: () => (url === "" ? embeddedPool(join(folder, "postgres"), systemClock) : Promise.resolve(serverPool(url, 10_000, 4))), clock: systemClock, breaker: NO_BREAKER, timeoutMs: 10_000,
  });
  await database.start();
  onTestFinished(() => database.stop());
  const { broker, market } = paperRig({ database }, systemClock);
  market.book(BTC, [], []);
  await broker.start();
  for (const [clientOrderId, { state, filled }] of told) {
    const outcome = await broker.find({ owner: clientOrderId.split("-")[0] ?? "", clientOrderId });
    if (outcome.type !== "found") throw new Error(`${clientOrderId} was told and is ${outcome.type}`);
    if (!OPEN.includes(state)) expect(outcome.order).toMatchObject({ state, filled });
    expect(exact(outcome.order.filled) >= exact(filled)).toBe(true);
  }
  const { orders, fills } = await database.run(async (db) => ({ orders: await db.selectFrom("paper_orders").selectAll().execute(), fills: await db.selectFrom("paper_fills").selectAll().execute() }));
  for (const owner of ["ann", "bob", "eve"]) {
    let cash = exact("1000000", 36);
    let held = 0n;
    for (const order of orders.filter((each) => each.owner === owner)) {
      const own = fills.filter(({ order_number: number }) => number === order.number);
      expect(own.reduce((sum, fill) => sum + exact(fill.quantity), 0n)).toBe(exact(order.filled));
      const sign = order.side === "buy" ? 1n : -1n;
      for (const fill of own) {
        cash -= sign * exact(fill.price) * exact(fill.quantity) * 10n ** 6n + exact(fill.fee, 36);
        held += sign * exact(fill.quantity);
      }
    }
    const { balances } = await broker.account(owner);
    expect(balances.map(({ total }) => exact(total, 36))).toEqual([cash]);
    expect((await broker.positions(owner)).reduce((sum, { quantity }) => sum + exact(quantity), 0n)).toBe(held);
  }
  await broker.stop();
  await database.stop();
  return told.size;
}

const KILLS = [1, 40, 150];

describe("a paper broker that is killed while it trades", () => {
  it("agrees on the embedded database with all that was told, kill after kill", { timeout: 120_000 }, async () => {
    const folder = newDataFolder("ticker-paper-crash-");
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    for (const lines of KILLS) expect(await agrees({ folder, url: "" }, await killedAfter(lines, { folder, url: "" }))).toBeGreaterThan(0);
  });

  it.skipIf(inject("postgres") === "")("agrees on a real Postgres", { timeout: 120_000 }, async () => {
    const { url, drop } = await newServerDatabase(inject("postgres"));
    onTestFinished(drop);
    for (const lines of KILLS) expect(await agrees({ folder: "", url }, await killedAfter(lines, { folder: "", url }))).toBeGreaterThan(0);
  });
});
