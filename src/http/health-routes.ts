/**
 * Health and metrics: what an orchestrator and Prometheus ask.
 */
import type { Hono } from "hono";
import type { AddressSet } from "../core/address.ts";
import type { HealthService } from "../services/health-service.ts";
import { clientAddress } from "./client-address.ts";
import { answerProblem, type HttpContext, type HttpEnvironment } from "./problem.ts";

export interface HealthRoutesDeps {
  readonly health: HealthService;
  readonly version: string;
  /** The metrics page, collected anew. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly metricsAllow: AddressSet;
  readonly trustedProxies: AddressSet;
}

export function mountHealth(app: Hono<HttpEnvironment>, deps: HealthRoutesDeps): void {
  const { health } = deps;
  const ready = (c: HttpContext) => {
    const { isReady, phase, reason, dependencies } = health.readiness();
    return c.json({ status: isReady ? "ready" : "not_ready", phase, reason, dependencies }, isReady ? 200 : 503);
  };
  const live = (c: HttpContext) => c.json({ status: "alive", uptime_s: seconds(health.uptimeMs()) });

  app.get("/health", (c) => {
    const { isReady, phase, reason } = health.readiness();
    return c.json({ status: isReady ? "ok" : phase === "running" ? "degraded" : phase, reason, version: deps.version, uptime_s: seconds(health.uptimeMs()) });
  });
  app.get("/health/liveness", live);
  app.get("/health/live", live);
  app.get("/health/readiness", ready);
  app.get("/health/ready", ready);
  app.get("/health/startup", (c) => {
    const isStarted = health.phase() !== "starting";
    return c.json({ status: isStarted ? "started" : "starting" }, isStarted ? 200 : 503);
  });
  app.get("/metrics", async (c) => {
    if (!deps.metricsAllow.has(clientAddress(c, deps.trustedProxies))) {
      return answerProblem(c, { status: 403, code: "address_not_allowed", title: "Not for this address", detail: "add the address to TICKER_METRICS_ALLOW" });
    }
    const page = await deps.metrics();
    return c.body(page.body, 200, { "content-type": page.contentType });
  });
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
