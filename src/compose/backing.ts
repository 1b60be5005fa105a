/**
 * What the modes of one node differ in: where things are kept and where limits are counted.
 */
import type { Database } from "../adapters/postgres/database.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { Breakers } from "../ports/breakers.ts";
import type { RateLimiter } from "../ports/limits.ts";
import type { Logger } from "../ports/telemetry.ts";

export interface BackingDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly breakers: Breakers;
}

export interface Backing {
  readonly mode: "embedded" | "served";
  /** Started before everything that keeps or counts something, in this order. */
  readonly parts: readonly Component[];
  readonly database: Database;
  readonly limiter: RateLimiter;
  /** Round trip to Redis for health; null: there is none. */
  readonly pingRedis: (() => Promise<void>) | null;
}
