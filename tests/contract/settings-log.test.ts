/**
 * Runtime settings on both databases: one wins, nothing is half done, everything is in the log and in the audit chain.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { SqlSettingsLog } from "../../src/adapters/postgres/settings-log.ts";
import { PreconditionError, RateLimitError, StoreError, UnavailableError, ValidationError } from "../../src/core/errors.ts";
import type { AuditRecord } from "../../src/ports/audit.ts";
import type { SettingsSnapshot } from "../../src/state/runtime-state.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { by, OPERATOR, POLL_MS, sampleOf, type SettingsRig, settingsRig, type SettingsRigOptions } from "../support/settings-rig.ts";

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  const rigs: SettingsRig[] = [];
  beforeAll(async () => {
    opened = await open();
  });
  beforeEach(async () => {
    for (const { state } of rigs.splice(0)) await state.stop();
    await emptied(opened);
  });
  afterAll(async () => {
    for (const { state } of rigs) await state.stop();
    await opened.close();
  });
  const started = async (options: SettingsRigOptions = {}): Promise<SettingsRig> => {
    const rig = settingsRig(opened.database, options);
    rigs.push(rig);
    await rig.state.start();
    return rig;
  };

  changes(started);
  restarts(started);
  concurrency(started);
  refusals(started);
  otherProcesses(started);
  failures(started, () => opened);
});

type Start = (options?: SettingsRigOptions) => Promise<SettingsRig>;

function changes(started: Start): void {
  it("changes several values at once, tells once, and records only what changed", async () => {
    const rig = await started();
    const told: SettingsSnapshot[] = [];
    rig.state.onChange((snapshot) => told.push(snapshot));
    const after = await rig.state.change({ "log.level": "debug", "stream.ring_bytes": 2 ** 21, "webhooks.enabled": true }, by(0, "why not"));
    expect(after).toMatchObject({ revision: 1, updatedBy: OPERATOR.keyId, overrides: { "log.level": "debug", "stream.ring_bytes": 2 ** 21 }, typed: { logLevel: "debug", ringBytesMax: 2 ** 21 } });
    expect(told).toEqual([after]);
    expect(rig.state.current()).toBe(after);
    expect(await newestRecord(rig)).toMatchObject({
      action: "settings.changed", actor: OPERATOR.keyId, address: "127.0.0.1", request_id: "r-1", correlation_id: "c-1", reason: "why not", target: "stream.ring_bytes,log.level",
      before: { "log.level": "info", "stream.ring_bytes": 268_435_456 }, after: { "log.level": "debug", "stream.ring_bytes": 2 ** 21 }, time: after.updatedAt,
    });
  });

  it("gives readers a frozen snapshot that later changes leave alone", async () => {
    const { state } = await started();
    const before = state.current();
    await state.change({ failure_injection: { type: "api", probability: 0.5 } }, by());
    const { values, typed } = state.current();
    expect(before.values["failure_injection"]).toBeNull();
    for (const frozen of [state.current(), values, typed, values["failure_injection"], typed.feedsEnabled]) expect(Object.isFrozen(frozen)).toBe(true);
  });

  it("restores a default by null", async () => {
    const { state } = await started();
    await state.change({ "log.level": "debug", "maintenance.banner": "soon" }, by());
    const after = await state.change({ "log.level": null }, by(1));
    expect(after).toMatchObject({ revision: 2, overrides: { "maintenance.banner": "soon" }, typed: { logLevel: "info", banner: "soon" } });
  });

  it("makes no revision, record or charge of a change that changes nothing", async () => {
    const rig = await started({ chargeMax: 1 });
    for (let i = 0; i < 3; i++) expect((await rig.state.change({ "log.level": "info", "maintenance.banner": null }, by())).revision).toBe(0);
    expect(await rig.audit.head()).toMatchObject({ n: 0 });
    expect((await rig.state.change({ "log.level": "warn" }, by())).revision).toBe(1);
  });
}

function restarts(started: Start): void {
  it("goes back to a revision by one more change", async () => {
    const rig = await started();
    await rig.state.change({ "log.level": "debug" }, by());
    await rig.state.change({ "log.level": "warn", "orders.enabled": false }, by());
    expect(await rig.state.rollback(1, by(2))).toMatchObject({ revision: 3, typed: { logLevel: "debug", ordersEnabled: true } });
    expect(await newestRecord(rig)).toMatchObject({ action: "settings.rolled_back", before: { "log.level": "warn", "orders.enabled": false }, after: { "log.level": "debug", "orders.enabled": true } });
    expect(await rig.state.rollback(0, by(3))).toMatchObject({ revision: 4, overrides: {} });
    await expect(rig.state.rollback(9, by())).rejects.toMatchObject({ status: 404 });
  });

  it("is the same after a restart", async () => {
    const first = await started();
    const before = await first.state.change({ "stream.sessions_per_key": 7, failure_injection: { type: "network", at_record: 5 } }, by());
    await first.state.stop();
    const second = await started();
    expect(second.state.current()).toEqual(before);
  });

  it("keeps what this configuration does not know, without effect, for one that does", async () => {
    const first = await started();
    await first.state.change({ "feeds.kraken.enabled": false, "stream.hard_limit_bytes": 2 ** 22, "log.level": "debug" }, by());
    const smaller = await started({ defaults: { feeds: ["sim"], nativeBackpressureMax: 2 ** 20 } });
    expect(smaller.state.current()).toMatchObject({ revision: 1, typed: { feedsEnabled: { sim: true }, hardLimitBytes: 1_048_576, logLevel: "debug" } });
    expect(sampleOf(smaller, "ticker_settings_ignored")).toBe(2);
    await smaller.state.change({ "log.level": null }, by());
    const again = await started();
    expect(again.state.current()).toMatchObject({ revision: 2, typed: { feedsEnabled: { sim: true, kraken: false }, hardLimitBytes: 2 ** 22, logLevel: "info" } });
  });

  it("lets a value go that contradicts a default of a later start", async () => {
    const first = await started();
    await first.state.change({ "stream.soft_limit_bytes": 500_000 }, by());
    const second = await started({ defaults: { softLimitBytes: 50_000, hardLimitBytes: 100_000 } });
    expect(second.state.current().typed).toMatchObject({ softLimitBytes: 50_000, hardLimitBytes: 100_000 });
  });
}

function concurrency(started: Start): void {
  it("lets exactly one of 50 concurrent changes for one revision win", async () => {
    const rig = await started();
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => rig.state.change({ "stream.sessions_per_key": i + 1 }, by(0))));
    const won = outcomes.flatMap((outcome, i) => (outcome.status === "fulfilled" ? [i] : []));
    expect(won).toHaveLength(1);
    for (const outcome of outcomes) if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ status: 412, code: "precondition_failed" });
    expect(rig.state.current()).toMatchObject({ revision: 1, typed: { sessionsPerKeyMax: (won[0] ?? 0) + 1 } });
    expect(await rig.audit.head()).toMatchObject({ n: 1 });
  });

  it("takes all of 50 concurrent changes for whichever revision, one after another", async () => {
    const rig = await started();
    const revisions = await Promise.all(Array.from({ length: 50 }, async (_, i) => (await rig.state.change({ "stream.sessions_per_key": i + 1 }, by())).revision));
    expect(revisions).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
    expect(await rig.audit.verify()).toMatchObject({ valid: true, records: 50 });
  });

  it("refuses what would wait behind too many others, and counts it", async () => {
    const rig = await started({ waitingMax: 2 });
    const outcomes = await Promise.allSettled([1, 2, 3].map((sessions) => rig.state.change({ "stream.sessions_per_key": sessions }, by())));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect(outcomes[2]).toMatchObject({ reason: expect.any(UnavailableError) });
    expect(sampleOf(rig, "ticker_settings_overflowed_total")).toBe(1);
  });
}

function refusals(started: Start): void {
  it("changes nothing when one of the values is wrong, and says all that is", async () => {
    const rig = await started();
    const refused: unknown = await rig.state.change({ "log.level": "loud", nothing: 1, "maintenance.banner": "fine" }, by(0)).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ValidationError);
    expect(refused).toMatchObject({ errors: [{ path: "log.level" }, { path: "nothing" }] });
    await expect(rig.state.change({ "stream.soft_limit_bytes": 2 ** 21 }, by(0))).rejects.toBeInstanceOf(ValidationError);
    await expect(rig.state.change({}, by(0))).rejects.toBeInstanceOf(ValidationError);
    expect(rig.state.current()).toMatchObject({ revision: 0, overrides: {} });
    expect(await rig.audit.head()).toMatchObject({ n: 0 });
  });

  it("wants a reason for the kill switch, both ways", async () => {
    const { state } = await started();
    await expect(state.change({ "orders.enabled": false }, by(0, null))).rejects.toMatchObject({ status: 422, errors: [{ path: "orders.enabled" }] });
    await state.change({ "orders.enabled": false }, by(0, "they trade nonsense"));
    await expect(state.change({ "orders.enabled": null }, by(1, null))).rejects.toMatchObject({ status: 422 });
    await expect(state.rollback(0, by(1, null))).rejects.toMatchObject({ status: 422 });
  });

  it("says 412 before 422, and 422 before the budget", async () => {
    const { state } = await started({ chargeMax: 1 });
    await state.change({ "log.level": "debug" }, by(0));
    await expect(state.change({ "log.level": "loud" }, by(0))).rejects.toBeInstanceOf(PreconditionError);
    await expect(state.change({ "log.level": "loud" }, by(1))).rejects.toBeInstanceOf(ValidationError);
    await expect(state.change({ "log.level": "warn" }, by(0))).rejects.toBeInstanceOf(PreconditionError);
    await expect(state.change({ "log.level": "warn" }, by(1))).rejects.toBeInstanceOf(RateLimitError);
  });

  it("charges what takes effect, up to the budget and never for the kill switch, and again when the hour is over", async () => {
    const clock = new FakeClock();
    const { state, audit } = await started({ chargeMax: 3, clock });
    for (const level of ["debug", "warn", "error"]) await state.change({ "log.level": level }, by());
    const refused: unknown = await state.change({ "log.level": "info" }, by()).catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 429, retryAfterS: 3600, budget: { name: "admin.write", max: 3 } });
    await state.change({ "orders.enabled": false }, by());
    await expect(state.change({ "orders.enabled": true }, by())).rejects.toBeInstanceOf(RateLimitError);
    await expect(state.change({ "orders.enabled": null, "log.level": null }, by())).rejects.toBeInstanceOf(RateLimitError);
    expect(await audit.head()).toMatchObject({ n: 4 });
    clock.advance(3_599_999);
    await expect(state.change({ "orders.enabled": true }, by())).rejects.toBeInstanceOf(RateLimitError);
    clock.advance(1);
    expect((await state.change({ "orders.enabled": true }, by())).revision).toBe(5);
  });
}

function otherProcesses(started: Start): void {
  it("notices a change by another process, at its next look", async () => {
    const clock = new FakeClock();
    const here = await started({ clock });
    const there = await started();
    const told: number[] = [];
    here.state.onChange(({ revision }) => told.push(revision));
    await there.state.change({ "maintenance.banner": "from there" }, by());
    clock.advance(POLL_MS);
    await expect.poll(() => here.state.current().typed.banner).toBe("from there");
    expect(told).toEqual([1]);
    expect(sampleOf(here, "ticker_settings_adopted_total")).toBe(1);
  });

  it("takes a change for a revision of another process that it has not heard of", async () => {
    const [here, there] = [await started(), await started()];
    await there.state.change({ "log.level": "debug" }, by(0));
    await here.state.expect(1);
    expect((await here.state.change({ "stream.sessions_per_key": 3 }, by(1))).typed).toMatchObject({ logLevel: "debug", sessionsPerKeyMax: 3 });
  });

  it("refuses a change for a revision that another process has replaced, and knows the new one then", async () => {
    const [here, there] = [await started(), await started()];
    await there.state.change({ "log.level": "debug" }, by(0));
    await expect(here.state.change({ "log.level": "warn" }, by(0))).rejects.toBeInstanceOf(PreconditionError);
    expect(here.state.current()).toMatchObject({ revision: 1, typed: { logLevel: "debug" } });
  });
}

function failures(started: Start, opened: () => OpenDatabase): void {
  it("reads the log after a failure whose outcome nobody knows, before anything else happens", async () => {
    let isFailing = true;
    const rig = await started({
      store: (log) => ({
        newest: () => log.newest(), at: (revision) => log.at(revision),
        append: async (...change) => {
          const done = await log.append(...change);
          if (!isFailing) return done;
          isFailing = false;
          throw new StoreError("the answer was lost");
        },
      }),
    });
    const [lost, next] = await Promise.allSettled([rig.state.change({ "log.level": "debug" }, by(0)), rig.state.change({ "log.level": "warn" }, by(1))]);
    expect(lost).toMatchObject({ status: "rejected", reason: expect.any(StoreError) });
    expect(next).toMatchObject({ status: "fulfilled", value: { revision: 2, typed: { logLevel: "warn" } } });
    expect(sampleOf(rig, "ticker_settings_store_failures_total")).toBe(1);
    expect(await rig.audit.verify()).toMatchObject({ valid: true, records: 2 });
  });

  it("keeps its settings while the log cannot be read, and says so once", async () => {
    const clock = new FakeClock();
    let isAway = false;
    const rig = await started({
      clock,
      store: (log) => ({ newest: () => (isAway ? Promise.reject(new StoreError("away")) : log.newest()), at: (revision) => log.at(revision), append: (...change) => log.append(...change) }),
    });
    await rig.state.change({ "log.level": "debug" }, by());
    isAway = true;
    for (let i = 1; i <= 3; i++) {
      clock.advance(POLL_MS);
      await expect.poll(() => sampleOf(rig, "ticker_settings_store_failures_total")).toBe(i);
    }
    expect(rig.state.current().typed.logLevel).toBe("debug");
    expect(rig.log.lines.filter(({ level }) => level === "error")).toHaveLength(1);
  });

  it("appends nothing to the log for a revision that is taken", async () => {
    const log = new SqlSettingsLog(opened().database, new FakeClock());
    const change = { entry: { actor: OPERATOR, action: "settings.changed", target: "log.level", before: null, after: null, reason: null }, charge: null };
    await log.append(0, { "log.level": "debug" }, change);
    await expect(log.append(0, { "log.level": "warn" }, change)).rejects.toMatchObject({ status: 412 });
    await expect(log.append(5, { "log.level": "warn" }, change)).rejects.toMatchObject({ status: 412 });
    expect(await log.newest()).toMatchObject({ revision: 1, overrides: { "log.level": "debug" } });
    expect(await log.at(2)).toBeNull();
    expect(await opened().database.run((db) => db.selectFrom("audit").select("n").execute())).toHaveLength(1);
  });
}

async function newestRecord({ audit }: SettingsRig): Promise<AuditRecord | undefined> {
  const { items } = await audit.list({ limit: 1, before: null, action: null, actor: null, target: null, from: null, to: null });
  return items[0];
}

async function emptied({ database }: OpenDatabase): Promise<void> {
  await database.run(async (db) => {
    await db.deleteFrom("settings").execute();
    await db.deleteFrom("audit").execute();
    await db.deleteFrom("budgets").execute();
    await db.updateTable("audit_head").set({ n: "0", hash: "0".repeat(64) }).execute();
  });
}
