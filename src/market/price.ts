/**
 * Prices and quantities as whole numbers of a power of ten; exact reading and writing of decimal text.
 *
 * Path: hot. No regular expression, no bigint for a value that fits 2^53.
 */
import type { Brand } from "../core/types.ts";

/** Whole number of price units: 10125 at scale 2 means 101.25. */
export type Price = Brand<number, "Price">;

/** Whole number of size units: 120 at scale 4 means 0.0120. */
export type Quantity = Brand<number, "Quantity">;

/** Number of decimals of an instrument's prices or sizes. */
export type Scale = number;

/** The most decimals a scale may have. */
export const SCALE_MAX = 15;

const POW10: readonly number[] = Array.from({ length: SCALE_MAX + 1 }, (_, i) => 10 ** i);

/** 10^scale. @throws {RangeError} when the scale is no whole number from 0 to 15. */
export function unitsPerOne(scale: Scale): number {
  const units = POW10[scale];
  if (units === undefined) throw new RangeError(`expected a scale from 0 to ${SCALE_MAX}, found ${scale}`);
  return units;
}

/**
 * Reads plain decimal text (`-12.5`, `0.10`, `7`) as a whole number of 10^-scale. NaN when the text is no plain
 * decimal, has a digit other than 0 beyond `scale`, or leaves the range of 2^53. Never rounds.
 */
export function scaledOrNaN(text: string, scale: Scale): number {
  const length = text.length;
  let at = 0;
  const negative = length > 0 && text.charCodeAt(0) === 45;
  if (negative) at = 1;
  let value = 0;
  let digits = 0;
  let decimals = -1;
  for (; at < length; at++) {
    const code = text.charCodeAt(at);
    if (code === 46) {
      if (decimals >= 0 || digits === 0) return Number.NaN;
      decimals = 0;
      continue;
    }
    const digit = code - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    if (decimals >= 0) {
      if (decimals === scale) {
        if (digit !== 0) return Number.NaN;
        continue;
      }
      decimals++;
    }
    digits++;
    value = value * 10 + digit;
  }
  if (digits === 0 || text.charCodeAt(length - 1) === 46) return Number.NaN;
  value *= POW10[scale - (decimals < 0 ? 0 : decimals)] ?? Number.NaN;
  if (!(value <= Number.MAX_SAFE_INTEGER)) return Number.NaN;
  return negative ? -value : value;
}

/** @throws {RangeError} when the text is no plain decimal, is finer than `scale`, or exceeds 2^53. */
export function parsePrice(text: string, scale: Scale): Price {
  return checked(text, scale) as Price;
}

/** @throws {RangeError} when the text is no plain decimal, is finer than `scale`, or exceeds 2^53. */
export function parseQuantity(text: string, scale: Scale): Quantity {
  return checked(text, scale) as Quantity;
}

function checked(text: string, scale: Scale): number {
  const value = scaledOrNaN(text, scale);
  if (Number.isNaN(value)) throw new RangeError(`expected a plain decimal with at most ${scale} decimals below 2^53 units, found "${text}"`);
  return value;
}

/** A value that is already counted in units. NaN and infinities stay what they are and are rejected at ingest. */
export function price(units: number): Price {
  return units as Price;
}

/** A value that is already counted in units. */
export function quantity(units: number): Quantity {
  return units as Quantity;
}

const ZEROS = "000000000000000";

/** Plain decimal text with exactly `scale` decimals. */
export function formatScaled(units: number, scale: Scale): string {
  if (scale === 0) return String(units);
  if (units < 0) return `-${formatScaled(-units, scale)}`;
  let digits = String(units);
  if (digits.length <= scale) digits = ZEROS.slice(0, scale + 1 - digits.length) + digits;
  const point = digits.length - scale;
  return `${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** How many decimals a plain decimal text needs: "0.0100" needs 2, "5" and "5.0" need 0. */
export function decimalsOf(text: string): Scale {
  const point = text.indexOf(".");
  if (point < 0) return 0;
  let end = text.length;
  while (end > point + 1 && text.charCodeAt(end - 1) === 48) end--;
  return end - point - 1;
}

/** numerator / denominator, rounded half to even (IEEE 754 roundTiesToEven); the denominator is positive. */
export function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  const negative = numerator < 0n;
  const magnitude = negative ? -numerator : numerator;
  let quotient = magnitude / denominator;
  const twice = (magnitude % denominator) * 2n;
  if (twice > denominator || (twice === denominator && quotient % 2n === 1n)) quotient++;
  return negative ? -quotient : quotient;
}

/** Plain decimal text of a bigint number of units. */
export function formatBig(units: bigint, scale: Scale): string {
  if (units < 0n) return `-${formatBig(-units, scale)}`;
  const digits = units.toString().padStart(scale + 1, "0");
  return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
