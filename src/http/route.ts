/**
 * How a route is declared: one schema for the handler, the documentation and the checks of key, scope, limit and input.
 *
 * Owns: the table of all routes. The order of checks is the protocol's: 401, 403, 429, then the route's own.
 */
import { type OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import { createMiddleware } from "hono/factory";
import type { Guard } from "./guard.ts";
import { InputCheck } from "./input-check.ts";
import type { HttpEnvironment } from "./problem.ts";
import type { RouteRules } from "./route-rules.ts";

export interface RouteEntry extends RouteRules {
  /** Upper case. */
  readonly method: string;
  /** As OpenAPI writes it: `/v1/orders/{id}`. */
  readonly path: string;
  readonly isBuilt: boolean;
}

export type Method = "get" | "post" | "put" | "patch" | "delete";

declare const untyped: OpenAPIHono<HttpEnvironment>;
/** The handler of a route, with its parameters, bodies and answers typed by the route's schemas. */
export type Handler<R extends RouteConfig> = Parameters<typeof untyped.openapi<R>>[1];

/** The app while routes are added to it. */
export class Api {
  readonly app: OpenAPIHono<HttpEnvironment>;
  readonly #guard: Guard;
  readonly #bodyBytesMax: number;
  readonly #table: RouteEntry[] = [];

  constructor(app: OpenAPIHono<HttpEnvironment>, guard: Guard, bodyBytesMax: number) {
    this.app = app;
    this.#guard = guard;
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Every route that was added, in order. */
  get table(): readonly RouteEntry[] {
    return this.#table;
  }

  /** Adds a route. The handler may throw AppErrors; input is checked against the schema before it. */
  add<R extends RouteConfig>(rules: RouteRules, config: R, handler: Handler<R>): void {
    this.#table.push({ ...rules, method: config.method.toUpperCase(), path: config.path, isBuilt: true });
    const whole: RouteConfig = { ...config, ...documented(rules, config) };
    const { middleware, ...documentation } = whole;
    this.app.openAPIRegistry.registerPath(documentation);
    const guard = this.#guard;
    const input = new InputCheck(config, rules.scope, this.#bodyBytesMax);
    const enter = createMiddleware<HttpEnvironment>(async (c, next) => {
      await guard.enter(c, rules);
      await input.check(c);
      return next();
    });
    // Registered above, and checked by `input`: the framework gets the route without its schemas.
    this.app.openapi<R>({ ...config, request: undefined, hide: true, middleware: middleware === undefined ? enter : [enter, ...[middleware].flat()] }, handler);
  }

  /** A route of the protocol that is not built: checks key, scope and limit, then answers 501. */
  announce(rules: RouteRules, method: Method, path: string, summary: string): void {
    this.#table.push({ ...rules, method: method.toUpperCase(), path, isBuilt: false });
    const config: RouteConfig = { method, path, summary: `${summary} (not built yet)`, responses: { 501: PROBLEM("Not built yet") } };
    const guard = this.#guard;
    const enter = createMiddleware<HttpEnvironment>(async (c, next) => {
      await guard.enter(c, rules);
      return next();
    });
    this.app.openapi({ ...config, ...documented(rules, config), middleware: enter }, guard.notBuilt);
  }
}

/** Scope and budgets as members that a program can read. */
interface Extensions {
  readonly "x-scope": string | null;
  readonly "x-limit": string;
}

function documented({ scope, limit, charges }: RouteRules, config: RouteConfig): Pick<RouteConfig, "security" | "responses" | "description"> & Extensions {
  const hasInput = config.request !== undefined;
  const refusals = {
    ...(hasInput ? { 400: PROBLEM("The request cannot be read"), 422: PROBLEM("The input is not acceptable; `errors` lists every fault") } : {}),
    ...(scope === null ? {} : { 401: PROBLEM("No key, or one that is not accepted"), 403: PROBLEM(`The key lacks the scope ${scope}`) }),
    ...(limit === "exempt" ? {} : { 429: PROBLEM(`The limit ${limit} is used up`) }),
  };
  return {
    description: [
      config.description, scope === null ? "No key needed." : `Scope: ${scope}.`, limit === "exempt" ? "" : `Limit: ${limit}.`,
      charges === undefined ? "" : `A change that takes effect costs one of ${charges}.`,
    ].filter(Boolean).join(" "),
    security: scope === null ? [] : [{ key: [] }, { bearer: [] }],
    responses: { ...refusals, ...config.responses },
    "x-scope": scope, "x-limit": limit,
  };
}

export const ProblemSchema = z.object({
  type: z.string(), title: z.string(), status: z.int(), code: z.string(), detail: z.string(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(), request_id: z.string(),
}).openapi("Problem");

/** An answer that is a problem, for the responses of a route. */
export function PROBLEM(description: string) {
  return { description, content: { "application/problem+json": { schema: ProblemSchema } } };
}

/** An answer in JSON, for the responses of a route. */
export function JSON_OF<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { "application/json": { schema } } };
}

/** An answer in text of a media type, for the responses of a route. */
export function TEXT_OF(description: string, mediaType: string) {
  return { description, content: { [mediaType]: { schema: z.string() } } };
}
