/**
 * Circuit breakers as callers and operators see them, on a clock that only the test moves.
 */
import { afterEach, describe, expect, it } from "vitest";
import { CircuitBreakers } from "../../../src/adapters/breaker.ts";
import { ConflictError, FeedError, StoreError, UnavailableError } from "../../../src/core/errors.ts";
import type { Breaker } from "../../../src/ports/breakers.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const LIMITS = { callsMin: 5, failedPct: 50, windowMs: 60_000, probeMs: 60_000, probeStoresMs: 5000 };
const made: CircuitBreakers[] = [];

afterEach(async () => {
  for (const breakers of made.splice(0)) await breakers.stop();
});

function rig() {
  const clock = new FakeClock();
  const breakers = new CircuitBreakers({ clock, limits: LIMITS, isCallersFault: (error) => error instanceof RangeError });
  made.push(breakers);
  const changes: string[] = [];
  breakers.onChange(({ name, state }, why) => changes.push(`${name} ${state} ${why}`));
  return { clock, breakers, changes };
}

const fails = (breaker: Breaker, error: unknown = new FeedError("no answer")) => breaker.run(() => Promise.reject(error)).catch((thrown: unknown) => thrown);
const succeeds = (breaker: Breaker) => breaker.run(() => Promise.resolve("fine"));

async function run(breaker: Breaker, calls: string): Promise<void> {
  for (const call of calls) await (call === "F" ? fails(breaker) : succeeds(breaker));
}

async function opened(name = "venue.kraken") {
  const made = rig();
  const breaker = made.breakers.of(name);
  await run(breaker, "FFFFF");
  expect(breaker.report().state).toBe("open");
  return { ...made, breaker };
}

describe("a breaker opens", () => {
  it.each(["FFFFF", "SSFFF", "FFFSS", "SSSFFF", "SFSFSF"])("with the last of %s: 5 or more calls of which half failed", async (calls) => {
    const { breakers } = rig();
    const breaker = breakers.of("venue.kraken");
    await run(breaker, calls.slice(0, -1));
    expect(breaker.report().state).toBe("closed");
    await run(breaker, calls.slice(-1));
    expect(breaker.report()).toMatchObject({ state: "open", opened: 1, calls: calls.length });
  });

  it.each(["FFFF", "SSSFF", "FFSSS", "SSSSFFF"])("not after %s: fewer than 5 calls, or less than half failed", async (calls) => {
    const { breakers } = rig();
    const breaker = breakers.of("venue.kraken");
    await run(breaker, calls);
    expect(breaker.report()).toMatchObject({ state: "closed", opened: 0, calls: calls.length });
  });

  it("counts calls of the last 60 s only", async () => {
    const { clock, breakers } = rig();
    const breaker = breakers.of("venue.kraken");
    await run(breaker, "FFFF");
    clock.advance(58_900);
    expect(breaker.report()).toMatchObject({ calls: 4, failures: 4 });
    clock.advance(1_100);
    expect(breaker.report()).toMatchObject({ calls: 0, failures: 0 });
    await run(breaker, "F");
    expect(breaker.report().state).toBe("closed");
  });

  it("on failures that are 58 s apart", async () => {
    const { clock, breakers } = rig();
    const breaker = breakers.of("venue.kraken");
    await run(breaker, "FFFF");
    clock.advance(58_000);
    await run(breaker, "F");
    expect(breaker.report().state).toBe("open");
  });

  it("not on faults of the caller", async () => {
    const { breakers } = rig();
    const breaker = breakers.of("database");
    for (let i = 0; i < 20; i++) expect(await fails(breaker, new ConflictError("it is there already"))).toBeInstanceOf(ConflictError);
    for (let i = 0; i < 20; i++) expect(await fails(breaker, new RangeError("a bad statement"))).toBeInstanceOf(RangeError);
    expect(breaker.report()).toMatchObject({ state: "closed", failures: 0, calls: 40 });
  });

  it("on anything else, and answers the callers with what they would have got", async () => {
    const { breakers } = rig();
    const breaker = breakers.of("redis");
    for (let i = 0; i < 5; i++) expect(await fails(breaker, "a text")).toBe("a text");
    expect(breaker.report()).toMatchObject({ state: "open", lastFailure: "a text" });
    expect(await breakers.of("database").run(() => Promise.resolve(undefined))).toBeUndefined();
  });
});

