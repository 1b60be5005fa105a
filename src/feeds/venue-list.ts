/**
 * Keeps a venue's list of instruments fresh: asks on schedule and on demand, backs off when it does not come.
 *
 * Owns: the timer and the question under way. Path: cold.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { FeedError, messageOf } from "../core/errors.ts";
import { type Micros, micros } from "../core/time.ts";
import type { ListOutcome } from "../ports/feeds.ts";
import type { InstrumentList } from "./instrument-list.ts";
import { backoffMs } from "./reconnect-plan.ts";

export interface VenueListOptions {
  readonly venue: string;
  readonly clock: Clock;
  /** Uniform from 0 to below 1. */
  readonly random: () => number;
  /** Milliseconds from one list to the next. */
  readonly refreshMs: number;
  readonly backoff: Parameters<typeof backoffMs>[0];
  /** Asks the venue and reads the answer. */
  readonly ask: () => Promise<InstrumentList>;
  /** A list has come. May throw: then it counts as failed. */
  readonly take: (list: InstrumentList) => void;
  /** A question has been answered or has failed; after `take`. */
  readonly settled: (outcome: ListOutcome) => void;
}

export class VenueList {
  readonly #options: VenueListOptions;
  #timer: Timer | null = null;
  #asking: Promise<ListOutcome> | null = null;
  /** In a row. */
  #failures = 0;
  /** Grows with each stop: an answer to an earlier run no longer counts. */
  #run = 0;
  #isRunning = false;

  constructor(options: VenueListOptions) {
    this.#options = options;
  }

  /** Whether the newest question was answered; true before the first. */
  get isListed(): boolean {
    return this.#failures === 0;
  }

  start(): void {
    this.#isRunning = true;
    void this.refresh();
  }

  stop(): void {
    this.#isRunning = false;
    this.#run++;
    this.#asking = null;
    this.#timer?.stop();
    this.#timer = null;
  }

  /** Asks now, or joins the question under way. Never rejects. */
  refresh(): Promise<ListOutcome> {
    const { clock, venue } = this.#options;
    if (!this.#isRunning) {
      const now = clock.nowMicros();
      return Promise.resolve({ kind: "failed", venue, at: now, nextAt: null, failure: "the feed is not running" });
    }
    this.#asking ??= this.#ask(this.#run);
    return this.#asking;
  }

  async #ask(run: number): Promise<ListOutcome> {
    const { clock, venue, refreshMs, backoff, random, ask, take, settled } = this.#options;
    this.#timer?.stop();
    let outcome: ListOutcome;
    try {
      const list = await ask();
      if (run !== this.#run) return this.#overtaken();
      // A venue without a single instrument is a fault of the answer: taking it would delist everything.
      if (list.instruments.length === 0) throw new FeedError(`${venue}: expected instruments in the list, found none that can be read (${list.skipped} skipped)`);
      take(list);
      this.#failures = 0;
      outcome = { kind: "loaded", venue, at: clock.nowMicros(), nextAt: this.#in(refreshMs), instruments: list.instruments };
    } catch (error) {
      if (run !== this.#run) return this.#overtaken();
      const nextMs = Math.min(refreshMs, backoffMs(backoff, this.#failures++, random));
      outcome = { kind: "failed", venue, at: clock.nowMicros(), nextAt: this.#in(nextMs), failure: messageOf(error) };
    }
    this.#asking = null;
    settled(outcome);
    return outcome;
  }

  /** Asks again after so many milliseconds; answers when that is. */
  #in(delayMs: number): Micros {
    this.#timer = this.#options.clock.after(delayMs, () => void this.refresh());
    return micros(this.#options.clock.nowMicros() + Math.round(delayMs * 1000));
  }

  #overtaken(): ListOutcome {
    return { kind: "failed", venue: this.#options.venue, at: this.#options.clock.nowMicros(), nextAt: null, failure: "the feed was stopped before the list came" };
  }
}
