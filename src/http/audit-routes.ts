/**
 * The audit chain over HTTP, for administrators: pages of it, newest first, and the walk that finds a broken record.
 */
import { z } from "@hono/zod-openapi";
import type { ChainVerdict } from "../ports/audit.ts";
import type { AuditService } from "../services/audit-service.ts";
import { type Api, JSON_OF } from "./route.ts";
import { answerList, LIST_OF } from "./list-answer.ts";
import { cursor, limit, time, writeCursor } from "./list-query.ts";
import type { RouteRules } from "./route-rules.ts";

export interface AuditRoutesDeps {
  readonly audit: AuditService;
}

const RULES: RouteRules = { scope: "admin", limit: "default" };
const NAME_LENGTH_MAX = 200;

const RecordSchema = z.object({
  n: z.int(), time: z.int(), actor: z.string(), address: z.string(), action: z.string(), target: z.string(), before: z.unknown(), after: z.unknown(),
  reason: z.string().nullable(), request_id: z.string(), correlation_id: z.string(), prev_hash: z.string(), hash: z.string(),
}).openapi("AuditRecord");
const VerdictSchema = z.object({
  valid: z.boolean(), records: z.int().openapi({ description: "Records that are in order, from the first on." }),
  head: z.string().optional().openapi({ description: "Hash of the newest record." }), broken: z.int().optional().openapi({ description: "Number of the first broken record." }), why: z.string().optional(),
}).openapi("ChainVerdict");
const Name = z.string().max(NAME_LENGTH_MAX).optional();
const LIST = "audit";
const Query = z.strictObject({
  limit: limit(), cursor: cursor(LIST, z.int().min(1)), action: Name, actor: Name, target: Name, from: time("Records of then and later"), to: time("Records before"),
});

export function mountAudit(api: Api, { audit }: AuditRoutesDeps): void {
  api.add(RULES, {
    method: "get", path: "/v1/admin/audit", tags: ["admin"], summary: "The audit chain, newest first; from is inclusive, to is not", request: { query: Query },
    responses: { 200: LIST_OF("Records", RecordSchema) },
  }, async (c) => {
    const { limit: max, cursor: before = null, action = null, actor = null, target = null, from = null, to = null } = c.req.valid("query");
    const page = await audit.list({ limit: max, before, action, actor, target, from, to });
    return answerList(c, page.items.map((record) => JSON.stringify(record)), page.next === null ? null : writeCursor(LIST, page.next));
  });

  api.add(RULES, {
    method: "get", path: "/v1/admin/audit/verify", tags: ["admin"], summary: "Walks the chain and names the first broken record", responses: { 200: JSON_OF("What was found", VerdictSchema) },
  }, async (c) => c.json(shown(await audit.verify()), 200));
}

function shown(verdict: ChainVerdict): z.infer<typeof VerdictSchema> {
  return verdict.valid ? { valid: true, records: verdict.records, head: verdict.head } : { valid: false, records: verdict.records, broken: verdict.broken, why: verdict.why };
}
