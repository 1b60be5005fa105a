/**
 * Runs a real venue feed against a loopback venue and keeps what it hands over, for tests.
 */
import { systemClock, type Clock } from "../../src/core/clock.ts";
import { binanceFeed } from "../../src/feeds/binance/feed.ts";
import { coinbaseFeed } from "../../src/feeds/coinbase/feed.ts";
import { krakenFeed } from "../../src/feeds/kraken/feed.ts";
import type { VenueFeed } from "../../src/feeds/venue-feed.ts";
import type { VenueFeedOptions } from "../../src/feeds/venue-feed-options.ts";
import type { MarketEvent, MarketEventKind, StatusState } from "../../src/market/market-event.ts";
import { formatScaled } from "../../src/market/price.ts";
import type { Logger, LogFields } from "../../src/ports/telemetry.ts";
import { CollectingSink } from "./collecting-sink.ts";

/** A logger that keeps its lines. */
export class KeepingLog implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields }[] = [];

  debug(fields: LogFields, message: string): void {
    this.lines.push({ level: "debug", message, fields });
  }

  info(fields: LogFields, message: string): void {
    this.lines.push({ level: "info", message, fields });
  }

  warn(fields: LogFields, message: string): void {
    this.lines.push({ level: "warn", message, fields });
  }

  error(fields: LogFields, message: string): void {
    this.lines.push({ level: "error", message, fields });
  }
}

/** Resolves when `isTrue`, looked at each turn; rejects after the deadline with what was waited for. */
export function until(what: string, isTrue: () => boolean, deadlineMs = 8_000, clock: Clock = systemClock): Promise<void> {
  const endMs = clock.monotonicMs() + deadlineMs;
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (isTrue()) resolve();
      else if (clock.monotonicMs() > endMs) reject(new Error(`waited ${deadlineMs} ms for ${what}`));
      else clock.after(5, look);
    };
    look();
  });
}

/** Deterministic dice (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Keeps events without copying books: for long recordings whose books nobody looks at. */
export class CountingSink extends CollectingSink {
  override event(event: MarketEvent): null {
    this.events.push(event);
    return null;
  }
}

const MAKERS = { binance: binanceFeed, coinbase: coinbaseFeed, kraken: krakenFeed } as const;
export type VenueName = keyof typeof MAKERS;

/** A feed with short waits, and everything that it said. */
export class FeedHarness {
  readonly sink: CollectingSink;
  readonly log = new KeepingLog();
  readonly feed: VenueFeed;

  constructor(venue: VenueName, addresses: { readonly wsUrl: string; readonly restUrl: string }, options: Partial<VenueFeedOptions> = {}, sink = new CollectingSink()) {
    this.sink = sink;
    this.feed = MAKERS[venue]({
      sink: this.sink, clock: systemClock, log: this.log, random: seeded(1), wsUrl: addresses.wsUrl, restUrl: addresses.restUrl, ...options,
      connection: { backoffFirstMs: 20, backoffMaxMs: 200, backoffMinMs: 5, handshakeMs: 2_000, ...options.connection },
      resync: { backoffFirstMs: 20, backoffMinMs: 5, answerMs: 3_000, ...options.resync },
    });
  }

  count(kind: MarketEventKind): number {
    return this.sink.events.filter((event) => event.kind === kind).length;
  }

  /** States told of an instrument id, oldest first. */
  states(id: string): StatusState[] {
    return this.statuses(id).map((each) => each.state);
  }

  statuses(id: string): { state: StatusState; reason: string }[] {
    return this.sink.events.flatMap((event) => (event.kind === "status" && this.sink.idOf(event) === id ? [{ state: event.state, reason: event.reason }] : []));
  }

  sample(name: string, labels: Record<string, string> = {}): number {
    return this.feed.samples()
      .filter((each) => each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value))
      .reduce((sum, each) => sum + each.value, 0);
  }

  /** The newest book of an instrument as numbers spelled without trailing zeros, best first. */
  book(id: string): { bids: [number, number][]; asks: [number, number][] } | null {
    const last = this.sink.events.findLast((event): event is Extract<MarketEvent, { kind: "book" }> => event.kind === "book" && this.sink.idOf(event) === id);
    const instrument = this.sink.instruments.find((each) => each.id === id);
    if (last === undefined || instrument === undefined) return null;
    const side = (view: typeof last.bids): [number, number][] => Array.from({ length: view.count }, (_, i): [number, number] => {
      const at = view.count - 1 - i;
      return [Number(formatScaled(view.prices[at] ?? Number.NaN, instrument.priceScale)), Number(formatScaled(view.sizes[at] ?? Number.NaN, instrument.sizeScale))];
    });
    return { bids: side(last.bids), asks: side(last.asks) };
  }
}
