/**
 * Kills the real process in the middle of concurrent changes of runtime settings, starts it again, and compares: what was
 * acknowledged, the state, its revision, and the audit chain. Also used outside the test runner.
 */
import { rmSync } from "node:fs";
import { newDataFolder } from "./data-folder.ts";
import { type RunningService, startService } from "./start-service.ts";

const ADMIN = `tk_admin_${"a".repeat(32)}`;
const KEY = "stream.sessions_per_key";
const PATH = "/v1/admin/runtime-state";
const ENV = {
  WORKERS: "1", SIM_INSTRUMENTS: "2", SIM_EVENTS_PER_S: "20", BOOTSTRAP_API_KEYS: `admin:${ADMIN}`, LOG_LEVEL: "warn",
  RATE_LIMITS: JSON.stringify({ default: "1000000/min", "admin.write": "1000000/h" }),
};

/** What a run came to. A fault is a sentence; none is what is hoped for. */
export interface CrashOutcome {
  readonly acknowledged: number;
  readonly revision: number;
  readonly faults: readonly string[];
}

interface State {
  readonly revision: number;
  readonly values: Readonly<Record<string, unknown>>;
  readonly updated_at: number | null;
}
interface Written {
  readonly n: number;
  readonly time: number;
  readonly action: string;
  readonly before: Readonly<Record<string, unknown>>;
  readonly after: Readonly<Record<string, unknown>>;
}

/**
 * One run. Half of the changes are for whichever revision, half for the one that was read just before.
 * @param killAfter answers after which the process is killed
 * @param databaseUrl an empty database; null: embedded
 */
export async function crashRun(changes: number, killAfter: number, databaseUrl: string | null): Promise<CrashOutcome> {
  const dataDir = newDataFolder("ticker-crash-");
  const options = { dataDir, env: { ...ENV, ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }) } };
  try {
    const first = await startService(options);
    const acknowledged = await changeUntilKilled(first, changes, killAfter);
    const second = await startService(options);
    try {
      const compared = await compare(second, acknowledged);
      return { acknowledged: acknowledged.size, ...compared };
    } finally {
      await second.stop("SIGKILL");
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Values that were acknowledged, by revision. Two answers for one revision are told by the value `NaN`. */
async function changeUntilKilled(service: RunningService, changes: number, killAfter: number): Promise<ReadonlyMap<number, number>> {
  const { page } = service;
  const acknowledged = new Map<number, number>();
  let answers = 0;
  const change = async (value: number): Promise<void> => {
    const ifMatch = value % 2 === 0 ? "*" : `"${(await state(page)).revision}"`;
    const answer = await fetch(page + PATH, { method: "PATCH", headers: { "x-api-key": ADMIN, "if-match": ifMatch, "content-type": "application/json" }, body: JSON.stringify({ [KEY]: value }) });
    const body: State = JSON.parse(await answer.text());
    if (answer.status === 200) acknowledged.set(body.revision, acknowledged.has(body.revision) ? Number.NaN : value);
    if (++answers === killAfter) service.signal("SIGKILL");
  };
  // What the kill cuts off has no answer: nobody was promised anything.
  await Promise.all(Array.from({ length: changes }, (_, i) => change(1000 + i).catch(() => undefined)));
  await service.stop("SIGKILL");
  return acknowledged;
}

async function compare({ page }: RunningService, acknowledged: ReadonlyMap<number, number>): Promise<Omit<CrashOutcome, "acknowledged">> {
  const faults: string[] = [];
  const { revision, values, updated_at: updatedAt } = await state(page);
  const written = (await records(page)).filter(({ action }) => action.startsWith("settings."));
  const verdict = await get(page, "/v1/admin/audit/verify");
  if (verdict["valid"] !== true) faults.push(`the chain does not verify: ${JSON.stringify(verdict)}`);
  if (written.length !== revision) faults.push(`revision ${revision} with ${written.length} records of changes`);
  let value: unknown = 100;
  for (const [i, { before, after }] of written.entries()) {
    if (before[KEY] !== value) faults.push(`change ${i + 1} says it was ${String(before[KEY])} before, the one before it ${String(value)}`);
    value = after[KEY];
    const promised = acknowledged.get(i + 1);
    if (promised !== undefined && promised !== value) faults.push(`revision ${i + 1} was acknowledged with ${promised}, the chain says ${String(value)}`);
  }
  if (values[KEY] !== value) faults.push(`the state says ${String(values[KEY])}, the chain ${String(value)}`);
  if (written.length > 0 && written.at(-1)?.time !== updatedAt) faults.push("the state and its newest record were not written at one time");
  const newest = Math.max(0, ...acknowledged.keys());
  if (newest > revision) faults.push(`revision ${newest} was acknowledged and is lost: the newest is ${revision}`);
  return { revision, faults };
}

async function get(page: string, path: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(page + path, { headers: { "x-api-key": ADMIN } });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  const read: Readonly<Record<string, unknown>> = JSON.parse(await answer.text());
  return read;
}

async function state(page: string): Promise<State> {
  const answer = await fetch(page + PATH, { headers: { "x-api-key": ADMIN } });
  const read: State = JSON.parse(await answer.text());
  return read;
}

/** Oldest first. */
async function records(page: string): Promise<Written[]> {
  const all: Written[] = [];
  for (let cursor = ""; ;) {
    const answer = await fetch(`${page}/v1/admin/audit?limit=1000${cursor}`, { headers: { "x-api-key": ADMIN } });
    const read: { readonly items: readonly Written[]; readonly next_cursor: string | null } = JSON.parse(await answer.text());
    all.push(...read.items);
    if (read.next_cursor === null) return all.toReversed();
    cursor = `&cursor=${read.next_cursor}`;
  }
}