describe("an open breaker", () => {
  it("refuses without calling, says until when, and counts it", async () => {
    const { breaker, clock } = await opened();
    clock.advance(18_000);
    let called = 0;
    const refusal = await breaker.run(async () => called++).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UnavailableError);
    expect(refusal).toMatchObject({ code: "breaker_open", status: 503, retryAfterS: 42 });
    expect(called).toBe(0);
    expect(breaker.report()).toMatchObject({ refused: 1, opened: 1, probeInMs: 42_000, lastFailure: "no answer" });
  });

  it("of the database refuses as a database that is away", async () => {
    const { breaker } = await opened("database");
    const refusal = await fails(breaker);
    expect(refusal).toBeInstanceOf(StoreError);
    expect(refusal).toMatchObject({ code: "database_unavailable", retryAfterS: 5 });
  });

  it.each([["database", 5000], ["redis", 5000], ["venue.kraken", 60_000], ["broker.paper", 60_000]])("named %s is probed after %i ms", async (name, probeMs) => {
    const { breaker, clock, changes } = await opened(name);
    clock.advance(probeMs - 1);
    expect(breaker.report().state).toBe("open");
    clock.advance(1);
    expect(breaker.report()).toMatchObject({ state: "half_open", probeInMs: null });
    expect(await succeeds(breaker)).toBe("fine");
    expect(breaker.report()).toMatchObject({ state: "closed", calls: 0, failures: 0 });
    expect(changes).toEqual([`${name} open failures`, `${name} half_open probe`, `${name} closed probe`]);
  });

  it("stays open for another period when the probe fails", async () => {
    const { breaker, clock } = await opened("database");
    clock.advance(5000);
    await fails(breaker);
    expect(breaker.report()).toMatchObject({ state: "open", probeInMs: 5000, opened: 2 });
    clock.advance(5000);
    await succeeds(breaker);
    expect(breaker.report().state).toBe("closed");
  });

  it("lets one probe through at a time", async () => {
    const { breaker, clock } = await opened("database");
    clock.advance(5000);
    let answer = (_: string): void => undefined;
    const probe = breaker.run(() => new Promise<string>((resolve) => {
      answer = resolve;
    }));
    expect(await fails(breaker)).toBeInstanceOf(StoreError);
    answer("back");
    expect(await probe).toBe("back");
    expect(breaker.report().state).toBe("closed");
  });

  it("lets another probe through when the first never ends", async () => {
    const { breaker, clock } = await opened("database");
    clock.advance(5000);
    void breaker.run(() => new Promise(() => undefined));
    expect(await fails(breaker)).toBeInstanceOf(StoreError);
    clock.advance(5000);
    expect(await succeeds(breaker)).toBe("fine");
    expect(breaker.report().state).toBe("closed");
  });

  it("is not closed by a late answer of a call from before", async () => {
    const { breakers, clock } = rig();
    const breaker = breakers.of("database");
    let answer = (_: string): void => undefined;
    const late = breaker.run(() => new Promise<string>((resolve) => {
      answer = resolve;
    }));
    await run(breaker, "FFFFF");
    clock.advance(5000);
    answer("late");
    expect(await late).toBe("late");
    expect(breaker.report().state).toBe("half_open");
  });

  it("does not open again on one failure after it closed", async () => {
    const { breaker, clock } = await opened("database");
    clock.advance(5000);
    await run(breaker, "SFFFF");
    expect(breaker.report()).toMatchObject({ state: "closed", calls: 4, failures: 4 });
    await run(breaker, "F");
    expect(breaker.report().state).toBe("open");
  });

  it("closes when it is reset, and forgets what was counted", async () => {
    const { breaker, changes } = await opened();
    breaker.reset();
    expect(breaker.report()).toMatchObject({ state: "closed", calls: 0, failures: 0, opened: 1 });
    expect(await succeeds(breaker)).toBe("fine");
    expect(changes.at(-1)).toBe("venue.kraken closed reset");
  });
});

