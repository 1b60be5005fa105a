/**
 * The detailed health: every dependency with its state, for those who have a key.
 */
import { z } from "@hono/zod-openapi";
import { type DetailedHealth, type HealthCheck, overallOf } from "../services/health-detail.ts";
import type { HealthService } from "../services/health-service.ts";
import { type Api, JSON_OF } from "./route.ts";

export interface DetailedHealthDeps {
  readonly health: HealthService;
  readonly detailed: DetailedHealth;
  readonly version: string;
}

const CheckSchema = z.object({
  name: z.string(), status: z.enum(["ok", "degraded", "down"]), detail: z.string(), latency_ms: z.number().nullable(),
}).catchall(z.union([z.string(), z.number(), z.boolean(), z.null()])).openapi("HealthCheck");
const DetailedSchema = z.object({
  status: z.enum(["ok", "degraded", "not_ready"]), phase: z.string(), reason: z.string(), version: z.string(), uptime_s: z.number(), dependencies: z.array(CheckSchema),
}).openapi("DetailedHealth");

export function mountDetailedHealth(api: Api, { health, detailed, version }: DetailedHealthDeps): void {
  api.add({ scope: "read", limit: "default" }, {
    method: "get", path: "/health/detailed", tags: ["health"], summary: "Every dependency, each asked with a deadline",
    description: "`not_ready` where readiness says so; `degraded` when a dependency is not ok. A database or Redis that is away leaves the node ready: the stream goes on.",
    responses: { 200: JSON_OF("What was found", DetailedSchema) },
  }, async (c) => {
    const checks = await detailed.checks();
    const { isReady, phase, reason } = health.readiness();
    return c.json({ status: overallOf(isReady, checks), phase, reason, version, uptime_s: Math.round(health.uptimeMs()) / 1000, dependencies: checks.map(shown) }, 200);
  });
}

function shown({ name, status, detail, latencyMs, figures }: HealthCheck): z.infer<typeof CheckSchema> {
  return { name, status, detail, latency_ms: latencyMs, ...figures };
}
