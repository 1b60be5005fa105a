/**
 * Whether a simulated instrument trades: short sessions so that one sees them open and close, and random halts.
 *
 * Owns: the state and the times of its next changes.
 */
import type { Micros } from "../../core/time.ts";
import type { Random } from "./random.ts";
import type { Hours } from "./sim-instruments.ts";

/** Mean time between two halts of an instrument beyond the first minute, and the length of one, in seconds. */
const HALT_EVERY_S = 600;
const HALT_MIN_S = 15;
const HALT_SPREAD_S = 30;

export class TradingHours {
  state: "open" | "closed" | "halted" = "open";
  /** Empty while open. */
  reason = "";
  readonly #hours: Hours | null;
  /** Microseconds; infinite for one that is never halted. */
  #haltAt: number;
  #haltEnd = 0;

  constructor(hours: Hours | null, mayHalt: boolean, now: Micros, random: Random) {
    this.#hours = hours;
    this.#haltAt = mayHalt ? nextHalt(now, random) : Number.POSITIVE_INFINITY;
    this.advance(now, random);
  }

  /** True when the state has changed. */
  advance(now: Micros, random: Random): boolean {
    const before = this.state;
    const closedUntil = closedUntilOf(this.#hours, now);
    if (now >= this.#haltAt) {
      this.#haltEnd = now + (HALT_MIN_S + random.below(HALT_SPREAD_S)) * 1e6;
      this.#haltAt = nextHalt(this.#haltEnd, random);
    }
    if (closedUntil !== null) {
      this.state = "closed";
      this.reason = `closed until ${clockText(closedUntil)}`;
    } else if (now < this.#haltEnd) {
      this.state = "halted";
      this.reason = `trading halt after volatility until ${clockText(this.#haltEnd)}`;
    } else {
      this.state = "open";
      this.reason = "";
    }
    return this.state !== before;
  }
}

function nextHalt(from: number, random: Random): number {
  return from + Math.round((60 + random.exponential() * HALT_EVERY_S) * 1e6);
}

/** Microseconds at which it opens again; null while open. */
function closedUntilOf(hours: Hours | null, now: number): number | null {
  if (!hours) return null;
  const period = hours.periodS * 1e6;
  const into = (now + hours.phaseS * 1e6) % period;
  return into < hours.openS * 1e6 ? null : now - into + period;
}

function clockText(time: number): string {
  return `${new Date(time / 1000).toISOString().slice(11, 19)} UTC`;
}