describe("a tripped breaker", () => {
  it("stays open whatever time passes until its end, then is closed as it was before", async () => {
    const { breakers, clock, changes } = rig();
    const breaker = breakers.of("database");
    breaker.trip(30_000);
    expect(breaker.report()).toMatchObject({ state: "open", isTripped: true, probeInMs: 30_000 });
    clock.advance(29_999);
    expect(await fails(breaker)).toBeInstanceOf(StoreError);
    clock.advance(1);
    expect(breaker.report()).toMatchObject({ state: "closed", isTripped: false, probeInMs: null });
    expect(await succeeds(breaker)).toBe("fine");
    expect(changes).toEqual(["database open tripped", "database closed trip_ended"]);
  });

  it("is probed at its end when it was open before", async () => {
    const { breaker, clock } = await opened("database");
    breaker.trip(30_000);
    clock.advance(6000);
    expect(breaker.report().state).toBe("open");
    clock.advance(24_000);
    expect(breaker.report().state).toBe("half_open");
    await fails(breaker);
    expect(breaker.report().state).toBe("open");
  });

  it("without an end stays open until it is reset", async () => {
    const { breakers, clock } = rig();
    const breaker = breakers.of("broker.paper");
    breaker.trip(0);
    clock.advance(86_400_000);
    expect(breaker.report()).toMatchObject({ state: "open", probeInMs: null });
    expect(await fails(breaker)).toMatchObject({ code: "breaker_open", retryAfterS: 60 });
    breaker.reset();
    expect(await succeeds(breaker)).toBe("fine");
  });

  it("takes the last order, and a reset ends it for good", async () => {
    const { breakers, clock } = rig();
    const breaker = breakers.of("broker.paper");
    breaker.trip(1000);
    breaker.trip(5000);
    clock.advance(1000);
    expect(breaker.report().state).toBe("open");
    breaker.reset();
    breaker.trip(0);
    clock.advance(10_000);
    expect(breaker.report()).toMatchObject({ state: "open", opened: 2 });
  });

  it("is not closed by calls that were under way", async () => {
    const { breakers } = rig();
    const breaker = breakers.of("broker.paper");
    let answer = (_: string): void => undefined;
    const late = breaker.run(() => new Promise<string>((resolve) => {
      answer = resolve;
    }));
    breaker.trip(1000);
    answer("late");
    expect(await late).toBe("late");
    expect(breaker.report().state).toBe("open");
  });
});

describe("the registry", () => {
  it("makes each breaker once and lists them by name", () => {
    const { breakers } = rig();
    expect(breakers.of("redis")).toBe(breakers.of("redis"));
    breakers.of("database");
    breakers.of("venue.x");
    expect(breakers.reports().map(({ name }) => name)).toEqual(["database", "redis", "venue.x"]);
    expect(breakers.find("redis")?.name).toBe("redis");
    expect(breakers.find("broker.x")).toBeNull();
    breakers.remove("redis");
    expect(breakers.find("redis")).toBeNull();
  });

  it("shows state and counts as metrics", async () => {
    const { breakers } = rig();
    const breaker = breakers.of("venue.kraken");
    await run(breaker, "SFFFFF");
    const of = (name: string) => breakers.samples().find((sample) => sample.name === name)?.value;
    expect(of("ticker_breaker_state")).toBe(2);
    expect(of("ticker_breaker_calls_total")).toBe(5);
    expect(of("ticker_breaker_failures_total")).toBe(4);
    expect(of("ticker_breaker_refused_total")).toBe(1);
    expect(of("ticker_breaker_opened_total")).toBe(1);
  });
});
