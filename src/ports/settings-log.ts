/**
 * Where runtime settings are kept: a log of revisions, each with the whole set of values that differ from the defaults.
 */
import type { Micros } from "../core/time.ts";
import type { Audited, Json } from "./audit.ts";

export interface SettingsRevision {
  /** 0: nothing was ever changed. */
  readonly revision: number;
  /** Values that differ from the defaults, by dotted name. */
  readonly overrides: Readonly<Record<string, Json>>;
  readonly updatedBy: string | null;
  readonly updatedAt: Micros | null;
}

/** Durable; every method @throws {StoreError} when the database is away. */
export interface SettingsLog {
  newest(): Promise<SettingsRevision>;
  /** Null when there never was such a revision; 0 is always there. */
  at(revision: number): Promise<SettingsRevision | null>;
  /**
   * Appends revision `expected + 1` and its audit record in one transaction.
   * @throws {PreconditionError} 412 when the newest is not `expected`: somebody else was first
   * @throws {RateLimitError} when the charge is over its budget
   */
  append(expected: number, overrides: Readonly<Record<string, Json>>, change: Audited): Promise<SettingsRevision>;
}
