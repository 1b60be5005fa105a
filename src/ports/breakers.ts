/**
 * Circuit breakers as those who call something remote see them, and as an operator does.
 */
import type { MetricSource } from "./telemetry.ts";

/** When breakers open, and when they are probed. */
export interface BreakerLimits {
  /** Calls within the window before it may open. */
  readonly callsMin: number;
  /** Percent of them that failed, from which on it opens. */
  readonly failedPct: number;
  readonly windowMs: number;
  /** From opening to the probe. */
  readonly probeMs: number;
  /** The same for `database` and `redis`, whose absence everybody notices. */
  readonly probeStoresMs: number;
}

export type BreakerState = "closed" | "open" | "half_open";

export interface BreakerReport {
  /** `database`, `redis`, `venue.<v>`, `broker.<b>`, `webhook.<id>`. */
  readonly name: string;
  readonly state: BreakerState;
  /** Calls within the rolling window, and how many of them failed. */
  readonly calls: number;
  readonly failures: number;
  /** Calls refused because it was open, since the start. */
  readonly refused: number;
  readonly opened: number;
  /** Milliseconds until it is probed or the trip ends; null when it is closed. */
  readonly probeInMs: number | null;
  /** Whether an operator opened it. */
  readonly isTripped: boolean;
  /** Why the last call failed; empty when none did. */
  readonly lastFailure: string;
}

/** What changed a state: `probe` is both the beginning of one (half open) and its success (closed). */
export type BreakerChange = "failures" | "probe" | "reset" | "tripped" | "trip_ended";

/** Told on every change of state; must not throw. */
export type BreakerListener = (report: BreakerReport, why: BreakerChange) => void;

export interface Breaker {
  readonly name: string;
  /**
   * Calls through. AppErrors that are the caller's fault (status below 500) do not count as failures.
   * @throws {UnavailableError} `breaker_open` (for `database`: {@link StoreError}) without calling while it is open
   */
  run<T>(call: () => Promise<T>): Promise<T>;
  report(): BreakerReport;
  /** Closes it and forgets what was counted. */
  reset(): void;
  /** Opens it for so many milliseconds, whatever succeeds; 0: until it is reset. */
  trip(ttlMs: number): void;
  /** Ends its timers. */
  stop(): void;
}

/** All breakers of a process; each is made once, by whoever owns the remote side. */
export interface Breakers extends MetricSource {
  /** The breaker of that name, made when it is new. */
  of(name: string): Breaker;
  find(name: string): Breaker | null;
  reports(): readonly BreakerReport[];
  onChange(listener: BreakerListener): void;
  /** One whose remote side is gone for good. */
  remove(name: string): void;
}

/** What an operator orders. */
export type BreakerOrder = { readonly type: "reset" } | { readonly type: "trip"; /** 0: until it is reset. */ readonly ttlMs: number };

/** An operator's trip of a breaker of another thread, for that thread to take over when it starts. */
export interface StandingTrip {
  readonly name: string;
  /** 0: until it is reset. */
  readonly leftMs: number;
}

/** The breakers of another thread. */
export interface RemoteBreakers {
  /** As that thread last told, at most a second ago. */
  reports(): readonly BreakerReport[];
  /** Resolves with the breaker as it is then; null: that thread has none of that name. @throws {UnavailableError} when it does not answer */
  order(name: string, order: BreakerOrder): Promise<BreakerReport | null>;
}
