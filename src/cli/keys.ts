/**
 * Keys on the command line: on the database of the configuration, or, while a service holds the embedded one, over its REST side.
 */
import { join } from "node:path";
import { Database, embeddedPool, serverPool } from "../adapters/postgres/database.ts";
import { SqlKeyStore } from "../adapters/postgres/key-store.ts";
import { tryServiceLock } from "../adapters/folder-lock.ts";
import type { Config } from "../config.ts";
import { systemClock } from "../core/clock.ts";
import { type Micros, micros, microsFromRfc3339 } from "../core/time.ts";
import type { Breaker } from "../ports/breakers.ts";
import type { StoredKey } from "../ports/storage.ts";
import { CLI } from "../services/admin-charge.ts";
import { KEY_KINDS, type KeyRequest, KeyService } from "../services/key-service.ts";
import { type KeyCommands, RemoteKeys } from "./remote-keys.ts";

export interface KeyOptions {
  readonly scope: string | undefined;
  readonly name: string | undefined;
  /** RFC 3339. */
  readonly expires: string | undefined;
  /** Addresses and networks, comma-separated. */
  readonly addresses: string | undefined;
  /** Seconds that the old secret of a rotated key goes on to work. */
  readonly grace: string | undefined;
  readonly reason: string | undefined;
  /** An admin key, for a service that runs. */
  readonly key: string | undefined;
  readonly http: string | undefined;
}

const GRACE_S = 3_600;

/** Runs `keys list|create|revoke|rotate`; answers the exit code. @throws {TypeError} when the words are off. */
export async function keysCommand(words: readonly string[], options: KeyOptions, config: Config): Promise<number> {
  const [action, keyId] = words;
  const act = actionOf(action, keyId, options);
  const keys = await openKeys(config, options);
  try {
    await act(keys.commands);
  } finally {
    await keys.close();
  }
  return 0;
}

/** Checked before anything is opened. */
function actionOf(action: string | undefined, keyId: string | undefined, options: KeyOptions): (keys: KeyCommands) => Promise<void> {
  const reason = options.reason ?? null;
  if (action === "list") {
    return async (keys) => {
      for (const key of await keys.list()) console.log(lineOf(key));
    };
  }
  if (action === "create") {
    const request = requestOf(options);
    return async (keys) => {
      const { keyId: created, key } = await keys.create(request, reason);
      console.log(`${created}\n${key}`);
    };
  }
  if (action === "revoke" && keyId !== undefined) {
    return async (keys) => {
      await keys.revoke(keyId, reason);
      console.log(`${keyId} revoked`);
    };
  }
  if (action === "rotate" && keyId !== undefined) {
    const graceS = Number(options.grace ?? GRACE_S);
    if (!Number.isSafeInteger(graceS) || graceS < 0) throw new TypeError("--grace needs whole seconds, 0 or more");
    return async (keys) => {
      const { key } = await keys.rotate(keyId, graceS * 1000, reason);
      console.log(`${keyId}\n${key}`);
    };
  }
  throw new TypeError("usage: keys list | keys create --scope SCOPE | keys revoke ID | keys rotate ID");
}

function requestOf(options: KeyOptions): KeyRequest {
  const kind = KEY_KINDS.find((known) => known === options.scope);
  if (!kind) throw new TypeError(`--scope needs one of ${KEY_KINDS.join(", ")}`);
  const expiresAt = options.expires === undefined ? null : microsFromRfc3339(options.expires);
  const addresses = (options.addresses ?? "").split(",").map((address) => address.trim()).filter((address) => address !== "");
  return { kind, name: options.name ?? "", expiresAt, addresses };
}

function lineOf({ keyId, name, scopes, isBreakglass, createdAt, expiresAt, revokedAt }: StoredKey): string {
  const state = revokedAt !== null ? `revoked ${textOf(revokedAt)}` : expiresAt === null ? "" : `until ${textOf(expiresAt)}`;
  return `${keyId}  ${isBreakglass ? "breakglass" : scopes.join(",")}  ${textOf(createdAt)}  ${name}  ${state}`.trimEnd();
}

function textOf(at: Micros): string {
  return new Date(micros(at) / 1000).toISOString();
}

const WITHOUT_BREAKER: Breaker = {
  name: "database", run: (call) => call(), reset: () => undefined, trip: () => undefined, stop: () => undefined,
  report: () => ({ name: "database", state: "closed", calls: 0, failures: 0, refused: 0, opened: 0, probeInMs: null, isTripped: false, lastFailure: "" }),
};

async function openKeys(config: Config, options: KeyOptions): Promise<{ readonly commands: KeyCommands; close(): Promise<void> }> {
  const { databaseUrl, databaseTimeoutMs, dataDir } = config;
  const lock = databaseUrl === null ? await tryServiceLock(dataDir) : null;
  if (databaseUrl === null && lock === null) {
    if (options.key === undefined) throw new TypeError(`a service holds ${dataDir}: name an admin key with --key, or stop the service`);
    return { commands: new RemoteKeys(options.http ?? `http://127.0.0.1:${config.httpPort}`, options.key), close: () => Promise.resolve() };
  }
  const open = () => (databaseUrl === null ? embeddedPool(join(dataDir, "postgres"), systemClock) : Promise.resolve(serverPool(databaseUrl, databaseTimeoutMs, 1)));
  const database = new Database({ open, clock: systemClock, breaker: WITHOUT_BREAKER, timeoutMs: databaseTimeoutMs });
  await database.start();
  const ignore = (): void => undefined;
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const keys = new KeyService({ store: new SqlKeyStore(database, systemClock), clock: systemClock, log, pollMs: config.keysPollMs, chargeOf: () => null });
  const commands: KeyCommands = {
    list: () => keys.list(),
    create: async (request, reason) => {
      const { key, stored } = await keys.create(request, CLI, reason);
      return { keyId: stored.keyId, key };
    },
    revoke: (keyId, reason) => keys.revoke(keyId, CLI, reason),
    rotate: (keyId, graceMs, reason) => keys.rotate(keyId, graceMs, CLI, reason),
  };
  return {
    commands,
    close: async () => {
      await database.stop();
      await lock?.release();
    },
  };
}
