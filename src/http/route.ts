/**
 * How a route is declared: one schema for the handler, the documentation and the checks of key, scope and limit.
 *
 * Owns: the table of all routes. The order of checks is the protocol's: 401, 403, 429, then the route's own.
 */
import { createRoute, OpenAPIHono, type RouteConfig, type RouteHandler, z } from "@hono/zod-openapi";
import type { Scope } from "../ports/access.ts";
import type { LimitName } from "../ports/limits.ts";
import type { Guard } from "./guard.ts";
import type { HttpEnvironment } from "./problem.ts";

export interface RouteRules {
  /** Scope that the key must include; null: no key is needed. */
  readonly scope: Scope | null;
  /**
   * Budget that each request uses. Without a scope it is `anonymous` or `exempt`. Routes whose writes cost `admin.write` say
   * `default` and `onWrite`: only changes that took effect are charged, in their transaction.
   */
  readonly limit: LimitName | "exempt";
}

export interface RouteEntry extends RouteRules {
  /** Upper case. */
  readonly method: string;
  /** As OpenAPI writes it: `/v1/orders/{id}`. */
  readonly path: string;
  readonly isBuilt: boolean;
}

/** The app while routes are added to it. */
export class Api {
  readonly app: OpenAPIHono<HttpEnvironment>;
  readonly #guard: Guard;
  readonly #table: RouteEntry[] = [];

  constructor(app: OpenAPIHono<HttpEnvironment>, guard: Guard) {
    this.app = app;
    this.#guard = guard;
  }

  /** Every route that was added, in order. */
  get table(): readonly RouteEntry[] {
    return this.#table;
  }

  /** Adds a route. The handler may throw AppErrors; input is checked against the schema before it. */
  add<R extends RouteConfig>(rules: RouteRules, config: R, handler: RouteHandler<R, HttpEnvironment>): void {
    this.#table.push({ ...rules, method: config.method.toUpperCase(), path: config.path, isBuilt: true });
    const route = createRoute({ ...config, ...this.#documented(rules, config), middleware: this.#guard.check(rules) });
    // The schema is unchanged; only what the handler does not see is added to the configuration.
    this.app.openapi(route, handler as unknown as Parameters<typeof this.app.openapi<typeof route>>[1]);
  }

  /** A route of the protocol that is not built: checks key, scope and limit, then answers 501. */
  announce(rules: RouteRules, method: "get" | "post" | "put" | "patch" | "delete", path: string, summary: string): void {
    this.#table.push({ ...rules, method: method.toUpperCase(), path, isBuilt: false });
    const config: RouteConfig = { method, path, summary: `${summary} (not built yet)`, responses: { 501: PROBLEM("Not built yet") } };
    const route = createRoute({ ...config, ...this.#documented(rules, config), middleware: this.#guard.check(rules) });
    this.app.openapi(route, this.#guard.notBuilt);
  }

  #documented({ scope, limit }: RouteRules, config: RouteConfig): Pick<RouteConfig, "security" | "responses" | "description"> {
    const refusals = {
      ...(scope === null ? {} : { 401: PROBLEM("No key, or one that is not accepted"), 403: PROBLEM(`The key lacks the scope ${scope}`) }),
      ...(limit === "exempt" ? {} : { 429: PROBLEM(`The limit ${limit} is used up`) }),
    };
    return {
      description: [config.description, scope === null ? "No key needed." : `Scope: ${scope}.`, limit === "exempt" ? "" : `Limit: ${limit}.`].filter(Boolean).join(" "),
      security: scope === null ? [] : [{ key: [] }, { bearer: [] }],
      responses: { ...refusals, ...config.responses },
    };
  }
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
