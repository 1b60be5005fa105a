/**
 * Newest values for REST: lists by instrument, books, and the counts of `/v1/stats`.
 *
 * Owns: the last report of the stream thread, for a second. Runs on: main thread; never waits but for that report.
 */
import type { Clock } from "../core/clock.ts";
import { NotFoundError, UnavailableError, ValidationError } from "../core/errors.ts";
import type { Instrument } from "../market/instrument.ts";
import type { BookDepth } from "../market/market-event.ts";
import type { FeedReport } from "../ports/feeds.ts";
import type { NewestValue, NewestValues, ValueKind } from "../ports/newest-values.ts";
import type { StreamReport } from "../ports/stream-control.ts";
import type { MetricSample } from "../ports/telemetry.ts";

/** A report that is younger is good enough: a burst of requests asks the stream thread once. */
const REPORT_FRESH_MS = 1_000;

export interface MarketDataDeps {
  readonly values: NewestValues;
  readonly clock: Clock;
  /** What the stream thread counts now; null when it does not answer. */
  readonly report: () => Promise<StreamReport | null>;
  readonly uptimeMs: () => number;
}

export interface ValueFilter {
  /** Ids or native spellings; empty: every instrument. */
  readonly symbols: readonly string[];
  /** Null: every venue. */
  readonly venue: string | null;
  readonly limit: number;
  /** Go on after this instrument id; null: from the beginning. */
  readonly after: string | null;
}

export interface ValuePage {
  readonly values: readonly NewestValue[];
  /** Id to go on after; null: there are no more. */
  readonly next: string | null;
}

export interface Stats {
  readonly uptimeMs: number;
  /** Null before anything was heard of the stream. */
  readonly epoch: string | null;
  readonly valuesAgeMs: number | null;
  readonly instruments: number;
  /** Of the stream thread; null when it did not answer. */
  readonly stream: {
    readonly sessions: number;
    readonly subscriptions: number;
    readonly lagging: number;
    readonly feeds: readonly FeedReport[];
    readonly eventsByKind: Readonly<Record<string, number>>;
    readonly rejected: number;
    readonly delivered: number;
  } | null;
  readonly eventsByVenue: ReadonlyMap<string, number>;
}

export class MarketDataService {
  readonly #deps: MarketDataDeps;
  #stats: { readonly atMs: number; readonly stats: Promise<Stats> } | null = null;

  constructor(deps: MarketDataDeps) {
    this.#deps = deps;
  }

  /**
   * The newest value of each instrument that has one, by id.
   * @throws {ValidationError} `unknown_symbol` naming every symbol that is none, with `did_you_mean`
   * @throws {UnavailableError} before anything was heard of the stream
   */
  list(kind: ValueKind, { symbols, venue, limit, after }: ValueFilter): ValuePage {
    const { values } = this.#deps;
    requireData(values);
    const instruments = symbols.length > 0 ? byId(knownOf(values, symbols)) : values.instruments();
    const found: NewestValue[] = [];
    for (let i = firstAfter(instruments, after); i < instruments.length; i++) {
      const instrument = instruments[i];
      if (!instrument || (venue !== null && instrument.venue !== venue)) continue;
      const value = values.newest(instrument.id, kind);
      if (value === null) continue;
      if (found.length === limit) return { values: found, next: found.at(-1)?.symbol ?? null };
      found.push(value);
    }
    return { values: found, next: null };
  }

  /**
   * The newest book of one instrument.
   * @throws {NotFoundError} `unknown_symbol` with `did_you_mean`, or `no_value` when it has no book (yet)
   */
  book(spelling: string, depth: BookDepth): NewestValue {
    const { values } = this.#deps;
    requireData(values);
    const instrument = values.find(spelling);
    if (!instrument) {
      const near = values.suggest(spelling);
      throw new NotFoundError(`id: there is no instrument "${spelling}"${hint(near)}`, "unknown_symbol", { did_you_mean: near });
    }
    const value = values.newest(instrument.id, { channel: "book", depth });
    if (value === null) throw new NotFoundError(`${instrument.id} has no book yet; its venue has sent none`, "no_value");
    return value;
  }

  /** At most a second old. */
  stats(): Promise<Stats> {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#stats === null || nowMs - this.#stats.atMs >= REPORT_FRESH_MS) this.#stats = { atMs: nowMs, stats: this.#countAll() };
    return this.#stats.stats;
  }

  async #countAll(): Promise<Stats> {
    const { values, report, uptimeMs } = this.#deps;
    const reported = await report();
    return {
      uptimeMs: uptimeMs(), epoch: values.epoch(), valuesAgeMs: values.ageMs(), instruments: values.instruments().length,
      eventsByVenue: values.eventsByVenue(), stream: reported && streamStats(reported),
    };
  }
}

/** @throws {UnavailableError} before anything was heard of the stream: nothing is known of any symbol then */
export function requireData(values: NewestValues): void {
  if (values.epoch() === null) throw new UnavailableError("no market data has come from the stream thread yet; try again in a second", "no_data_yet", 1);
}

/** The instruments of all spellings. @throws {ValidationError} naming every symbol that is none */
export function knownOf(values: NewestValues, symbols: readonly string[]): Instrument[] {
  const known: Instrument[] = [];
  const unknown: string[] = [];
  for (const symbol of symbols) {
    const instrument = values.find(symbol);
    if (instrument) known.push(instrument);
    else unknown.push(symbol);
  }
  if (unknown.length > 0) throw unknownSymbols(values, unknown);
  return known;
}

/** The failure that names unknown symbols and what they may have meant. */
export function unknownSymbols(values: NewestValues, unknown: readonly string[]): ValidationError {
  const near = unknown.map((symbol) => values.suggest(symbol));
  const errors = unknown.map((symbol, i) => ({ path: "query.symbol", message: `there is no instrument "${symbol}"${hint(near[i] ?? [])}` }));
  return new ValidationError(errors, "unknown_symbol", { did_you_mean: [...new Set(near.flat())] });
}

function hint(near: readonly string[]): string {
  return near.length === 0 ? "; GET /v1/instruments lists them" : `; did you mean ${near.join(" or ")}?`;
}

function byId(instruments: readonly Instrument[]): Instrument[] {
  return [...new Map(instruments.map((instrument) => [instrument.id, instrument])).values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function firstAfter(instruments: readonly Instrument[], after: string | null): number {
  if (after === null) return 0;
  let low = 0;
  for (let high = instruments.length; low < high;) {
    const middle = (low + high) >>> 1;
    if ((instruments[middle]?.id ?? "") > after) high = middle;
    else low = middle + 1;
  }
  return low;
}

function streamStats({ feeds, sessions, samples }: StreamReport): Stats["stream"] {
  const sum = (name: string): number => total(samples.filter((sample) => sample.name === name));
  const kinds = samples.filter((sample) => sample.name === "ticker_ingest_events_total");
  return {
    sessions, feeds, subscriptions: sum("ticker_stream_subscriptions"), lagging: total(samples.filter(({ name, labels }) => name === "ticker_stream_lane_sessions" && labels["lane"] === "lagging")), rejected: sum("ticker_ingest_rejected_total"),
    delivered: sum("ticker_stream_delivered_total"), eventsByKind: Object.fromEntries(kinds.map(({ labels, value }) => [labels["kind"] ?? "", value])),
  };
}

function total(samples: readonly MetricSample[]): number {
  return samples.reduce((sum, sample) => sum + sample.value, 0);
}
