/**
 * The registry of all breakers and the record of their changes, as an operator sees them.
 */
import { describe, expect, it } from "vitest";
import { CircuitBreakers } from "../../../src/adapters/breaker.ts";
import { FeedError, NotFoundError, RateLimitError, StoreError, UnavailableError } from "../../../src/core/errors.ts";
import type { Actor } from "../../../src/ports/audit.ts";
import type { Breaker, BreakerOrder, RemoteBreakers } from "../../../src/ports/breakers.ts";
import { BreakerAudit } from "../../../src/services/breaker-audit.ts";
import { BreakerService } from "../../../src/services/breaker-service.ts";
import { DeferredAudit } from "../../../src/services/deferred-audit.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingAudit } from "../../support/keeping-audit.ts";
import { KeepingLog } from "../../support/silent-log.ts";

const LIMITS = { callsMin: 5, failedPct: 50, windowMs: 60_000, probeMs: 60_000, probeStoresMs: 5000 };
const OPERATOR: Actor = { keyId: "k1", address: "127.0.0.1", requestId: "r1", correlationId: "c1", isBreakglass: false };
const CHARGE = { owner: "k1", name: "admin.write", max: 5, windowMs: 3_600_000 };

/** Stands for the stream thread: breakers of its own, or no answer. */
class Remote implements RemoteBreakers {
  readonly breakers: CircuitBreakers;
  isSilent = false;

  constructor(clock: FakeClock) {
    this.breakers = new CircuitBreakers({ clock, limits: LIMITS });
    this.breakers.of("venue.kraken");
  }

  reports() {
    return this.breakers.reports();
  }

  order(name: string, order: BreakerOrder) {
    if (this.isSilent) return Promise.reject(new UnavailableError("no answer"));
    const breaker = this.breakers.find(name);
    if (order.type === "reset") breaker?.reset();
    else breaker?.trip(order.ttlMs);
    return Promise.resolve(breaker?.report() ?? null);
  }
}

function rig() {
  const clock = new FakeClock();
  const own = new CircuitBreakers({ clock, limits: LIMITS });
  const database = own.of("database");
  const remote = new Remote(clock);
  const kept = new KeepingAudit();
  // As in the service, records go through the breaker of the database.
  const audit = { record: (change: Parameters<KeepingAudit["record"]>[0]) => database.run(() => kept.record(change)) };
  const breakers = new BreakerService({ own, remote, audit, clock, chargeOf: () => CHARGE });
  return { clock, own, database, remote, kept, breakers };
}

const fail = async (breaker: Breaker, times = 5): Promise<void> => {
  for (let i = 0; i < times; i++) await breaker.run(() => Promise.reject(new FeedError("no answer"))).catch(() => undefined);
};
const thrown = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => null, (error: unknown) => error);

describe("the registry", () => {
  it("lists the breakers of both threads by name", () => {
    expect(rig().breakers.list().map(({ name, state }) => `${name} ${state}`)).toEqual(["database closed", "venue.kraken closed"]);
  });

  it("does not know names that nobody has", async () => {
    const { breakers, kept } = rig();
    expect(await thrown(breakers.reset("broker.none", OPERATOR, null))).toBeInstanceOf(NotFoundError);
    expect(await thrown(breakers.trip("broker.none", 1000, OPERATOR, null))).toBeInstanceOf(NotFoundError);
    expect(kept.changes).toEqual([]);
  });

  it("trips and resets in either thread, recorded before it takes effect; only the trip is charged", async () => {
    const { breakers, kept } = rig();
    for (const name of ["venue.kraken", "database"]) {
      expect(await breakers.trip(name, 30_000, OPERATOR, "it lies")).toMatchObject({ state: "open", isTripped: true, probeInMs: 30_000 });
      expect(await breakers.reset(name, OPERATOR, null)).toMatchObject({ state: "closed", isTripped: false });
    }
    expect(kept.said).toEqual(["breaker.tripped venue.kraken", "breaker.reset venue.kraken", "breaker.tripped database", "breaker.reset database"]);
    expect(kept.changes.map(({ charge }) => charge)).toEqual([CHARGE, null, CHARGE, null]);
    expect(kept.changes[0]?.entry).toMatchObject({ actor: OPERATOR, reason: "it lies", before: { state: "closed" }, after: { state: "open", ttl_s: 30 } });
  });

  it("changes nothing that cannot be recorded or paid for", async () => {
    const { breakers, remote, kept } = rig();
    kept.isSpent = true;
    expect(await thrown(breakers.trip("venue.kraken", 1000, OPERATOR, null))).toBeInstanceOf(RateLimitError);
    await fail(remote.breakers.of("venue.kraken"));
    kept.isAway = true;
    expect(await thrown(breakers.reset("venue.kraken", OPERATOR, null))).toBeInstanceOf(StoreError);
    expect(breakers.list().find(({ name }) => name === "venue.kraken")?.state).toBe("open");
  });

  it("resets the breaker of the database although the record goes through it", async () => {
    const { breakers, database, kept } = rig();
    await fail(database);
    expect(database.report().state).toBe("open");
    expect(await breakers.reset("database", OPERATOR, null)).toMatchObject({ state: "closed" });
    expect(kept.said).toEqual(["breaker.reset database"]);
  });

  it("keeps the database tripped when its reset cannot be recorded", async () => {
    const { breakers, clock, database, kept } = rig();
    await breakers.trip("database", 30_000, OPERATOR, null);
    clock.advance(10_000);
    kept.isAway = true;
    expect(await thrown(breakers.reset("database", OPERATOR, null))).toBeInstanceOf(StoreError);
    expect(database.report()).toMatchObject({ state: "open", isTripped: true, probeInMs: 20_000 });
  });

  it("has a stream thread that starts anew take over what is left of its trips", async () => {
    const { breakers, clock, remote } = rig();
    await breakers.trip("venue.kraken", 30_000, OPERATOR, null);
    await breakers.trip("database", 30_000, OPERATOR, null);
    clock.advance(10_000);
    expect(breakers.standingTrips()).toEqual([{ name: "venue.kraken", leftMs: 20_000 }]);
    clock.advance(20_000);
    expect(breakers.standingTrips()).toEqual([]);
    await breakers.reset("database", OPERATOR, null);
    remote.isSilent = true;
    expect(await thrown(breakers.trip("venue.kraken", 5000, OPERATOR, null))).toBeInstanceOf(UnavailableError);
    expect(breakers.standingTrips()).toEqual([{ name: "venue.kraken", leftMs: 5000 }]);
    remote.isSilent = false;
    await breakers.reset("venue.kraken", OPERATOR, null);
    expect(breakers.standingTrips()).toEqual([]);
  });

  it("tells of changes in both threads", async () => {
    const { breakers, database } = rig();
    const told: string[] = [];
    breakers.onChange(({ name, state }, why) => told.push(`${name} ${state} ${why}`));
    await fail(database);
    breakers.remoteChanged({ ...database.report(), name: "venue.kraken" }, "failures");
    expect(told).toEqual(["database open failures", "venue.kraken open failures"]);
  });
});

