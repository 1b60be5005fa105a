/**
 * The audit chain: who changed what, when and why; every record holds the hash of the one before it (protocol 3.3).
 */
import type { Micros } from "../core/time.ts";

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Who asks, as the HTTP side or the command line knows it. */
export interface Actor {
  /** Id of the key; `system` for what the service does by itself, `cli` for the command line. */
  readonly keyId: string;
  /** Client's address; empty when there is none. */
  readonly address: string;
  readonly requestId: string;
  readonly correlationId: string;
  /** An emergency key: a larger budget, a reason with every use. */
  readonly isBreakglass: boolean;
}

/** What is going to be recorded. */
export interface AuditEntry {
  readonly actor: Actor;
  /** Dotted, past tense of what happened: `settings.changed`, `key.created`, `breaker.reset`. */
  readonly action: string;
  /** What it happened to: a setting, a key id, a breaker; several settings are separated by commas. */
  readonly target: string;
  readonly before: Json;
  readonly after: Json;
  /** Null when none was given. */
  readonly reason: string | null;
}

/** A record of the chain, as `GET /v1/admin/audit` answers it. */
export interface AuditRecord {
  /** From 1, without holes. */
  readonly n: number;
  readonly time: Micros;
  readonly actor: string;
  readonly address: string;
  readonly action: string;
  readonly target: string;
  readonly before: Json;
  readonly after: Json;
  readonly reason: string | null;
  readonly request_id: string;
  readonly correlation_id: string;
  /** Hash of the record before; 64 zeros in the first. */
  readonly prev_hash: string;
  /** Lower-case hex SHA-256 of all other members in canonical form (RFC 8785). */
  readonly hash: string;
}

/** One use of a durable budget, taken in the same transaction as the effect that it pays for. */
export interface Charge {
  /** Whose budget: a key id. */
  readonly owner: string;
  /** Name of the limit, e.g. `admin.write`. */
  readonly name: string;
  readonly max: number;
  /** Length of a window, which opens at its first use. */
  readonly windowMs: number;
}

/** An audited change: the record, and what it costs; null: nothing. */
export interface Audited {
  readonly entry: AuditEntry;
  readonly charge: Charge | null;
}

export interface AuditHead {
  readonly n: number;
  readonly hash: string;
}

/** Which records; null: any. */
export interface AuditQuery {
  readonly limit: number;
  /** Only records with a smaller number; null: from the newest. */
  readonly before: number | null;
  readonly action: string | null;
  readonly actor: string | null;
  /** One of what a record is about: a settings change may be about several keys. */
  readonly target: string | null;
  /** Inclusive. */
  readonly from: Micros | null;
  /** Exclusive. */
  readonly to: Micros | null;
}

export interface AuditPage {
  readonly items: readonly AuditRecord[];
  /** Number of the record to go on before; null: there are no older ones. */
  readonly next: number | null;
}

/** Result of a walk over the whole chain. */
export type ChainVerdict =
  | { readonly valid: true; readonly records: number; readonly head: string }
  | { readonly valid: false; readonly records: number; /** Number of the first broken record. */ readonly broken: number; readonly why: string };

/** Durable; every method @throws {StoreError} when the database is away. */
export interface AuditLog {
  /**
   * Appends one record in a transaction of its own, for changes whose effect is not in the database.
   * @throws {RateLimitError} when the charge is over its budget: nothing was recorded
   */
  record(change: Audited): Promise<AuditRecord>;
  /** Newest first. */
  list(query: AuditQuery): Promise<AuditPage>;
  head(): Promise<AuditHead>;
  verify(): Promise<ChainVerdict>;
  /** What is left of a budget, without using it. */
  remaining(charge: Charge): Promise<{ readonly remaining: number; readonly resetMs: number }>;
}
