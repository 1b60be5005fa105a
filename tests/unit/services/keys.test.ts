/**
 * Keys on a real file: digests only, noticed changes, no way back for a revoked one.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { FolderLock } from "../../../src/adapters/folder-lock.ts";
import { KeyFile } from "../../../src/adapters/key-file.ts";
import { systemClock } from "../../../src/core/clock.ts";
import type { KeyChange } from "../../../src/ports/access.ts";
import { KeyService, SECRET_LENGTH_MAX } from "../../../src/services/key-service.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog } from "../../support/silent-log.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ticker-keys-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const service = () => {
  const clock = new FakeClock();
  const log = new KeepingLog();
  const keys = new KeyService({ store: new KeyFile(folder, systemClock), clock, log, pollMs: 500 });
  return { clock, log, keys };
};
const KEY = `tk_${"k".repeat(40)}`;

it("creates a key whose text is nowhere on disk, in a file for the owner alone", async () => {
  const { keys } = service();
  await keys.start();
  const { key, record } = await keys.create("trade");
  expect(key).toMatch(/^tk_[A-Za-z0-9_-]{32}$/);
  expect(keys.check(key)).toEqual({ keyId: record.keyId, scopes: ["read", "trade"] });
  expect(readFileSync(join(folder, "keys.json"), "utf8")).not.toContain(key.slice(3));
  expect(statSync(join(folder, "keys.json")).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(["keys.json"]);
  await keys.stop();
});

it("refuses unknown, empty and endless secrets", async () => {
  const { keys } = service();
  await keys.start();
  await keys.ensure("read", KEY);
  for (const secret of ["", "tk_", `${KEY}x`, KEY.toLowerCase().slice(1), "x".repeat(SECRET_LENGTH_MAX + 1)]) expect(keys.check(secret)).toBeNull();
  expect(keys.check(KEY)).not.toBeNull();
  await keys.stop();
});

it("gives admin every scope and publish only its own", async () => {
  const { keys } = service();
  await keys.start();
  expect((await keys.create("admin")).record.scopes).toEqual(["read", "trade", "admin", "publish"]);
  expect((await keys.create("publish")).record.scopes).toEqual(["publish"]);
  expect((await keys.create("breakglass")).record).toMatchObject({ isBreakglass: true });
  await keys.stop();
});

it("keeps a revoked key revoked when the start names it again", async () => {
  const { keys } = service();
  await keys.start();
  expect(await keys.ensure("read", KEY)).toBe("created");
  expect(await keys.ensure("read", KEY)).toBe("present");
  const [record] = keys.records();
  expect(await keys.revoke(record?.keyId ?? "")).toBe(true);
  expect(await keys.revoke(record?.keyId ?? "")).toBe(false);
  expect(keys.check(KEY)).toBeNull();
  expect(await keys.ensure("read", KEY)).toBe("revoked");
  expect(keys.check(KEY)).toBeNull();
  await keys.stop();
});

it("tells what another process added or revoked, at the next poll", async () => {
  const { keys, clock } = service();
  const other = service();
  await keys.start();
  const changes: KeyChange[] = [];
  const changed = (count: number) => new Promise<void>((resolve) => {
    keys.onChange(() => {
      if (changes.length >= count) resolve();
    });
  });
  keys.onChange((change) => changes.push(change));
  const added = changed(1);
  await other.keys.ensure("read", KEY);
  clock.advance(500);
  await added;
  expect(keys.check(KEY)).not.toBeNull();
  const keyId = changes[0]?.added[0]?.keyId ?? "";
  const revoked = changed(2);
  await other.keys.revoke(keyId);
  clock.advance(500);
  await revoked;
  expect(changes[1]).toEqual({ added: [], revoked: [keyId] });
  expect(keys.check(KEY)).toBeNull();
  await keys.stop();
});

it("keeps its keys while the file is damaged, counts it and says so once", async () => {
  const { keys, log } = service();
  await keys.start();
  await keys.ensure("read", KEY);
  for (const text of ["{", '{"version":2,"keys":[]}', '{"version":1,"keys":[{"keyId":"a"}]}']) {
    writeFileSync(join(folder, "keys.json"), text);
    await keys.refresh();
    await keys.refresh();
    expect(keys.check(KEY)).not.toBeNull();
  }
  expect(log.lines.filter((line) => line.level === "error")).toHaveLength(3);
  expect(keys.samples().find((sample) => sample.name === "ticker_key_store_failures_total")?.value).toBe(6);
  await keys.stop();
  await expect(service().keys.start()).rejects.toThrow(/entry 0 is no key record/);
});

it("loses no key when many writers add at once", async () => {
  const writers = Array.from({ length: 8 }, () => service().keys);
  const made = await Promise.all(writers.map((keys) => keys.create("read")));
  const stored = await new KeyFile(folder, systemClock).list();
  expect(new Set(stored.map((record) => record.keyId))).toEqual(new Set(made.map((key) => key.record.keyId)));
});

it("lets one service have a data folder at a time", async () => {
  const [first, second] = [new FolderLock(folder), new FolderLock(folder)];
  await first.start();
  await expect(second.start()).rejects.toThrow(/in use by another ticker-service/);
  await first.stop();
  await second.start();
  await second.stop();
});
