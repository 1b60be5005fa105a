/**
 * What an operator does to the running node over HTTP: sessions of the stream, drain, log level.
 */
import { z } from "@hono/zod-openapi";
import { type FoundConnection, LANES } from "../ports/connections.ts";
import { type AdminService, LOG_LEVELS } from "../services/admin-service.ts";
import { actorOf } from "./guard.ts";
import * as list from "./list-query.ts";
import { reasonOf } from "./reason.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

export interface AdminRoutesDeps {
  readonly admin: AdminService;
}

const LEVEL_TTL_S = 600;
const LEVEL_TTL_S_MAX = 86_400;
const CURSOR = "connections";

const ConnectionSchema = z.object({
  id: z.string(), worker: z.int(), key_id: z.string(), address: z.string(), lane: z.enum(LANES), encoding: z.string(), opened_at: z.int(), age_ms: z.int(),
  topics: z.int(), wildcards: z.int(), unsent_bytes: z.int(), messages: z.int(), ping_age_ms: z.int().nullable(),
}).openapi("Connection");
const ConnectionsSchema = z.object({ items: z.array(ConnectionSchema), next_cursor: z.string().nullable(), matching: z.int(), silent_workers: z.int() });
const ConnectionsQuery = z.strictObject({
  limit: list.limit(), cursor: list.cursor(CURSOR, z.string().max(64)), lane: z.enum(LANES).optional(),
  key_id: z.string().min(1).max(64).optional(), address: z.string().min(1).max(64).optional(),
});
const Reason = z.string().trim().min(1).max(500).optional();
const DrainRequest = z.strictObject({ reason: Reason });
const LogLevelRequest = z.strictObject({ level: z.enum(LOG_LEVELS), ttl_s: z.number().min(0.1).max(LEVEL_TTL_S_MAX).optional(), reason: Reason });

export function mountAdmin(api: Api, deps: AdminRoutesDeps): void {
  mountConnections(api, deps);
  mountOperations(api, deps);
}

function mountConnections(api: Api, { admin }: AdminRoutesDeps): void {
  api.add({ scope: "admin", limit: "default" }, {
    method: "get", path: "/v1/admin/connections", tags: ["admin"], summary: "Authenticated sessions of the stream, by id",
    description: "`matching` counts all that fit the filters; `silent_workers` did not answer in time, so theirs are missing.",
    request: { query: ConnectionsQuery }, responses: { 200: JSON_OF("Sessions", ConnectionsSchema), 503: PROBLEM("The stream thread does not answer") },
  }, async (c) => {
    const { limit, cursor, lane, key_id: keyId, address } = c.req.valid("query");
    const found = await admin.connections({ limit, after: cursor ?? "", lane: lane ?? null, keyId: keyId ?? null, address: address ?? null });
    const last = found.items.at(-1);
    return c.json({
      items: found.items.map(shown), next_cursor: found.hasMore && last !== undefined ? list.writeCursor(CURSOR, last.id) : null,
      matching: found.matching, silent_workers: found.silentWorkers,
    }, 200);
  });

  api.add({ scope: "admin", limit: "default", charges: "admin.write" }, {
    method: "delete", path: "/v1/admin/connections/{id}", tags: ["admin"], summary: "Says goodbye to a session and closes it", request: { params: z.object({ id: z.string().max(64) }) },
    responses: { 204: { description: "It was told to go" }, 404: PROBLEM("No such session"), 503: PROBLEM("The stream thread or the database does not answer") },
  }, async (c) => {
    await admin.disconnect(c.req.valid("param").id, actorOf(c), reasonOf(c));
    return c.body(null, 204);
  });
}

function mountOperations(api: Api, { admin }: AdminRoutesDeps): void {
  api.add({ scope: "admin", limit: "default" }, {
    method: "post", path: "/v1/admin/drain", tags: ["admin"], summary: "Not ready from now on; then sessions are told goodbye and the process stops",
    description: "Costs nothing of admin.write. Without a database, SIGTERM does the same.",
    request: { body: { required: false, content: { "application/json": { schema: DrainRequest } } } },
    responses: { 202: JSON_OF("It drains", z.object({ status: z.literal("draining") })), 409: PROBLEM("It drains already") },
  }, async (c) => {
    const { reason } = c.req.valid("json");
    await admin.drain(actorOf(c), reason ?? reasonOf(c));
    return c.json({ status: "draining" as const }, 202);
  });

  api.add({ scope: "admin", limit: "default", charges: "admin.write" }, {
    method: "put", path: "/v1/admin/log-level", tags: ["admin"], summary: `Another log level for a time, ${LEVEL_TTL_S} s unless told otherwise; then the one of the runtime state`,
    request: { body: { required: true, content: { "application/json": { schema: LogLevelRequest } } } },
    responses: { 200: JSON_OF("The level in force", z.object({ level: z.enum(LOG_LEVELS), ttl_s: z.number() })) },
  }, async (c) => {
    const { level, ttl_s: ttlS = LEVEL_TTL_S, reason } = c.req.valid("json");
    await admin.raiseLogLevel(level, Math.round(ttlS * 1000), actorOf(c), reason ?? reasonOf(c));
    return c.json({ level, ttl_s: ttlS }, 200);
  });
}

function shown(connection: FoundConnection): z.infer<typeof ConnectionSchema> {
  const { id, worker, keyId, address, lane, encoding, openedAt, ageMs, topics, wildcards, unsentBytes, messages, pingAgeMs } = connection;
  return {
    id, worker, key_id: keyId, address, lane, encoding, opened_at: openedAt, age_ms: ageMs, topics, wildcards, unsent_bytes: unsentBytes, messages, ping_age_ms: pingAgeMs,
  };
}
