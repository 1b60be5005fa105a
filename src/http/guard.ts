/**
 * The checks before every route: key, scope, then limit; and what a handler may know of who asks.
 */
import { createMiddleware } from "hono/factory";
import type { Context } from "hono";
import { AuthenticationError, AuthorisationError, RateLimitError } from "../core/errors.ts";
import type { Grant, KeyCheck } from "../ports/access.ts";
import type { Actor } from "../ports/audit.ts";
import type { LimitName, LimitState, RateLimiter } from "../ports/limits.ts";
import { answerProblem, type HttpContext, type HttpEnvironment } from "./problem.ts";
import type { RouteRules } from "./route.ts";

export interface GuardDeps {
  readonly keys: KeyCheck;
  readonly limiter: RateLimiter;
  /** A key was missing or wrong; for the audit and the metrics. */
  readonly onRefusedKey: (c: HttpContext, presented: string | null) => void;
}

export class Guard {
  readonly #deps: GuardDeps;

  constructor(deps: GuardDeps) {
    this.#deps = deps;
  }

  /** Middleware that refuses, or goes on with `grant` set. */
  check(rules: RouteRules) {
    const { scope, limit } = rules;
    return createMiddleware<HttpEnvironment>(async (c, next) => {
      let grant: Grant | null = null;
      if (scope !== null) {
        grant = await this.authenticate(c);
        if (!grant.scopes.includes(scope)) throw new AuthorisationError(`this needs the scope ${scope}; the key has ${grant.scopes.join(", ")}`);
      }
      c.set("grant", grant);
      if (limit !== "exempt") await this.#limit(c, limit, grant);
      await next();
    });
  }

  /** The grant of the presented key. @throws {AuthenticationError} when there is none, or it is not accepted. @throws {RateLimitError} when this address presented too many wrong ones. */
  async authenticate(c: HttpContext): Promise<Grant> {
    const { keys, limiter, onRefusedKey } = this.#deps;
    const presented = presentedKey(c);
    const grant = presented === null ? null : keys.check(presented, c.get("address"));
    if (grant) return grant;
    onRefusedKey(c, presented);
    if (presented === null) throw new AuthenticationError("missing_key", "send a key in X-API-Key or as Authorization: Bearer");
    const failures = await limiter.use("auth.failures", c.get("address"));
    if (!failures.isAllowed) throw refusal(failures);
    throw new AuthenticationError("invalid_key", "the key is unknown, revoked, expired or not for this address");
  }

  /** Uses one of a budget and says where it stands in the headers. @throws {RateLimitError} when it is used up. */
  async #limit(c: HttpContext, name: LimitName, grant: Grant | null): Promise<void> {
    const { limiter } = this.#deps;
    if (!limiter.isOn) return;
    const subject = grant?.keyId ?? c.get("address");
    const states = [await limiter.use(name, subject)];
    if (name === "anonymous" && states[0]?.isAllowed === true) states.push(await limiter.use("anonymous.hour", subject));
    sayLimits(c, states);
    const refused = states.find((state) => !state.isAllowed);
    if (refused) throw refusal(refused);
  }

  readonly notBuilt = (c: Context<HttpEnvironment>): Response =>
    answerProblem(c, { status: 501, code: "not_implemented", title: "Not built yet", detail: `${c.req.method} ${c.req.path} is part of the protocol and not built yet` });
}

/** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): seconds, whole. */
export function sayLimits(c: HttpContext, states: readonly LimitState[]): void {
  c.header("RateLimit-Policy", states.map(({ name, limit }) => `"${name}";q=${limit.max};w=${Math.ceil(limit.windowMs / 1000)}`).join(", "));
  c.header("RateLimit", states.map(({ name, remaining, resetMs }) => `"${name}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`).join(", "));
}

function refusal({ name, limit, resetMs }: LimitState): RateLimitError {
  const seconds = Math.max(1, Math.ceil(resetMs / 1000));
  return new RateLimitError(`${name}: ${limit.max} in ${limit.windowMs / 1000} s are used up; try again in ${seconds} s`, seconds);
}

/** The key of `X-API-Key` or `Authorization: Bearer`; null when neither is there. */
export function presentedKey(c: HttpContext): string | null {
  const direct = c.req.header("x-api-key");
  if (direct !== undefined) return direct;
  const authorization = c.req.header("authorization");
  if (authorization === undefined) return null;
  return /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? "";
}

/** Who asks, for the audit. Only behind a check with a scope. */
export function actorOf(c: HttpContext): Actor {
  const grant = c.get("grant");
  return {
    keyId: grant?.keyId ?? "anonymous", address: c.get("address"), requestId: c.get("requestId"), correlationId: c.get("correlationId"),
    isBreakglass: grant?.isBreakglass ?? false,
  };
}
