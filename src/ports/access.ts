/**
 * Keys and tickets: who may do what, as REST and the stream both see it.
 */

export const SCOPES = ["read", "trade", "admin", "publish"] as const;
export type Scope = (typeof SCOPES)[number];

/** What a key or ticket allows. */
export interface Grant {
  /** Id of the key; survives rotation; also the owner of orders, webhooks and alerts. */
  readonly keyId: string;
  /** All scopes it includes, lowest first: `admin` is read, trade, admin and publish. */
  readonly scopes: readonly Scope[];
}

/** A key as it is kept and pushed to workers: never the key itself. */
export interface KeyRecord extends Grant {
  /** Lower-case hex SHA-256 of the whole key text. */
  readonly digest: string;
  /** Microseconds since 1970. */
  readonly createdAt: number;
  /** An `admin` key for emergencies: own limits, a reason with every use (a later issue). */
  readonly isBreakglass?: boolean;
}

/** Told whenever the set of usable keys changes. */
export interface KeyChange {
  readonly added: readonly KeyRecord[];
  /** Ids of keys that no longer work: their sessions end. */
  readonly revoked: readonly string[];
}

/** Durable store of keys. Every method resolves after the change is on disk. */
export interface KeyStore {
  list(): Promise<readonly KeyRecord[]>;
  /** Whether a key with this digest was ever stored, revoked ones included: those must not come back. */
  knows(digest: string): Promise<boolean>;
  add(record: KeyRecord): Promise<void>;
  /** False when there is no such key. */
  revoke(keyId: string): Promise<boolean>;
}

/** Synchronous check of a presented secret; a map look-up after one hash. */
export interface KeyCheck {
  check(secret: string): Grant | null;
}

/** Redeems a single-use ticket (`tt_...`); null when unknown, used or expired. May cross threads. */
export type TicketRedeemer = (ticket: string, done: (grant: Grant | null) => void) => void;
