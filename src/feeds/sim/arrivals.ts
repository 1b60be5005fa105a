/**
 * When simulated events come, and to which instrument: bursts in time, runs of activity in one instrument.
 *
 * Owns: the events earned but not yet released. Path: hot.
 */
import type { Random } from "./random.ts";

/** Share of the earned events that leaves in a slice, and the mean length of such a spell in slices. */
const SPELLS = [
  { release: 0.02, slices: 30 },
  { release: 0.15, slices: 40 },
  { release: 0.6, slices: 6 },
] as const;
/** Most events of one slice, as a multiple of an even share. */
const BURST_MAX = 3;
/** Chance that the next action is in the same instrument. */
const RUN_CHANCE = 0.5;
const POOL_MIN = 4096;

/**
 * A Markov-modulated flow whose long-run mean is exactly the configured rate: events are earned evenly and released
 * unevenly, at most about 50 slices late.
 */
export class Bursts {
  readonly #random: Random;
  #earned = 0;
  #spell = 1;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Events, possibly a fraction, that come in a slice in which `share` were earned. */
  release(share: number): number {
    if (this.#random.unit() * (SPELLS[this.#spell]?.slices ?? 1) < 1) this.#spell = this.#random.below(SPELLS.length);
    this.#earned += share;
    const released = Math.min(this.#earned * (SPELLS[this.#spell]?.release ?? 1), Math.max(share * BURST_MAX, 1));
    this.#earned -= released;
    return released;
  }
}

/** Chooses instruments by weight, each next one with an even chance the same again: an order is answered by orders. */
export class Picker {
  readonly #random: Random;
  readonly #pool: Uint16Array;
  #last = 0;

  /** @param weights relative shares, one of each instrument */
  constructor(weights: readonly number[], random: Random) {
    this.#random = random;
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const size = Math.max(POOL_MIN, weights.length * 4);
    this.#pool = Uint16Array.from(weights.flatMap((weight, i) => Array.from({ length: Math.max(1, Math.round((weight / total) * size)) }, () => i)));
  }

  /** Position of the chosen weight. */
  next(): number {
    if (this.#random.unit() >= RUN_CHANCE) this.#last = this.#pool[this.#random.below(this.#pool.length)] ?? 0;
    return this.#last;
  }
}
