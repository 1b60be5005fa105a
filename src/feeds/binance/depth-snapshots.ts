/**
 * Fetches Binance depth snapshots one after another at a pace that the venue's request weight allows.
 *
 * Owns: the queue of instruments that wait for one. Path: cold.
 *
 * Source: Binance spot REST documentation: GET /api/v3/depth with limit 1000 weighs 50 of 6,000 a minute; 429 and 418
 * come with Retry-After, and going on regardless ends in a ban.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import type { Entry } from "../instrument-set.ts";
import { VenueRefusal, type VenueRest } from "../venue-rest.ts";

/** Snapshots that may be fetched without waiting, after a pause long enough. */
const BURST = 40;
/** One more may be fetched each time this passes: 86 a minute weigh 4,286 of 6,000. */
const REFILL_MS = 700;
/** Levels a side; fixed because recordings are asked with the same query. */
const LEVELS = 1000;
/** When the venue refuses for being asked too much without saying for how long. */
const REFUSED_MS = 30_000;
const IN_FLIGHT_MAX = 4;

export class DepthSnapshots {
  readonly #rest: VenueRest;
  readonly #clock: Clock;
  readonly #done: (entry: Entry, body: unknown) => void;
  readonly #failed: (entry: Entry, error: unknown) => void;
  readonly #waiting = new Set<Entry>();
  #inFlight = 0;
  #tokens = BURST;
  #refilledMs: number;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | null = null;
  /** Grows with each `clear`: answers to earlier questions are thrown away. */
  #generation = 0;
  /** Refusals with 429 or 418. */
  throttled = 0;

  constructor(rest: VenueRest, clock: Clock, done: (entry: Entry, body: unknown) => void, failed: (entry: Entry, error: unknown) => void) {
    this.#rest = rest;
    this.#clock = clock;
    this.#done = done;
    this.#failed = failed;
    this.#refilledMs = clock.monotonicMs();
  }

  /** An instrument that waits already keeps its place. */
  ask(entry: Entry): void {
    this.#waiting.add(entry);
    this.#next();
  }

  /** It need not wait any longer; an answer that is under way still comes. */
  drop(entry: Entry): void {
    this.#waiting.delete(entry);
  }

  clear(): void {
    this.#generation++;
    this.#waiting.clear();
    this.#timer?.stop();
    this.#timer = null;
  }

  #next(): void {
    const nowMs = this.#clock.monotonicMs();
    const refills = Math.floor((nowMs - this.#refilledMs) / REFILL_MS);
    this.#tokens = Math.min(BURST, this.#tokens + refills);
    this.#refilledMs += refills * REFILL_MS;
    for (const entry of this.#waiting) {
      if (nowMs < this.#pausedUntilMs || this.#tokens < 1 || this.#inFlight >= IN_FLIGHT_MAX) break;
      this.#waiting.delete(entry);
      this.#tokens--;
      void this.#fetch(entry);
    }
    if (this.#waiting.size === 0 || this.#inFlight >= IN_FLIGHT_MAX) return;
    this.#timer?.stop();
    this.#timer = this.#clock.after(Math.max(REFILL_MS, this.#pausedUntilMs - nowMs), () => this.#next());
  }

  async #fetch(entry: Entry): Promise<void> {
    const generation = this.#generation;
    this.#inFlight++;
    try {
      const body = await this.#rest.get(`/api/v3/depth?symbol=${encodeURIComponent(entry.instrument.native)}&limit=${LEVELS}`);
      this.#inFlight--;
      if (generation === this.#generation) this.#done(entry, body);
    } catch (error) {
      this.#inFlight--;
      this.#throttle(error);
      if (generation === this.#generation) this.#failed(entry, error);
    }
    this.#next();
  }

  #throttle(error: unknown): void {
    if (!(error instanceof VenueRefusal) || (error.answered !== 429 && error.answered !== 418)) return;
    this.throttled++;
    this.#pausedUntilMs = this.#clock.monotonicMs() + (error.waitMs === 0 ? REFUSED_MS : error.waitMs);
  }
}
