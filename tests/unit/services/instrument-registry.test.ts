/**
 * What the registry makes of the venues' lists: what is different, what is found, how old it is, and a database that is away.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StoreError } from "../../../src/core/errors.ts";
import { type Micros, micros } from "../../../src/core/time.ts";
import { assumedInstrument } from "../../../src/feeds/instrument-set.ts";
import type { Instrument } from "../../../src/market/instrument.ts";
import { price } from "../../../src/market/price.ts";
import type { InstrumentChange, InstrumentStore, ListRefresh, ListUpdate, RegisteredInstrument } from "../../../src/ports/storage.ts";
import { differenceOf, stepText } from "../../../src/services/instrument-diff.ts";
import { InstrumentRegistry } from "../../../src/services/instrument-registry.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog } from "../../support/silent-log.ts";

/** Keeps what it is given, unless it is away. */
class MemoryStore implements InstrumentStore {
  readonly known = new Map<string, RegisteredInstrument>();
  readonly asked = new Map<string, ListRefresh>();
  readonly saved: ListUpdate[] = [];
  isAway = false;

  list = async (): Promise<readonly RegisteredInstrument[]> => [...this.known.values()];
  refreshes = async (): Promise<readonly ListRefresh[]> => [...this.asked.values()];
  changes = async (): Promise<readonly InstrumentChange[]> => this.saved.flatMap(({ changes }) => changes);

  async save(update: ListUpdate): Promise<void> {
    if (this.isAway) throw new StoreError("away");
    this.saved.push(update);
    this.asked.set(update.refresh.venue, update.refresh);
    for (const each of update.instruments) this.known.set(each.instrument.id, each);
  }

  async forget(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.known.delete(id);
  }
}

const of = (symbol: string, more: Partial<Instrument> = {}): Instrument => ({ ...assumedInstrument("kraken", symbol, symbol.replace("BTC", "XBT").replace("-", "/")), ...more });
const REFRESH_MS = 3_600_000;

interface SetupOptions {
  readonly store?: MemoryStore;
  readonly instrumentsMax?: number;
  readonly made?: readonly Instrument[];
}

async function setup({ store = new MemoryStore(), instrumentsMax = 100, made = [] }: SetupOptions = {}) {
  const clock = new FakeClock();
  const log = new KeepingLog();
  const registry = new InstrumentRegistry({
    store, clock, log, values: { instruments: () => made }, listVenues: ["kraken", "binance"], madeVenues: ["sim"], refreshMs: REFRESH_MS, instrumentsMax,
  });
  await registry.start();
  const told: string[] = [];
  registry.onChange((venue, changes) => told.push(...changes.map(({ kind, id, members }) => [venue, kind, id, ...members].join(" "))));
  const loaded = async (...instruments: Instrument[]): Promise<void> => {
    const at = clock.nowMicros();
    registry.hear({ kind: "loaded", venue: "kraken", at, nextAt: micros(at + REFRESH_MS * 1000), instruments });
    await registry.settled();
  };
  const failed = async (failure: string): Promise<void> => {
    registry.hear({ kind: "failed", venue: "kraken", at: clock.nowMicros(), nextAt: null, failure });
    await registry.settled();
  };
  const state = () => registry.status().find(({ venue }) => venue === "kraken");
  return { registry, clock, log, store, told, loaded, failed, state };
}

const ALL = { symbols: [], venue: null, text: null, state: null, canonical: null } as const;

