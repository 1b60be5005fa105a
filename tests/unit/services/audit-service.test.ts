/**
 * Failed authentications in the audit chain: the first at once, then once a minute with its count, and never more than a bound.
 */
import { describe, expect, it } from "vitest";
import { StoreError } from "../../../src/core/errors.ts";
import { micros } from "../../../src/core/time.ts";
import type { Audited, AuditLog, AuditRecord } from "../../../src/ports/audit.ts";
import { AuditService, type FailedAuthentication } from "../../../src/services/audit-service.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog } from "../../support/silent-log.ts";

const MINUTE_MS = 60_000;

/** Keeps what it is told to record. */
class KeptRecords implements AuditLog {
  readonly entries: Audited["entry"][] = [];
  isAway = false;
  walks = 0;

  record({ entry, charge }: Audited): Promise<AuditRecord> {
    if (charge !== null) throw new Error("expected a record that costs nothing");
    if (this.isAway) return Promise.reject(new StoreError("away"));
    this.entries.push(entry);
    const { actor, action, target, before, after, reason } = entry;
    return Promise.resolve({ n: this.entries.length, time: micros(0), actor: actor.keyId, address: actor.address, action, target, before, after, reason, request_id: "", correlation_id: "", prev_hash: "", hash: "" });
  }

  list: AuditLog["list"] = () => Promise.resolve({ items: [], next: null });
  head: AuditLog["head"] = () => Promise.resolve({ n: this.entries.length, hash: "h" });
  verify: AuditLog["verify"] = () => {
    this.walks++;
    return new Promise((resolve) => setImmediate(() => resolve({ valid: true, records: 0, head: "h" })));
  };
  remaining: AuditLog["remaining"] = () => Promise.resolve({ remaining: 0, resetMs: 0 });

  /** Target and count of each record. */
  get told(): (readonly [string, unknown])[] {
    return this.entries.map(({ target, after }) => [target, typeof after === "object" && after !== null && "count" in after ? after.count : null]);
  }
}

async function setup() {
  const clock = new FakeClock();
  const [store, log] = [new KeptRecords(), new KeepingLog()];
  const audit = new AuditService({ store, clock, log, headMs: 3_600_000, failuresPerMinuteMax: 60 });
  await audit.start();
  /** Moves time, with turns of the loop for what is being written. */
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const fail = (address: string, more: Partial<FailedAuthentication> = {}): void => audit.failed({ address, requestId: "r", correlationId: "c", keyStart: "tk_wrong", ...more });
  const sample = (name: string): number => audit.samples().find((found) => found.name === name)?.value ?? Number.NaN;
  return { clock, store, log, audit, pass, fail, sample };
}

describe("failed authentications", () => {
  it("are recorded with the first of an address at once, then once a minute with how many there were", async () => {
    const { store, pass, fail } = await setup();
    for (let i = 0; i < 5; i++) fail("10.0.0.1");
    await pass(0);
    expect(store.entries[0]).toMatchObject({ action: "auth.failed", target: "10.0.0.1", after: { count: 1, key_start: "tk_wrong" }, actor: { keyId: "anonymous", address: "10.0.0.1", requestId: "r", correlationId: "c" } });
    await pass(MINUTE_MS - 1);
    expect(store.told).toEqual([["10.0.0.1", 1]]);
    await pass(1_001);
    expect(store.told).toEqual([["10.0.0.1", 1], ["10.0.0.1", 4]]);
    await pass(5 * MINUTE_MS);
    expect(store.told).toHaveLength(2);
    fail("10.0.0.1");
    await pass(0);
    expect(store.told.at(-1)).toEqual(["10.0.0.1", 1]);
  });

  it("of more addresses than the budget has records for are one record for all others", async () => {
    const { store, pass, fail, sample } = await setup();
    for (let i = 0; i < 10_000; i++) fail(`10.0.${i >> 8}.${i & 255}`);
    await pass(1_000);
    expect(store.told).toHaveLength(60);
    expect(store.told.at(-1)).toEqual(["others", 10_000 - 59]);
    expect(sample("ticker_audit_failures_pending")).toBe(0);
  });

  it("are never more than 60 records within any minute, and none is lost from the counts", async () => {
    const { store, clock, pass, fail, audit } = await setup();
    const atMs: number[] = [];
    let failures = 0;
    for (let second = 0; second < 400; second++) {
      for (let i = 0; i < second % 7; i++) {
        failures++;
        fail(`10.0.0.${(second * 13 + i * 31) % 250}`);
      }
      await pass(1_000);
      while (atMs.length < store.entries.length) atMs.push(clock.monotonicMs());
    }
    for (const from of atMs) expect(atMs.filter((at) => at >= from && at < from + MINUTE_MS - 1_000).length).toBeLessThanOrEqual(60);
    await audit.stop();
    expect(store.told.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(failures);
  });

  it("that cannot be recorded are counted in a later record", async () => {
    const { store, log, pass, fail, sample } = await setup();
    store.isAway = true;
    fail("10.0.0.1");
    await pass(1_000);
    expect(store.entries).toEqual([]);
    expect(log.lines.some(({ level }) => level === "error")).toBe(true);
    expect(sample("ticker_audit_failure_records_lost_total")).toBeGreaterThan(0);
    store.isAway = false;
    await pass(2 * MINUTE_MS);
    expect(store.told).toEqual([["others", 1]]);
  });

  it("without a key are counted and not recorded", async () => {
    const { store, pass, fail, sample } = await setup();
    for (let i = 0; i < 3; i++) fail("10.0.0.1", { keyStart: null });
    await pass(MINUTE_MS);
    expect(store.entries).toEqual([]);
    expect(sample("ticker_auth_keyless_total")).toBe(3);
  });

  it("that wait are recorded when the service stops", async () => {
    const { store, fail, audit } = await setup();
    for (let i = 0; i < 4; i++) fail("10.0.0.1");
    await audit.stop();
    expect(store.told).toEqual([["10.0.0.1", 1], ["others", 3]]);
  });
});

it("logs number and hash of the newest record at the start and every hour", async () => {
  const { log, pass } = await setup();
  const heads = () => log.lines.filter(({ message }) => message === "head of the audit chain");
  expect(heads()).toMatchObject([{ fields: { n: 0, hash: "h" } }]);
  await pass(3_599_999);
  expect(heads()).toHaveLength(1);
  await pass(1);
  expect(heads()).toHaveLength(2);
});

it("walks the chain once for all who ask at the same time", async () => {
  const { store, audit } = await setup();
  await Promise.all([audit.verify(), audit.verify(), audit.verify()]);
  expect(store.walks).toBe(1);
  await audit.verify();
  expect(store.walks).toBe(2);
});
