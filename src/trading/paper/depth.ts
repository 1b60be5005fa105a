/**
 * The visible depth of the venue's book, and what paper orders have taken of it since its last change.
 *
 * Owns: what was taken, per instrument; it counts as there again with the next event of the book.
 */
import type { OrderSide } from "../../ports/broker.ts";

export interface DepthLevel {
  readonly price: bigint;
  readonly quantity: bigint;
}

/** A book as it stands. */
export interface Depth {
  /** Changes with every event of the book. */
  readonly version: string;
  /** Best first. */
  readonly bids: Iterable<DepthLevel>;
  readonly asks: Iterable<DepthLevel>;
}

interface Taken {
  readonly version: string;
  /** By side of the order and price. */
  readonly quantities: Map<string, bigint>;
}

export class TakenDepth {
  readonly #taken = new Map<string, Taken>();

  /**
   * Executions of an order against the depth, best price first, within its limit; does not take them.
   * @returns parts whose sum is at most the quantity; fewer when the depth is not enough
   */
  walk(symbol: string, depth: Depth, side: OrderSide, quantity: bigint, limitPrice: bigint | null): DepthLevel[] {
    const taken = this.#of(symbol, depth);
    const parts: DepthLevel[] = [];
    let left = quantity;
    for (const level of side === "buy" ? depth.asks : depth.bids) {
      if (left === 0n || (limitPrice !== null && isWorse(side, level.price, limitPrice))) break;
      const free = level.quantity - (taken.get(`${side}${level.price}`) ?? 0n);
      const part = free < left ? free : left;
      if (part <= 0n) continue;
      parts.push({ price: level.price, quantity: part });
      left -= part;
    }
    return parts;
  }

  /** Marks parts as gone until the book changes. */
  take(symbol: string, depth: Depth, side: OrderSide, parts: readonly DepthLevel[]): void {
    const quantities = new Map(this.#of(symbol, depth));
    for (const { price, quantity } of parts) quantities.set(`${side}${price}`, (quantities.get(`${side}${price}`) ?? 0n) + quantity);
    this.#taken.set(symbol, { version: depth.version, quantities });
  }

  /** Another one that starts from here, for estimates. */
  copy(): TakenDepth {
    const copy = new TakenDepth();
    for (const [symbol, taken] of this.#taken) copy.#taken.set(symbol, taken);
    return copy;
  }

  #of(symbol: string, { version }: Depth): ReadonlyMap<string, bigint> {
    const taken = this.#taken.get(symbol);
    return taken?.version === version ? taken.quantities : new Map();
  }
}

/** Whether a price is worse for the one who trades on that side than the limit. */
export function isWorse(side: OrderSide, price: bigint, limit: bigint): boolean {
  return side === "buy" ? price > limit : price < limit;
}

/** Size that rests at a price on the order's own side: those who came before. */
export function sizeAt(depth: Depth, side: OrderSide, price: bigint): bigint {
  for (const level of side === "buy" ? depth.bids : depth.asks) {
    if (level.price === price) return level.quantity;
    if (isWorse(side === "buy" ? "sell" : "buy", level.price, price)) return 0n;
  }
  return 0n;
}
