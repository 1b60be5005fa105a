/**
 * Keys in SQL: a row per key, a row per secret (its SHA-256 only), every change with its audit record.
 */
import { sql, type Transaction } from "kysely";
import type { Clock } from "../../core/clock.ts";
import { ConflictError } from "../../core/errors.ts";
import { type Micros, micros } from "../../core/time.ts";
import { type KeyRecord, type Scope, SCOPES } from "../../ports/access.ts";
import type { Audited } from "../../ports/audit.ts";
import type { KeyStore, StoredKey } from "../../ports/storage.ts";
import { append } from "./audit-chain.ts";
import type { Database } from "./database.ts";
import type { KeysTable, Tables } from "./tables.ts";

export class SqlKeyStore implements KeyStore {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async usable(at: Micros): Promise<readonly KeyRecord[]> {
    const rows = await this.#database.run((db) => db.selectFrom("key_secrets").innerJoin("keys", "keys.key_id", "key_secrets.key_id")
      .select(["digest", "keys.key_id", "scopes", "is_breakglass", "addresses", "expires_at", "ends_at"])
      .where("revoked_at", "is", null)
      .where((e) => e.or([e("expires_at", "is", null), e("expires_at", ">", String(at))]))
      .where((e) => e.or([e("ends_at", "is", null), e("ends_at", ">", String(at))]))
      .orderBy("keys.key_id").orderBy("digest").execute());
    return rows.map((row) => ({
      digest: row.digest, keyId: row.key_id, scopes: scopesOf(row.scopes), isBreakglass: row.is_breakglass, addresses: listOf(row.addresses),
      endsAt: earlier(row.expires_at, row.ends_at),
    }));
  }

  async list(): Promise<readonly StoredKey[]> {
    const rows = await this.#database.run((db) => db.selectFrom("keys").selectAll().orderBy("created_at").orderBy("key_id").execute());
    return rows.map(storedKey);
  }

  async knows(digest: string): Promise<boolean> {
    return await this.#database.run((db) => db.selectFrom("key_secrets").select("digest").where("digest", "=", digest).executeTakeFirst()) !== undefined;
  }

  async add(key: StoredKey, digest: string, change: Audited): Promise<void> {
    const isAdded = await this.#database.transaction(async (trx) => {
      await append(trx, change, this.#clock.nowMicros());
      return insert(trx, key, digest);
    });
    if (!isAdded) throw new ConflictError(`a key with the id ${key.keyId} or the same text exists already`, "key_exists");
  }

  revoke(keyId: string, at: Micros, change: Audited): Promise<boolean> {
    return this.#database.transaction(async (trx) => {
      const row = await usableKey(trx, keyId, at);
      if (row === undefined) return false;
      await append(trx, change, this.#clock.nowMicros());
      await trx.updateTable("keys").set({ revoked_at: String(at) }).where("key_id", "=", keyId).execute();
      return true;
    });
  }

  rotate(keyId: string, digest: string, at: Micros, graceEnds: Micros, change: Audited): Promise<StoredKey | null> {
    return this.#database.transaction(async (trx) => {
      const row = await usableKey(trx, keyId, at);
      if (row === undefined) return null;
      await append(trx, change, this.#clock.nowMicros());
      await trx.updateTable("key_secrets").set({ ends_at: String(graceEnds) }).where("key_id", "=", keyId)
        .where((e) => e.or([e("ends_at", "is", null), e("ends_at", ">", String(graceEnds))])).execute();
      await trx.insertInto("key_secrets").values({ digest, key_id: keyId, created_at: String(at), ends_at: null }).execute();
      await trx.updateTable("keys").set({ rotated_at: String(at) }).where("key_id", "=", keyId).execute();
      return storedKey({ ...row, rotated_at: String(at) });
    });
  }

  importKeys(keys: readonly { readonly key: StoredKey; readonly digest: string }[], change: Audited): Promise<number> {
    return this.#database.transaction(async (trx) => {
      let added = 0;
      for (const { key, digest } of keys) if (await insert(trx, key, digest)) added++;
      if (added > 0) await append(trx, change, this.#clock.nowMicros());
      return added;
    });
  }
}

/** False when the id or the digest is there already; then nothing is changed. */
async function insert(trx: Transaction<Tables>, key: StoredKey, digest: string): Promise<boolean> {
  const known = await trx.selectFrom("key_secrets").select("digest").where("digest", "=", digest).executeTakeFirst();
  if (known !== undefined) return false;
  const { numInsertedOrUpdatedRows } = await trx.insertInto("keys").values(rowOf(key)).onConflict((conflict) => conflict.column("key_id").doNothing()).executeTakeFirstOrThrow();
  if (Number(numInsertedOrUpdatedRows) === 0) return false;
  await trx.insertInto("key_secrets").values({ digest, key_id: key.keyId, created_at: String(key.createdAt), ends_at: null }).execute();
  return true;
}

/** Locked against other changes until the transaction ends. */
function usableKey(trx: Transaction<Tables>, keyId: string, at: Micros): Promise<KeysTable | undefined> {
  return trx.selectFrom("keys").selectAll().where("key_id", "=", keyId).where("revoked_at", "is", null)
    .where(sql<boolean>`(expires_at is null or expires_at > ${String(at)})`).forUpdate().executeTakeFirst();
}

function rowOf(key: StoredKey): KeysTable {
  return {
    key_id: key.keyId, name: key.name, scopes: key.scopes.join(","), is_breakglass: key.isBreakglass, created_at: String(key.createdAt),
    expires_at: textOf(key.expiresAt), addresses: key.addresses.join(","), revoked_at: textOf(key.revokedAt), rotated_at: textOf(key.rotatedAt),
  };
}

function storedKey(row: KeysTable): StoredKey {
  return {
    keyId: row.key_id, name: row.name, scopes: scopesOf(row.scopes), isBreakglass: row.is_breakglass, createdAt: micros(Number(row.created_at)),
    expiresAt: microsOf(row.expires_at), addresses: listOf(row.addresses), revokedAt: microsOf(row.revoked_at), rotatedAt: microsOf(row.rotated_at),
  };
}

function textOf(at: Micros | null): string | null {
  return at === null ? null : String(at);
}

function microsOf(text: string | null): Micros | null {
  return text === null ? null : micros(Number(text));
}

function listOf(text: string): readonly string[] {
  return text === "" ? [] : text.split(",");
}

function scopesOf(text: string): readonly Scope[] {
  const given = listOf(text);
  return SCOPES.filter((scope) => given.includes(scope));
}

function earlier(a: string | null, b: string | null): number | null {
  const ends = [a, b].filter((text) => text !== null).map(Number);
  return ends.length === 0 ? null : Math.min(...ends);
}
