/**
 * Kite's times: Indian, without a time zone in the text.
 */
import { microsFromRfc3339, type Micros } from "../../core/time.ts";

const DAY_MS = 86_400_000;
/** India has one time zone, without summer time. */
const OFFSET_MS = 19_800_000;

/** `2021-05-31 15:20:28`; null for anything else. */
export function kiteTime(text: string): Micros | null {
  return /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/.test(text) ? microsFromRfc3339(`${text.replace(" ", "T")}+05:30`) : null;
}

/** Days since 1970 in India. */
export function indianDay(time: Micros): number {
  return Math.floor((time / 1000 + OFFSET_MS) / DAY_MS);
}
