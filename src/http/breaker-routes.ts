/**
 * Circuit breakers over HTTP, for administrators: list, reset, trip.
 */
import { z } from "@hono/zod-openapi";
import type { BreakerReport } from "../ports/breakers.ts";
import type { BreakerService } from "../services/breaker-service.ts";
import { actorOf } from "./guard.ts";
import { reasonOf } from "./reason.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

export interface BreakerRoutesDeps {
  readonly breakers: BreakerService;
}

const TTL_S_MAX = 86_400;

const BreakerSchema = z.object({
  name: z.string(), state: z.enum(["closed", "open", "half_open"]), calls: z.int(), failures: z.int(), refused: z.int(), opened: z.int(),
  probe_in_ms: z.int().nullable(), tripped: z.boolean(), last_failure: z.string(),
}).openapi("Breaker");
const Name = z.object({ name: z.string().max(200).openapi({ description: "As the list has it", example: "database" }) });
const Trip = z.strictObject({ ttl_s: z.number().min(0.1).max(TTL_S_MAX).openapi({ description: "Seconds for which it stays open, whatever succeeds", example: 60 }), reason: z.string().trim().min(1).max(500).optional() });

export function mountBreakers(api: Api, { breakers }: BreakerRoutesDeps): void {
  const path = "/v1/admin/breakers";
  const unknown = PROBLEM("No breaker of that name");

  api.add({ scope: "admin", limit: "default" }, {
    method: "get", path, tags: ["admin"], summary: "All circuit breakers by name, with the counts of their window",
    responses: { 200: JSON_OF("Breakers", z.object({ items: z.array(BreakerSchema), next_cursor: z.null() })) },
  }, (c) => c.json({ items: breakers.list().map(shown), next_cursor: null }, 200));

  api.add({ scope: "admin", limit: "breakers.reset" }, {
    method: "post", path: `${path}/{name}/reset`, tags: ["admin"], summary: "Closes a breaker and forgets what was counted", request: { params: Name },
    responses: { 200: JSON_OF("The breaker", BreakerSchema), 404: unknown },
  }, async (c) => c.json(shown(await breakers.reset(c.req.valid("param").name, actorOf(c), reasonOf(c))), 200));

  api.add({ scope: "admin", limit: "default", charges: "admin.write" }, {
    method: "post", path: `${path}/{name}/trip`, tags: ["admin"], summary: "Opens a breaker for a time",
    request: { params: Name, body: { required: true, content: { "application/json": { schema: Trip } } } },
    responses: { 200: JSON_OF("The breaker", BreakerSchema), 404: unknown },
  }, async (c) => {
    const { ttl_s: ttlS, reason } = c.req.valid("json");
    return c.json(shown(await breakers.trip(c.req.valid("param").name, Math.round(ttlS * 1000), actorOf(c), reason ?? reasonOf(c))), 200);
  });
}

function shown(report: BreakerReport): z.infer<typeof BreakerSchema> {
  const { name, state, calls, failures, refused, opened, probeInMs, isTripped, lastFailure } = report;
  return { name, state, calls, failures, refused, opened, probe_in_ms: probeInMs, tripped: isTripped, last_failure: lastFailure };
}