describe("a list that comes", () => {
  it("is no change the first time, and compared with the last one from then on", async () => {
    const { loaded, told, registry, store } = await setup();
    await loaded(of("BTC-USD"), of("ETH-USD"), of("SOL-USD"));
    expect(told).toEqual([]);
    await loaded(of("BTC-USD", { tickSize: price(10) }), of("ETH-USD", { state: "halted" }), of("NEW-USD"));
    expect(told).toEqual(["kraken changed kraken:BTC-USD tick_size", "kraken changed kraken:ETH-USD state", "kraken listed kraken:NEW-USD", "kraken delisted kraken:SOL-USD"]);
    expect(registry.get("kraken:SOL-USD")).toMatchObject({ instrument: { state: "inactive" }, delistedAt: expect.any(Number) });
    expect(store.saved.at(-1)?.changes).toHaveLength(4);
    expect(registry.newestChanges("kraken")).toHaveLength(4);
    expect(registry.samples().filter(({ name }) => name === "ticker_registry_changes_total").map(({ labels, value }) => [labels["kind"], value])).toEqual([["listed", 1], ["delisted", 1], ["changed", 2]]);
  });

  it("brings a delisted instrument back as listed, once", async () => {
    const { loaded, told, registry } = await setup();
    await loaded(of("BTC-USD"), of("ETH-USD"));
    await loaded(of("BTC-USD"));
    await loaded(of("BTC-USD"));
    await loaded(of("BTC-USD"), of("ETH-USD"));
    expect(told).toEqual(["kraken delisted kraken:ETH-USD", "kraken listed kraken:ETH-USD"]);
    expect(registry.get("kraken:ETH-USD")).toMatchObject({ instrument: { state: "active" }, delistedAt: null });
  });

  it("of a venue that nobody configured is not taken", async () => {
    const { registry, clock } = await setup();
    registry.hear({ kind: "loaded", venue: "coinbase", at: clock.nowMicros(), nextAt: clock.nowMicros(), instruments: [assumedInstrument("coinbase", "BTC-USD", "BTC-USD")] });
    expect(registry.search(ALL)).toEqual([]);
  });

  it("any difference applied to the old list gives the new one, and none is found again", () => {
    const symbols = fc.uniqueArray(fc.constantFrom("A-B", "C-D", "E-F", "G-H", "I-J"));
    const list = fc.tuple(symbols, fc.integer({ min: 1, max: 3 })).map(([names, tick]) => names.map((name) => of(name, { tickSize: price(tick) })));
    fc.assert(fc.property(fc.array(list, { minLength: 2, maxLength: 6 }), (lists) => {
      const known = new Map<string, RegisteredInstrument>();
      for (const [i, instruments] of lists.entries()) {
        for (const each of differenceOf(known, instruments, micros(i + 1)).instruments) known.set(each.instrument.id, each);
        expect([...known.values()].filter(({ delistedAt }) => delistedAt === null).map(({ instrument }) => instrument).toSorted((a, b) => (a.id < b.id ? -1 : 1)))
          .toEqual(instruments.toSorted((a, b) => (a.id < b.id ? -1 : 1)));
        expect(differenceOf(known, instruments, micros(i + 1))).toEqual({ instruments: [], changes: [] });
      }
    }));
  });

  it.each([[1, 2, "0.01"], [100, 2, "1"], [25, 2, "0.25"], [1000, 0, "1000"], [1, 8, "0.00000001"]])("a step of %i at scale %i is %s", (step, scale, text) => {
    expect(stepText(step, scale)).toBe(text);
  });
});

describe("how old a list is", () => {
  it("says why it is stale: never, failed, of an earlier run, too old", async () => {
    const { state, loaded, failed, clock, store } = await setup();
    expect(state()).toMatchObject({ source: "none", count: 0, isStale: true, why: "the venue has not answered yet", ageMs: null });
    await failed("status 503");
    expect(state()).toMatchObject({ source: "none", isStale: true, why: "the venue was asked and did not give its list: status 503", refreshedAt: null });
    await loaded(of("BTC-USD"));
    expect(state()).toMatchObject({ source: "venue", count: 1, active: 1, isStale: false, why: "", ageMs: 0, nextAt: clock.nowMicros() + REFRESH_MS * 1000 });
    clock.advance(2 * REFRESH_MS);
    expect(state()?.isStale).toBe(false);
    clock.advance(1);
    expect(state()).toMatchObject({ isStale: true, why: "the list is older than two refreshes (7200 s)" });
    await failed("away");
    expect(state()).toMatchObject({ source: "venue", count: 1, isStale: true, why: expect.stringContaining("away"), ageMs: 2 * REFRESH_MS + 1 });

    const again = await setup({ store });
    expect(again.state()).toMatchObject({ source: "cache", count: 1, isStale: true, why: expect.stringContaining("away") });
    expect(again.registry.remembered().map(({ id }) => id)).toEqual(["kraken:BTC-USD"]);
    await again.loaded(of("BTC-USD"));
    expect(again.state()).toMatchObject({ source: "venue", isStale: false });
    expect(again.told).toEqual([]);
  });

  it("of a venue that makes its instruments up is what the stream says", async () => {
    const made: Instrument[] = [];
    const { registry } = await setup({ made });
    const sim = () => registry.status().find(({ venue }) => venue === "sim");
    expect(sim()).toMatchObject({ source: "none", isStale: true });
    const seen = await setup({ made: [assumedInstrument("sim", "BTC-USD", "BTC-USD")] });
    expect(seen.registry.status().find(({ venue }) => venue === "sim")).toMatchObject({ source: "feed", count: 1, isStale: false, why: "", ageMs: null });
    expect(seen.registry.find("sim:BTC-USD")).not.toBeNull();
  });
});

