/**
 * Recorded books with one update dropped, repeated or reordered: detected, never shown wrong, whole after a fresh snapshot.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import { BinanceMapper } from "../../src/feeds/binance/normalise-v3.ts";
import { parseBinanceInstruments } from "../../src/feeds/binance/instruments.ts";
import { readCaptureSync } from "../../src/feeds/capture.ts";
import { parseCoinbaseInstruments } from "../../src/feeds/coinbase/instruments.ts";
import { CoinbaseAdvancedMapper } from "../../src/feeds/coinbase/normalise-advanced.ts";
import { CoinbaseExchangeMapper } from "../../src/feeds/coinbase/normalise-exchange.ts";
import { krakenV2Native, parseKrakenInstruments } from "../../src/feeds/kraken/instruments.ts";
import { KrakenV1Mapper } from "../../src/feeds/kraken/normalise-v1.ts";
import { KrakenV2Mapper } from "../../src/feeds/kraken/normalise-v2.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../../src/feeds/mapper.ts";
import { capturePath, hasVenueData, KeepingOutput, type KeptBook, member, TestLookup } from "../support/venue-data.ts";
import { advancedOf, numbered, v2Of, v2Preamble } from "../support/venue-translation.ts";

const now = micros(1_723_161_255_000_000);
const FAULTS = ["drop", "repeat", "reorder"] as const;
type Fault = (typeof FAULTS)[number];

function parsed(name: string): unknown[] {
  return readCaptureSync(capturePath(name)).filter((record) => record.kind === "message" && record.dir === "in").map((record): unknown => JSON.parse(record.raw));
}

function setup(name: string): unknown {
  return JSON.parse(readCaptureSync(capturePath(name)).find((record) => record.conn === "setup" && record.kind === "http")?.raw ?? "null");
}

function inject<T>(messages: readonly T[], at: number, fault: Fault): T[] {
  const here = messages.slice(at, at + 1);
  const next = messages.slice(at + 1, at + 2);
  const changed = fault === "drop" ? next : fault === "repeat" ? [...here, ...here, ...next] : [...next, ...here];
  return [...messages.slice(0, at), ...changed, ...messages.slice(at + 2)];
}

function prints(books: readonly KeptBook[]): string[] {
  return books.map((book) => book.print());
}

describe.skipIf(!hasVenueData)("a fault in Binance depth updates", () => {
  const lookup = hasVenueData ? new TestLookup(parseBinanceInstruments(setup("BINANCE")).instruments.filter(({ native }) => native === "BTCUSDT")) : new TestLookup([]);

  function material(): { first: unknown; updates: unknown[]; books: KeptBook[] } {
    const records = readCaptureSync(capturePath("BINANCE_SPOT_BTCUSDT_2024-08-08")).slice(0, 4000);
    const first: unknown = JSON.parse(records.find(({ kind }) => kind === "http")?.raw ?? "null");
    const updates = records.filter(({ raw }) => raw.startsWith("{\"stream\":\"btcusdt@depth")).map(({ raw }): unknown => JSON.parse(raw))
      .filter((update) => Number(member(member(update, "data"), "u")) > Number(member(first, "lastUpdateId"))).slice(0, 120);
    const out = new KeepingOutput(lookup);
    const mapper = new BinanceMapper(lookup, out);
    mapper.snapshot("BTCUSDT", first, now);
    for (const update of updates) mapper.message(update, now);
    return { first, updates, books: out.books.slice(1) };
  }

  it("is detected at once and healed by a snapshot", () => {
    const { first, updates, books } = material();
    const idOf = (i: number): unknown => member(member(updates[i], "data"), "u");
    fc.assert(fc.property(fc.integer({ min: 1, max: 100 }), fc.constantFrom(...FAULTS), fc.integer({ min: 3, max: 15 }), (at, fault, later) => {
      const out = new KeepingOutput(lookup);
      const mapper = new BinanceMapper(lookup, out);
      mapper.snapshot("BTCUSDT", first, now);
      const faulty = inject(updates, at, fault);
      const healAt = at + later;
      for (const update of faulty.slice(0, healAt)) mapper.message(update, now);
      expect(out.resyncs.map(({ native }) => native)).toEqual(["BTCUSDT"]);
      expect(mapper.resyncing("BTCUSDT")).toBe(true);
      expect(prints(out.books.slice(1))).toEqual(prints(books.slice(0, fault === "repeat" ? at + 1 : at)));
      mapper.snapshot("BTCUSDT", { lastUpdateId: idOf(at + 2), bids: books[at + 2]?.bids, asks: books[at + 2]?.asks }, now);
      expect([mapper.resyncing("BTCUSDT"), out.syncs]).toEqual([false, ["BTCUSDT", "BTCUSDT"]]);
      for (const update of faulty.slice(healAt)) mapper.message(update, now);
      expect(prints(out.books.slice(-1))).toEqual(prints(books.slice(-1)));
      expect(out.resyncs).toHaveLength(1);
    }), { numRuns: 40 });
  });
});

describe.skipIf(!hasVenueData)("a fault in Coinbase messages", () => {
  const lookup = hasVenueData ? new TestLookup(parseCoinbaseInstruments(setup("COINBASE")).instruments) : new TestLookup([]);
  const recorded = hasVenueData ? parsed("COINBASE").filter((message) => advancedOf(message) !== null) : [];

  function play(make: (lookup: InstrumentLookup, out: MapperOutput) => Mapper, messages: readonly unknown[]): KeepingOutput {
    const out = new KeepingOutput(lookup);
    const mapper = make(lookup, out);
    for (const message of messages) mapper.message(message, now);
    return out;
  }

  const advanced = (lookup: InstrumentLookup, out: MapperOutput): Mapper => new CoinbaseAdvancedMapper(lookup, out);
  const exchange = (lookup: InstrumentLookup, out: MapperOutput): Mapper => new CoinbaseExchangeMapper(lookup, out);

  /** The last book of each product. */
  function lastBooks(out: KeepingOutput): Map<string, KeptBook> {
    return new Map(out.books.map((book) => [book.native, book]));
  }

  it("does not stand in the way of reading both formats alike", () => {
    const messages = recorded.slice(0, 1500);
    const ours = play(advanced, numbered(messages.map((message) => advancedOf(message) ?? {})));
    const older = play(exchange, messages);
    expect(prints(ours.books)).toEqual(prints(older.books));
    expect(ours.events.filter(({ kind }) => kind === "quote").length).toBe(older.events.filter(({ kind }) => kind === "quote").length);
    expect([ours.malformations, ours.resyncs]).toEqual([[], []]);
  });

  it("is detected at once in the present format, for every book of the connection, and healed by snapshots", () => {
    const messages = recorded.slice(0, 400).map((message) => advancedOf(message) ?? {});
    const snapshots = recorded.slice(0, 400).filter((message) => member(message, "type") === "snapshot").length;
    fc.assert(fc.property(fc.integer({ min: 50, max: 340 }), fc.constantFrom(...FAULTS), (at, fault) => {
      const reference = lastBooks(play(advanced, numbered(messages.slice(0, at + 20))));
      const end = lastBooks(play(advanced, numbered(messages)));
      const faulty = inject(numbered(messages), at, fault).slice(0, fault === "drop" ? at + 19 : fault === "repeat" ? at + 21 : at + 20);
      const healing = [...reference].map(([product_id, book]) => ({
        channel: "l2_data", timestamp: "2021-04-17T16:44:00.123456789Z",
        events: [{
          type: "snapshot", product_id, updates: [["bid", book.bids], ["offer", book.asks]].flatMap(([side, levels]) =>
            Array.isArray(levels) ? levels.map(([price_level, new_quantity]) => ({ side, price_level, new_quantity })) : []),
        }],
      }));
      const rest = numbered([...healing, ...messages.slice(at + 20)], at + 20);
      const out = play(advanced, faulty);
      expect(new Set(out.resyncs.map(({ native }) => native)).size).toBe(out.resyncs.length);
      expect(out.resyncs).toHaveLength(new Set(out.books.map(({ native }) => native)).size);
      expect(out.books).toHaveLength(fault === "repeat" ? at + 1 : at);
      const healed = play(advanced, [...faulty, ...rest]);
      expect(prints([...lastBooks(healed).values()]).toSorted()).toEqual(prints([...end.values()]).toSorted());
      expect(healed.syncs).toHaveLength(snapshots + healing.length);
      expect(healed.resyncs).toHaveLength(out.resyncs.length);
    }), { numRuns: 12 });
  });

  it("is detected in the recorded format when an update is repeated or comes late, and when a loss crosses the book", () => {
    const product = "BAND-GBP";
    const messages = recorded.filter((message) => member(message, "product_id") === product);
    expect(play(exchange, messages).resyncs).toEqual([]);
    let checked = 0;
    for (let at = 10; at < 60; at++) {
      expect(play(exchange, inject(messages, at, "repeat").slice(0, at + 2)).resyncs).toHaveLength(1);
      if (String(member(messages[at], "time")) === String(member(messages[at + 1], "time"))) continue;
      expect(play(exchange, inject(messages, at, "reorder").slice(0, at + 2)).resyncs).toHaveLength(1);
      checked++;
    }
    expect(checked).toBeGreaterThan(20);
    const snapshot = { type: "snapshot", product_id: product, bids: [["10.0000", "1"]], asks: [["11.0000", "1"]] };
    const crossing = { type: "l2update", product_id: product, time: "2021-04-17T16:43:37.000000Z", changes: [["buy", "11.0000", "2"]] };
    expect(play(exchange, [snapshot, crossing]).resyncs).toEqual([{ native: product, reason: "bid is at or above ask" }]);
  });
});

