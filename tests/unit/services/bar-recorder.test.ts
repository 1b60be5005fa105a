/**
 * Bars on their way to the database: batches, a database that is away, the limit on both sides, age.
 */
import { describe, expect, it } from "vitest";
import { StoreError } from "../../../src/core/errors.ts";
import { micros, type Micros } from "../../../src/core/time.ts";
import type { BarQuery, BarStore, StoredBar } from "../../../src/ports/storage.ts";
import { BarRecorder, type BarRecorderOptions } from "../../../src/services/bar-recorder.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog } from "../../support/silent-log.ts";

const HOUR_MS = 3_600_000;
const KEEP = { "1s": HOUR_MS, "1m": 2 * HOUR_MS, "5m": 3 * HOUR_MS, "15m": 4 * HOUR_MS, "1h": 5 * HOUR_MS, "1d": 6 * HOUR_MS };
const bar = (n: number): StoredBar => ({ symbol: "t:A", interval: "1s", start: micros(n), open: "1", high: "1", low: "1", close: "1", volume: "1", vwap: "1.0000", trades: 1 });

/** A database in memory that can be away. */
class Shelf implements BarStore {
  readonly batches: (readonly StoredBar[])[] = [];
  readonly pruned: [string, number][] = [];
  failure: Error | null = null;

  async put(bars: readonly StoredBar[]): Promise<void> {
    if (this.failure) throw this.failure;
    this.batches.push(bars);
  }

  query(_query: BarQuery): Promise<readonly StoredBar[]> {
    return Promise.resolve([]);
  }

  hasAny(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async prune(interval: string, before: Micros): Promise<number> {
    if (this.failure) throw this.failure;
    this.pruned.push([interval, before]);
    return 2;
  }

  get starts(): number[] {
    return this.batches.flat().map(({ start }) => start);
  }
}

async function start(options: Partial<BarRecorderOptions> = {}) {
  const clock = new FakeClock();
  const store = new Shelf();
  const log = new KeepingLog();
  const recorder = new BarRecorder({ store, clock, log, pendingMax: 10, writeMs: 1_000, pruneMs: 600_000, keepMs: KEEP, ...options });
  await recorder.start();
  await expect.poll(() => store.pruned.length, { interval: 1 }).toBe(6);
  const sample = (name: string) => recorder.samples().find((s) => s.name === `ticker_bars_${name}`)?.value;
  const pass = async (ms: number) => {
    clock.advance(ms);
    await recorder.write();
  };
  return { clock, store, log, recorder, sample, pass };
}

describe("closed bars", () => {
  it("are written once a second, all that came", async () => {
    const { store, recorder, pass, sample } = await start();
    for (let i = 0; i < 3; i++) recorder.keep(bar(i));
    expect(store.batches).toEqual([]);
    await pass(1_000);
    expect(store.batches).toHaveLength(1);
    expect([store.starts, sample("written_total"), sample("pending")]).toEqual([[0, 1, 2], 3, 0]);
    await pass(1_000);
    expect(store.batches).toHaveLength(1);
  });

  it("wait while the database is away, are written when it is back, and both are said once", async () => {
    const { store, recorder, pass, log, sample } = await start();
    recorder.keep(bar(0));
    store.failure = new StoreError("the database is away: refused");
    await pass(1_000);
    recorder.keep(bar(1));
    await pass(3_000);
    expect([store.starts, sample("pending"), sample("dropped_total")]).toEqual([[], 2, 0]);
    store.failure = null;
    await pass(1_000);
    expect(store.starts).toEqual([0, 1]);
    expect(log.lines.map(({ level, message }) => `${level} ${message}`)).toEqual(["warn bars wait: the database is away", "info bars are written again"]);
  });

  it("wait up to the limit; beyond it the oldest go, counted", async () => {
    const { store, recorder, pass, sample } = await start();
    store.failure = new StoreError("away");
    for (let i = 0; i < 10; i++) recorder.keep(bar(i));
    await pass(1_000);
    expect([sample("pending"), sample("dropped_total")]).toEqual([10, 0]);
    recorder.keep(bar(10));
    recorder.keep(bar(11));
    await pass(1_000);
    expect([sample("pending"), sample("dropped_total")]).toEqual([10, 2]);
    store.failure = null;
    await pass(1_000);
    expect(store.starts).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it("come in batches of two thousand", async () => {
    const { store, recorder, pass } = await start({ pendingMax: 10_000 });
    for (let i = 0; i < 4_001; i++) recorder.keep(bar(i));
    await pass(1_000);
    expect(store.batches.map((batch) => batch.length)).toEqual([2_000, 2_000, 1]);
  });

  it("that the database will never take do not hold up the others", async () => {
    const { store, recorder, pass, log, sample } = await start();
    store.failure = new Error("invalid input syntax");
    recorder.keep(bar(0));
    await pass(1_000);
    store.failure = null;
    recorder.keep(bar(1));
    await pass(1_000);
    expect([store.starts, sample("refused_total"), sample("pending")]).toEqual([[1], 1, 0]);
    expect(log.lines).toMatchObject([{ level: "error", fields: { bars: 1 } }]);
  });

  it("that still wait are written at the stop; what cannot be is counted", async () => {
    const { store, recorder } = await start();
    recorder.keep(bar(0));
    await recorder.stop();
    expect(store.starts).toEqual([0]);
    const away = await start();
    away.store.failure = new StoreError("away");
    away.recorder.keep(bar(0));
    await away.recorder.stop();
    expect([away.sample("dropped_total"), away.sample("pending")]).toEqual([1, 0]);
  });
});

it("removes bars at the start and then every ten minutes, each interval by its own age", async () => {
  const { clock, store, recorder, sample, log } = await start();
  const now = clock.nowMicros();
  expect([store.pruned[0], store.pruned[5]]).toEqual([["1s", now - HOUR_MS * 1000], ["1d", now - 6 * HOUR_MS * 1000]]);
  store.failure = new StoreError("away");
  await recorder.prune();
  expect([sample("pruned_total"), sample("prune_failures_total"), log.lines.length]).toEqual([12, 1, 1]);
  store.failure = null;
  clock.advance(600_000);
  await expect.poll(() => store.pruned.length).toBe(12);
});
