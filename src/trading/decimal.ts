/**
 * Plain decimal text as whole numbers of any size: compared, added and written without a rounding step.
 */
import { formatBig } from "../market/price.ts";

/** `units` times 10^-`scale`. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

/** Digits before and after the point that an order may have; the largest price and size scale is 15. */
export const DIGITS_MAX = 15;

const PLAIN = /^-?(\d+)(?:\.(\d+))?$/;

/** Null when the text is no plain decimal: no exponent, no sign but a minus, digits on both sides of a point. */
export function decimalOf(text: string): Decimal | null {
  const match = PLAIN.exec(text);
  if (!match) return null;
  const fraction = match[2] ?? "";
  return { units: BigInt(text.replace(".", "")), scale: fraction.length };
}

/** What is wrong with the text of an amount above 0, in words; null: nothing. */
export function amountFault(text: string): string | null {
  const shown = text.length > 40 ? `${text.slice(0, 40)}… (${text.length} characters)` : text;
  if (text.length > 200 || !PLAIN.test(text) || text.startsWith("-")) return `expected a plain decimal above 0 such as "0.25", found "${shown}"`;
  const [whole = "", fraction = ""] = text.split(".");
  const wholeDigits = whole.replace(/^0+/, "").length;
  const fractionDigits = fraction.replace(/0+$/, "").length;
  if (wholeDigits > DIGITS_MAX || fractionDigits > DIGITS_MAX || text.length > 40) {
    return `expected at most ${DIGITS_MAX} digits before and ${DIGITS_MAX} after the point, found ${wholeDigits} and ${fractionDigits} in "${shown}"; it is not rounded`;
  }
  return wholeDigits + fractionDigits === 0 || /^[0.]*$/.test(text) ? `expected more than 0, found "${shown}"` : null;
}

/** @throws {RangeError} when the text is no plain decimal; for values that were checked or that a broker sent through its adapter */
export function decimal(text: string): Decimal {
  const read = decimalOf(text);
  if (read === null) throw new RangeError(`expected a plain decimal, found "${text.slice(0, 60)}"`);
  return read;
}

export const ZERO: Decimal = { units: 0n, scale: 0 };

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { units: unitsAt(a, scale) + unitsAt(b, scale), scale };
}

export function negated({ units, scale }: Decimal): Decimal {
  return { units: -units, scale };
}

/** Below 0, 0 or above 0 as `a` is less than, equal to or more than `b`. */
export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const [x, y] = [unitsAt(a, scale), unitsAt(b, scale)];
  return x < y ? -1 : x > y ? 1 : 0;
}

export function isZero({ units }: Decimal): boolean {
  return units === 0n;
}

/** Plain text without zeros at its end: equal values have equal text. */
export function plain({ units, scale }: Decimal): string {
  const text = formatBig(units, scale);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Whether the value is a whole multiple of `step` units of 10^-`scale`; the step is above 0. */
export function isMultiple(value: Decimal, step: number, scale: number): boolean {
  const fine = Math.max(value.scale, scale);
  return unitsAt(value, fine) % (BigInt(step) * 10n ** BigInt(fine - scale)) === 0n;
}

function unitsAt({ units, scale }: Decimal, wanted: number): bigint {
  return units * 10n ** BigInt(wanted - scale);
}
