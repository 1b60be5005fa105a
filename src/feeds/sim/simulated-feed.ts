/**
 * The simulated exchange as a feed: seeded, deterministic for the steps of its clock, at a configured rate.
 *
 * Owns: its markets and the slice timer. Runs on: stream thread. Path: hot, up to 500,000 events a second.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import { ConfigurationError } from "../../core/errors.ts";
import type { Micros } from "../../core/time.ts";
import { type InstrumentIndex, venueId } from "../../market/instrument.ts";
import type { StatusState } from "../../market/market-event.ts";
import { price, quantity } from "../../market/price.ts";
import type { CarryOutcome, Feed, FeedReport } from "../../ports/feeds.ts";
import type { EventSink } from "../../ports/records.ts";
import type { Logger, MetricSample } from "../../ports/telemetry.ts";
import { Bursts, Picker } from "./arrivals.ts";
import { Random } from "./random.ts";
import { SimCounts } from "./sim-counts.ts";
import { LEADERS, listInstruments, SIM_VENUE, type SimInstrument } from "./sim-instruments.ts";
import { SimMarket } from "./sim-market.ts";

/** Events are made this often, milliseconds. */
export const SLICE_MS = 4;
/** What is owed for longer than this, milliseconds, is skipped and counted: a late slice must not make the next one late. */
export const CATCH_UP_MS = 25;
/** Events after which ingest may flush, as after one read of a socket. */
const READ_EVENTS = 512;
/** Every market is looked at this often, and has a ticker at most this late after a change, milliseconds. */
const LOOK_MS = 250;
const TICKER_MS = 700;
/** At 2000 events a second each leader trades at least this often, milliseconds; in proportion at other rates. */
const LEADER_TRADE_MS = 100;
const LEADER_RATE = 2000;

export const SIM_EVENTS_PER_S_MAX = 500_000;
export const SIM_INSTRUMENTS_MAX = 10_000;

export interface SimulatedFeedOptions {
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whole number; the same seed and steps of the clock give the same events. */
  readonly seed: number;
  /** 1 to 10,000; the first two are BTC-USD and ETH-USD. */
  readonly instruments: number;
  /** 1 to 500,000, all kinds together, in the mean. */
  readonly eventsPerS: number;
}

export class SimulatedFeed implements Feed {
  readonly name = SIM_VENUE;
  readonly #options: SimulatedFeedOptions;
  readonly #random: Random;
  readonly #bursts: Bursts;
  readonly #picker: Picker;
  readonly #listed: readonly SimInstrument[];
  readonly #counts = new SimCounts();
  #markets: SimMarket[] = [];
  #venue: InstrumentIndex = 0;
  #timer: Timer | null = null;
  #sliceMs = 0;
  /** Events released and not yet made; below 0 when an action made more than were asked for. */
  #owed = 0;
  #looksOwed = 0;
  #nextLook = 0;
  #leadersMs = 0;

  /** @throws {ConfigurationError} naming each value that is out of its range. */
  constructor(options: SimulatedFeedOptions) {
    const { seed, instruments, eventsPerS } = options;
    const faults = [
      ...(Number.isSafeInteger(seed) ? [] : [`SIM_SEED: expected a whole number, found ${seed}`]),
      ...(Number.isInteger(instruments) && instruments >= 1 && instruments <= SIM_INSTRUMENTS_MAX ? [] : [`SIM_INSTRUMENTS: expected a whole number from 1 to ${SIM_INSTRUMENTS_MAX}, found ${instruments}`]),
      ...(eventsPerS >= 1 && eventsPerS <= SIM_EVENTS_PER_S_MAX ? [] : [`SIM_EVENTS_PER_S: expected a number from 1 to ${SIM_EVENTS_PER_S_MAX}, found ${eventsPerS}`]),
    ];
    if (faults.length > 0) throw new ConfigurationError(faults);
    this.#options = options;
    this.#random = new Random(seed);
    this.#listed = listInstruments(instruments, this.#random);
    this.#bursts = new Bursts(this.#random);
    this.#picker = new Picker(this.#listed.map((instrument) => instrument.weight), this.#random);
  }

