/**
 * Error answers of the HTTP side: RFC 9457 problem details with a stable code and the request's id, made from the one error hierarchy.
 */
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { AppError, type InputFault, RateLimitError, type UsedBudget, ValidationError } from "../core/errors.ts";
import type { Grant } from "../ports/access.ts";
import type { Logger } from "../ports/telemetry.ts";

/** What Hono knows of a request here. */
export interface HttpEnvironment {
  Bindings: HttpBindings;
  Variables: {
    requestId: string;
    correlationId: string;
    /** Of the key, once it is checked; null on routes that need none. */
    grant: Grant | null;
    /** Client's address, behind a trusted proxy the one it names. */
    address: string;
    /** Writes the request's ids with every line. */
    log: Logger;
  };
}

export type HttpContext = Context<HttpEnvironment>;

export interface Problem {
  readonly status: number;
  /** Stable, lower case with underscores. */
  readonly code: string;
  readonly title: string;
  /** What was found and what to do. */
  readonly detail: string;
  /** Every fault of the input, for 422. */
  readonly errors?: readonly InputFault[];
  /** Further members, e.g. `did_you_mean`. */
  readonly members?: Readonly<Record<string, unknown>>;
}

const TITLES: Readonly<Record<number, string>> = {
  400: "Malformed request", 401: "Not authenticated", 403: "Not allowed", 404: "Not found", 405: "Method not allowed", 409: "Conflict", 412: "Precondition failed",
  413: "Body too large", 415: "Media type not supported", 422: "Validation failed", 428: "Precondition required", 429: "Too many requests", 500: "Internal error",
  501: "Not built yet", 502: "Upstream failed", 503: "Unavailable", 504: "Upstream timed out",
};

/** Characters of a detail. */
const DETAIL_MAX = 2000;

/** RFC 9110 title of a status that a problem may have. */
export function titleOf(status: number): string {
  return TITLES[status] ?? "Failed";
}

/** Answers with the problem; headers set before stay. */
export function answerProblem(c: HttpContext, problem: Problem): Response {
  const { status, title, code, detail, errors, members } = problem;
  const body = { type: "about:blank", title, status, code, detail, ...(errors === undefined ? {} : { errors }), ...members, request_id: c.get("requestId") };
  return c.body(JSON.stringify(body), isErrorStatus(status) ? status : 500, { "content-type": "application/problem+json" });
}

/** Answers with a failure of the hierarchy; 401, 429 and 503 get the headers that go with them. */
export function answerError(c: HttpContext, error: AppError): Response {
  const { outgoing } = c.env;
  if (error.retryAfterS !== null) outgoing.setHeader("Retry-After", String(error.retryAfterS));
  if (error instanceof RateLimitError && error.budget !== null) addBudget(c, { ...error.budget, remaining: 0 });
  if (error.status === 401) outgoing.setHeader("WWW-Authenticate", error.code === "invalid_key" ? 'Bearer error="invalid_token"' : "Bearer");
  const errors = error instanceof ValidationError ? { errors: error.errors } : {};
  return answerProblem(c, { status: error.status, code: error.code, title: titleOf(error.status), detail: error.message.slice(0, DETAIL_MAX), ...errors, members: error.members });
}

/** Says where a durable budget stands, beside the limit that the request used. */
export function addBudget(c: HttpContext, { name, max, windowMs, remaining, resetMs }: UsedBudget & { readonly remaining: number }): void {
  const { outgoing } = c.env;
  const add = (header: string, item: string): void => {
    const before = outgoing.getHeader(header);
    outgoing.setHeader(header, before === undefined ? item : `${String(before)}, ${item}`);
  };
  add("RateLimit-Policy", `"${name}";q=${max};w=${Math.ceil(windowMs / 1000)}`);
  add("RateLimit", `"${name}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`);
}

function isErrorStatus(status: number): status is ContentfulStatusCode {
  return Number.isInteger(status) && status >= 400 && status <= 599;
}
