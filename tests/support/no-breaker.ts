/**
 * A breaker that lets everything through.
 */
import type { Breaker } from "../../src/ports/breakers.ts";

export const NO_BREAKER: Breaker = {
  name: "database",
  run: (call) => call(),
  report: () => ({ name: "database", state: "closed", calls: 0, failures: 0, refused: 0, opened: 0, probeInMs: null, isTripped: false, lastFailure: "" }),
  reset: () => undefined, trip: () => undefined, stop: () => undefined,
};
