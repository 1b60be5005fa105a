/**
 * The stores of instrument lists and of subscriptions, on both databases.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { CHANGES_MAX, SqlInstrumentStore } from "../../src/adapters/postgres/instrument-store.ts";
import { SqlSubscriptionStore } from "../../src/adapters/postgres/subscription-store.ts";
import { type Micros, micros } from "../../src/core/time.ts";
import { assumedInstrument } from "../../src/feeds/instrument-set.ts";
import type { InstrumentChange, RegisteredInstrument } from "../../src/ports/storage.ts";
import { CLI } from "../../src/services/admin-charge.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { FakeClock } from "../support/fake-clock.ts";

const listed = (venue: string, symbol: string, delistedAt: Micros | null = null): RegisteredInstrument =>
  ({ instrument: { ...assumedInstrument(venue, symbol, symbol.replace("-", "")), state: delistedAt === null ? "active" : "inactive" }, delistedAt });
const change = (n: number, kind: InstrumentChange["kind"] = "listed"): InstrumentChange => ({ kind, id: `v:C${n}`, members: kind === "changed" ? ["tick_size", "state"] : [], time: micros(1_000_000 + n) });
const worked = (venue: string, at: number, count: number) => ({ venue, refreshedAt: micros(at), attemptedAt: micros(at), failure: null, count });
const audited = (action: string, target: string) => ({ entry: { actor: CLI, action, target, before: null, after: null, reason: null }, charge: null });

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());

  it("keeps instruments exactly, by id, with when they were delisted", async () => {
    const store = new SqlInstrumentStore(opened.database);
    const first = [listed("coinbase", "ETH-USD"), listed("coinbase", "BTC-USD")];
    await store.save({ refresh: worked("coinbase", 10, 2), instruments: first, changes: [] });
    expect(await store.list()).toEqual(first.toReversed());
    const gone = listed("coinbase", "ETH-USD", micros(20));
    await store.save({ refresh: worked("coinbase", 20, 1), instruments: [gone], changes: [] });
    expect(await store.list()).toEqual([first[1], gone]);
    await store.forget([gone.instrument.id]);
    await store.forget([]);
    expect(await store.list()).toEqual([first[1]]);
  });

  it("keeps of each venue when it was asked and why it failed", async () => {
    const store = new SqlInstrumentStore(opened.database);
    await store.save({ refresh: worked("binance", 10, 5), instruments: [], changes: [] });
    await store.save({ refresh: { venue: "kraken", refreshedAt: null, attemptedAt: micros(11), failure: "away", count: 0 }, instruments: [], changes: [] });
    await store.save({ refresh: { ...worked("binance", 10, 5), attemptedAt: micros(30), failure: "busy" }, instruments: [], changes: [] });
    expect((await store.refreshes()).filter(({ venue }) => venue !== "coinbase")).toEqual([
      { venue: "binance", refreshedAt: 10, attemptedAt: 30, failure: "busy", count: 5 }, { venue: "kraken", refreshedAt: null, attemptedAt: 11, failure: "away", count: 0 },
    ]);
  });

  it("keeps changes newest first, the same ones once, and as many as the limit", async () => {
    const store = new SqlInstrumentStore(opened.database);
    const three = [change(1), change(2, "changed"), change(3, "delisted")];
    for (let again = 0; again < 2; again++) await store.save({ refresh: worked("v", 10, 0), instruments: [], changes: three });
    expect(await store.changes(10)).toEqual(three.toReversed());
    expect(await store.changes(1)).toEqual([three[2]]);
    await store.save({ refresh: worked("v", 11, 0), instruments: [], changes: Array.from({ length: CHANGES_MAX }, (_, i) => change(10 + i)) });
    const kept = await store.changes(CHANGES_MAX + 10);
    expect(kept).toHaveLength(CHANGES_MAX);
    expect(kept.at(-1)?.id).toBe("v:C10");
  });

  it("changes nothing when a part of it fails", async () => {
    const store = new SqlInstrumentStore(opened.database);
    const before = await store.list();
    await expect(store.save({ refresh: { ...worked("x", 1, 0), count: Number.NaN }, instruments: [listed("x", "A-B")], changes: [] })).rejects.toThrow();
    expect(await store.list()).toEqual(before);
  });
});

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());

  it("keeps subscriptions with their audit records, and removes each once", async () => {
    const store = new SqlSubscriptionStore(opened.database, new FakeClock());
    const actions = () => opened.database.run((db) => db.selectFrom("audit").select(["action", "target"]).orderBy("n").execute());
    const one = { id: "sub_1", symbols: ["a:X-Y", "b:Z"], channels: ["trades", "status"] as const, owner: "key_1", createdAt: micros(5) };
    await store.add(one, audited("subscription.created", one.id));
    await expect(store.add(one, audited("subscription.created", one.id))).rejects.toThrow();
    expect(await store.list()).toEqual([one]);
    expect(await store.remove("sub_2", audited("subscription.removed", "sub_2"))).toBe(false);
    expect(await store.remove(one.id, audited("subscription.removed", one.id))).toBe(true);
    expect(await store.remove(one.id, audited("subscription.removed", one.id))).toBe(false);
    expect(await store.list()).toEqual([]);
    expect(await actions()).toEqual([{ action: "subscription.created", target: "sub_1" }, { action: "subscription.removed", target: "sub_1" }]);
  });
});
