/**
 * When a connection is tried again and when it is silent, as properties.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backoffMs, CONNECTION_LIMITS, ReconnectPlan } from "../../../src/feeds/reconnect-plan.ts";
import { seeded } from "../../support/feed-harness.ts";

describe("ReconnectPlan", () => {
  it("waits between the minimum and a ceiling that doubles up to the maximum", () => {
    fc.assert(fc.property(fc.nat(1_000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, dice) => {
      const delay = backoffMs(CONNECTION_LIMITS, attempt, () => dice);
      expect(delay).toBeGreaterThanOrEqual(CONNECTION_LIMITS.backoffMinMs);
      expect(delay).toBeLessThanOrEqual(Math.min(CONNECTION_LIMITS.backoffMaxMs, CONNECTION_LIMITS.backoffFirstMs * 2 ** Math.min(attempt, 40)));
    }));
  });

  it("never makes a hundred attempts in ten minutes, however short the connections live and whatever the dice", () => {
    fc.assert(fc.property(fc.integer(), fc.nat(59_999), (seed, livesMs) => {
      const plan = new ReconnectPlan(CONNECTION_LIMITS, seeded(seed));
      let nowMs = 0;
      let attempts = 0;
      while (nowMs < 600_000) {
        attempts++;
        plan.opened(nowMs);
        plan.data(nowMs);
        nowMs += livesMs;
        nowMs += plan.closed(nowMs);
      }
      expect(attempts).toBeLessThan(100);
    }), { numRuns: 200 });
  });

  it("spreads the attempts of many processes over the whole delay", () => {
    const delays = Array.from({ length: 200 }, (_, seed) => backoffMs(CONNECTION_LIMITS, 4, seeded(seed)));
    expect(Math.min(...delays)).toBeLessThan(2_000);
    expect(Math.max(...delays)).toBeGreaterThan(14_000);
  });

  it("needs data as well as time to count as stable", () => {
    const plan = new ReconnectPlan(CONNECTION_LIMITS, () => 0.5);
    plan.closed(0);
    plan.closed(0);
    plan.opened(0);
    plan.closed(60_000);
    expect(plan.attempt).toBe(3);
    plan.opened(100_000);
    plan.data(100_001);
    plan.closed(159_999);
    expect(plan.attempt).toBe(4);
    plan.opened(200_000);
    plan.data(200_001);
    plan.closed(260_000);
    expect(plan.attempt).toBe(1);
  });

  it("is silent exactly when the limit has passed since the last data, or since it opened", () => {
    const plan = new ReconnectPlan(CONNECTION_LIMITS, () => 0.5);
    expect(plan.isSilent(1e9)).toBe(false);
    plan.opened(1_000);
    expect(plan.isSilent(10_999)).toBe(false);
    expect(plan.isSilent(11_000)).toBe(true);
    plan.data(11_000);
    expect(plan.isSilent(20_999)).toBe(false);
    expect(plan.isSilent(21_000)).toBe(true);
  });
});