describe("the record of what breakers do by themselves", () => {
  async function recording() {
    const { clock, database, kept, breakers } = rig();
    const deferred = new DeferredAudit({ audit: kept, clock, log: new KeepingLog() });
    const audit = new BreakerAudit(deferred, clock);
    breakers.onChange((report, why) => audit.changed(report, why));
    await deferred.start();
    await audit.start();
    const sample = (name: string) => [...audit.samples(), ...deferred.samples()].find((found) => found.name === name)?.value;
    return { clock, database, kept, breakers, audit, deferred, sample, report: database.report() };
  }
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it("holds opening and closing as the system's, not the probe and not what operators order", async () => {
    const { clock, database, kept, breakers } = await recording();
    await fail(database);
    clock.advance(5000);
    await database.run(() => Promise.resolve());
    await breakers.trip("database", 1000, OPERATOR, null);
    clock.advance(1000);
    await settled();
    expect(kept.said).toEqual(["breaker.opened database", "breaker.closed database", "breaker.tripped database", "breaker.closed database"]);
    expect(kept.changes[0]?.entry).toMatchObject({ actor: { keyId: "system" }, after: { state: "open", why: "failures", calls: 5, failures: 5, last_failure: "no answer" } });
    expect(kept.changes[0]?.charge).toBeNull();
  });

  it("waits until the database is back", async () => {
    const { clock, kept, audit, sample, report } = await recording();
    kept.isAway = true;
    audit.changed({ ...report, state: "open" }, "failures");
    audit.changed(report, "probe");
    await settled();
    expect(sample("ticker_audit_deferred")).toBe(2);
    kept.isAway = false;
    clock.advance(1000);
    await settled();
    expect(kept.said).toEqual(["breaker.opened database", "breaker.closed database"]);
    expect(sample("ticker_audit_deferred")).toBe(0);
  });

  it("has 30 records a minute at most, and then one of how many there were beyond", async () => {
    const { clock, kept, audit, sample, report } = await recording();
    for (let i = 0; i < 45; i++) audit.changed({ ...report, state: "open" }, "failures");
    await settled();
    expect(kept.changes).toHaveLength(30);
    expect(sample("ticker_breaker_audit_others_total")).toBe(15);
    clock.advance(61_000);
    await settled();
    expect(kept.changes).toHaveLength(31);
    expect(kept.changes.at(-1)?.entry).toMatchObject({ action: "breaker.changed", target: "others", after: { count: 15 } });
  });

  it("keeps 1,000 records while the database is away, counts and logs what is beyond, and records what waits at the end", async () => {
    const { kept, deferred, sample } = await recording();
    kept.isAway = true;
    for (let i = 0; i < 1001; i++) deferred.add({ actor: OPERATOR, action: "x.happened", target: String(i), before: null, after: null, reason: null });
    expect(sample("ticker_audit_deferred")).toBe(1000);
    expect(sample("ticker_audit_deferred_dropped_total")).toBe(1);
    await settled();
    kept.isAway = false;
    await deferred.stop();
    expect(kept.changes).toHaveLength(1000);
    expect(kept.changes.at(-1)?.entry.target).toBe("999");
  });
});
