/**
 * Sessions, drain, log level, emergency keys and detailed health, as operators meet them.
 */
import { describe, expect, it } from "vitest";
import { ConflictError, NotFoundError, StoreError } from "../../../src/core/errors.ts";
import { micros } from "../../../src/core/time.ts";
import type { Actor } from "../../../src/ports/audit.ts";
import { type Connection, type ConnectionQuery, type FoundConnection, mergePages } from "../../../src/ports/connections.ts";
import { AdminService, type LogLevel } from "../../../src/services/admin-service.ts";
import { BreakglassUses } from "../../../src/services/breakglass-uses.ts";
import { DeferredAudit } from "../../../src/services/deferred-audit.ts";
import { DetailedHealth, type HealthProbe, overallOf } from "../../../src/services/health-detail.ts";
import { HealthService } from "../../../src/services/health-service.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingAudit } from "../../support/keeping-audit.ts";
import { KeepingLog } from "../../support/silent-log.ts";

const OPERATOR: Actor = { keyId: "k1", address: "127.0.0.1", requestId: "r1", correlationId: "c1", isBreakglass: false };
const CHARGE = { owner: "k1", name: "admin.write", max: 5, windowMs: 3_600_000 };
const thrown = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => null, (error: unknown) => error);
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function connection(id: string): Connection {
  return { id, keyId: "k2", address: "127.0.0.1", lane: "live", encoding: "json", openedAt: micros(0), ageMs: 1, topics: 2, wildcards: 0, unsentBytes: 0, messages: 3, pingAgeMs: null };
}

function rig() {
  const clock = new FakeClock();
  const audit = new KeepingAudit();
  const log = new KeepingLog();
  const deferred = new DeferredAudit({ audit, clock, log });
  const health = new HealthService({ clock, readyWaitMs: 0, stream: () => ({ isListening: true, reason: "", feeds: [], workers: { listening: 1, wanted: 1 } }) });
  health.running();
  const open = new Map<string, FoundConnection>([["s1", { ...connection("s1"), worker: 1 }]]);
  const levels: LogLevel[] = [];
  const stopped: number[] = [];
  const set: { level: LogLevel } = { level: "info" };
  const admin = new AdminService({
    connections: {
      list: (query: ConnectionQuery) => Promise.resolve(mergePages([{ items: [...open.values()], matching: open.size }], query.limit)),
      one: (id, isDisconnected) => {
        const found = open.get(id) ?? null;
        if (isDisconnected) open.delete(id);
        return Promise.resolve(found);
      },
    },
    health, audit, deferred, clock, log, chargeOf: () => CHARGE, logLevel: () => set.level, setLogLevel: (level) => levels.push(level), drainNoticeMs: 1000, stopProcess: () => stopped.push(clock.monotonicMs()),
  });
  return { clock, audit, deferred, log, health, open, levels, stopped, set, admin };
}

describe("disconnecting a session", () => {
  it("is recorded with whose it was, charged, and done", async () => {
    const { admin, audit, open } = rig();
    await admin.disconnect("s1", OPERATOR, "it misbehaves");
    expect(open.size).toBe(0);
    expect(audit.changes).toMatchObject([{ entry: { action: "connection.closed", target: "s1", before: { key_id: "k2", topics: 2 }, reason: "it misbehaves" }, charge: CHARGE }]);
  });

  it("of one that is not there costs nothing", async () => {
    const { admin, audit } = rig();
    expect(await thrown(admin.disconnect("s2", OPERATOR, null))).toBeInstanceOf(NotFoundError);
    expect(audit.changes).toEqual([]);
  });

  it("does not happen when it cannot be recorded", async () => {
    const { admin, audit, open } = rig();
    audit.isAway = true;
    expect(await thrown(admin.disconnect("s1", OPERATOR, null))).toBeInstanceOf(StoreError);
    expect(open.size).toBe(1);
  });
});

describe("a drain", () => {
  it("makes the node not ready at once, and stops it after the notice; it is recorded and costs nothing", async () => {
    const { admin, audit, clock, health, stopped } = rig();
    await admin.drain(OPERATOR, "new version");
    expect(health.readiness()).toMatchObject({ isReady: false, phase: "draining" });
    clock.advance(999);
    expect(stopped).toEqual([]);
    clock.advance(1);
    expect(stopped).toEqual([1000]);
    expect(audit.changes).toMatchObject([{ entry: { action: "node.drained", reason: "new version" }, charge: null }]);
    expect(await thrown(admin.drain(OPERATOR, null))).toBeInstanceOf(ConflictError);
  });

  it("leaves the node ready when it cannot be recorded", async () => {
    const { admin, audit, health } = rig();
    audit.isAway = true;
    expect(await thrown(admin.drain(OPERATOR, null))).toBeInstanceOf(StoreError);
    expect(health.readiness().isReady).toBe(true);
  });
});