describe("a database that is away", () => {
  it("does not keep a list from being used, and gets it when it is back", async () => {
    const { registry, store, clock, loaded, told } = await setup();
    await loaded(of("BTC-USD"));
    store.isAway = true;
    await loaded(of("BTC-USD"), of("ETH-USD"));
    await loaded(of("ETH-USD"));
    expect(told).toEqual(["kraken listed kraken:ETH-USD", "kraken delisted kraken:BTC-USD"]);
    expect(registry.find("kraken:ETH-USD")).not.toBeNull();
    expect(registry.samples().find(({ name }) => name === "ticker_registry_store_failures_total")?.value).toBe(2);
    store.isAway = false;
    clock.advance(5_000);
    await registry.settled();
    expect([...store.known.values()].map(({ instrument }) => [instrument.id, instrument.state])).toEqual([["kraken:BTC-USD", "inactive"], ["kraken:ETH-USD", "active"]]);
    expect((await store.changes()).map(({ kind }) => kind)).toEqual(["listed", "delisted"]);
  });
});

describe("room", () => {
  it.each([[3, ["kraken:A-B", "kraken:C-D", "kraken:E-F"]], [2, ["kraken:C-D", "kraken:E-F"]]])("for %i keeps %j: the one delisted first goes", async (instrumentsMax, ids) => {
    const { registry, clock, loaded, store } = await setup({ instrumentsMax });
    await loaded(of("A-B"), of("C-D"));
    clock.advance(1);
    await loaded(of("C-D"));
    clock.advance(1);
    await loaded(of("E-F"));
    await registry.settled();
    expect(registry.search(ALL).map(({ instrument }) => instrument.id)).toEqual(ids);
    expect([...store.known.keys()].toSorted()).toEqual(ids);
  });
});

describe("search", () => {
  const venues = async () => {
    const made: Instrument[] = [{ ...assumedInstrument("sim", "BTC-USD", "BTC-USD"), simulated: true }, assumedInstrument("push1", "INFY", "INFY")];
    const found = await setup({ made });
    await found.loaded(of("BTC-USD"), of("ETH-USD", { state: "halted" }), of("DOGE-USD"));
    return found.registry;
  };

  it.each([
    [{ text: "xbt" }, ["kraken:BTC-USD"]], [{ text: "inf" }, ["push1:INFY"]], [{ canonical: "BTC-USD" }, ["kraken:BTC-USD", "sim:BTC-USD"]], [{ canonical: "xbt/usd" }, ["kraken:BTC-USD", "sim:BTC-USD"]],
    [{ venue: "sim" }, ["sim:BTC-USD"]], [{ state: "halted" as const }, ["kraken:ETH-USD"]], [{ symbols: ["kraken:XBT/USD", "sim:NO"] }, ["kraken:BTC-USD"]], [{ symbols: ["sim:NO"] }, []],
    [{ text: "usd", venue: "kraken" }, ["kraken:BTC-USD", "kraken:DOGE-USD", "kraken:ETH-USD"]], [{ text: "%" }, []],
  ])("%j finds %j", async (query, ids) => {
    expect((await venues()).search({ ...ALL, ...query }).map(({ instrument }) => instrument.id)).toEqual(ids);
  });

  it.each([["kraken:BTC-USD"], ["kraken:XBT/USD"], ["kraken:xbtusd"], ["KRAKEN:btc_usd"], ["kraken:BTC/USD"]])("%s is one and the same", async (spelling) => {
    expect((await venues()).find(spelling)?.instrument.id).toBe("kraken:BTC-USD");
  });

  it("does not guess where two instruments share a spelling", async () => {
    const { registry, loaded } = await setup();
    await loaded(of("AB-CD"), of("ABC-D"));
    expect(registry.find("kraken:ABCD")).toBeNull();
    expect(registry.suggest("kraken:ABCD")).toHaveLength(2);
  });

  it("says of an unknown one what may have been meant", async () => {
    const registry = await venues();
    expect(() => registry.get("kraken:BTC-USDD")).toThrow(/there is no instrument "kraken:BTC-USDD"; did you mean kraken:BTC-USD/);
    expect(() => registry.get("x:QQQ")).toThrow(/see GET \/v1\/instruments/);
    const at: Micros | null = registry.get("kraken:DOGE-USD").delistedAt;
    expect(at).toBeNull();
  });
});
