/**
 * Keys over HTTP, for administrators: list, create, revoke, rotate. A key's text is answered once, when it is made.
 */
import { isIP } from "node:net";
import { z } from "@hono/zod-openapi";
import { ValidationError } from "../core/errors.ts";
import { microsFromRfc3339, micros } from "../core/time.ts";
import type { StoredKey } from "../ports/storage.ts";
import { KEY_KINDS, type KeyKind, type KeyService } from "../services/key-service.ts";
import { actorOf } from "./guard.ts";
import type { HttpContext } from "./problem.ts";
import { reasonOf } from "./reason.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

export interface KeyRoutesDeps {
  readonly keys: KeyService;
  /** Milliseconds that the old secret of a rotated key works when nobody says how long. */
  readonly keyGraceMs: number;
}

const GRACE_S_MAX = 7 * 86_400;

const KeySchema = z.object({
  id: z.string(), name: z.string(), scopes: z.array(z.string()), breakglass: z.boolean(), created_at: z.int(), expires_at: z.int().nullable(),
  addresses: z.array(z.string()), revoked_at: z.int().nullable(), rotated_at: z.int().nullable(), state: z.enum(["active", "expired", "revoked"]),
}).openapi("Key");
const NewKeySchema = KeySchema.extend({ key: z.string(), grace_ends_at: z.int().optional() }).openapi("NewKey");

const Network = z.string().refine(isNetwork, { error: "expected an address or a network such as 10.0.0.0/8" });
const Time = z.union([z.int().min(0), z.string()]).nullable().optional();
const NewKeyRequest = z.strictObject({
  scope: z.enum(KEY_KINDS).optional(), scopes: z.array(z.enum(KEY_KINDS)).min(1).max(KEY_KINDS.length).optional(), name: z.string().max(200).optional(),
  expires_at: Time, addresses: z.array(Network).max(100).optional(),
});
const RotateRequest = z.strictObject({ grace_s: z.number().min(0).max(GRACE_S_MAX).optional() });
const KeyId = z.object({ id: z.string().max(64) });
const Paging = z.strictObject({ limit: z.coerce.number().int().min(1).max(1000).default(50), cursor: z.string().max(64).optional() });

const RANK: readonly KeyKind[] = ["read", "publish", "trade", "admin", "breakglass"];

export function mountKeys(api: Api, { keys, keyGraceMs }: KeyRoutesDeps): void {
  const admin = { scope: "admin", limit: "default" } as const;
  const path = "/v1/admin/keys";

  api.add(admin, {
    method: "get", path, summary: "All keys, oldest first, never their text", request: { query: Paging },
    responses: { 200: JSON_OF("Keys", z.object({ items: z.array(KeySchema), next_cursor: z.string().nullable() })) },
  }, async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const all = await keys.list();
    const from = cursor === undefined ? 0 : all.findIndex((key) => key.keyId === cursor);
    if (from < 0) throw new ValidationError([{ path: "query.cursor", message: "expected a next_cursor of an answer" }]);
    return c.json({ items: all.slice(from, from + limit).map((key) => shown(key, keys.now())), next_cursor: all[from + limit]?.keyId ?? null }, 200);
  });

  api.add(admin, {
    method: "post", path, summary: "A new key; its text is in this answer and nowhere else", request: { body: { required: true, content: { "application/json": { schema: NewKeyRequest } } } },
    responses: { 201: JSON_OF("The key", NewKeySchema), 422: PROBLEM("A member is not acceptable") },
  }, async (c) => {
    const body = c.req.valid("json");
    const request = { kind: kindOf(body.scope, body.scopes), name: body.name ?? "", expiresAt: timeOf(body.expires_at, keys.now()), addresses: body.addresses ?? [] };
    const { key, stored } = await keys.create(request, actorOf(c), reasonOf(c));
    return c.json({ ...shown(stored, keys.now()), key }, 201);
  });

  const revoke = async (c: HttpContext, id: string): Promise<void> => keys.revoke(id, actorOf(c), reasonOf(c));
  api.add(admin, {
    method: "delete", path: `${path}/{id}`, summary: "Revokes a key and ends its sessions; never limited", request: { params: KeyId },
    responses: { 204: { description: "Revoked" }, 404: PROBLEM("No usable key of that id") },
  }, async (c) => {
    await revoke(c, c.req.valid("param").id);
    return c.body(null, 204);
  });
  api.add(admin, {
    method: "delete", path, summary: "Revokes the key named by ?id=", request: { query: z.strictObject({ id: z.string().max(64) }) },
    responses: { 204: { description: "Revoked" }, 404: PROBLEM("No usable key of that id") },
  }, async (c) => {
    await revoke(c, c.req.valid("query").id);
    return c.body(null, 204);
  });

  api.add(admin, {
    method: "post", path: `${path}/{id}/rotate`, summary: "Another secret for a key; the old one works for a while more",
    request: { params: KeyId, body: { required: false, content: { "application/json": { schema: RotateRequest } } } },
    responses: { 200: JSON_OF("The key with its new text", NewKeySchema), 404: PROBLEM("No usable key of that id") },
  }, async (c) => {
    const { grace_s: graceS } = c.req.valid("json") ?? {};
    const { key, stored, graceEnds } = await keys.rotate(c.req.valid("param").id, graceS === undefined ? keyGraceMs : graceS * 1000, actorOf(c), reasonOf(c));
    return c.json({ ...shown(stored, keys.now()), key, grace_ends_at: graceEnds }, 200);
  });
}

function shown(key: StoredKey, now: number): z.infer<typeof KeySchema> {
  const { keyId, name, scopes, isBreakglass, createdAt, expiresAt, addresses, revokedAt, rotatedAt } = key;
  const state = revokedAt !== null ? "revoked" : expiresAt !== null && expiresAt <= now ? "expired" : "active";
  return {
    id: keyId, name, scopes: [...scopes], breakglass: isBreakglass, created_at: createdAt, expires_at: expiresAt, addresses: [...addresses], revoked_at: revokedAt, rotated_at: rotatedAt, state,
  };
}

/** One of `scope` and `scopes`; of several the one that includes the others. */
function kindOf(scope: KeyKind | undefined, scopes: readonly KeyKind[] | undefined): KeyKind {
  if ((scope === undefined) === (scopes === undefined)) throw new ValidationError([{ path: "body.scope", message: `expected either scope, one of ${KEY_KINDS.join(", ")}, or scopes, a list of them` }]);
  if (scope !== undefined) return scope;
  const given = scopes ?? [];
  const highest = RANK.filter((kind) => given.includes(kind)).at(-1) ?? "read";
  if (highest === "trade" && given.includes("publish")) throw new ValidationError([{ path: "body.scopes", message: "expected publish alone or admin, which includes it: create a key of its own for publish" }]);
  return highest;
}

function timeOf(given: number | string | null | undefined, now: number): ReturnType<typeof micros> | null {
  if (given === null || given === undefined) return null;
  try {
    const at = typeof given === "number" ? micros(given) : microsFromRfc3339(given);
    if (at > now) return at;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new ValidationError([{ path: "body.expires_at", message: `expected a time to come, in RFC 3339 or microseconds since 1970, found ${given}` }]);
}

function isNetwork(text: string): boolean {
  const [address = "", bits, more] = text.split("/");
  const family = isIP(address);
  if (family === 0 || more !== undefined) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
