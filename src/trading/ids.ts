/**
 * Ids of orders and batches: 20 lower-case letters and digits, ascending with time, as brokers with short tags take them.
 */
import { randomInt } from "node:crypto";
import type { Micros } from "../core/time.ts";

const TIME_DIGITS = 8;
const RANDOM_DIGITS = 11;

/** `prefix` (one letter), 8 digits of the millisecond in base 36 (enough until 2059), 11 random ones (57 bits). */
export function newId(prefix: "o" | "b", now: Micros): string {
  const time = Math.floor(now / 1000).toString(36).padStart(TIME_DIGITS, "0");
  let tail = "";
  while (tail.length < RANDOM_DIGITS) tail += randomInt(36).toString(36);
  return `${prefix}${time}${tail}`;
}
