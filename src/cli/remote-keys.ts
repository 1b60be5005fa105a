/**
 * Keys of a service that runs, over its REST side.
 */
import { micros, type Micros } from "../core/time.ts";
import { type Scope, SCOPES } from "../ports/access.ts";
import type { StoredKey } from "../ports/storage.ts";
import type { KeyRequest } from "../services/key-service.ts";

export interface KeyCommands {
  list(): Promise<readonly StoredKey[]>;
  create(request: KeyRequest, reason: string | null): Promise<{ readonly keyId: string; readonly key: string }>;
  revoke(keyId: string, reason: string | null): Promise<void>;
  rotate(keyId: string, graceMs: number, reason: string | null): Promise<{ readonly key: string }>;
}

type Fields = Readonly<Record<string, unknown>>;

/** Each call @throws {TypeError} with the service's sentence when it refuses. */
export class RemoteKeys implements KeyCommands {
  readonly #url: string;
  readonly #key: string;

  /** @param base `http://host:port`. @param key of the scope admin */
  constructor(base: string, key: string) {
    this.#url = `${base.replace(/\/+$/, "")}/v1/admin/keys`;
    this.#key = key;
  }

  async list(): Promise<readonly StoredKey[]> {
    const keys: StoredKey[] = [];
    for (let cursor = ""; ;) {
      const page = await this.#ask("GET", `?limit=1000${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`, null, null);
      const items: readonly unknown[] = Array.isArray(page["items"]) ? page["items"] : [];
      keys.push(...items.map(storedKey));
      if (typeof page["next_cursor"] !== "string") return keys;
      cursor = page["next_cursor"];
    }
  }

  async create({ kind, name, expiresAt, addresses }: KeyRequest, reason: string | null): Promise<{ readonly keyId: string; readonly key: string }> {
    const made = await this.#ask("POST", "", { scope: kind, name, expires_at: expiresAt, addresses }, reason);
    return { keyId: textOf(made["id"]), key: textOf(made["key"]) };
  }

  async revoke(keyId: string, reason: string | null): Promise<void> {
    await this.#ask("DELETE", `/${encodeURIComponent(keyId)}`, null, reason);
  }

  async rotate(keyId: string, graceMs: number, reason: string | null): Promise<{ readonly key: string }> {
    return { key: textOf((await this.#ask("POST", `/${encodeURIComponent(keyId)}/rotate`, { grace_s: graceMs / 1000 }, reason))["key"]) };
  }

  async #ask(method: string, path: string, body: Fields | null, reason: string | null): Promise<Fields> {
    const headers = {
      authorization: `Bearer ${this.#key}`, ...(body === null ? {} : { "content-type": "application/json" }), ...(reason === null ? {} : { "x-reason": reason }),
    };
    const answer = await fetch(this.#url + path, { method, headers, ...(body === null ? {} : { body: JSON.stringify(body) }) });
    const text = await answer.text();
    const fields = text === "" ? {} : fieldsOf(JSON.parse(text));
    if (!answer.ok) throw new TypeError(`${answer.status} ${textOf(fields["code"])}: ${textOf(fields["detail"], text)}`);
    return fields;
  }
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function textOf(value: unknown, otherwise = ""): string {
  return typeof value === "string" ? value : otherwise;
}

function storedKey(value: unknown): StoredKey {
  const fields = fieldsOf(value);
  const texts = (name: string): readonly string[] => (Array.isArray(fields[name]) ? fields[name].map(String) : []);
  const at = (name: string): Micros | null => (typeof fields[name] === "number" ? micros(fields[name]) : null);
  const given = texts("scopes");
  const scopes: readonly Scope[] = SCOPES.filter((scope) => given.includes(scope));
  return {
    keyId: textOf(fields["id"]), name: textOf(fields["name"]), scopes, isBreakglass: fields["breakglass"] === true, createdAt: at("created_at") ?? micros(0),
    expiresAt: at("expires_at"), addresses: texts("addresses"), revokedAt: at("revoked_at"), rotatedAt: at("rotated_at"),
  };
}
