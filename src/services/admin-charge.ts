/**
 * What a change by an administrator costs: one of the budget `admin.write` of the key, of an emergency key one of its larger one.
 */
import type { Actor, Charge } from "../ports/audit.ts";
import type { LimitName, RateLimiter } from "../ports/limits.ts";

/** Null when limits are off, and for what the service or the command line does. */
export function adminCharge(limiter: RateLimiter, actor: Actor): Charge | null {
  if (!limiter.isOn || actor.keyId === SYSTEM.keyId || actor.keyId === CLI.keyId) return null;
  const name: LimitName = actor.isBreakglass ? "admin.write.breakglass" : "admin.write";
  const { max, windowMs } = limiter.limitOf(name);
  return { owner: actor.keyId, name, max, windowMs };
}

/** What the service does by itself. */
export const SYSTEM: Actor = { keyId: "system", address: "", requestId: "", correlationId: "", isBreakglass: false };

/** Whoever may run commands on the machine. */
export const CLI: Actor = { keyId: "cli", address: "", requestId: "", correlationId: "", isBreakglass: false };
