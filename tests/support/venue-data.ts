/**
 * Recorded venue traffic for tests of mappers: where it lies, and a mapper output that keeps what it is told.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { micros, type Micros } from "../../src/core/time.ts";
import type { MapperOutput, InstrumentLookup } from "../../src/feeds/mapper.ts";
import type { Instrument, InstrumentIndex } from "../../src/market/instrument.ts";
import type { Book, BookSideView, MarketEvent, MarketEventKind } from "../../src/market/market-event.ts";
import { formatScaled, price, quantity } from "../../src/market/price.ts";

const root = new URL("../../../shared/data/", import.meta.url);

/** Whether the recordings are there; where they are not, tests that need them say so and are skipped. */
export const hasVenueData = existsSync(new URL("captures/expected.json", root));

if (!hasVenueData) console.log(`recordings are absent (${fileURLToPath(root)}): tests on recorded traffic are skipped`);

export function capturePath(name: string): string {
  return fileURLToPath(new URL(`captures/${name}.jsonl.gz`, root));
}

/** Expected counts of one capture, as plain JSON. */
export function expectedOf(name: string): unknown {
  const all: unknown = JSON.parse(readFileSync(new URL("captures/expected.json", root), "utf8"));
  return member(all, `${name}.jsonl.gz`);
}

/** Lines of the mapper fixtures, parsed. */
export function fixtureLines(): unknown[] {
  return gunzipSync(readFileSync(new URL("fixtures/mappers.jsonl.gz", root))).toString("utf8").trim().split("\n").map((line): unknown => JSON.parse(line));
}

/** A member of a parsed JSON value, for tests that know its shape. */
export function member(value: unknown, key: string | number): unknown {
  if (Array.isArray(value)) return value[Number(key)];
  if (typeof value !== "object" || value === null) return undefined;
  const found: unknown = Reflect.get(value, key);
  return found;
}

export function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error(`expected a list, found ${String(value)}`);
  return value;
}

export function microsOfMs(ts: number): Micros {
  return micros(Math.round(ts * 1000));
}

/** Instruments by native spelling, with further spellings for the same one. */
export class TestLookup implements InstrumentLookup {
  readonly instruments: Instrument[];
  readonly #byNative = new Map<string, { index: InstrumentIndex; instrument: Instrument }>();

  constructor(instruments: readonly Instrument[], spell: (native: string) => string = (native) => native) {
    this.instruments = [...instruments];
    for (const [index, instrument] of this.instruments.entries()) {
      this.#byNative.set(instrument.native, { index, instrument });
      this.#byNative.set(spell(instrument.native), { index, instrument });
    }
  }

  byNative(native: string): { readonly index: InstrumentIndex; readonly instrument: Instrument } | undefined {
    return this.#byNative.get(native);
  }
}

/** An instrument for a fixture, with room for any decimals the venues spell. */
export function testInstrument(venue: string, native: string, priceScale: number, sizeScale: number): Instrument {
  return {
    id: `${venue}:${native}`, venue, symbol: native, native, priceScale, sizeScale, tickSize: price(1), lotSize: quantity(1),
    state: "active", simulated: false, mayCross: false, timeBase: "event",
  };
}

/** A book as it stood when it was handed over. */
export class KeptBook {
  readonly native: string;
  readonly eventTime: Micros;
  readonly #instrument: Instrument;
  readonly #bids: BookSideView;
  readonly #asks: BookSideView;

  constructor(instrument: Instrument, event: Book) {
    this.native = instrument.native;
    this.eventTime = event.eventTime;
    this.#instrument = instrument;
    this.#bids = copy(event.bids);
    this.#asks = copy(event.asks);
  }

  /** Price and size as text, best level first. */
  get bids(): [string, string][] {
    return levels(this.#bids, this.#instrument);
  }

  get asks(): [string, string][] {
    return levels(this.#asks, this.#instrument);
  }

  /** Equal for books of one instrument with equal levels; of the best `depth` levels a side only. */
  print(depth = Number.POSITIVE_INFINITY): string {
    const hash = createHash("sha1");
    for (const { count, prices, sizes } of [this.#bids, this.#asks]) {
      const from = Math.max(0, count - depth);
      hash.update(`${count - from};`).update(prices.slice(from, count)).update(sizes.slice(from, count));
    }
    return `${this.native} ${hash.digest("hex")}`;
  }
}

function copy(side: BookSideView): BookSideView {
  return { count: side.count, prices: side.prices.slice(0, side.count), sizes: side.sizes.slice(0, side.count) };
}

/** Keeps everything a mapper says. */
export class KeepingOutput implements MapperOutput {
  readonly lookup: TestLookup;
  events: MarketEvent[] = [];
  books: KeptBook[] = [];
  resyncs: { native: string; reason: string }[] = [];
  syncs: string[] = [];
  malformations: string[] = [];
  controls: { kind: string; detail: string }[] = [];
  /** Whether books are copied. */
  keepsBooks = true;

  constructor(lookup: TestLookup) {
    this.lookup = lookup;
  }

  event(event: MarketEvent): void {
    this.events.push(event);
    if (event.kind !== "book" || !this.keepsBooks) return;
    this.books.push(new KeptBook(this.instrumentOf(event.instrument), event));
  }

  resync(index: InstrumentIndex, reason: string): void {
    this.resyncs.push({ native: this.instrumentOf(index).native, reason });
  }

  synced(index: InstrumentIndex): void {
    this.syncs.push(this.instrumentOf(index).native);
  }

  malformed(reason: string): void {
    this.malformations.push(reason);
  }

  control(kind: string, detail: string): void {
    this.controls.push({ kind, detail });
  }

  count(kind: MarketEventKind): number {
    return this.events.filter((event) => event.kind === kind).length;
  }

  instrumentOf(index: InstrumentIndex): Instrument {
    const instrument = this.lookup.instruments[index];
    if (instrument === undefined) throw new Error(`no instrument ${index}`);
    return instrument;
  }
}

function levels(side: BookSideView, instrument: Instrument): [string, string][] {
  const found: [string, string][] = [];
  for (let i = side.count - 1; i >= 0; i--) {
    found.push([formatScaled(side.prices[i] ?? Number.NaN, instrument.priceScale), formatScaled(side.sizes[i] ?? Number.NaN, instrument.sizeScale)]);
  }
  return found;
}
