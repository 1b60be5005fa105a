/**
 * Health and metrics: what an orchestrator and Prometheus ask.
 */
import { z } from "@hono/zod-openapi";
import type { AddressSet } from "../core/address.ts";
import { AuthorisationError } from "../core/errors.ts";
import type { HealthService } from "../services/health-service.ts";
import type { HttpContext } from "./problem.ts";
import { type Api, JSON_OF, PROBLEM, TEXT_OF } from "./route.ts";
import type { RouteRules } from "./route-rules.ts";

export interface HealthRoutesDeps {
  readonly health: HealthService;
  readonly version: string;
  /** What operators tell everybody; null: nothing. */
  readonly banner: () => string | null;
  /** The metrics page, collected anew. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly metricsAllow: AddressSet;
}

const RULES: RouteRules = { scope: null, limit: "exempt" };

const AliveSchema = z.object({ status: z.string(), uptime_s: z.number() }).openapi("Alive");
const ReadinessSchema = z.object({
  status: z.string(), phase: z.string(), reason: z.string(), dependencies: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
}).openapi("Readiness");
const HealthSchema = z.object({ status: z.string(), reason: z.string(), version: z.string(), uptime_s: z.number(), banner: z.string().nullable() }).openapi("Health");
const StartupSchema = z.object({ status: z.string() }).openapi("Startup");

export function mountHealth(api: Api, deps: HealthRoutesDeps): void {
  const { health } = deps;
  api.add(RULES, { method: "get", path: "/health", tags: ["health"], summary: "How it is, in one word", responses: { 200: JSON_OF("The summary", HealthSchema) } }, (c) => {
    const { isReady, phase, reason } = health.readiness();
    return c.json({ status: isReady ? "ok" : phase === "running" ? "degraded" : phase, reason, version: deps.version, uptime_s: seconds(health.uptimeMs()), banner: deps.banner() }, 200);
  });
  for (const path of ["/health/liveness", "/health/live"]) {
    api.add(RULES, { method: "get", path, tags: ["health"], summary: "Whether the process answers", responses: { 200: JSON_OF("It does", AliveSchema) } },
      (c) => c.json({ status: "alive", uptime_s: seconds(health.uptimeMs()) }, 200));
  }
  for (const path of ["/health/readiness", "/health/ready"]) {
    const responses = { 200: JSON_OF("Ready", ReadinessSchema), 503: JSON_OF("Not ready, and why", ReadinessSchema) };
    api.add(RULES, { method: "get", path, tags: ["health"], summary: "Whether to send clients here", responses }, (c) => {
      const { isReady, phase, reason, dependencies } = health.readiness();
      return c.json({ status: isReady ? "ready" : "not_ready", phase, reason, dependencies: [...dependencies] }, isReady ? 200 : 503);
    });
  }
  const responses = { 200: JSON_OF("It has", StartupSchema), 503: JSON_OF("Not yet", StartupSchema) };
  api.add(RULES, { method: "get", path: "/health/startup", tags: ["health"], summary: "Whether it has started", responses }, (c) => {
    const isStarted = health.phase() !== "starting";
    return c.json({ status: isStarted ? "started" : "starting" }, isStarted ? 200 : 503);
  });
  mountMetrics(api, deps);
}

function mountMetrics(api: Api, { metrics, metricsAllow }: HealthRoutesDeps): void {
  const responses = { 200: TEXT_OF("Prometheus' text format", "text/plain"), 403: PROBLEM("The address is not on the list") };
  api.add(RULES, { method: "get", path: "/metrics", tags: ["health"], summary: "Metrics for Prometheus", responses }, async (c) => {
    refuseStrangers(c, metricsAllow);
    const page = await metrics();
    return c.body(page.body, 200, { "content-type": page.contentType });
  });
}

function refuseStrangers(c: HttpContext, allowed: AddressSet): void {
  if (!allowed.has(c.get("address"))) throw new AuthorisationError("add the address to TICKER_METRICS_ALLOW", "address_not_allowed");
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
