/**
 * One side of a simulated order book, on the tick grid, in the arrays that a book event hands over.
 *
 * Owns: the levels. Runs on: stream thread. Path: hot; nothing is allocated after construction.
 */
import { BOOK_DEPTH_MAX, type BookSideView } from "../../market/market-event.ts";

/** Levels given up at once when a full side gets a new best one, so that moving them is rare. */
const DROPPED_WHEN_FULL = 10;

export class SimSide implements BookSideView {
  count = 0;
  readonly prices = new Float64Array(BOOK_DEPTH_MAX);
  readonly sizes = new Float64Array(BOOK_DEPTH_MAX);

  /** Price units; 0 when empty. */
  get best(): number {
    return this.prices[this.count - 1] ?? 0;
  }

  /** Size units at the best price; 0 when empty. */
  get bestSize(): number {
    return this.sizes[this.count - 1] ?? 0;
  }

  clear(): void {
    this.count = 0;
  }

  /** A new best level. True when far levels had to go for it. */
  push(price: number, size: number): boolean {
    const isFull = this.count === BOOK_DEPTH_MAX;
    if (isFull) {
      this.prices.copyWithin(0, DROPPED_WHEN_FULL);
      this.sizes.copyWithin(0, DROPPED_WHEN_FULL);
      this.count -= DROPPED_WHEN_FULL;
    }
    this.prices[this.count] = price;
    this.sizes[this.count] = size;
    this.count++;
    return isFull;
  }

  pop(): void {
    this.count--;
  }

  /** @param level 0 is the farthest, `count - 1` the best */
  resize(level: number, size: number): void {
    this.sizes[level] = size;
  }

  /** Makes room for `added` levels behind the farthest; the caller sets them with `place`. */
  extend(added: number): void {
    this.prices.copyWithin(added, 0, this.count);
    this.sizes.copyWithin(added, 0, this.count);
    this.count += added;
  }

  place(level: number, price: number, size: number): void {
    this.prices[level] = price;
    this.sizes[level] = size;
  }
}
