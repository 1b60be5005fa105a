/**
 * The checks before every route: key, scope, then limit; and what a handler may know of who asks.
 */
import { AuthenticationError, AuthorisationError, RateLimitError } from "../core/errors.ts";
import type { Grant, KeyCheck } from "../ports/access.ts";
import type { Actor } from "../ports/audit.ts";
import type { LimitName, LimitState, RateLimiter } from "../ports/limits.ts";
import type { BreakglassUses } from "../services/breakglass-uses.ts";
import { limitSubject } from "./client-address.ts";
import { answerProblem, type HttpContext } from "./problem.ts";
import { requiredReasonOf } from "./reason.ts";
import type { RouteRules } from "./route-rules.ts";

/** A key that was missing or not accepted; never the key itself. */
export interface RefusedKey {
  readonly address: string;
  readonly requestId: string;
  readonly correlationId: string;
  /** At most the first 8 characters; null: no key was sent. */
  readonly keyStart: string | null;
}

export interface GuardDeps {
  readonly keys: KeyCheck;
  readonly limiter: RateLimiter;
  /** For the audit and the metrics; must not wait. */
  readonly onRefusedKey: (refused: RefusedKey) => void;
  /** Records each use of an emergency key. */
  readonly breakglass: Pick<BreakglassUses, "used">;
}

const KEY_START = 8;

export class Guard {
  readonly #deps: GuardDeps;

  constructor(deps: GuardDeps) {
    this.#deps = deps;
  }

  /**
   * Key, scope, limit; then the request has its `grant`. An emergency key must say why with every use, which is recorded.
   * @throws {AuthenticationError} {@link AuthorisationError} {@link RateLimitError} {@link ValidationError} without the reason of an emergency key
   */
  async enter(c: HttpContext, { scope, limit, limitOf, isKeyless }: RouteRules): Promise<void> {
    if (scope === null || isKeyless?.(c) === true) {
      c.set("grant", null);
      if (limit !== "exempt") await this.#use(c, "anonymous", null);
      return;
    }
    const presented = presentedKey(c);
    const grant = presented === null ? null : this.#deps.keys.check(presented, c.get("address"));
    if (grant === null) return this.#refuseKey(c, presented);
    if (!grant.scopes.includes(scope)) {
      if (limit !== "exempt") await this.#show(c, limit, grant.keyId);
      throw new AuthorisationError(`this needs the scope ${scope}; the key has ${grant.scopes.join(", ")}`);
    }
    c.set("grant", grant);
    if (limit !== "exempt") await this.#use(c, limitOf === undefined ? limit : await limitOf(c, grant), grant);
    if (grant.isBreakglass) await this.#deps.breakglass.used(actorOf(c), c.req.method, c.req.path, requiredReasonOf(c));
  }

  /** Says why a key is not accepted; too many wrong ones of an address are refused with 429. A right key never comes here. */
  async #refuseKey(c: HttpContext, presented: string | null): Promise<never> {
    const { limiter, onRefusedKey } = this.#deps;
    const address = c.get("address");
    onRefusedKey({ address, requestId: c.get("requestId"), correlationId: c.get("correlationId"), keyStart: presented?.slice(0, KEY_START) ?? null });
    if (presented === null) {
      await this.#show(c, "anonymous", limitSubject(address));
      throw new AuthenticationError("missing_key", "send a key in X-API-Key or as Authorization: Bearer");
    }
    if (limiter.isOn) {
      const failures = await limiter.use("auth.failures", limitSubject(address));
      sayLimits(c, [failures]);
      if (!failures.isAllowed) throw refusal(failures);
    }
    throw new AuthenticationError("invalid_key", "the key is unknown, revoked, expired or not for this address");
  }

  /** Uses one of a budget and says where it stands in the headers. @throws {RateLimitError} when it is used up. */
  async #use(c: HttpContext, name: LimitName, grant: Grant | null): Promise<void> {
    const { limiter } = this.#deps;
    if (!limiter.isOn) return;
    const subject = grant?.keyId ?? limitSubject(c.get("address"));
    const state = await limiter.use(name, subject);
    const hour = name === "anonymous" && state.isAllowed ? await limiter.use("anonymous.hour", subject) : null;
    sayLimits(c, hour === null ? [state] : [state, hour]);
    if (!state.isAllowed) throw refusal(state);
    if (hour?.isAllowed === false) throw refusal(hour);
  }

  /** Says where a budget stands without using it. */
  async #show(c: HttpContext, name: LimitName, subject: string): Promise<void> {
    if (this.#deps.limiter.isOn) sayLimits(c, [await this.#deps.limiter.look(name, subject)]);
  }

  readonly notBuilt = (c: HttpContext): Response =>
    answerProblem(c, { status: 501, code: "not_implemented", title: "Not built yet", detail: `${c.req.method} ${c.req.path} is part of the protocol and not built yet` });
}

/** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): seconds, whole. */
export function sayLimits(c: HttpContext, states: readonly LimitState[]): void {
  const { outgoing } = c.env;
  outgoing.setHeader("RateLimit-Policy", states.map(({ name, limit }) => `"${name}";q=${limit.max};w=${Math.ceil(limit.windowMs / 1000)}`).join(", "));
  outgoing.setHeader("RateLimit", states.map(({ name, remaining, resetMs }) => `"${name}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`).join(", "));
}

function refusal({ name, limit, resetMs }: LimitState): RateLimitError {
  const seconds = Math.max(1, Math.ceil(resetMs / 1000));
  return new RateLimitError(`${name}: ${limit.max} in ${limit.windowMs / 1000} s are used up; try again in ${seconds} s`, seconds);
}

/** The key of `X-API-Key` or `Authorization: Bearer`; null when neither is there. */
export function presentedKey(c: HttpContext): string | null {
  const { "x-api-key": direct, authorization } = c.env.incoming.headers;
  if (direct !== undefined) return String(direct);
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
