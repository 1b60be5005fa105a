/**
 * Folds trades into the one `trade_summary` of an interval, exactly: protocol section 2.4.
 *
 * Path: hot, once per trade and group of its topic; no allocation until the summary is written.
 */
import { ExactSum, type Product } from "../market/exact-sum.ts";
import { divideHalfEven, formatBig, formatScaled } from "../market/price.ts";
import { HEADER_WORDS, VWAP_EXTRA_SCALE } from "../protocol/record.ts";
import type { Listing } from "./directory.ts";

const VWAP_UNITS = 10n ** BigInt(VWAP_EXTRA_SCALE);

export class TradeSummary {
  count = 0;
  first = 0;
  /** Sequence of the newest trade. */
  last = 0;
  #open = 0;
  #high = 0;
  #low = 0;
  #close = 0;
  #time = 0;
  readonly #volume = new ExactSum();
  readonly #notional = new ExactSum();

  clear(): void {
    this.count = 0;
    this.#volume.clear();
    this.#notional.clear();
  }

  /** The trade at word `at`, in the order of the sequence. @param notional its price times its size */
  add(words: Float64Array, at: number, notional: Product): void {
    const price = words[at + HEADER_WORDS] ?? 0;
    this.last = words[at + 2] ?? 0;
    if (this.count++ === 0) {
      this.first = this.last;
      this.#open = price;
      this.#high = price;
      this.#low = price;
    }
    if (price > this.#high) this.#high = price;
    if (price < this.#low) this.#low = price;
    this.#close = price;
    this.#time = words[at + 3] ?? 0;
    this.#volume.add(words[at + HEADER_WORDS + 1] ?? 0);
    this.#notional.addProduct(notional);
  }

  /** The message as JSON text. `time` is that of the newest trade, `vwap` half-even at the price's scale + 4. Only with trades. */
  json(listing: Listing): string {
    const { priceScale, sizeScale } = listing.codec;
    const volume = this.#volume.value();
    const vwap = divideHalfEven(this.#notional.value() * VWAP_UNITS, volume);
    return `{"type":"trade_summary","symbol":${JSON.stringify(listing.instrument.id)},"first_seq":${this.first},"seq":${this.last},"count":${this.count},"volume":"${
      formatBig(volume, sizeScale)}","open":"${formatScaled(this.#open, priceScale)}","high":"${formatScaled(this.#high, priceScale)}","low":"${
      formatScaled(this.#low, priceScale)}","close":"${formatScaled(this.#close, priceScale)}","vwap":"${
      formatBig(vwap, priceScale + VWAP_EXTRA_SCALE)}","time":${this.#time}}`;
  }
}
