/**
 * What every request gets before its route: ids, the client's address, a log that names them, and the fixed headers.
 *
 * Headers are set on Node's response (lean-response.ts), not on Hono's: through Hono the first one costs a `Headers` object
 * more, and an answer made anew would lose them.
 */
import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { createMiddleware } from "hono/factory";
import type { AddressSet } from "../core/address.ts";
import { MalformedError } from "../core/errors.ts";
import type { LogFields, Logger } from "../ports/telemetry.ts";
import type { AccessLog } from "./access-log.ts";
import { clientAddress, isOverTls } from "./client-address.ts";
import type { HttpEnvironment } from "./problem.ts";

export interface HeaderDeps {
  readonly log: Logger;
  readonly trustedProxies: AddressSet;
  /** The stream's port as it listens; null while it does not. */
  readonly streamPort: () => number | null;
  /** Full URL when a proxy stands before the stream. */
  readonly publicStreamUrl: string | null;
}

const WELL_FORMED_ID = /^[A-Za-z0-9_.:/+=@-]{1,128}$/;
const HOST_NAME = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?$/;

/** Headers that every answer has; a route may replace one. */
const FIXED_HEADERS = [
  ["X-Content-Type-Options", "nosniff"], ["X-Frame-Options", "DENY"], ["Referrer-Policy", "no-referrer"],
  ["Cross-Origin-Opener-Policy", "same-origin"], ["Cross-Origin-Resource-Policy", "same-origin"],
  ["Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"], ["Cache-Control", "no-store"],
] as const;

/** A year; not for subdomains, which may belong to others. */
const STRICT_TRANSPORT = "max-age=31536000";

export function identify(deps: HeaderDeps, accessLog: AccessLog) {
  const policy = new ContentPolicy(deps);
  return createMiddleware<HttpEnvironment>((c, next) => {
    const { incoming, outgoing } = c.env;
    const { "x-request-id": given, "x-correlation-id": correlation } = incoming.headers;
    const requestId = wellFormed(given) ?? randomUUID();
    const correlationId = wellFormed(correlation) ?? requestId;
    c.set("requestId", requestId);
    c.set("correlationId", correlationId);
    c.set("address", clientAddress(c, deps.trustedProxies));
    c.set("log", new RequestLog(deps.log, requestId, correlationId));
    outgoing.setHeader("X-Request-ID", requestId);
    outgoing.setHeader("X-Correlation-ID", correlationId);
    for (const [name, value] of FIXED_HEADERS) outgoing.setHeader(name, value);
    outgoing.setHeader("Content-Security-Policy", policy.of(incoming.headers.host));
    if (isOverTls(c, deps.trustedProxies)) outgoing.setHeader("Strict-Transport-Security", STRICT_TRANSPORT);
    accessLog.follow(c);
    if (hostsOf(incoming.rawHeaders) > 1) throw new MalformedError("the request names several hosts; send one Host header (RFC 9112 section 3.2)");
    return next();
  });
}

/** Node keeps the first Host and drops others; a proxy before us may have gone by another one. */
function hostsOf(rawHeaders: readonly string[]): number {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  return hosts;
}

function wellFormed(id: string | readonly string[] | undefined): string | null {
  return typeof id === "string" && WELL_FORMED_ID.test(id) ? id : null;
}

/** Adds the ids of a request to each of its lines. */
class RequestLog implements Logger {
  readonly #log: Logger;
  readonly #requestId: string;
  readonly #correlationId: string;

  constructor(log: Logger, requestId: string, correlationId: string) {
    this.#log = log;
    this.#requestId = requestId;
    this.#correlationId = correlationId;
  }

  debug(fields: LogFields, message: string): void {
    this.#log.debug(this.#with(fields), message);
  }

  info(fields: LogFields, message: string): void {
    this.#log.info(this.#with(fields), message);
  }

  warn(fields: LogFields, message: string): void {
    this.#log.warn(this.#with(fields), message);
  }

  error(fields: LogFields, message: string): void {
    this.#log.error(this.#with(fields), message);
  }

  #with(fields: LogFields): LogFields {
    return { ...fields, requestId: this.#requestId, correlationId: this.#correlationId };
  }
}

/** Our own origin, and the stream: another port of the same host, or where a proxy puts it. The last one is kept. */
class ContentPolicy {
  readonly #deps: HeaderDeps;
  #host: string | undefined;
  #port: number | null = null;
  #policy: string;

  constructor(deps: HeaderDeps) {
    this.#deps = deps;
    this.#policy = this.#make();
  }

  of(host: string | undefined): string {
    const port = this.#deps.streamPort();
    if (host === this.#host && port === this.#port) return this.#policy;
    [this.#host, this.#port] = [host, port];
    this.#policy = this.#make();
    return this.#policy;
  }

  #make(): string {
    const { publicStreamUrl } = this.#deps;
    const name = HOST_NAME.exec(this.#host ?? "")?.[1];
    const stream = publicStreamUrl === null
      ? (name !== undefined && this.#port !== null ? [`ws://${name}:${this.#port}`, `wss://${name}:${this.#port}`] : [])
      : [originOf(publicStreamUrl)];
    return `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src ${["'self'", ...stream].join(" ")}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  }
}

/** Lets styles of the page's own script through; Swagger UI needs it. */
export function allowInlineStyles(outgoing: Pick<ServerResponse, "setHeader">): void {
  outgoing.setHeader("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}

/** `wss://host:port` of a URL. */
function originOf(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}
