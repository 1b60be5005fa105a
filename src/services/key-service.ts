/**
 * Keys: creates, rotates and checks them, and tells everyone who must know when the set of usable keys changes.
 *
 * Owns: the digest map of usable keys. Runs on: main thread. The store may be changed by another process (the command
 * line); the change, and a key that has expired, is noticed within `pollMs`.
 */
import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { isAddressAllowed } from "../core/address.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, NotFoundError } from "../core/errors.ts";
import { type Micros, micros } from "../core/time.ts";
import type { Grant, KeyChange, KeyCheck, KeyRecord, Scope } from "../ports/access.ts";
import type { Actor, Audited, Charge, Json } from "../ports/audit.ts";
import type { KeyStore, StoredKey } from "../ports/storage.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { SYSTEM } from "./admin-charge.ts";

export const KEY_KINDS = ["read", "trade", "admin", "publish", "breakglass"] as const;

/** What a key may be created for; `breakglass` is `admin` with its own limits and a reason with every use. */
export type KeyKind = (typeof KEY_KINDS)[number];

const SCOPES_OF: Readonly<Record<KeyKind, readonly Scope[]>> = {
  read: ["read"],
  trade: ["read", "trade"],
  publish: ["publish"],
  admin: ["read", "trade", "admin", "publish"],
  breakglass: ["read", "trade", "admin", "publish"],
};

/** A presented secret longer than this is not even hashed. */
export const SECRET_LENGTH_MAX = 512;

export interface KeyServiceDeps {
  readonly store: KeyStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** How often the store is asked for changes made elsewhere and for keys that have expired. */
  readonly pollMs: number;
  /** What a change by this actor costs; null: nothing. */
  readonly chargeOf: (actor: Actor) => Charge | null;
}

export interface KeyRequest {
  readonly kind: KeyKind;
  /** In words, for people. */
  readonly name: string;
  readonly expiresAt: Micros | null;
  /** Addresses and networks (CIDR), already checked; empty: any. */
  readonly addresses: readonly string[];
}

/** A secret just made: the only moment at which its text is known. */
export interface NewKey {
  readonly key: string;
  readonly stored: StoredKey;
}

export class KeyService implements Component, KeyCheck, MetricSource {
  readonly name = "keys";
  readonly #deps: KeyServiceDeps;
  readonly #listeners: ((change: KeyChange) => void)[] = [];
  #byDigest: ReadonlyMap<string, KeyRecord> = new Map();
  #poll: Timer | null = null;
  #refreshing: Promise<void> = Promise.resolve();
  #failures = 0;
  #isStoreAway = false;

  constructor(deps: KeyServiceDeps) {
    this.#deps = deps;
  }

  /** @throws {StoreError} when the store cannot be read. */
  async start(): Promise<void> {
    this.#take(await this.#deps.store.usable(this.#deps.clock.nowMicros()));
    this.#poll = this.#deps.clock.every(this.#deps.pollMs, () => void this.refresh());
  }

  stop(): Promise<void> {
    this.#poll?.stop();
    return this.#refreshing;
  }

