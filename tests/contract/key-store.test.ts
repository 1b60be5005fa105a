/**
 * The key store and the key service on it, on both databases: what works when, and what the audit says of it.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SqlKeyStore } from "../../src/adapters/postgres/key-store.ts";
import { AppError } from "../../src/core/errors.ts";
import { micros } from "../../src/core/time.ts";
import type { KeyChange } from "../../src/ports/access.ts";
import { CLI } from "../../src/services/admin-charge.ts";
import { digestOf, type KeyRequest, KeyService, SECRET_LENGTH_MAX } from "../../src/services/key-service.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { KeepingLog } from "../support/silent-log.ts";

const ANYWHERE = "10.1.2.3";
const plain = (kind: KeyRequest["kind"], more: Partial<KeyRequest> = {}): KeyRequest => ({ kind, name: "a test", expiresAt: null, addresses: [], ...more });
const OWNER = { ...CLI, keyId: "key_admin", address: "127.0.0.1", requestId: "r-1", correlationId: "c-1" };

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());

  const service = async (chargeMax: number | null = null) => {
    const clock = new FakeClock();
    const changes: KeyChange[] = [];
    const keys = new KeyService({
      store: new SqlKeyStore(opened.database, clock), clock, log: new KeepingLog(), pollMs: 500,
      chargeOf: ({ keyId }) => (chargeMax === null ? null : { owner: keyId, name: "admin.write", max: chargeMax, windowMs: 3_600_000 }),
    });
    keys.onChange((change) => changes.push(change));
    await keys.start();
    return { clock, keys, changes };
  };
  const audit = () => opened.database.run((db) => db.selectFrom("audit").select(["action", "target", "actor", "request_id"]).orderBy("n", "desc").limit(1).executeTakeFirst());

  describe("keys", () => {
    it("creates a key whose text is nowhere in the database, and audits it", async () => {
      const { keys } = await service();
      const { key, stored } = await keys.create(plain("trade"), OWNER, "because");
      expect(key).toMatch(/^tk_[A-Za-z0-9_-]{32}$/);
      expect(keys.check(key, ANYWHERE)).toEqual({ keyId: stored.keyId, scopes: ["read", "trade"], isBreakglass: false });
      const rows = await opened.database.run(async (db) => [await db.selectFrom("keys").selectAll().execute(), await db.selectFrom("key_secrets").selectAll().execute(), await db.selectFrom("audit").selectAll().execute()]);
      expect(JSON.stringify(rows)).not.toContain(key.slice(3));
      expect(await audit()).toEqual({ action: "key.created", target: stored.keyId, actor: "key_admin", request_id: "r-1" });
      await keys.stop();
    });

    it("refuses unknown, empty and endless secrets", async () => {
      const { keys } = await service();
      const { key } = await keys.create(plain("read"), OWNER, null);
      for (const secret of ["", "tk_", `${key}x`, key.slice(1), "x".repeat(SECRET_LENGTH_MAX + 1)]) expect(keys.check(secret, ANYWHERE)).toBeNull();
      await keys.stop();
    });

    it("ends a revoked key, tells everybody once, and lets it back by no start", async () => {
      const { keys, changes } = await service();
      const key = `tk_revoked${"k".repeat(30)}`;
      expect(await keys.ensure("read", key)).toBe("created");
      expect(await keys.ensure("read", key)).toBe("present");
      const keyId = keys.check(key, ANYWHERE)?.keyId ?? "";
      await keys.revoke(keyId, OWNER, "leaked");
      expect(keys.check(key, ANYWHERE)).toBeNull();
      expect(changes.at(-1)).toEqual({ added: [], revoked: [keyId], retired: [] });
      expect(await keys.ensure("read", key)).toBe("revoked");
      await expect(keys.revoke(keyId, OWNER, null)).rejects.toMatchObject({ status: 404 });
      expect((await audit())?.action).toBe("key.revoked");
      await keys.stop();
    });

    it("lets the old secret of a rotated key work until its grace ends, and not after", async () => {
      const { keys, clock, changes } = await service();
      const first = await keys.create(plain("trade"), OWNER, null);
      const second = await keys.rotate(first.stored.keyId, 60_000, OWNER, null);
      expect(second.stored.keyId).toBe(first.stored.keyId);
      for (const key of [first.key, second.key]) expect(keys.check(key, ANYWHERE)?.keyId).toBe(first.stored.keyId);
      clock.advance(59_999);
      expect(keys.check(first.key, ANYWHERE)).not.toBeNull();
      clock.advance(1);
      expect(keys.check(first.key, ANYWHERE)).toBeNull();
      expect(keys.check(second.key, ANYWHERE)?.keyId).toBe(first.stored.keyId);
      await keys.refresh();
      expect(changes.at(-1)).toEqual({ added: [], revoked: [], retired: [digestOf(first.key)] });
      await keys.stop();
    });

    it("ends a key at its expiry, to the microsecond, and its sessions with it", async () => {
      const { keys, clock, changes } = await service();
      const { key, stored } = await keys.create(plain("read", { expiresAt: micros(clock.nowMicros() + 1_000_000) }), OWNER, null);
      clock.advance(999);
      expect(keys.check(key, ANYWHERE)).not.toBeNull();
      clock.advance(1);
      expect(keys.check(key, ANYWHERE)).toBeNull();
      await keys.refresh();
      expect(changes.at(-1)?.revoked).toEqual([stored.keyId]);
      await expect(keys.rotate(stored.keyId, 0, OWNER, null)).rejects.toMatchObject({ status: 404 });
      await keys.stop();
    });

    it("accepts a bound key from its addresses only", async () => {
      const { keys } = await service();
      const { key } = await keys.create(plain("read", { addresses: ["10.1.0.0/16", "::1"] }), OWNER, null);
      for (const address of ["10.1.255.255", "::1", "::ffff:10.1.0.1"]) expect(keys.check(key, address)).not.toBeNull();
      for (const address of ["10.2.0.0", "::2", "", "nonsense"]) expect(keys.check(key, address)).toBeNull();
      await keys.stop();
    });

    it("takes a change and its charge together: over the budget nothing happens and nothing is recorded", async () => {
      const { keys, clock } = await service(2);
      const actor = { ...OWNER, keyId: "key_budget" };
      await keys.create(plain("read"), actor, null);
      const { stored } = await keys.create(plain("read"), actor, null);
      const before = await keys.list();
      const refused = await keys.create(plain("read"), actor, null).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "rate_limited", status: 429, retryAfterS: 3600 });
      expect(refused).toBeInstanceOf(AppError);
      expect(await keys.list()).toEqual(before);
      expect(await audit()).toMatchObject({ target: stored.keyId });
      await keys.revoke(stored.keyId, actor, "an incident never waits");
      clock.advance(3_600_000);
      await keys.create(plain("read"), actor, null);
      await keys.stop();
    });

    it("serialises a hundred changes at once: the chain has no hole and no fork", async () => {
      const { keys } = await service();
      const head = () => opened.database.run((db) => db.selectFrom("audit_head").selectAll().executeTakeFirstOrThrow());
      const before = Number((await head()).n);
      await Promise.all(Array.from({ length: 100 }, () => keys.create(plain("read"), OWNER, null)));
      expect(Number((await head()).n)).toBe(before + 100);
      const rows = await opened.database.run((db) => db.selectFrom("audit").select(["n", "prev_hash", "hash"]).orderBy("n").execute());
      for (const [i, row] of rows.entries()) {
        expect(Number(row.n)).toBe(i + 1);
        if (i > 0) expect(row.prev_hash).toBe(rows[i - 1]?.hash);
      }
      await keys.stop();
    });
  });
});
