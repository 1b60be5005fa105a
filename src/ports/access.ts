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
  /** An `admin` key for emergencies: a larger budget, and a reason with every use. */
  readonly isBreakglass: boolean;
}

/** One usable secret of a key, as it is pushed to workers: never the secret itself. A key that is being rotated has two. */
export interface KeyRecord extends Grant {
  /** Lower-case hex SHA-256 of the whole key text. */
  readonly digest: string;
  /** Addresses and networks (CIDR) it may be used from; empty: any. */
  readonly addresses: readonly string[];
  /** Microseconds since 1970 from which on it does not work; null: no end is known. */
  readonly endsAt: number | null;
}

/** Told whenever the set of usable keys changes. */
export interface KeyChange {
  /** New or changed records, by digest. */
  readonly added: readonly KeyRecord[];
  /** Ids of keys that no longer work: their sessions end. */
  readonly revoked: readonly string[];
  /** Digests that no longer work of keys that still do: sessions go on. */
  readonly retired: readonly string[];
}

/** A secret that was presented and not accepted, as the audit may know it. */
export interface RefusedSecret {
  readonly address: string;
  /** At most the first 8 characters. */
  readonly keyStart: string;
}

/** Synchronous check of a presented secret; a map look-up after one hash. */
export interface KeyCheck {
  /** @param address the client's; a key that is bound to others is not accepted */
  check(secret: string, address: string): Grant | null;
}

/** Redeems a single-use ticket (`tt_...`); null when unknown, used or expired. May cross threads. */
export type TicketRedeemer = (ticket: string, done: (grant: Grant | null) => void) => void;
