/**
 * What a signal means, by when it comes.
 */
import { expect, it } from "vitest";
import { SAME_SIGNAL_MS, StopSignals } from "../../../src/stop-signals.ts";

it("stops at the first signal and takes its echo of npm for the same one", () => {
  for (const first of ["SIGTERM", "SIGINT"] as const) {
    for (const echo of ["SIGTERM", "SIGINT"] as const) {
      const signals = new StopSignals();
      expect(signals.isStopping()).toBe(false);
      expect(signals.on(first, 1000)).toBe("stop");
      expect(signals.on(echo, 1000)).toBe("ignore");
      expect(signals.on(echo, 1000 + SAME_SIGNAL_MS - 1)).toBe("ignore");
      expect(signals.isStopping()).toBe(true);
    }
  }
});

it("forces at a later Ctrl-C and ignores a later SIGTERM", () => {
  const signals = new StopSignals();
  signals.on("SIGTERM", 0);
  expect(signals.on("SIGTERM", SAME_SIGNAL_MS)).toBe("ignore");
  expect(signals.on("SIGINT", SAME_SIGNAL_MS)).toBe("force");
});
