/**
 * The key store in a file: `keys.json` of the data folder, digests only, mode 0600, replaced as a whole.
 *
 * The service and the command line may write it: a writer holds a lock from reading to renaming.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Clock, wait } from "../core/clock.ts";
import { messageOf, ResourceError } from "../core/errors.ts";
import { type KeyRecord, type KeyStore, SCOPES } from "../ports/access.ts";
import { type Lock, tryLock } from "./folder-lock.ts";

interface StoredKey extends KeyRecord {
  /** Microseconds since 1970; null while the key works. Revoked keys stay, so that none comes back by accident. */
  readonly revokedAt: number | null;
}

const LOCK_WAIT_MS = 5000;
const LOCK_RETRY_MS = 20;

export class KeyFile implements KeyStore {
  readonly #path: string;
  readonly #clock: Clock;
  #readVersion = "";
  #keys: readonly StoredKey[] = [];

  constructor(dataDir: string, clock: Clock) {
    this.#path = join(dataDir, "keys.json");
    this.#clock = clock;
  }

  /** Usable keys. The file is read again only when it changed. @throws {ResourceError} when it cannot be read. */
  async list(): Promise<readonly KeyRecord[]> {
    return (await this.#read()).filter((key) => key.revokedAt === null).map(({ revokedAt: _revokedAt, ...record }) => record);
  }

  async knows(digest: string): Promise<boolean> {
    return (await this.#read()).some((key) => key.digest === digest);
  }

  /** @throws {ResourceError} when a key with this id or digest exists. */
  async add(record: KeyRecord): Promise<void> {
    await this.#change((keys) => {
      if (keys.some((key) => key.keyId === record.keyId || key.digest === record.digest)) throw new ResourceError(`a key with the id ${record.keyId} or the same text exists already`);
      return [...keys, { ...record, revokedAt: null }];
    });
  }

  async revoke(keyId: string): Promise<boolean> {
    let isFound = false;
    await this.#change((keys) => keys.map((key) => {
      if (key.keyId !== keyId || key.revokedAt !== null) return key;
      isFound = true;
      return { ...key, revokedAt: this.#clock.nowMicros() };
    }));
    return isFound;
  }

  async #change(change: (keys: readonly StoredKey[]) => readonly StoredKey[]): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const lock = await this.#lock();
    try {
      await writeWhole(this.#path, `${JSON.stringify({ version: 1, keys: change(await this.#read()) }, null, 2)}\n`);
    } finally {
      await lock.release();
    }
  }

  async #lock(): Promise<Lock> {
    const deadlineMs = this.#clock.monotonicMs() + LOCK_WAIT_MS;
    for (;;) {
      const lock = await tryLock(dirname(this.#path), "keys");
      if (lock) return lock;
      if (this.#clock.monotonicMs() > deadlineMs) throw new ResourceError(`another process has been writing ${this.#path} for ${LOCK_WAIT_MS} ms; try again`);
      await wait(this.#clock, LOCK_RETRY_MS);
    }
  }

  async #read(): Promise<readonly StoredKey[]> {
    const version = await versionOf(this.#path);
    if (version === this.#readVersion) return this.#keys;
    const keys = version === "" ? [] : decode(await readFile(this.#path, "utf8"), this.#path);
    this.#keys = keys;
    this.#readVersion = version;
    return keys;
  }
}

/** Changes whenever the file is replaced; empty when there is none. */
async function versionOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${ino}:${size}:${mtimeNs}`;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}

/** After a crash at any point the file is either the old one or the new one. */
async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function decode(text: string, path: string): readonly StoredKey[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new ResourceError(`${path} is no JSON (${messageOf(error)}); restore it, or move it away to start without keys`, { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null || !("version" in parsed) || parsed.version !== 1 || !("keys" in parsed) || !Array.isArray(parsed.keys)) {
    throw new ResourceError(`${path} is no key file of version 1; restore it, or move it away to start without keys`);
  }
  return parsed.keys.map((key: unknown, i) => storedKey(key) ?? fault(`${path}: entry ${i} is no key record; remove or restore it`));
}

function fault(message: string): never {
  throw new ResourceError(message);
}

function storedKey(value: unknown): StoredKey | null {
  if (typeof value !== "object" || value === null) return null;
  if (!("keyId" in value) || typeof value.keyId !== "string" || value.keyId === "") return null;
  if (!("digest" in value) || typeof value.digest !== "string" || !/^[0-9a-f]{64}$/.test(value.digest)) return null;
  if (!("createdAt" in value) || typeof value.createdAt !== "number") return null;
  if (!("scopes" in value) || !Array.isArray(value.scopes)) return null;
  const given: readonly unknown[] = value.scopes;
  const scopes = SCOPES.filter((scope) => given.includes(scope));
  if (scopes.length !== given.length) return null;
  const revokedAt = "revokedAt" in value && typeof value.revokedAt === "number" ? value.revokedAt : null;
  const isBreakglass = "isBreakglass" in value && value.isBreakglass === true;
  return { keyId: value.keyId, digest: value.digest, createdAt: value.createdAt, scopes, revokedAt, ...(isBreakglass ? { isBreakglass } : {}) };
}
