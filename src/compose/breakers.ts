/**
 * The breakers of a thread: which limits they have, and which failures are not the remote side's.
 */
import { CircuitBreakers } from "../adapters/breaker.ts";
import type { Clock } from "../core/clock.ts";
import type { BreakerLimits } from "../ports/breakers.ts";
import type { Logger } from "../ports/telemetry.ts";

export interface BreakersDeps {
  readonly config: { readonly breakers: BreakerLimits };
  readonly clock: Clock;
  readonly log: Logger;
}

/** Logs each change of state. It must be stopped after everything that calls through it. */
export function createBreakers({ config, clock, log }: BreakersDeps): CircuitBreakers {
  const breakers = new CircuitBreakers({ clock, limits: config.breakers, isCallersFault: isStatementFault });
  breakers.onChange((report, why) => {
    const { name, state, calls, failures, lastFailure } = report;
    log[state === "open" ? "warn" : "info"]({ breaker: name, state, why, calls, failures, lastFailure }, "circuit breaker changed");
  });
  return breakers;
}

/** SQLSTATE classes that are about our statement, not about the server: 22 data, 23 integrity, 42 syntax (PostgreSQL, appendix A). */
const STATEMENT_FAULT = /^(22|23|42)[0-9A-Z]{3}$/;

/** Also what is wrong before anything is sent. */
function isStatementFault(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return true;
  return typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" && STATEMENT_FAULT.test(error.code);
}
