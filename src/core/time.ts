/**
 * Micros, the one timestamp unit: whole microseconds since 1970 UTC, exact in a number until 2255.
 */
import type { Brand } from "./types.ts";

/** Whole microseconds since 1970-01-01T00:00:00Z. Durations are plain milliseconds and named `...Ms`. */
export type Micros = Brand<number, "Micros">;

/** @throws {RangeError} when the value is no whole number from 0 to 2^53. */
export function micros(value: number): Micros {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`expected whole microseconds since 1970, found ${value}`);
  return value as Micros;
}

/** Milliseconds since 1970, possibly with a fraction, to the nearest microsecond. */
export function microsFromMillis(millis: number): Micros {
  return micros(Math.round(millis * 1000));
}

const RFC3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/;

/**
 * RFC 3339 text with up to nine fraction digits; digits below a microsecond are cut off.
 * @throws {RangeError} when the text is no RFC 3339 date and time, or lies before 1970.
 */
export function microsFromRfc3339(text: string): Micros {
  const match = RFC3339.exec(text);
  const seconds = match ? Date.parse(`${match[1]}${match[3]}`) : Number.NaN;
  if (!match || Number.isNaN(seconds)) throw new RangeError(`expected an RFC 3339 time, found "${text}"`);
  const fraction = (match[2] ?? "").padEnd(6, "0").slice(0, 6);
  return micros(seconds * 1000 + Number(fraction));
}
