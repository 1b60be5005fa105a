/**
 * Exact sums of whole numbers and of their products, at the cost of floating point.
 *
 * Path: hot, once per trade and bar interval. Numbers are kept in two limbs of 52 bits; what outgrows them spills into
 * a bigint, which happens once in 2^52 units and not per trade.
 */

const LIMB = 2 ** 52;
const LIMB_BIG = BigInt(LIMB);
const HALF = 2 ** 26;
/** Above it the partial products of `Product.set` are no longer exact in a double. */
const PRODUCT_MAX = 2 ** 100;

/** The product of two whole numbers, computed once and added to several sums. */
export class Product {
  /** Low 52 bits. */
  low = 0;
  /** The rest, in units of 2^52. */
  high = 0;
  /** Instead of `low` and `high` when the product exceeds 2^100. */
  huge = 0n;

  /** @param a whole number from 0 to 2^53 @param b whole number from 0 to 2^53 */
  set(a: number, b: number): void {
    const product = a * b;
    this.high = 0;
    this.huge = 0n;
    if (product < LIMB) {
      this.low = product;
      return;
    }
    if (product > PRODUCT_MAX) {
      this.low = 0;
      this.huge = BigInt(a) * BigInt(b);
      return;
    }
    const aHigh = Math.floor(a / HALF);
    const aLow = a - aHigh * HALF;
    const bHigh = Math.floor(b / HALF);
    const bLow = b - bHigh * HALF;
    const crossA = aHigh * bLow;
    const crossB = aLow * bHigh;
    const crossAHigh = Math.floor(crossA / HALF);
    const crossBHigh = Math.floor(crossB / HALF);
    let middle = crossA - crossAHigh * HALF + (crossB - crossBHigh * HALF);
    let high = aHigh * bHigh + crossAHigh + crossBHigh;
    if (middle >= HALF) {
      middle -= HALF;
      high++;
    }
    let low = middle * HALF + aLow * bLow;
    if (low >= LIMB) {
      low -= LIMB;
      high++;
    }
    this.low = low;
    this.high = high;
  }
}

/** A sum that is always exact. */
export class ExactSum {
  #low = 0;
  #high = 0;
  #spilled = 0n;

  clear(): void {
    this.#low = 0;
    this.#high = 0;
    this.#spilled = 0n;
  }

  /** @param value whole number from 0 to 2^53 */
  add(value: number): void {
    if (this.#low > Number.MAX_SAFE_INTEGER - value) this.#spill();
    this.#low += value;
  }

  addProduct(product: Product): void {
    if (product.huge > 0n) {
      this.#spilled += product.huge;
      return;
    }
    if (this.#high > LIMB - product.high || this.#low > LIMB) this.#spill();
    this.#low += product.low;
    this.#high += product.high;
    if (this.#low >= LIMB) {
      this.#low -= LIMB;
      this.#high++;
    }
  }

  value(): bigint {
    const low = BigInt(this.#low) + this.#spilled;
    return this.#high === 0 ? low : BigInt(this.#high) * LIMB_BIG + low;
  }

  #spill(): void {
    this.#spilled = this.value();
    this.#low = 0;
    this.#high = 0;
  }
}
