/**
 * Keys on the command line: works on the key file of DATA_DIR, whether the service runs or not.
 */
import { KeyFile } from "../adapters/key-file.ts";
import type { Config } from "../config.ts";
import { systemClock } from "../core/clock.ts";
import { type KeyKind, KeyService } from "../services/key-service.ts";

const KINDS: readonly KeyKind[] = ["read", "trade", "admin", "publish", "breakglass"];

/** Runs `keys list|create|revoke`; answers the exit code. */
export async function keysCommand(words: readonly string[], scope: string | undefined, config: Config): Promise<number> {
  const store = new KeyFile(config.dataDir, systemClock);
  const ignore = (): void => undefined;
  const keys = new KeyService({ store, clock: systemClock, log: { debug: ignore, info: ignore, warn: ignore, error: ignore }, pollMs: config.keysPollMs });
  const [action, keyId] = words;
  if (action === "list") {
    for (const record of await store.list()) {
      const scopes = record.isBreakglass === true ? "breakglass" : record.scopes.join(",");
      console.log(`${record.keyId}  ${scopes}  ${new Date(record.createdAt / 1000).toISOString()}`);
    }
    return 0;
  }
  if (action === "create") {
    const kind = KINDS.find((k) => k === scope);
    if (!kind) throw new TypeError(`--scope needs one of ${KINDS.join(", ")}`);
    const { key, record } = await keys.create(kind);
    console.log(`${record.keyId}\n${key}`);
    return 0;
  }
  if (action === "revoke" && keyId !== undefined) {
    const isRevoked = await keys.revoke(keyId);
    console.log(isRevoked ? `${keyId} revoked` : `no usable key ${keyId} in ${config.dataDir}`);
    return isRevoked ? 0 : 1;
  }
  throw new TypeError("usage: keys list | keys create --scope SCOPE | keys revoke ID");
}
