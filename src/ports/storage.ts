/**
 * What services keep: keys, instruments, subscriptions and bars. Each method is durable when it resolves.
 *
 * Every method @throws {StoreError} when the database is away or silent; nothing is known to have changed then.
 */
import type { Micros } from "../core/time.ts";
import type { Instrument } from "../market/instrument.ts";
import type { KeyRecord, Scope } from "./access.ts";
import type { Channel } from "../protocol/topic.ts";
import type { Audited } from "./audit.ts";

/** A key as administrators see it: never its text. */
export interface StoredKey {
  /** Id of the key and owner of what it makes; survives rotation. */
  readonly keyId: string;
  /** What it is for, in words; empty when nobody said. */
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly isBreakglass: boolean;
  readonly createdAt: Micros;
  /** Null: it does not expire. */
  readonly expiresAt: Micros | null;
  /** Addresses and networks (CIDR) it may be used from; empty: any. */
  readonly addresses: readonly string[];
  /** Null while it works. A revoked key never works again. */
  readonly revokedAt: Micros | null;
  readonly rotatedAt: Micros | null;
}

/** Keys with one or, while one is being rotated out, two secrets each; a secret is kept as its SHA-256 only. */
export interface KeyStore {
  /** One record per usable secret: not revoked, not expired, not rotated out at `at`. */
  usable(at: Micros): Promise<readonly KeyRecord[]>;
  list(): Promise<readonly StoredKey[]>;
  /** Whether a secret with this digest was ever stored, revoked ones included: those must not come back. */
  knows(digest: string): Promise<boolean>;
  /** @throws {ConflictError} when a key with this id or digest exists. */
  add(key: StoredKey, digest: string, change: Audited): Promise<void>;
  /** False when there is no usable key of that id. */
  revoke(keyId: string, at: Micros, change: Audited): Promise<boolean>;
  /** Gives the key another secret; the present ones work until `graceEnds`. Null when there is no usable key of that id. */
  rotate(keyId: string, digest: string, at: Micros, graceEnds: Micros, change: Audited): Promise<StoredKey | null>;
  /** Takes over keys of the file that came before the database; those already here stay as they are. Answers how many are new. */
  importKeys(keys: readonly { readonly key: StoredKey; readonly digest: string }[], change: Audited): Promise<number>;
}

/** What a refresh found different. */
export type InstrumentChangeKind = "listed" | "delisted" | "changed";

export interface InstrumentChange {
  readonly kind: InstrumentChangeKind;
  readonly id: string;
  /** Names of the members that differ, for `changed`. */
  readonly members: readonly string[];
  readonly time: Micros;
}

/** When a venue's list was last asked for, and what came of it. */
export interface ListRefresh {
  readonly venue: string;
  /** Of the last refresh that worked; null: none ever did. */
  readonly refreshedAt: Micros | null;
  readonly attemptedAt: Micros;
  /** Why the last attempt failed; null when it worked. */
  readonly failure: string | null;
  readonly count: number;
}

/** An instrument of a venue's list, also one that is on it no longer. */
export interface RegisteredInstrument {
  readonly instrument: Instrument;
  /** Since when it is on the venue's list no longer; its state is then `inactive`. Null while it is. */
  readonly delistedAt: Micros | null;
}

/** What became of asking a venue once. */
export interface ListUpdate {
  readonly refresh: ListRefresh;
  /** New and changed ones only. */
  readonly instruments: readonly RegisteredInstrument[];
  readonly changes: readonly InstrumentChange[];
}

/** The venues' instrument lists as they were last seen, so that a start does not need the venues. */
export interface InstrumentStore {
  list(): Promise<readonly RegisteredInstrument[]>;
  refreshes(): Promise<readonly ListRefresh[]>;
  /** The newest changes, newest first. */
  changes(limit: number): Promise<readonly InstrumentChange[]>;
  /** Keeps all of it in one transaction; the same once more changes nothing. Of the changes some 10,000 are kept. */
  save(update: ListUpdate): Promise<void>;
  /** Forgets instruments that were delisted long ago. */
  forget(ids: readonly string[]): Promise<void>;
}

/** An instrument that the feeds were asked to carry. */
export interface CarriedSubscription {
  readonly id: string;
  /** Instrument ids, sorted. */
  readonly symbols: readonly string[];
  /** In the order of the protocol; all of them when nobody said which. */
  readonly channels: readonly Channel[];
  readonly owner: string;
  readonly createdAt: Micros;
}

export interface SubscriptionStore {
  list(): Promise<readonly CarriedSubscription[]>;
  add(subscription: CarriedSubscription, change: Audited): Promise<void>;
  /** False when there is none of that id. */
  remove(id: string, change: Audited): Promise<boolean>;
}

/** A closed bar; prices and sizes as plain decimal text, exact. */
export interface StoredBar {
  readonly symbol: string;
  readonly interval: string;
  readonly start: Micros;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: string;
  readonly vwap: string;
  readonly trades: number;
}

export interface BarQuery {
  /** Empty: of every instrument. */
  readonly symbols: readonly string[];
  readonly interval: string;
  /** Bars that start at or after it. */
  readonly from: Micros | null;
  /** Bars that start before it. */
  readonly to: Micros | null;
  readonly limit: number;
  /** Go on after this bar; null: from the beginning. Order is start, then symbol. */
  readonly after: { readonly start: Micros; readonly symbol: string } | null;
}

export interface BarStore {
  /**
   * The same bar again (symbol, interval, start) replaces the one that is there, unless that has more trades: a restart in the
   * middle of an interval, or a venue that repeats its last trade, makes a bar of a part of it.
   */
  put(bars: readonly StoredBar[]): Promise<void>;
  /** Oldest first; of the same start by symbol, in the order of code units. */
  query(query: BarQuery): Promise<readonly StoredBar[]>;
  /** Whether there is a bar of any of these symbols. */
  hasAny(symbols: readonly string[]): Promise<boolean>;
  /** Removes bars of an interval that started before. Answers how many. */
  prune(interval: string, before: Micros): Promise<number>;
}
