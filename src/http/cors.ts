/**
 * Pages of other origins: exactly those of ALLOWED_ORIGINS may read `/v1` and `/data`; nobody is let in by a wildcard.
 */
import { createMiddleware } from "hono/factory";
import { answerProblem, type HttpEnvironment } from "./problem.ts";

const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, X-API-Key, X-Correlation-ID, X-Reason, X-Request-ID";
const ANSWER_HEADERS = "ETag, Idempotency-Replayed, Link, RateLimit, RateLimit-Policy, Retry-After, X-Correlation-ID, X-Request-ID";
/** Seconds for which a browser may keep the answer to a preflight. */
const KEEP_S = 600;

/** @param origins exact, as browsers send them; not empty */
export function cors(origins: readonly string[]) {
  const allowed = new Set(origins);
  return createMiddleware<HttpEnvironment>((c, next) => {
    const { incoming, outgoing } = c.env;
    const { origin } = incoming.headers;
    outgoing.setHeader("Vary", "Origin");
    const isAllowed = origin !== undefined && allowed.has(origin);
    if (isAllowed) outgoing.setHeader("Access-Control-Allow-Origin", origin);
    if (incoming.method === "OPTIONS" && incoming.headers["access-control-request-method"] !== undefined) {
      if (!isAllowed) return Promise.resolve(answerProblem(c, { status: 403, code: "origin_not_allowed", title: "Origin not allowed", detail: "add the origin to ALLOWED_ORIGINS" }));
      outgoing.setHeader("Access-Control-Allow-Methods", METHODS);
      outgoing.setHeader("Access-Control-Allow-Headers", REQUEST_HEADERS);
      outgoing.setHeader("Access-Control-Max-Age", KEEP_S);
      return Promise.resolve(c.body(null, 204));
    }
    if (isAllowed) outgoing.setHeader("Access-Control-Expose-Headers", ANSWER_HEADERS);
    return next();
  });
}
