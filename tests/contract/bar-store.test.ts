/**
 * What every store of bars promises, on both databases.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SqlBarStore } from "../../src/adapters/postgres/bar-store.ts";
import { micros } from "../../src/core/time.ts";
import type { BarQuery, StoredBar } from "../../src/ports/storage.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";

const bar = (symbol: string, start: number, more: Partial<StoredBar> = {}): StoredBar => ({
  symbol, interval: "1m", start: micros(start), open: "0.10", high: "123456789012345678.000000000000001", low: "0.10", close: "7", volume: "9007199254740993.5", vwap: "1.00005", trades: 3, ...more,
});
const all: BarQuery = { symbols: [], interval: "1m", from: null, to: null, limit: 1000, after: null };
const names = (bars: readonly StoredBar[]) => bars.map(({ symbol, start }) => `${symbol}@${start}`);

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  let store: SqlBarStore;
  beforeAll(async () => {
    opened = await open();
    store = new SqlBarStore(opened.database);
  });
  afterAll(() => opened.close());
  beforeEach(() => opened.database.run((db) => db.deleteFrom("bars").execute()));

  describe("a store of bars", () => {
    it("gives bars back exactly, whatever their decimals", async () => {
      const bars = [bar("t:A", 1_700_000_000_000_000), bar("t:B", 1_700_000_000_000_000, { trades: 2_000_000_000 })];
      await store.put(bars);
      expect(await store.query(all)).toEqual(bars);
      await store.put([]);
    });

    it("replaces a bar that comes again, within one call or later, but not by one with fewer trades", async () => {
      await store.put([bar("t:A", 60, { close: "1", trades: 1 }), bar("t:A", 60, { close: "2", trades: 5 }), bar("t:A", 60, { close: "3", trades: 4 })]);
      expect((await store.query(all)).map(({ close }) => close)).toEqual(["2"]);
      await store.put([bar("t:A", 60, { close: "4", trades: 4 })]);
      expect((await store.query(all)).map(({ close }) => close)).toEqual(["2"]);
      await store.put([bar("t:A", 60, { close: "5", trades: 5 })]);
      expect((await store.query(all)).map(({ close }) => close)).toEqual(["5"]);
    });

    it("finds by symbol, interval and time: from is inside, to is outside", async () => {
      await store.put([bar("t:A", 60), bar("t:A", 120), bar("t:A", 180), bar("t:B", 120), bar("t:A", 120, { interval: "1s" })]);
      expect(names(await store.query({ ...all, symbols: ["t:A"], from: micros(60), to: micros(180) }))).toEqual(["t:A@60", "t:A@120"]);
      expect(names(await store.query({ ...all, symbols: ["t:A", "t:B", "t:C"], from: micros(61) }))).toEqual(["t:A@120", "t:B@120", "t:A@180"]);
      expect(names(await store.query({ ...all, interval: "1s" }))).toEqual(["t:A@120"]);
      expect(names(await store.query({ ...all, symbols: ["t:C"] }))).toEqual([]);
      expect([await store.hasAny(["t:C"]), await store.hasAny(["t:C", "t:B"]), await store.hasAny([])]).toEqual([false, true, false]);
    });

    it("takes text as text", async () => {
      const odd = "t:A'); drop table bars; --";
      await store.put([bar(odd, 60), bar("t:{\"a\",NULL}\\", 60), bar("t:NULL", 60)]);
      expect(names(await store.query({ ...all, symbols: [odd] }))).toEqual([`${odd}@60`]);
      expect(await store.query(all)).toHaveLength(3);
    });

    it("pages through ties: each bar once, in the order of start and symbol, for any page size", async () => {
      const anyBars = fc.uniqueArray(fc.record({ symbol: fc.constantFrom("t:a", "t:A", "t:B-C", "t:B", "u:_", "t:Z"), start: fc.integer({ min: 1, max: 4 }) }), { selector: ({ symbol, start }) => `${symbol}@${start}`, maxLength: 24 });
      await fc.assert(fc.asyncProperty(anyBars, fc.integer({ min: 1, max: 7 }), async (given, limit) => {
        await opened.database.run((db) => db.deleteFrom("bars").execute());
        await store.put(given.map(({ symbol, start }) => bar(symbol, start)));
        const found: StoredBar[] = [];
        for (let after: BarQuery["after"] = null; ;) {
          const page: readonly StoredBar[] = await store.query({ ...all, limit, after });
          found.push(...page);
          const last = page.at(-1);
          if (last === undefined) break;
          after = { start: last.start, symbol: last.symbol };
        }
        const expected = given.toSorted((a, b) => a.start - b.start || (a.symbol < b.symbol ? -1 : 1));
        expect(names(found)).toEqual(expected.map(({ symbol, start }) => `${symbol}@${start}`));
      }), { numRuns: 30 });
    });

    it("takes two thousand bars at once, and removes those of one interval that started before a time", async () => {
      await store.put(Array.from({ length: 2_000 }, (_, i) => bar("t:A", i)));
      await store.put([bar("t:A", 1, { interval: "1h" })]);
      expect(await store.prune("1m", micros(1_990))).toBe(1_990);
      expect(names(await store.query(all))[0]).toBe("t:A@1990");
      expect(await store.query({ ...all, interval: "1h" })).toHaveLength(1);
      expect(await store.prune("1m", micros(1_990))).toBe(0);
    });
  });
});
