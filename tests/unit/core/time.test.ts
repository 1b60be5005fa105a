/**
 * Micros, and the one clock that reads the machine.
 */
import { expect, it } from "vitest";
import { systemClock, wait } from "../../../src/core/clock.ts";
import { micros, microsFromMillis, microsFromRfc3339 } from "../../../src/core/time.ts";
import { FakeClock } from "../../support/fake-clock.ts";

it.each([
  ["1970-01-01T00:00:00Z", 0], ["2024-08-08T23:54:01.5Z", 1_723_161_241_500_000], ["2024-08-08T23:54:01.123456789Z", 1_723_161_241_123_456],
  ["2024-08-09T01:54:01+02:00", 1_723_161_241_000_000],
])("reads %s", (text, expected) => {
  expect(microsFromRfc3339(text)).toBe(expected);
});

it.each(["", "2024-08-08", "2024-13-08T00:00:00Z", "2024-08-08T23:54:01", "1969-12-31T23:59:59Z", "2024-08-08T23:54:01.1234567890Z"])("refuses %s", (text) => {
  expect(() => microsFromRfc3339(text)).toThrow(RangeError);
});

it("refuses what is no whole number of microseconds", () => {
  for (const value of [-1, 0.5, Number.NaN, 2 ** 53]) expect(() => micros(value)).toThrow(RangeError);
  expect(microsFromMillis(1.2345)).toBe(1235);
});

it("agrees with the machine's wall clock within 5 ms", () => {
  expect(Math.abs(systemClock.nowMicros() / 1000 - Date.now())).toBeLessThan(5);
});

it("resolves a wait when its time has come, not before", async () => {
  const clock = new FakeClock();
  let isOver = false;
  const waiting = wait(clock, 50).then(() => {
    isOver = true;
  });
  clock.advance(49);
  await Promise.resolve();
  expect(isOver).toBe(false);
  clock.advance(1);
  await waiting;
  expect(isOver).toBe(true);
});
