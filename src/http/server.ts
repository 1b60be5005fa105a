/**
 * The HTTP app: ids, fixed headers, CORS and error mapping around the routes. Routes of features are listed in routes.ts.
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Clock } from "../core/clock.ts";
import { AppError, messageOf } from "../core/errors.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { AccessLog } from "./access-log.ts";
import { cors } from "./cors.ts";
import { type DocsRoutesDeps, mountDocs } from "./docs-routes.ts";
import { Guard, type GuardDeps } from "./guard.ts";
import { type HeaderDeps, identify } from "./headers.ts";
import { type HealthRoutesDeps, mountHealth } from "./health-routes.ts";
import { mountPage, type PageRoutesDeps } from "./page-routes.ts";
import { mountPlanned } from "./planned-routes.ts";
import { answerError, answerProblem, type HttpEnvironment, titleOf } from "./problem.ts";
import { Api, type RouteEntry } from "./route.ts";
import { StaticFirstRouter } from "./static-first-router.ts";
import { mountTickets, type TicketRoutesDeps } from "./ticket-routes.ts";

export interface HttpDeps extends GuardDeps, HeaderDeps, HealthRoutesDeps, PageRoutesDeps, TicketRoutesDeps, DocsRoutesDeps {
  readonly clock: Clock;
  /** Largest request body. */
  readonly bodyBytesMax: number;
  /** Browser origins that may read `/v1` and `/data`; empty: none. */
  readonly allowedOrigins: readonly string[];
}

/** The app, without a socket. */
export interface HttpApp extends MetricSource {
  readonly app: OpenAPIHono<HttpEnvironment>;
  /** Every route with its rules, in order. */
  readonly table: readonly RouteEntry[];
  readonly log: Logger;
}

/** @param mount adds the other routes (routes.ts), before those that are not built are announced */
export function createHttpApp(deps: HttpDeps, mount: (api: Api) => void): HttpApp {
  const accessLog = new AccessLog(deps.clock);
  const counts: Counts = { refused: 0, failed: 0 };
  const app = new OpenAPIHono<HttpEnvironment>({ router: new StaticFirstRouter() });
  app.use(identify(deps, accessLog));
  if (deps.allowedOrigins.length > 0) for (const path of ["/v1/*", "/data"]) app.use(path, cors(deps.allowedOrigins));
  const guard = new Guard(deps);
  const api = new Api(app, guard, deps.bodyBytesMax);
  mountHealth(api, deps);
  mountTickets(api, deps);
  mountPage(api, deps);
  mount(api);
  mountPlanned(api);
  mountDocs(api, deps);
  refuseUnlisted(api);
  answerFailures(app, guard, counts);
  return { app, table: api.table, log: deps.log, samples: () => [...accessLog.samples(), ...samplesOf(counts)] };
}

/** A route that was not added through the table would be checked by nobody. */
function refuseUnlisted({ app, table }: Api): void {
  const listed = new Set(table.map(({ method, path }) => `${method} ${path.replaceAll(/\{(.+?)\}/g, ":$1")}`));
  const strangers = app.routes.filter(({ method, path }) => method !== "ALL" && !listed.has(`${method} ${path}`));
  if (strangers.length > 0) throw new Error(`add these through Api.add: ${strangers.map(({ method, path }) => `${method} ${path}`).join(", ")}`);
}

interface Counts {
  /** Failures below 500 that are thrown. */
  refused: number;
  failed: number;
}

/** What is thrown, and what nobody answers, become problems. */
function answerFailures(app: OpenAPIHono<HttpEnvironment>, guard: Guard, counts: Counts): void {
  app.notFound(async (c) => {
    await guard.enter(c, { scope: null, limit: "anonymous" });
    const allowed = methodsOf(app, c.req.path);
    if (allowed.length === 0) return answerProblem(c, { status: 404, code: "not_found", title: titleOf(404), detail: `there is nothing at ${c.req.path.slice(0, 200)}` });
    c.env.outgoing.setHeader("Allow", allowed.join(", "));
    return answerProblem(c, { status: 405, code: "method_not_allowed", title: titleOf(405), detail: `use ${allowed.join(" or ")}` });
  });
  app.onError((error, c) => {
    if (error instanceof AppError && error.status < 500) {
      counts.refused++;
      return answerError(c, error);
    }
    counts.failed++;
    if (error instanceof AppError) {
      c.get("log").warn({ code: error.code, reason: error.message, cause: messageOf(error.cause ?? ""), path: c.req.path }, "request failed");
      return answerError(c, error);
    }
    c.get("log").error({ reason: messageOf(error), stack: error.stack, path: c.req.path }, "request failed");
    return answerProblem(c, { status: 500, code: "internal", title: titleOf(500), detail: "the failure was logged under this request_id" });
  });
}

/** Methods of the routes at this path, HEAD beside GET. */
function methodsOf(app: OpenAPIHono<HttpEnvironment>, path: string): string[] {
  const candidates = ["GET", "POST", "PUT", "PATCH", "DELETE"].filter((method) => app.router.match(method, path)[0].some(([[, route]]) => route.method !== "ALL"));
  return candidates.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
}

function samplesOf(counts: Counts): MetricSample[] {
  return [
    { name: "ticker_http_refused_total", help: "Requests refused: key, scope, limit or input", type: "counter", labels: {}, value: counts.refused },
    { name: "ticker_http_failed_total", help: "Requests answered with 500 or more because something failed", type: "counter", labels: {}, value: counts.failed },
  ];
}