describe("the log level", () => {
  it("is another one for a time, then the one that is set by then", async () => {
    const { admin, audit, clock, levels, set } = rig();
    await admin.raiseLogLevel("debug", 60_000, OPERATOR, null);
    expect(levels).toEqual(["debug"]);
    set.level = "warn";
    clock.advance(60_000);
    await settled();
    expect(levels).toEqual(["debug", "warn"]);
    expect(audit.changes).toMatchObject([
      { entry: { action: "log_level.changed", before: "info", after: { level: "debug", ttl_s: 60 } }, charge: CHARGE },
      { entry: { action: "log_level.restored", actor: { keyId: "system" }, after: "warn" }, charge: null },
    ]);
  });

  it("follows the last of two orders", async () => {
    const { admin, clock, levels } = rig();
    await admin.raiseLogLevel("debug", 60_000, OPERATOR, null);
    await admin.raiseLogLevel("error", 120_000, OPERATOR, null);
    clock.advance(60_000);
    expect(levels).toEqual(["debug", "error"]);
    clock.advance(60_000);
    expect(levels).toEqual(["debug", "error", "info"]);
  });
});

describe("the use of an emergency key", () => {
  it("is recorded with its reason, and costs nothing by itself", async () => {
    const { audit, deferred, log } = rig();
    await new BreakglassUses({ audit, deferred, log }).used(OPERATOR, "POST", "/v1/admin/drain", "fire");
    expect(audit.changes).toMatchObject([{ entry: { action: "breakglass.used", target: "POST /v1/admin/drain", reason: "fire" }, charge: null }]);
  });

  it("goes on while the database is away: it is in the log at once and recorded later", async () => {
    const { audit, clock, deferred, log } = rig();
    await deferred.start();
    const uses = new BreakglassUses({ audit, deferred, log });
    audit.isAway = true;
    await uses.used(OPERATOR, "POST", "/v1/admin/breakers/database/reset", "fire");
    expect(log.lines).toMatchObject([{ level: "error", fields: { keyId: "k1", reason: "fire" } }, { level: "debug" }]);
    audit.isAway = false;
    clock.advance(1000);
    await settled();
    expect(audit.said).toEqual(["breakglass.used POST /v1/admin/breakers/database/reset"]);
    expect(uses.samples().map(({ value }) => value)).toEqual([1, 1]);
  });
});

describe("the detailed health", () => {
  const probe = (name: string, run: HealthProbe["probe"], isRemote = true): HealthProbe => ({ name, isRemote, probe: run });
  const health = (...probes: HealthProbe[]) => {
    const clock = new FakeClock();
    return { clock, detailed: new DetailedHealth({ clock, timeoutMs: 1000, probes: () => probes }) };
  };

  it("asks each dependency with a deadline", async () => {
    const { clock, detailed } = health(
      probe("database", () => new Promise(() => undefined)), probe("redis", () => Promise.reject(new Error("connect redis://user:secret@10.0.0.1:6379 refused"))),
      probe("workers", () => ({ status: "ok", detail: "", figures: { listening: 2 } }), false),
    );
    const asked = detailed.checks();
    await settled();
    clock.advance(1000);
    expect(await asked).toEqual([
      { name: "database", status: "down", detail: "no answer within 1000 ms", latencyMs: 1000 },
      { name: "redis", status: "down", detail: "connect [address] refused", latencyMs: expect.any(Number) },
      { name: "workers", status: "ok", detail: "", latencyMs: null, figures: { listening: 2 } },
    ]);
  });

  it("asks once for all who ask meanwhile", async () => {
    let asked = 0;
    const { detailed } = health(probe("database", async () => {
      asked++;
      await settled();
      return { status: "ok", detail: "" };
    }));
    await Promise.all([detailed.checks(), detailed.checks(), detailed.checks()]);
    expect(asked).toBe(1);
    await detailed.checks();
    expect(asked).toBe(2);
  });

  it("is degraded when something is not ok, and not ready when readiness says so", () => {
    const check = (status: "ok" | "degraded" | "down") => ({ name: "x", status, detail: "", latencyMs: null });
    expect(overallOf(true, [check("ok")])).toBe("ok");
    expect(overallOf(true, [check("ok"), check("degraded")])).toBe("degraded");
    expect(overallOf(true, [check("down")])).toBe("degraded");
    expect(overallOf(false, [check("ok")])).toBe("not_ready");
  });
});

describe("pages of several workers", () => {
  it("are one list by id, and say who is missing and whether there is more", () => {
    const page = (...ids: string[]) => ({ items: ids.map(connection), matching: ids.length });
    const merged = mergePages([page("a", "d"), null, page("b", "c")], 3);
    expect(merged.items.map(({ id, worker }) => `${id}${worker}`)).toEqual(["a0", "b2", "c2"]);
    expect(merged).toMatchObject({ matching: 4, silentWorkers: 1, hasMore: true });
    expect(mergePages([page("a")], 1).hasMore).toBe(false);
  });
});
