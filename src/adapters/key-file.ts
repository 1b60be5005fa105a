/**
 * The key file of the service before it had a database: read once, its keys go into the database, the file is put aside.
 */
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, ResourceError } from "../core/errors.ts";
import { micros, type Micros } from "../core/time.ts";
import { type Scope, SCOPES } from "../ports/access.ts";
import type { StoredKey } from "../ports/storage.ts";

export interface FileKey {
  readonly key: StoredKey;
  /** Lower-case hex SHA-256 of the whole key text. */
  readonly digest: string;
}

/** Keys of `keys.json` in the data folder, revoked ones included; empty when there is no file. @throws {ResourceError} when it cannot be read. */
export async function readKeyFile(dataDir: string): Promise<readonly FileKey[]> {
  const path = join(dataDir, "keys.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw new ResourceError(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  return decode(text, path);
}

/** The file is not looked at again, and still there. */
export async function putKeyFileAside(dataDir: string): Promise<void> {
  await rename(join(dataDir, "keys.json"), join(dataDir, "keys.json.migrated"));
}

function decode(text: string, path: string): readonly FileKey[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new ResourceError(`${path} is no JSON (${messageOf(error)}); restore it, or move it away to start without its keys`, { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null || !("version" in parsed) || parsed.version !== 1 || !("keys" in parsed) || !Array.isArray(parsed.keys)) {
    throw new ResourceError(`${path} is no key file of version 1; restore it, or move it away to start without its keys`);
  }
  return parsed.keys.map((key: unknown, i) => fileKey(key) ?? fault(`${path}: entry ${i} is no key record; remove or restore it`));
}

function fault(message: string): never {
  throw new ResourceError(message);
}

function fileKey(value: unknown): FileKey | null {
  if (typeof value !== "object" || value === null) return null;
  if (!("keyId" in value) || typeof value.keyId !== "string" || value.keyId === "") return null;
  if (!("digest" in value) || typeof value.digest !== "string" || !/^[0-9a-f]{64}$/.test(value.digest)) return null;
  if (!("createdAt" in value) || typeof value.createdAt !== "number") return null;
  if (!("scopes" in value) || !Array.isArray(value.scopes)) return null;
  const given: readonly unknown[] = value.scopes;
  const scopes: readonly Scope[] = SCOPES.filter((scope) => given.includes(scope));
  if (scopes.length !== given.length) return null;
  const revokedAt: Micros | null = "revokedAt" in value && typeof value.revokedAt === "number" ? micros(value.revokedAt) : null;
  const isBreakglass = "isBreakglass" in value && value.isBreakglass === true;
  const key: StoredKey = {
    keyId: value.keyId, name: "keys.json", scopes, isBreakglass, createdAt: micros(value.createdAt), expiresAt: null, addresses: [], revokedAt, rotatedAt: null,
  };
  return { key, digest: value.digest };
}
