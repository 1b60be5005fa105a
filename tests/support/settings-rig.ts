/**
 * Runtime settings on a database of a test, without a service around them.
 */
import { SqlAuditLog } from "../../src/adapters/postgres/audit-log.ts";
import type { Database } from "../../src/adapters/postgres/database.ts";
import { SqlSettingsLog } from "../../src/adapters/postgres/settings-log.ts";
import type { Clock } from "../../src/core/clock.ts";
import type { Actor } from "../../src/ports/audit.ts";
import type { SettingsLog } from "../../src/ports/settings-log.ts";
import { CLI } from "../../src/services/admin-charge.ts";
import { type ChangeContext, RuntimeState } from "../../src/state/runtime-state.ts";
import type { SettingsDefaults } from "../../src/state/settings.ts";
import { FakeClock } from "./fake-clock.ts";
import { KeepingLog } from "./silent-log.ts";

export const SETTINGS_DEFAULTS: SettingsDefaults = {
  feeds: ["sim", "kraken"], softLimitBytes: 65_536, hardLimitBytes: 1_048_576, nativeBackpressureMax: 16_777_216, ringBytesMax: 268_435_456, sessionsPerKeyMax: 100,
  logLevel: "info", bannerLengthMax: 300, isInjectionAllowed: true,
};

export const OPERATOR: Actor = { ...CLI, keyId: "key_operator", address: "127.0.0.1", requestId: "r-1", correlationId: "c-1" };

export interface SettingsRigOptions {
  readonly clock?: Clock;
  readonly defaults?: Partial<SettingsDefaults>;
  /** Changes that the operator's budget allows; null: no budget. */
  readonly chargeMax?: number | null;
  readonly waitingMax?: number;
  /** Instead of the log in the database. */
  readonly store?: (log: SqlSettingsLog) => SettingsLog;
}

export interface SettingsRig {
  readonly state: RuntimeState;
  readonly audit: SqlAuditLog;
  readonly log: KeepingLog;
}

export const POLL_MS = 5_000;

/** Not started. */
export function settingsRig(database: Database, options: SettingsRigOptions = {}): SettingsRig {
  const clock = options.clock ?? new FakeClock();
  const log = new KeepingLog();
  const own = new SqlSettingsLog(database, clock);
  const max = options.chargeMax ?? null;
  const state = new RuntimeState({
    defaults: { ...SETTINGS_DEFAULTS, ...options.defaults }, store: options.store?.(own) ?? own, clock, log, pollMs: POLL_MS, waitingMax: options.waitingMax ?? 1000,
    chargeOf: ({ keyId }) => (max === null ? null : { owner: keyId, name: "admin.write", max, windowMs: 3_600_000 }),
  });
  return { state, audit: new SqlAuditLog(database, clock), log };
}

/** A change of the operator's. */
export function by(expectedRevision: number | null = null, reason: string | null = "a test"): ChangeContext {
  return { actor: OPERATOR, reason, expectedRevision };
}

export function sampleOf({ state }: SettingsRig, name: string): number {
  return state.samples().filter((sample) => sample.name === name).reduce((sum, { value }) => sum + value, 0);
}
