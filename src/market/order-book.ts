/**
 * The order book of one instrument: two sides of price levels, changed one level at a time without allocating.
 *
 * Owns: its arrays; a venue's mapper owns the book. Path: hot.
 */
import type { BookSideView } from "./market-event.ts";
import { price, type Price, type Quantity } from "./price.ts";

export type BookSideName = "bid" | "ask";

/** Levels a side may hold. Beyond it the worst level gives way: far from the price, and no reader sees past 100. */
export const BOOK_LEVELS_MAX = 100_000;

/** Counts the levels that gave way because a side was full; may be shared by many books. */
export interface EvictionTally {
  evicted: number;
}

const INITIAL_LEVELS = 128;

class BookSide implements BookSideView {
  count = 0;
  prices = new Float64Array(INITIAL_LEVELS);
  sizes = new Float64Array(INITIAL_LEVELS);
  /** 1 for bids, -1 for asks: price times direction grows towards the best level, which stands last. */
  readonly #direction: 1 | -1;
  readonly #levelsMax: number;
  readonly #tally: EvictionTally;

  constructor(direction: 1 | -1, levelsMax: number, tally: EvictionTally) {
    this.#direction = direction;
    this.#levelsMax = levelsMax;
    this.#tally = tally;
  }

  set(at: number, size: number): boolean {
    const index = this.#find(at);
    if (index < this.count && this.prices[index] === at) {
      if (size === 0) this.#remove(index);
      else if (this.sizes[index] === size) return false;
      else this.sizes[index] = size;
      return true;
    }
    return size !== 0 && this.#insert(index, at, size);
  }

  /** Index of the first level not worse than the price. Steps double from the best level down: most changes are near it. */
  #find(at: number): number {
    const direction = this.#direction;
    const prices = this.prices;
    const key = at * direction;
    let high = this.count;
    let step = 1;
    let low = high - 1;
    while (low >= 0 && (prices[low] ?? 0) * direction >= key) {
      high = low;
      step *= 2;
      low = high - step;
    }
    low = low < 0 ? 0 : low + 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((prices[middle] ?? 0) * direction < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #remove(index: number): void {
    this.prices.copyWithin(index, index + 1, this.count);
    this.sizes.copyWithin(index, index + 1, this.count);
    this.count--;
  }

  #insert(index: number, at: number, size: number): boolean {
    if (this.count === this.#levelsMax) {
      this.#tally.evicted++;
      if (index === 0) return false;
      this.#remove(0);
      return this.#insert(index - 1, at, size);
    }
    if (this.count === this.prices.length) {
      this.prices = doubled(this.prices);
      this.sizes = doubled(this.sizes);
    }
    if (index < this.count) {
      this.prices.copyWithin(index + 1, index, this.count);
      this.sizes.copyWithin(index + 1, index, this.count);
    }
    this.prices[index] = at;
    this.sizes[index] = size;
    this.count++;
    return true;
  }

  truncate(levels: number): void {
    const surplus = this.count - levels;
    if (surplus <= 0) return;
    this.prices.copyWithin(0, surplus, this.count);
    this.sizes.copyWithin(0, surplus, this.count);
    this.count = levels;
  }

  best(): number {
    return this.count === 0 ? Number.NaN : this.prices[this.count - 1] ?? Number.NaN;
  }
}

export class OrderBook {
  readonly #bids: BookSide;
  readonly #asks: BookSide;

  /** @param levelsMax levels a side may hold, at least 1. */
  constructor(levelsMax: number = BOOK_LEVELS_MAX, tally: EvictionTally = { evicted: 0 }) {
    if (!Number.isSafeInteger(levelsMax) || levelsMax < 1) throw new RangeError(`expected at least one level a side, found ${levelsMax}`);
    this.#bids = new BookSide(1, levelsMax, tally);
    this.#asks = new BookSide(-1, levelsMax, tally);
  }

  /** Live view: the same object for the life of the book, changed by every `apply`. */
  get bids(): BookSideView {
    return this.#bids;
  }

  /** Live view, see `bids`. */
  get asks(): BookSideView {
    return this.#asks;
  }

  /**
   * Sets the size of a level; size 0 removes it. Answers whether the book changed. A snapshot is loaded fastest from
   * its worst level to its best. Neither value is judged here: a price is a positive number of units, a size none below 0.
   */
  apply(side: BookSideName, at: Price, size: Quantity): boolean {
    return side === "bid" ? this.#bids.set(at, size) : this.#asks.set(at, size);
  }

  clear(): void {
    this.#bids.count = 0;
    this.#asks.count = 0;
  }

  /** Keeps the best `levels` of each side. */
  truncate(levels: number): void {
    this.#bids.truncate(levels);
    this.#asks.truncate(levels);
  }

  /** NaN when there is no bid. */
  get bestBid(): Price {
    return price(this.#bids.best());
  }

  /** NaN when there is no ask. */
  get bestAsk(): Price {
    return price(this.#asks.best());
  }

  /** Whether the best bid is at or above the best ask; false while a side is empty. */
  get isCrossed(): boolean {
    return this.#bids.best() >= this.#asks.best();
  }
}

function doubled(values: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(values.length * 2);
  larger.set(values);
  return larger;
}
