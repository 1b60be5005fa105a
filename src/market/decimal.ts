/**
 * Exact decimals beyond 2^53: text to a bigint of 10^-scale and back, for money. Not for the hot path.
 */

/** Digits before the point that a decimal may have. */
const INTEGER_DIGITS_MAX = 24;
const PLAIN = /^(-?)(\d+)(?:\.(\d+))?$/;

/** Null when the text is no plain decimal, has a digit other than 0 beyond `scale`, or more than 24 digits before the point. Never rounds. */
export function parseDecimal(text: string, scale: number): bigint | null {
  const match = PLAIN.exec(text);
  if (!match) return null;
  const [, sign = "", whole = "", fraction = ""] = match;
  const needed = fraction.replace(/0+$/, "");
  if (needed.length > scale || whole.replace(/^0+/, "").length > INTEGER_DIGITS_MAX) return null;
  const units = BigInt(whole + needed.padEnd(scale, "0"));
  return sign === "-" ? -units : units;
}

/** Plain decimal text of so many 10^-scale, without needless zeros. */
export function formatDecimal(units: bigint, scale: number): string {
  if (units < 0n) return `-${formatDecimal(-units, scale)}`;
  const digits = units.toString().padStart(scale + 1, "0");
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, "");
  const whole = digits.slice(0, digits.length - scale);
  return fraction === "" || scale === 0 ? whole : `${whole}.${fraction}`;
}
