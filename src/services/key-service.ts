/**
 * Keys: creates and checks them, and tells everyone who must know when the set of usable keys changes.
 *
 * Owns: the digest map of usable keys. Runs on: main thread. The store may be changed by another process (the command
 * line); the change is noticed within `pollMs`.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf } from "../core/errors.ts";
import type { Grant, KeyChange, KeyCheck, KeyRecord, KeyStore, Scope } from "../ports/access.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";

/** What a key may be created for; `breakglass` is `admin` with its own limits (a later issue). */
export type KeyKind = Scope | "breakglass";

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
  /** How often the store is asked for changes made elsewhere. */
  readonly pollMs: number;
}

/** A key just made: the only moment at which its text is known. */
export interface NewKey {
  readonly key: string;
  readonly record: KeyRecord;
}

export class KeyService implements Component, KeyCheck, MetricSource {
  readonly name = "keys";
  readonly #deps: KeyServiceDeps;
  readonly #listeners: ((change: KeyChange) => void)[] = [];
  #byDigest: ReadonlyMap<string, KeyRecord> = new Map();
  #poll: Timer | null = null;
  #refreshing: Promise<void> = Promise.resolve();
  #failures = 0;
  #lastFailure = "";

  constructor(deps: KeyServiceDeps) {
    this.#deps = deps;
  }

  /** @throws {ResourceError} when the store cannot be read. */
  async start(): Promise<void> {
    this.#take(await this.#deps.store.list());
    this.#poll = this.#deps.clock.every(this.#deps.pollMs, () => void this.refresh());
  }

  stop(): Promise<void> {
    this.#poll?.stop();
    return this.#refreshing;
  }

  /** What the key allows; null when it is unknown. One hash and one look-up, the digests compared in constant time. */
  check(secret: string): Grant | null {
    if (secret.length > SECRET_LENGTH_MAX) return null;
    const digest = digestOf(secret);
    const record = this.#byDigest.get(digest);
    if (!record || !timingSafeEqual(Buffer.from(record.digest, "hex"), Buffer.from(digest, "hex"))) return null;
    return { keyId: record.keyId, scopes: record.scopes };
  }

  /** Usable keys, as a thread that starts now gets them. */
  records(): readonly KeyRecord[] {
    return [...this.#byDigest.values()];
  }

  /** Told after each change, in this thread. */
  onChange(listener: (change: KeyChange) => void): void {
    this.#listeners.push(listener);
  }

  /** Makes a key that did not exist, with 192 random bits. */
  async create(kind: KeyKind): Promise<NewKey> {
    const key = `tk_${randomBytes(24).toString("base64url")}`;
    const record = this.#recordOf(kind, key);
    await this.#deps.store.add(record);
    await this.refresh();
    return { key, record };
  }

  /** Stores a key whose text is given, unless it was ever stored: a revoked key does not come back. */
  async ensure(kind: KeyKind, key: string): Promise<"created" | "present" | "revoked"> {
    const digest = digestOf(key);
    if (this.#byDigest.has(digest)) return "present";
    if (await this.#deps.store.knows(digest)) return "revoked";
    await this.#deps.store.add(this.#recordOf(kind, key));
    await this.refresh();
    return "created";
  }

  /** False when there is no such key. */
  async revoke(keyId: string): Promise<boolean> {
    const isRevoked = await this.#deps.store.revoke(keyId);
    await this.refresh();
    return isRevoked;
  }

  /** Asks the store, after whoever is asking it now. A store that cannot be read leaves the keys as they are; counted, logged once. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.then(() => this.#refresh());
    return this.#refreshing;
  }

  samples(): MetricSample[] {
    return [
      { name: "ticker_keys", help: "Usable keys", type: "gauge", labels: {}, value: this.#byDigest.size },
      { name: "ticker_key_store_failures_total", help: "Times the key store could not be read", type: "counter", labels: {}, value: this.#failures },
    ];
  }

  async #refresh(): Promise<void> {
    try {
      this.#take(await this.#deps.store.list());
      this.#lastFailure = "";
    } catch (error) {
      this.#failures++;
      const reason = messageOf(error);
      if (reason !== this.#lastFailure) this.#deps.log.error({ reason }, "the key store cannot be read; the keys stay as they were");
      this.#lastFailure = reason;
    }
  }

  #take(records: readonly KeyRecord[]): void {
    const next = new Map(records.map((record) => [record.digest, record]));
    const added = records.filter((record) => !isSame(this.#byDigest.get(record.digest), record));
    const revoked = [...this.#byDigest.values()].filter((record) => !isSame(record, next.get(record.digest))).map((record) => record.keyId);
    this.#byDigest = next;
    if (added.length === 0 && revoked.length === 0) return;
    if (revoked.length > 0) this.#deps.log.warn({ keyIds: revoked }, "keys revoked");
    for (const listener of this.#listeners) listener({ added, revoked });
  }

  #recordOf(kind: KeyKind, key: string): KeyRecord {
    const digest = digestOf(key);
    const base = { keyId: `key_${digest.slice(0, 16)}`, scopes: SCOPES_OF[kind], digest, createdAt: this.#deps.clock.nowMicros() };
    return kind === "breakglass" ? { ...base, isBreakglass: true } : base;
  }
}

function isSame(a: KeyRecord | undefined, b: KeyRecord | undefined): boolean {
  return a !== undefined && b !== undefined && a.keyId === b.keyId && a.scopes.join() === b.scopes.join();
}

/** Lower-case hex SHA-256. */
function digestOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
