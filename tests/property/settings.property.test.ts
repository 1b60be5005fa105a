/**
 * Any series of changes, rollbacks, refusals, restarts and lost answers: the settings are what a small model says, the log and
 * the chain say the same.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SqlSettingsLog } from "../../src/adapters/postgres/settings-log.ts";
import { AppError, StoreError } from "../../src/core/errors.ts";
import type { Json } from "../../src/ports/audit.ts";
import type { SettingsLog } from "../../src/ports/settings-log.ts";
import { settingsTable, withDefaults } from "../../src/state/settings.ts";
import { type OpenDatabase, openEmbedded } from "../support/databases.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { by, SETTINGS_DEFAULTS, settingsRig } from "../support/settings-rig.ts";

let opened: OpenDatabase;
beforeAll(async () => {
  opened = await openEmbedded();
});
afterAll(() => opened.close());

const TABLE = settingsTable(SETTINGS_DEFAULTS);

const value = {
  "orders.enabled": fc.constantFrom<Json>(true, false, null), "feeds.sim.enabled": fc.constantFrom<Json>(true, false, null, "no"),
  "stream.soft_limit_bytes": fc.constantFrom<Json>(1024, 65_536, 100_000, 5_000_000, 1023, null), "stream.hard_limit_bytes": fc.constantFrom<Json>(4096, 1_048_576, 8_000_000, null),
  "log.level": fc.constantFrom<Json>("debug", "info", "error", "loud", null), "maintenance.banner": fc.constantFrom<Json>("a", "b\u00e9", null, ""),
};
type Step =
  | { readonly kind: "change"; readonly given: Readonly<Record<string, Json>>; readonly isStale: boolean; readonly fate: "kept" | "answer lost" | "never came" }
  | { readonly kind: "rollback"; readonly back: number }
  | { readonly kind: "restart" };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("change" as const), given: fc.record(value, { requiredKeys: [] }), isStale: fc.nat(7).map((n) => n === 0), fate: fc.constantFrom("kept" as const, "kept" as const, "kept" as const, "answer lost" as const, "never came" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("rollback" as const), back: fc.nat(10) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
);

/** A log whose answers may get lost, after or before the change took place. */
class UnreliableLog implements SettingsLog {
  readonly #log: SettingsLog;
  fate: "kept" | "answer lost" | "never came" = "kept";

  constructor(log: SettingsLog) {
    this.#log = log;
  }

  newest: SettingsLog["newest"] = () => this.#log.newest();
  at: SettingsLog["at"] = (revision) => this.#log.at(revision);

  append: SettingsLog["append"] = async (...change) => {
    const { fate } = this;
    this.fate = "kept";
    if (fate === "never came") throw new StoreError("it never came");
    const done = await this.#log.append(...change);
    if (fate === "answer lost") throw new StoreError("the answer was lost");
    return done;
  };
}

/** What the settings should be, by revision. */
class Model {
  readonly history: Readonly<Record<string, Json>>[] = [{}];

  get newest(): Readonly<Record<string, Json>> {
    return this.history.at(-1) ?? {};
  }

  /** The values after a change; null when it must be refused. */
  after(given: Readonly<Record<string, Json>>): Readonly<Record<string, Json>> | null {
    if (Object.keys(given).length === 0 || given["feeds.sim.enabled"] === "no" || given["stream.soft_limit_bytes"] === 1023 || given["log.level"] === "loud" || given["maintenance.banner"] === "") return null;
    const all = withDefaults(TABLE, { ...this.newest, ...Object.fromEntries(Object.entries(given).map(([name, v]) => [name, v ?? TABLE.get(name)?.default ?? null])) });
    if (Number(all["stream.soft_limit_bytes"]) > Number(all["stream.hard_limit_bytes"])) return null;
    return this.changed(all);
  }

  /** Without the defaults. */
  changed(all: Readonly<Record<string, Json>>): Readonly<Record<string, Json>> {
    return Object.fromEntries(Object.entries(all).filter(([name, v]) => v !== TABLE.get(name)?.default));
  }

  take(next: Readonly<Record<string, Json>>): void {
    if (JSON.stringify(sorted(next)) !== JSON.stringify(sorted(this.newest))) this.history.push(next);
  }
}

it("leaves settings, log and chain in agreement", async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
    await emptied();
    const clock = new FakeClock();
    const log = new UnreliableLog(new SqlSettingsLog(opened.database, clock));
    const model = new Model();
    const start = async () => {
      const rig = settingsRig(opened.database, { clock, store: () => log });
      await rig.state.start();
      return rig;
    };
    let rig = await start();
    for (const taken of steps) {
      if (taken.kind === "restart") {
        await rig.state.stop();
        rig = await start();
      } else if (taken.kind === "rollback") {
        const to = taken.back % model.history.length;
        await rig.state.rollback(to, by());
        model.take(model.history[to] ?? {});
      } else await change(rig.state, taken, model, log);
    }
    // Whatever was lost: one more look, and everything agrees.
    await rig.state.stop();
    rig = await start();
    const { revision, values } = rig.state.current();
    expect(revision).toBe(model.history.length - 1);
    expect(values).toEqual(withDefaults(TABLE, model.newest));
    expect(await rig.audit.verify()).toMatchObject({ valid: true, records: revision });
    expect(await replayed()).toEqual(values);
    await rig.state.stop();
  }), { numRuns: 40 });
});

async function change(state: ReturnType<typeof settingsRig>["state"], { given, isStale, fate }: Extract<Step, { kind: "change" }>, model: Model, log: UnreliableLog): Promise<void> {
  const newest = model.history.length - 1;
  const next = model.after(given);
  log.fate = fate;
  const status = await state.change(given, by(isStale ? newest + 1 : newest)).then(() => 200, (error: unknown) => (error instanceof AppError ? error.status : 500));
  const isUsed = log.fate === "kept" && fate !== "kept";
  log.fate = "kept";
  if (isStale) expect(status).toBe(412);
  else if (next === null) expect(status).toBe(422);
  else {
    expect(status).toBe(isUsed ? 503 : 200);
    if (!isUsed || fate === "answer lost") model.take(next);
  }
}

/** The values, from the chain alone. */
async function replayed(): Promise<Readonly<Record<string, Json>>> {
  const rows = await opened.database.run((db) => db.selectFrom("audit").select(["before", "after"]).orderBy("n").execute());
  const values: Record<string, Json> = { ...withDefaults(TABLE, {}) };
  for (const { before, after } of rows) {
    const was: Record<string, Json> = JSON.parse(before);
    for (const [name, v] of Object.entries(was)) expect(values[name]).toEqual(v);
    Object.assign(values, JSON.parse(after));
  }
  return values;
}

function sorted(values: Readonly<Record<string, Json>>): [string, Json][] {
  return Object.entries(values).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

async function emptied(): Promise<void> {
  await opened.database.run(async (db) => {
    await db.deleteFrom("settings").execute();
    await db.deleteFrom("audit").execute();
    await db.updateTable("audit_head").set({ n: "0", hash: "0".repeat(64) }).execute();
  });
}
