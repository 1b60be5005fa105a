/**
 * Seeded random numbers: the same seed gives the same numbers on every machine.
 *
 * xoshiro128** by Blackman and Vigna (https://prng.di.unimi.it/xoshiro128starstar.c), seeded by splitmix32. Path: hot.
 */

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** @param seed any whole number; its low 32 bits count */
  constructor(seed: number) {
    let state = seed | 0;
    const mixed = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let value = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      value = Math.imul(value ^ (value >>> 15), 0x735a2d97);
      return value ^ (value >>> 15);
    };
    this.#a = mixed();
    this.#b = mixed();
    this.#c = mixed();
    this.#d = mixed();
  }

  /** From 0 to below 1, in steps of 2^-32. */
  unit(): number {
    const product = Math.imul(this.#b, 5);
    const value = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return value * 2 ** -32;
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.unit() * end);
  }

  /** Exponentially distributed with mean 1. */
  exponential(): number {
    return -Math.log(1 - this.unit());
  }

  /** About normal, mean 0 and variance 1, between -3.5 and 3.5. */
  normal(): number {
    return (this.unit() + this.unit() + this.unit() + this.unit() - 2) * Math.sqrt(3);
  }
}
