/**
 * Orders of one side in line: by price, then by arrival.
 */

export interface Rung {
  readonly price: bigint;
  /** Smaller is earlier. */
  readonly priority: number;
  /** Number of the order. */
  readonly order: number;
}

export class Ladder {
  /** First in line at the end, so that it goes without moving the others. */
  readonly #rungs: Rung[] = [];
  readonly #isHighestFirst: boolean;

  constructor(isHighestFirst: boolean) {
    this.#isHighestFirst = isHighestFirst;
  }

  get size(): number {
    return this.#rungs.length;
  }

  add(rung: Rung): void {
    this.#rungs.splice(this.#indexOf(rung), 0, rung);
  }

  remove(rung: Rung): void {
    const at = this.#indexOf(rung);
    if (this.#rungs[at]?.order !== rung.order) throw new Error(`expected order ${rung.order} in line at ${rung.price}`);
    this.#rungs.splice(at, 1);
  }

  /** The orders, first in line first, down to the price; the ladder may be changed meanwhile by the caller afterwards only. */
  upTo(price: bigint): Rung[] {
    const reached: Rung[] = [];
    for (let i = this.#rungs.length - 1; i >= 0; i--) {
      const rung = this.#rungs[i];
      if (!rung || this.#compare(rung.price, price) > 0) break;
      reached.push(rung);
    }
    return reached;
  }

  /** Orders at exactly this price, first in line first. */
  at(price: bigint): Rung[] {
    return this.upTo(price).filter((rung) => rung.price === price);
  }

  /** Negative when `a` comes before `b`. */
  #compare(a: bigint, b: bigint): number {
    if (a === b) return 0;
    return a > b === this.#isHighestFirst ? -1 : 1;
  }

  /** Where a rung is, or belongs. */
  #indexOf(rung: Rung): number {
    let from = 0;
    let to = this.#rungs.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const other = this.#rungs[middle];
      const order = other === undefined ? 0 : this.#compare(other.price, rung.price) || other.priority - rung.priority;
      if (order > 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
