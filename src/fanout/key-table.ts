/**
 * The keys a fan-out thread knows: pushed by main, checked by one hash and a map look-up.
 *
 * Owns: digests and grants of usable keys; never a key. Runs on: every thread that checks keys.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { isAddressAllowed } from "../core/address.ts";
import type { Grant, KeyChange, KeyCheck, KeyRecord } from "../ports/access.ts";

/** Longest secret that is worth hashing, in characters. */
const SECRET_MAX = 512;

export class KeyTable implements KeyCheck {
  readonly #byDigest = new Map<string, { readonly record: KeyRecord; readonly digest: Buffer; readonly grant: Grant }>();

  constructor(keys: readonly KeyRecord[]) {
    this.apply({ added: keys, revoked: [], retired: [] });
  }

  apply(change: KeyChange): void {
    for (const id of change.revoked) {
      for (const [digest, entry] of this.#byDigest) if (entry.grant.keyId === id) this.#byDigest.delete(digest);
    }
    for (const digest of change.retired) this.#byDigest.delete(digest);
    for (const record of change.added) {
      const { digest, keyId, scopes, isBreakglass } = record;
      this.#byDigest.set(digest, { record, digest: Buffer.from(digest, "hex"), grant: { keyId, scopes, isBreakglass } });
    }
  }

  check(secret: string, address: string): Grant | null {
    if (secret.length > SECRET_MAX) return null;
    const digest = createHash("sha256").update(secret).digest();
    const entry = this.#byDigest.get(digest.toString("hex"));
    if (!entry || !timingSafeEqual(entry.digest, digest)) return null;
    return isAddressAllowed(entry.record.addresses, address) ? entry.grant : null;
  }
}
