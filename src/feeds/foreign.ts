/**
 * Reads single values out of a venue's JSON: NaN or null where there is none that makes sense, never an exception.
 *
 * Path: hot. No regular expression, no allocation per value.
 */
import { SCALE_MAX, scaledOrNaN, unitsPerOne, type Scale } from "../market/price.ts";

export type ForeignRecord = Readonly<Record<string, unknown>>;

export function isForeignRecord(value: unknown): value is ForeignRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Text for people, at most 200 characters. Not `String`: a JSON object may hold a `toString` that is no function. */
export function shownText(value: unknown): string {
  const text = typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : value === undefined ? "" : typeof value;
  return text.length > SHOWN_MAX ? text.slice(0, SHOWN_MAX) : text;
}

const SHOWN_MAX = 200;

/** Units of decimal text; NaN when it is no plain decimal, finer than the scale, or beyond 2^53 units. */
export function scaledText(value: unknown, scale: Scale): number {
  return typeof value === "string" ? scaledOrNaN(value, scale) : Number.NaN;
}

/** Below it, decimals of one scale are further apart than doubles: each double of `JSON.parse` stands for one of them at most. */
const JSON_UNITS_MAX = 2 ** 52;

/**
 * Units of a JSON number; NaN when it is finer than the scale, or has 2^52 units or more, where two decimals share a
 * double. Exact: units divided by a power of ten is, correctly rounded, the double that `JSON.parse` made of the decimal.
 */
export function scaledNumber(value: unknown, scale: Scale): number {
  if (typeof value !== "number") return Number.NaN;
  const units = unitsPerOne(scale);
  const rounded = Math.round(value * units);
  // Near the limit the product may have been rounded to the neighbour of the right one.
  const scaled = rounded / units === value ? rounded
    : (rounded - 1) / units === value ? rounded - 1
      : (rounded + 1) / units === value ? rounded + 1 : Number.NaN;
  return Math.abs(scaled) < JSON_UNITS_MAX ? scaled : Number.NaN;
}

/** Plain decimal text greater than zero, as it was spelled; null for anything else, zero included. */
export function positiveText(value: unknown): string | null {
  if (typeof value !== "string") return null;
  let isPositive = false;
  let isFraction = false;
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code === 46) {
      if (isFraction || at === 0 || at === value.length - 1) return null;
      isFraction = true;
    } else if (code < 48 || code > 57) return null;
    else if (code !== 48) isPositive = true;
  }
  return isPositive ? value : null;
}

/** Plain decimal text of a JSON number greater than zero, equal in value; null for anything else. */
export function positiveNumberText(value: unknown): string | null {
  if (typeof value !== "number" || !(value > 0)) return null;
  const text = String(value);
  if (!text.includes("e")) return text;
  const fixed = value.toFixed(SCALE_MAX);
  return Number(fixed) === value && !fixed.includes("e") ? fixed : null;
}

/** Microseconds of epoch milliseconds; NaN when it is no number. */
export function microsOfMillis(value: unknown): number {
  return typeof value === "number" ? value * 1000 : Number.NaN;
}

/** Microseconds of epoch seconds in decimal text with up to six decimals, e.g. "1561939201.587070". */
export function microsOfSecondsText(value: unknown): number {
  return typeof value === "string" ? scaledOrNaN(value, 6) : Number.NaN;
}

/**
 * Microseconds since 1970 of a UTC time as the venues spell it, `2021-04-17T16:43:37.075687Z`, with none to nine
 * decimals; digits below a microsecond are cut off. NaN for anything else; below zero before 1970.
 */
export function microsOfUtcText(value: unknown): number {
  if (typeof value !== "string" || value.length < 20 || value.charCodeAt(value.length - 1) !== 90) return Number.NaN;
  if (value.charCodeAt(4) !== 45 || value.charCodeAt(7) !== 45 || value.charCodeAt(10) !== 84
    || value.charCodeAt(13) !== 58 || value.charCodeAt(16) !== 58) return Number.NaN;
  const days = daysSince1970(digits(value, 0, 4), digits(value, 5, 7), digits(value, 8, 10));
  const seconds = (digits(value, 11, 13) * 60 + digits(value, 14, 16)) * 60 + digits(value, 17, 19);
  if (value.length === 20) return (days * 86_400 + seconds) * 1e6;
  const decimals = value.length - 21;
  if (value.charCodeAt(19) !== 46 || decimals < 1 || decimals > 9) return Number.NaN;
  const nanos = digits(value, 20, 20 + decimals) * (POW10[9 - decimals] ?? Number.NaN);
  return (days * 86_400 + seconds) * 1e6 + Math.floor(nanos / 1000);
}

const POW10 = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8] as const;

function digits(text: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** Days of the civil calendar, counted in years that begin in March so that the leap day comes last. */
function daysSince1970(year: number, month: number, day: number): number {
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= 31)) return Number.NaN;
  const y = month > 2 ? year : year - 1;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468;
}
