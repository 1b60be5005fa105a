/**
 * The HTTP side: one Hono app with ids, fixed headers, limits and error mapping around the routes, and its server.
 */
import { randomUUID } from "node:crypto";
import { Server, type ServerOptions } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { createMiddleware } from "hono/factory";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, ResourceError } from "../core/errors.ts";
import type { Logger } from "../ports/telemetry.ts";
import { type HealthRoutesDeps, mountHealth } from "./health-routes.ts";
import { mountPage, type PageRoutesDeps } from "./page-routes.ts";
import { answerProblem, type HttpEnvironment } from "./problem.ts";
import { mountTickets, type TicketRoutesDeps } from "./ticket-routes.ts";

export interface HttpDeps extends HealthRoutesDeps, PageRoutesDeps, TicketRoutesDeps {
  readonly log: Logger;
  readonly bodyBytesMax: number;
}

const WELL_FORMED_ID = /^[A-Za-z0-9_.:/+=@-]{1,128}$/;
const HOST_NAME = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?$/;

/** Headers that every answer has. Set before `next()`: touching an answer afterwards costs half the throughput. */
const FIXED_HEADERS = [
  ["X-Content-Type-Options", "nosniff"], ["X-Frame-Options", "DENY"], ["Referrer-Policy", "no-referrer"],
  ["Cross-Origin-Opener-Policy", "same-origin"], ["Cross-Origin-Resource-Policy", "same-origin"],
  ["Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"], ["Cache-Control", "no-store"],
] as const;

/** The app, without a socket. */
export function createHttpApp(deps: HttpDeps): Hono<HttpEnvironment> {
  const app = new Hono<HttpEnvironment>();
  app.use(identify(deps));
  app.use(limitBody(deps.bodyBytesMax));
  mountHealth(app, deps);
  mountTickets(app, deps);
  mountPage(app, deps);
  app.notFound((c) => {
    const allowed = methodsOf(app, c.req.path);
    if (allowed.length === 0) return answerProblem(c, { status: 404, code: "not_found", title: "Not found", detail: `there is nothing at ${c.req.path}` });
    c.header("Allow", allowed.join(", "));
    return answerProblem(c, { status: 405, code: "method_not_allowed", title: "Method not allowed", detail: `use ${allowed.join(" or ")}` });
  });
  app.onError((error, c) => {
    deps.log.error({ reason: messageOf(error), stack: error.stack, path: c.req.path, requestId: c.get("requestId") }, "request failed");
    return answerProblem(c, { status: 500, code: "internal", title: "Internal error", detail: "the failure was logged under this request_id" });
  });
  return app;
}

function identify(deps: HttpDeps) {
  return createMiddleware<HttpEnvironment>(async (c, next) => {
    const given = c.req.header("x-request-id");
    const requestId = given !== undefined && WELL_FORMED_ID.test(given) ? given : randomUUID();
    const correlation = c.req.header("x-correlation-id");
    c.set("requestId", requestId);
    c.header("X-Request-ID", requestId);
    c.header("X-Correlation-ID", correlation !== undefined && WELL_FORMED_ID.test(correlation) ? correlation : requestId);
    for (const [name, value] of FIXED_HEADERS) c.header(name, value);
    c.header("Content-Security-Policy", contentSecurityPolicy(c.req.header("host"), deps));
    await next();
  });
}

/** Our own origin, and the stream: another port of the same host, or where a proxy puts it. */
function contentSecurityPolicy(host: string | undefined, deps: HttpDeps): string {
  const name = HOST_NAME.exec(host ?? "")?.[1];
  const port = deps.streamPort();
  const stream = deps.publicStreamUrl === null
    ? (name !== undefined && port !== null ? [`ws://${name}:${port}`, `wss://${name}:${port}`] : [])
    : [originOf(deps.publicStreamUrl)];
  return `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src ${["'self'", ...stream].join(" ")}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}

/** `wss://host:port` of a URL. */
function originOf(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

function limitBody(bytesMax: number) {
  return createMiddleware<HttpEnvironment>(async (c, next) => {
    if (Number(c.req.header("content-length") ?? 0) > bytesMax) {
      return answerProblem(c, { status: 413, code: "body_too_large", title: "Body too large", detail: `at most ${bytesMax} bytes` });
    }
    if (c.req.header("content-encoding") !== undefined) {
      return answerProblem(c, { status: 415, code: "compressed_body", title: "Compressed body", detail: "send the body without Content-Encoding" });
    }
    await next();
    return undefined;
  });
}

/** Methods of the routes at this path, HEAD beside GET. */
function methodsOf(app: Hono<HttpEnvironment>, path: string): string[] {
  const methods = app.routes.filter((route) => route.method !== "ALL" && route.path === path).map((route) => route.method);
  return [...new Set(methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])))];
}

export interface HttpServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly headersMs: number;
  readonly requestMs: number;
  readonly connectionsMax: number;
  readonly clock: Clock;
}

/** Idle connections are closed this often while stopping; what is still open after `CLOSE_MS` is cut. */
const CLOSE_IDLE_MS = 50;
const CLOSE_MS = 2000;

/** The listening server of the app. */
export class HttpServer implements Component {
  readonly name = "http";
  readonly #options: HttpServerOptions;
  readonly #server: Server;

  constructor(app: Hono<HttpEnvironment>, options: HttpServerOptions) {
    this.#options = options;
    const serverOptions: ServerOptions = { headersTimeout: options.headersMs, requestTimeout: options.requestMs, connectionsCheckingInterval: 1000, maxHeaderSize: 16_384 };
    const server = createAdaptorServer({ fetch: app.fetch, serverOptions });
    if (!(server instanceof Server)) throw new Error("expected an HTTP/1 server");
    server.maxConnections = options.connectionsMax;
    this.#server = server;
  }

  /** @throws {ResourceError} when the port cannot be had. */
  start(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error) => reject(new ResourceError(`HTTP_PORT ${port} on ${host}: ${error.message}`, { cause: error })));
      this.#server.listen(port, host, resolve);
    });
  }

  /** The port in use. */
  port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : this.#options.port;
  }

  stop(): Promise<void> {
    if (!this.#server.listening) return Promise.resolve();
    const { clock } = this.#options;
    const idle = clock.every(CLOSE_IDLE_MS, () => this.#server.closeIdleConnections());
    const cut = clock.after(CLOSE_MS, () => this.#server.closeAllConnections());
    return new Promise((resolve) => {
      this.#server.close(() => {
        idle.stop();
        cut.stop();
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }
}
