/**
 * `npm run crash:orders -- --runs N`: kills the process in the middle of batches of orders, N times and more, at random moments,
 * with a broker that fails at random, and compares what is reported with the broker's own books. How to read it: docs/orders.md.
 */
import { parseArgs } from "node:util";
import { newServerDatabase } from "../support/server-database.ts";
import { postgres } from "../support/servers.ts";
import type { FaultKind } from "./orders-crash-compare.ts";
import { type CrashBroker, type CrashOutcome, CrashSession } from "./orders-crash-run.ts";

const HELP = `npm run crash:orders -- [options]
  --runs N           runs, each with one to three kills (default 20)
  --database NAME    postgres, embedded or both, half of the runs each (default both)
  --broker NAME      ccxt, alpaca or both, in turn (default both)
  --seed N           of the first run; each further one has the next (default random). The same seed posts the same batches,
                     meets the same faults and kills at the same kind of moment; what the two processes do in between is theirs
  --minutes N        no further run is begun after so many minutes (default 60)
  --verbose          what the processes wrote, of runs with a fault`;
/** Runs on one database. */
const SESSION_RUNS = 25;
const DATABASES = ["embedded", "postgres"] as const;
type DatabaseName = (typeof DATABASES)[number];

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "20" }, database: { type: "string", default: "both" }, broker: { type: "string", default: "both" }, seed: { type: "string" },
    minutes: { type: "string", default: "60" }, verbose: { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const RUNS = whole("--runs", values.runs, 1);
const SEED = values.seed === undefined ? Math.floor(Math.random() * 1e9) : whole("--seed", values.seed, 0);
const ENDS_MS = performance.now() + whole("--minutes", values.minutes, 1) * 60_000;
const DATABASE_NAMES = chosen("--database", values.database, DATABASES);
const BROKER_NAMES = chosen("--broker", values.broker, ["ccxt", "alpaca"] as const);

function whole(name: string, text: string, min: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min) throw new Error(`${name}: expected a whole number from ${min}, found ${text}`);
  return value;
}

function chosen<T extends string>(name: string, text: string, names: readonly T[]): readonly T[] {
  const found = names.filter((each) => text === each || text === "both");
  if (found.length === 0) throw new Error(`${name}: expected ${names.join(", ")} or both, found ${text}`);
  return found;
}

class Totals {
  runs = 0;
  kills = 0;
  batches = 0;
  acknowledged = 0;
  legs = 0;
  executed = 0;
  readonly states = new Map<string, number>();
  readonly faults = new Map<FaultKind, number>();

  add({ kills, batches, acknowledged, legs, executed, states, faults }: CrashOutcome): void {
    this.runs++;
    this.kills += kills;
    this.batches += batches;
    this.acknowledged += acknowledged;
    this.legs += legs;
    this.executed += executed;
    for (const state of states) this.states.set(state, (this.states.get(state) ?? 0) + 1);
    for (const { kind } of faults) this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
  }

  print(name: string): void {
    const states = [...this.states].toSorted(([a], [b]) => a.localeCompare(b)).map(([state, count]) => `${state} ${count}`).join(", ");
    const of = (kind: FaultKind): number => this.faults.get(kind) ?? 0;
    console.log(`${name}: ${this.runs} runs, ${this.kills} kills, ${this.batches} batches of ${this.legs} legs, of which the broker executed ${this.executed}; ${states}`);
    console.log(`  ${this.acknowledged} batches acknowledged before a kill, ${of("lost")} lost; ${of("twice")} legs executed twice; ${of("untrue")} reports that are not as the ledger; ${of("retry")} retries with another answer; ${of("stale")} orders that did not become as the ledger`);
  }
}

async function session(database: DatabaseName, serverUrl: string, broker: CrashBroker, seeds: readonly number[], totals: readonly Totals[]): Promise<void> {
  const made = database === "postgres" ? await newServerDatabase(serverUrl) : null;
  const opened = await CrashSession.open({ broker, databaseUrl: made?.url ?? null });
  current = opened;
  try {
    for (const seed of seeds) {
      if (performance.now() > ENDS_MS) return;
      const beganMs = performance.now();
      const outcome = await opened.run(seed, String(seed));
      for (const each of totals) each.add(outcome);
      const tookS = ((performance.now() - beganMs) / 1000).toFixed(1);
      console.log(`seed ${seed} ${database} ${broker}: ${outcome.kills} kills, ${outcome.batches} batches (${outcome.acknowledged} acknowledged), ${outcome.executed} of ${outcome.legs} legs executed, ${outcome.states.join(" ")}, ${tookS} s${outcome.faults.length === 0 ? "" : ", FAULTS:"}`);
      for (const { kind, what } of outcome.faults) console.log(`  ${kind}: ${what}`);
      if (values.verbose && outcome.faults.length > 0) console.log(opened.output);
    }
  } finally {
    current = null;
    await opened.close();
    await made?.drop();
  }
}

/** Leaves no process behind when it is interrupted. */
async function interrupted(): Promise<never> {
  await current?.close();
  if (server !== null && "stop" in server) await server.stop();
  process.exit(1);
}

let current: CrashSession | null = null;
const all = new Totals();
const server = DATABASE_NAMES.includes("postgres") ? await postgres() : null;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void interrupted());
if (server !== null && "skip" in server) throw new Error(`--database ${values.database}: ${server.skip}; choose embedded`);
try {
  let seed = SEED;
  for (const [i, database] of DATABASE_NAMES.entries()) {
    const totals = new Totals();
    const runs = Math.floor((RUNS * (i + 1)) / DATABASE_NAMES.length) - Math.floor((RUNS * i) / DATABASE_NAMES.length);
    for (let done = 0, nth = 0; done < runs; nth++) {
      const seeds = Array.from({ length: Math.min(SESSION_RUNS, runs - done) }, () => seed++);
      done += seeds.length;
      await session(database, server?.url ?? "", BROKER_NAMES[nth % BROKER_NAMES.length] ?? "ccxt", seeds, [all, totals]);
    }
    totals.print(database);
  }
} finally {
  await server?.stop();
}
all.print("all");
if (all.runs < RUNS) console.log(`NOT FINISHED: ${RUNS - all.runs} runs were not begun, because the time is over (--minutes)`);
process.exitCode = all.faults.size === 0 && all.runs === RUNS ? 0 : 1;