  /** When it resolves, every instrument has a status, a quote, a book and a ticker. */
  async start(): Promise<void> {
    const { sink, clock, log, seed, eventsPerS } = this.#options;
    const now = clock.nowMicros();
    this.#venue = sink.define({
      id: venueId(SIM_VENUE), venue: SIM_VENUE, symbol: "*", native: "*", priceScale: 0, sizeScale: 0, tickSize: price(1), lotSize: quantity(1),
      state: "active", simulated: true, mayCross: false, timeBase: "wall",
    });
    this.#status(now, "live", "");
    if (this.#markets.length === 0) {
      const context = { sink, random: this.#random, counts: this.#counts, idPrefix: now.toString(36) };
      this.#markets = this.#listed.map((instrument) => new SimMarket(instrument, now, context));
    }
    for (const [i, market] of this.#markets.entries()) {
      market.introduce(now, now);
      if (i % 64 === 63) sink.endOfRead(false);
    }
    sink.endOfRead(false);
    this.#sliceMs = clock.monotonicMs();
    this.#timer = clock.every(SLICE_MS, () => this.#slice());
    log.info({ seed, instruments: this.#markets.length, eventsPerS }, "simulated exchange open");
  }

  async stop(): Promise<void> {
    if (!this.#timer) return;
    this.#timer.stop();
    this.#timer = null;
    this.#status(this.#options.clock.nowMicros(), "down", "simulated exchange stopped");
    this.#options.sink.endOfRead(false);
  }

  report(): FeedReport {
    const isLive = this.#timer !== null;
    return {
      name: this.name, venues: [SIM_VENUE], state: isLive ? "live" : this.#markets.length === 0 ? "starting" : "down", reason: isLive ? "" : "not running",
      ageMs: this.#markets.length === 0 ? null : this.#options.clock.monotonicMs() - this.#sliceMs,
      reconnects: 0, instruments: this.#listed.length, simulated: true,
    };
  }

  /** Everything is carried from the start. */
  demand(): void {}

  carry(id: string): CarryOutcome {
    return id.startsWith(`${SIM_VENUE}:`) ? "carried" : "foreign";
  }

  release(): void {}

  /** Its list never changes. */
  refresh(): Promise<null> {
    return Promise.resolve(null);
  }

  samples(): MetricSample[] {
    return this.#counts.samples();
  }

  /** Makes what has become due since the last slice, with event times spread over that time. */
  #slice(): void {
    const { clock, sink, eventsPerS } = this.#options;
    const nowMs = clock.monotonicMs();
    const now = clock.nowMicros();
    let elapsedMs = nowMs - this.#sliceMs;
    this.#sliceMs = nowMs;
    if (elapsedMs > CATCH_UP_MS) {
      this.#counts.skipped += ((elapsedMs - CATCH_UP_MS) * eventsPerS) / 1000;
      elapsedMs = CATCH_UP_MS;
    }
    this.#owed += this.#bursts.release((elapsedMs * eventsPerS) / 1000);
    const start = now - elapsedMs * 1000;
    this.#trade(nowMs, start, now);
    const step = (elapsedMs * 1000) / Math.max(1, this.#owed);
    let made = 0;
    let unflushed = 0;
    while (this.#owed - made >= 1) {
      const market = this.#pick();
      if (!market) break;
      const events = market.act(start + made * step, now);
      made += events;
      unflushed += events;
      if (unflushed >= READ_EVENTS) {
        sink.endOfRead(false);
        unflushed = 0;
      }
    }
    this.#owed -= made;
    this.#look(elapsedMs, now);
    sink.endOfRead(false);
  }

  /** An open market by weight; none when several in a row are closed. */
  #pick(): SimMarket | undefined {
    for (let attempt = 0; attempt < 4; attempt++) {
      const market = this.#markets[this.#picker.next()];
      if (market?.isOpen) return market;
    }
    return this.#markets[0];
  }

  /** However quiet it is, the leaders trade. */
  #trade(nowMs: number, time: number, now: Micros): void {
    if (nowMs < this.#leadersMs) return;
    this.#leadersMs = nowMs + LEADER_TRADE_MS * (LEADER_RATE / this.#options.eventsPerS);
    for (let i = 0; i < LEADERS; i++) this.#owed -= this.#markets[i]?.trade(time, now) ?? 0;
  }

  #look(elapsedMs: number, now: Micros): void {
    const { length } = this.#markets;
    this.#looksOwed = Math.min(length, this.#looksOwed + (length * elapsedMs) / LOOK_MS);
    for (; this.#looksOwed >= 1; this.#looksOwed--) {
      this.#owed -= this.#markets[this.#nextLook]?.look(now, now, TICKER_MS) ?? 0;
      this.#nextLook = (this.#nextLook + 1) % length;
    }
  }

  #status(now: Micros, state: StatusState, reason: string): void {
    this.#counts.count("status", this.#options.sink.event({ kind: "status", instrument: this.#venue, eventTime: now, receiveTime: now, state, reason }));
  }
}