describe.skipIf(!hasVenueData)("a fault in Kraken book updates", () => {
  const pair = "XMR/USD";
  const all = hasVenueData ? parsed("KRAKEN").filter((message) => v2Of(message) !== null) : [];
  const lookup = hasVenueData ? new TestLookup(parseKrakenInstruments(setup("KRAKEN")).instruments, krakenV2Native) : new TestLookup([]);
  const mine = all.filter((message) => Array.isArray(message) && message.at(-1) === pair).slice(0, 150);
  const versions = [
    { version: "v1", make: (out: MapperOutput): Mapper => new KrakenV1Mapper(lookup, out), preamble: [], of: (message: unknown): unknown => message },
    { version: "v2", make: (out: MapperOutput): Mapper => new KrakenV2Mapper(lookup, out), preamble: v2Preamble(all), of: v2Of },
  ] as const;

  function play(version: (typeof versions)[number], messages: readonly unknown[], onMessage: (out: KeepingOutput, i: number) => void = () => {}): KeepingOutput {
    const out = new KeepingOutput(lookup);
    const mapper = version.make(out);
    for (const message of version.preamble) mapper.message(message, now);
    for (const [i, message] of messages.entries()) {
      mapper.message(version.of(message), now);
      onMessage(out, i);
    }
    return out;
  }

  it("does not stand in the way of 4,269 checksums of 4,269 in the present format", () => {
    const out = new KeepingOutput(lookup);
    const mapper = new KrakenV2Mapper(lookup, out);
    out.keepsBooks = false;
    for (const message of [...v2Preamble(all), ...all.map(v2Of)]) mapper.message(message, now);
    expect([mapper.counts.proved, mapper.counts.disproved, out.count("book")]).toEqual([4269, 0, 4279]);
    expect([out.malformations, out.resyncs]).toEqual([[], []]);
  });

  it.each(versions)("is never shown in the ten best levels, and is healed by a snapshot ($version)", (version) => {
    const reference = play(version, mine).books;
    expect(reference).toHaveLength(mine.length);
    const checksum = (i: number): unknown => member(member(v2Of(mine[i]), "data"), 0) && member(member(member(v2Of(mine[i]), "data"), 0), "checksum");
    const visible = mine.map((_, i) => i).filter((i) => i > 5 && i < 120 && checksum(i) !== checksum(i - 1) && checksum(i) !== checksum(i + 1));
    let detected = 0;
    for (const fault of FAULTS) {
      for (const at of visible.slice(0, 25)) {
        const faulty = inject(mine, at, fault);
        let shown = 0;
        const out = play(version, faulty, (so, i) => {
          if (so.books.length === shown) return;
          shown = so.books.length;
          const last = so.books.at(-1);
          const original = mine.indexOf(faulty[i]);
          expect(last?.print(10)).toBe(reference[original]?.print(10));
        });
        if (out.resyncs.length > 0) detected++;
        const snapshot = reference[140];
        const timed = (levels: readonly [string, string][] | undefined): string[][] => (levels ?? []).map(([at, size]) => [spell(at, 8), spell(size, 8), "1618678135.000000"]);
        const healing = [1, { as: timed(snapshot?.asks), bs: timed(snapshot?.bids) }, "book-1000", pair];
        const healed = play(version, [...faulty.slice(0, at + 10), healing, ...mine.slice(141)]);
        expect(prints(healed.books.slice(-1))).toEqual(prints(reference.slice(-1)));
        expect(healed.resyncs.length).toBeLessThanOrEqual(1);
      }
    }
    // The rest were made good by the very next update of the same level, before anything was shown.
    expect(detected / (visible.slice(0, 25).length * FAULTS.length)).toBeGreaterThan(0.9);
  });
});

/** Decimal text with so many decimals. */
function spell(text: string, decimals: number): string {
  const [whole, fraction] = text.split(".");
  return `${whole ?? "0"}.${(fraction ?? "").padEnd(decimals, "0")}`;
}
