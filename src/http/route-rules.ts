/**
 * What a route asks of a request before its handler: key, scope and budget.
 */
import type { Grant, Scope } from "../ports/access.ts";
import type { LimitName } from "../ports/limits.ts";
import type { HttpContext } from "./problem.ts";

export interface RouteRules {
  /** Scope that the key must include; null: no key is needed. */
  readonly scope: Scope | null;
  /**
   * Budget that each request uses. Without a scope it is `anonymous` or `exempt`. Routes whose writes cost `admin.write` say
   * `default`, and `charges`: only changes that took effect are charged, in their transaction.
   */
  readonly limit: LimitName | "exempt";
  /** Another budget than `limit` for some requests; looked at after key and scope. */
  readonly limitOf?: (c: HttpContext, grant: Grant) => Promise<LimitName>;
  /** Budget that a change costs which takes effect; the handler charges it. */
  readonly charges?: LimitName;
  /** Requests that need no key although the route does: they use `anonymous`, and their handler sees no grant. */
  readonly isKeyless?: (c: HttpContext) => boolean;
}