  /** What the key allows; null when it is unknown, over, or not for this address. One hash and one look-up, the digests compared in constant time. */
  check(secret: string, address: string): Grant | null {
    if (secret.length > SECRET_LENGTH_MAX) return null;
    const digest = digestOf(secret);
    const record = this.#byDigest.get(digest);
    if (!record || !timingSafeEqual(Buffer.from(record.digest, "hex"), Buffer.from(digest, "hex"))) return null;
    if (record.endsAt !== null && record.endsAt <= this.#deps.clock.nowMicros()) return null;
    if (!isAddressAllowed(record.addresses, address)) return null;
    return { keyId: record.keyId, scopes: record.scopes, isBreakglass: record.isBreakglass };
  }

  /** Microseconds since 1970, as keys expire by. */
  now(): Micros {
    return this.#deps.clock.nowMicros();
  }

  /** Usable keys, one record per secret, as a thread that starts now gets them. */
  records(): readonly KeyRecord[] {
    return [...this.#byDigest.values()];
  }

  /** Told after each change, in this thread. */
  onChange(listener: (change: KeyChange) => void): void {
    this.#listeners.push(listener);
  }

  /** Every key that ever was, oldest first. */
  list(): Promise<readonly StoredKey[]> {
    return this.#deps.store.list();
  }

  /** Makes a key that did not exist, with 192 random bits. */
  async create(request: KeyRequest, actor: Actor, reason: string | null): Promise<NewKey> {
    const key = newSecret();
    const stored = this.#storedOf(request, key);
    await this.#deps.store.add(stored, digestOf(key), this.#audited("key.created", stored.keyId, null, shown(stored), actor, reason, true));
    await this.refresh();
    return { key, stored };
  }

  /** Stores a key whose text is given, unless it was ever stored: a revoked key does not come back. */
  async ensure(kind: KeyKind, key: string): Promise<"created" | "present" | "revoked"> {
    const digest = digestOf(key);
    if (this.#byDigest.has(digest)) return "present";
    if (await this.#deps.store.knows(digest)) return "revoked";
    const stored = this.#storedOf({ kind, name: "BOOTSTRAP_API_KEYS", expiresAt: null, addresses: [] }, key);
    await this.#deps.store.add(stored, digest, this.#audited("key.created", stored.keyId, null, shown(stored), SYSTEM, null, false));
    await this.refresh();
    return "created";
  }

  /** Ends a key and its sessions. Costs nothing: an incident needs it at once. @throws {NotFoundError} when there is no usable key of that id. */
  async revoke(keyId: string, actor: Actor, reason: string | null): Promise<void> {
    const change = this.#audited("key.revoked", keyId, { revoked: false }, { revoked: true }, actor, reason, false);
    const isRevoked = await this.#deps.store.revoke(keyId, this.#deps.clock.nowMicros(), change);
    await this.refresh();
    if (!isRevoked) throw unknownKey(keyId);
  }

  /** Gives a key another secret; the present one works for `graceMs` more. @throws {NotFoundError} when there is no usable key of that id. */
  async rotate(keyId: string, graceMs: number, actor: Actor, reason: string | null): Promise<NewKey & { readonly graceEnds: Micros }> {
    const key = newSecret();
    const now = this.#deps.clock.nowMicros();
    const graceEnds = micros(now + Math.round(graceMs * 1000));
    const change = this.#audited("key.rotated", keyId, null, { grace_ends: graceEnds }, actor, reason, true);
    const stored = await this.#deps.store.rotate(keyId, digestOf(key), now, graceEnds, change);
    await this.refresh();
    if (stored === null) throw unknownKey(keyId);
    return { key, stored, graceEnds };
  }

  /** Asks the store, after whoever is asking it now. A store that cannot be read leaves the keys as they are; counted, logged once. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.then(() => this.#refresh());
    return this.#refreshing;
  }

  samples(): MetricSample[] {
    return [
      { name: "ticker_keys", help: "Usable keys", type: "gauge", labels: {}, value: new Set(this.records().map((record) => record.keyId)).size },
      { name: "ticker_key_store_failures_total", help: "Times the key store could not be read", type: "counter", labels: {}, value: this.#failures },
    ];
  }

  async #refresh(): Promise<void> {
    try {
      this.#take(await this.#deps.store.usable(this.#deps.clock.nowMicros()));
      if (this.#isStoreAway) this.#deps.log.info({}, "the key store can be read again");
      this.#isStoreAway = false;
    } catch (error) {
      this.#failures++;
      if (!this.#isStoreAway) this.#deps.log.error({ reason: messageOf(error) }, "the key store cannot be read; the keys stay as they were");
      this.#isStoreAway = true;
    }
  }

  #take(records: readonly KeyRecord[]): void {
    const before = this.#byDigest;
    const next = new Map(records.map((record) => [record.digest, record]));
    const keyIds = new Set(records.map((record) => record.keyId));
    const added = records.filter((record) => !isSame(before.get(record.digest), record));
    const gone = [...before.values()].filter((record) => !next.has(record.digest));
    const revoked = [...new Set(gone.filter((record) => !keyIds.has(record.keyId)).map((record) => record.keyId))];
    const retired = gone.filter((record) => keyIds.has(record.keyId)).map((record) => record.digest);
    this.#byDigest = next;
    if (added.length === 0 && gone.length === 0) return;
    if (revoked.length > 0) this.#deps.log.warn({ keyIds: revoked }, "keys revoked or expired");
    for (const listener of this.#listeners) listener({ added, revoked, retired });
  }

  #storedOf({ kind, name, expiresAt, addresses }: KeyRequest, key: string): StoredKey {
    return {
      keyId: `key_${digestOf(key).slice(0, 16)}`, name, scopes: SCOPES_OF[kind], isBreakglass: kind === "breakglass", createdAt: this.#deps.clock.nowMicros(),
      expiresAt, addresses, revokedAt: null, rotatedAt: null,
    };
  }

  #audited(action: string, target: string, before: Json, after: Json, actor: Actor, reason: string | null, isCharged: boolean): Audited {
    return { entry: { actor, action, target, before, after, reason }, charge: isCharged ? this.#deps.chargeOf(actor) : null };
  }
}

/** What the audit says of a key. */
function shown({ name, scopes, isBreakglass, expiresAt, addresses }: StoredKey): Json {
  return { name, scopes: [...scopes], breakglass: isBreakglass, expires_at: expiresAt, addresses: [...addresses] };
}

function unknownKey(keyId: string): NotFoundError {
  return new NotFoundError(`there is no usable key ${keyId}; GET /v1/admin/keys lists them`);
}

function newSecret(): string {
  return `tk_${randomBytes(24).toString("base64url")}`;
}

function isSame(a: KeyRecord | undefined, b: KeyRecord): boolean {
  return a !== undefined && a.keyId === b.keyId && a.scopes.join() === b.scopes.join() && a.addresses.join() === b.addresses.join() && a.endsAt === b.endsAt;
}

/** Lower-case hex SHA-256. */
export function digestOf(secret: string): string {
  return hash("sha256", secret);
}
