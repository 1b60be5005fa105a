/**
 * Rate limits as the HTTP side sees them: budgets by name (protocol 3), each a window that opens at its first use.
 */
import type { MetricSource } from "./telemetry.ts";

export const LIMIT_NAMES = [
  "default", "anonymous", "anonymous.hour", "auth.failures", "orders.batch", "webhooks.write", "subscriptions.write", "alerts.write",
  "admin.write", "admin.write.breakglass", "breakers.reset",
] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

export interface Limit {
  readonly max: number;
  readonly windowMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const perMinute = (max: number): Limit => ({ max, windowMs: MINUTE_MS });

/** The protocol's limits (section 3); `RATE_LIMITS` replaces them by name. */
export const DEFAULT_LIMITS: Readonly<Record<LimitName, Limit>> = {
  default: perMinute(100), anonymous: perMinute(60), "anonymous.hour": { max: 1000, windowMs: HOUR_MS }, "auth.failures": perMinute(20),
  "orders.batch": perMinute(10), "webhooks.write": perMinute(20), "subscriptions.write": perMinute(30), "alerts.write": perMinute(20),
  "admin.write": { max: 5, windowMs: HOUR_MS }, "admin.write.breakglass": { max: 60, windowMs: HOUR_MS }, "breakers.reset": perMinute(5),
};

const WINDOWS_MS: Readonly<Record<string, number>> = { s: 1000, min: MINUTE_MS, h: HOUR_MS };

/** `10/s`, `1000/min`, `5/h`: at least 1, at most 999,999,999 in a window; null for any other text. */
export function limitOfText(text: string): Limit | null {
  const match = /^([1-9]\d{0,8})\/(s|min|h)$/.exec(text);
  const windowMs = WINDOWS_MS[match?.[2] ?? ""];
  return match && windowMs !== undefined ? { max: Number(match[1]), windowMs } : null;
}

/** Where a budget stands after a use, or without one. */
export interface LimitState {
  readonly name: LimitName;
  readonly limit: Limit;
  /** Uses left in this window, not below 0. */
  readonly remaining: number;
  /** Until the window ends. */
  readonly resetMs: number;
  readonly isAllowed: boolean;
}

/**
 * Counts uses, exactly under concurrency, per name and subject (a key id or an address). With Redis the counts are of all
 * nodes; while Redis is away, of this process, which is counted and shown.
 */
export interface RateLimiter extends MetricSource {
  /** Whether limits are on at all. */
  readonly isOn: boolean;
  limitOf(name: LimitName): Limit;
  /** Takes one use when there is one left. */
  use(name: LimitName, subject: string): Promise<LimitState>;
  /** Looks without using. */
  look(name: LimitName, subject: string): Promise<LimitState>;
}
