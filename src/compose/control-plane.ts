/**
 * The control plane: everything behind REST that keeps something, the same for every backing.
 */
import { putKeyFileAside, readKeyFile } from "../adapters/key-file.ts";
import { SqlKeyStore } from "../adapters/postgres/key-store.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { Breakers } from "../ports/breakers.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { adminCharge, SYSTEM } from "../services/admin-charge.ts";
import { KeyService } from "../services/key-service.ts";
import type { Backing, BackingDeps } from "./backing.ts";
import { createBreakers } from "./breakers.ts";

export interface ControlPlaneDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly backingOf: (deps: BackingDeps) => Backing;
}

export interface ControlPlane extends MetricSource {
  /** In the order of starting. */
  readonly parts: readonly Component[];
  readonly backing: Backing;
  readonly breakers: Breakers;
  readonly keys: KeyService;
  /** What the HTTP side needs of it. */
  readonly http: { readonly keys: KeyService; readonly limiter: Backing["limiter"] };
  firstKey(): string | null;
}

/** Builds it without starting anything. */
export function controlPlane({ config, clock, log, backingOf }: ControlPlaneDeps): ControlPlane {
  const breakers = createBreakers({ config, clock, log });
  const backing = backingOf({ config, clock, log, breakers });
  const { database, limiter } = backing;
  const store = new SqlKeyStore(database, clock);
  const keys = new KeyService({ store, clock, log, pollMs: config.keysPollMs, chargeOf: (actor) => adminCharge(limiter, actor) });
  const first: { key: string | null } = { key: null };
  const parts = [
    breakers, ...backing.parts, keyFileTakenOver(store, config, log), keys,
    keysPresent(keys, config, log, (key) => {
      first.key = key;
    }),
  ];
  const samples = (): MetricSample[] => [...keys.samples(), ...limiter.samples(), ...breakers.samples()];
  return { parts, backing, breakers, keys, http: { keys, limiter }, firstKey: () => first.key, samples };
}

/** Keys of a service before it had a database. */
function keyFileTakenOver(store: SqlKeyStore, { dataDir }: Config, log: Logger): Component {
  const start = async () => {
    const found = await readKeyFile(dataDir);
    if (found.length === 0) return;
    const entry = { actor: SYSTEM, action: "keys.imported", target: "keys.json", before: null, after: found.map(({ key }) => key.keyId), reason: null };
    const added = await store.importKeys(found, { entry, charge: null });
    await putKeyFileAside(dataDir);
    log.info({ added, found: found.length }, "keys.json was taken over into the database and put aside as keys.json.migrated");
  };
  return { name: "key file", start, stop: () => Promise.resolve() };
}

/** Creates the bootstrap keys, or outside production the first admin key; refuses a production start without a usable key. */
function keysPresent(keys: KeyService, config: Config, log: Logger, onFirstKey: (key: string) => void): Component {
  const start = async () => {
    for (const { scope, key } of config.bootstrapKeys) {
      const outcome = await keys.ensure(scope, key);
      if (outcome === "revoked") log.warn({ scope }, "a key of BOOTSTRAP_API_KEYS was revoked and stays revoked; remove it from the list");
    }
    if (keys.records().length > 0) return;
    if (config.isProduction) {
      throw new ConfigurationError([`BOOTSTRAP_API_KEYS: production needs a usable key and there is none; set BOOTSTRAP_API_KEYS=admin:tk_... (tk_ and at least 32 of A-Z a-z 0-9 _ -), or run "npm run cli -- keys create --scope admin"`]);
    }
    onFirstKey((await keys.create({ kind: "admin", name: "first key", expiresAt: null, addresses: [] }, SYSTEM, null)).key);
  };
  return { name: "first keys", start, stop: () => Promise.resolve() };
}
