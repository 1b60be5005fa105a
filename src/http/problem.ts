/**
 * Error answers of the HTTP side: RFC 9457 problem details with a stable code and the request's id.
 */
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

/** What Hono knows of a request here. */
export interface HttpEnvironment {
  Bindings: HttpBindings;
  Variables: { requestId: string };
}

export type HttpContext = Context<HttpEnvironment>;

export interface Problem {
  readonly status: ContentfulStatusCode;
  /** Stable, lower case with underscores. */
  readonly code: string;
  readonly title: string;
  /** What was found and what to do. */
  readonly detail: string;
}

/** Answers with the problem; headers set before stay. */
export function answerProblem(c: HttpContext, problem: Problem): Response {
  const body = {
    type: "about:blank", title: problem.title, status: problem.status, code: problem.code, detail: problem.detail, request_id: c.get("requestId"),
  };
  return c.body(JSON.stringify(body), problem.status, { "content-type": "application/problem+json" });
}
