/**
 * Reads single values out of a broker's JSON: null where there is none that makes sense, never an exception. Decimals stay text.
 */
import { micros, type Micros } from "../../core/time.ts";

export type ForeignRecord = Readonly<Record<string, unknown>>;

export function isForeignRecord(value: unknown): value is ForeignRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member of a record or list that came from outside; undefined when there is none. */
export function memberOf(value: unknown, name: string): unknown {
  return isForeignRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Text that is not empty. */
export function textOf(value: unknown, name: string): string | null {
  const found = memberOf(value, name);
  return typeof found === "string" && found !== "" ? found : null;
}

const NUMBER = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/;

/**
 * Plain decimal text without needless zeros of a JSON number or of decimal text, exponents included; null for anything else.
 * A number is taken as the shortest decimal that reads back as the same double, which is what the broker wrote up to 15 digits.
 */
export function decimalText(value: unknown): string | null {
  const text = typeof value === "number" ? String(value) : value;
  const match = typeof text === "string" ? NUMBER.exec(text) : null;
  if (match === null) return null;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  const point = whole.length + Number(exponent);
  const digits = point <= 0 ? "0".repeat(1 - point) + whole + fraction : (whole + fraction).padEnd(point, "0");
  const at = point <= 0 ? 1 : point;
  const plain = `${digits.slice(0, at).replace(/^0+(?=\d)/, "")}.${digits.slice(at)}`.replace(/\.?0*$/, "");
  return sign === "-" && plain !== "0" ? `-${plain}` : plain;
}

/** The same for a member. */
export function decimalOf(value: unknown, name: string): string | null {
  return decimalText(memberOf(value, name));
}

/** Below, equal, above: -1, 0, 1. Both are texts of {@link decimalText}. */
export function compareDecimals(a: string, b: string): number {
  const scale = Math.max(decimalsIn(a), decimalsIn(b));
  const difference = unitsOf(a, scale) - unitsOf(b, scale);
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}

/** The exact sum or product of two such texts. */
export function addDecimals(a: string, b: string): string {
  const scale = Math.max(decimalsIn(a), decimalsIn(b));
  return textFrom(unitsOf(a, scale) + unitsOf(b, scale), scale);
}

export function multiplyDecimals(a: string, b: string): string {
  return textFrom(unitsOf(a, decimalsIn(a)) * unitsOf(b, decimalsIn(b)), decimalsIn(a) + decimalsIn(b));
}

function decimalsIn(text: string): number {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

function unitsOf(text: string, scale: number): bigint {
  return BigInt(text.replace(".", "") + "0".repeat(scale - decimalsIn(text)));
}

function textFrom(units: bigint, scale: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
  const text = `${units < 0n ? "-" : ""}${digits.slice(0, digits.length - scale)}.${digits.slice(digits.length - scale)}`;
  return decimalText(text) ?? "0";
}

/** Microseconds of milliseconds since 1970; null when it is no such time. */
export function microsOfMillis(value: unknown): Micros | null {
  const millis = typeof value === "number" ? value : Number.NaN;
  return Number.isFinite(millis) && millis >= 0 && millis < 1e13 ? micros(Math.round(millis * 1000)) : null;
}
