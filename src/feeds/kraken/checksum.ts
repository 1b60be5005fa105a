/**
 * Kraken's book checksum: CRC32 over the digits of the ten best levels of each side.
 *
 * Path: hot, once per book update. Source: Kraken, "Book checksum" guides of WebSocket v1 and v2, which differ in
 * nothing but where the number of decimals comes from.
 */
import { crc32 } from "node:zlib";
import type { BookSideView } from "../../market/market-event.ts";
import type { Scale } from "../../market/price.ts";

const CHECKED_LEVELS = 10;

/** How many decimals the venue writes, and how many ours have. */
export interface Decimals {
  readonly priceSpelled: number;
  readonly sizeSpelled: number;
  readonly priceScale: Scale;
  readonly sizeScale: Scale;
}

/** Unsigned 32 bits. Asks from the lowest, then bids from the highest: price and size without point and leading zeros. */
export function bookChecksum(bids: BookSideView, asks: BookSideView, decimals: Decimals): number {
  return crc32(sideDigits(asks, decimals) + sideDigits(bids, decimals));
}

function sideDigits(side: BookSideView, decimals: Decimals): string {
  const priceShift = decimals.priceSpelled - decimals.priceScale;
  const sizeShift = decimals.sizeSpelled - decimals.sizeScale;
  const end = side.count > CHECKED_LEVELS ? side.count - CHECKED_LEVELS : 0;
  let text = "";
  for (let i = side.count - 1; i >= end; i--) {
    text += digits(side.prices[i] ?? 0, priceShift) + digits(side.sizes[i] ?? 0, sizeShift);
  }
  return text;
}

const ZEROS = "000000000000000000000000";

/** A value whose last digits the venue does not write cannot be spelled its way; the checksum then fails, as it should. */
function digits(units: number, shift: number): string {
  if (shift === 0) return String(units);
  return shift > 0 ? String(units) + ZEROS.slice(0, shift) : String(Math.trunc(units / 10 ** -shift));
}
