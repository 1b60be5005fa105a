/**
 * `npm run crash:settings -- --runs N`: kills the process in the middle of 200 concurrent changes, N times at random moments,
 * and prints what came of it. With TEST_DATABASE_URL every second run is on that Postgres server.
 */
import { parseArgs } from "node:util";
import { newServerDatabase } from "../support/server-database.ts";
import { type CrashOutcome, crashRun } from "../support/settings-crash.ts";

const CHANGES = 200;

const { values } = parseArgs({ options: { runs: { type: "string", default: "20" } } });
const runs = Number(values.runs);
if (!Number.isSafeInteger(runs) || runs < 1) throw new Error(`--runs: expected a whole number from 1, found ${values.runs}`);
const serverUrl = process.env["TEST_DATABASE_URL"] ?? "";

async function onServer(killAfter: number): Promise<CrashOutcome> {
  const { url, drop } = await newServerDatabase(serverUrl);
  try {
    return await crashRun(CHANGES, killAfter, url);
  } finally {
    await drop();
  }
}

let acknowledged = 0;
let revisions = 0;
let faulty = 0;
for (let run = 1; run <= runs; run++) {
  const killAfter = 1 + Math.floor(Math.random() * CHANGES);
  const isServer = serverUrl !== "" && run % 2 === 0;
  const outcome = await (isServer ? onServer(killAfter) : crashRun(CHANGES, killAfter, null));
  acknowledged += outcome.acknowledged;
  revisions += outcome.revision;
  if (outcome.faults.length > 0) faulty++;
  console.log(`run ${run} ${isServer ? "postgres" : "embedded"}: killed after ${killAfter} answers, ${outcome.acknowledged} changes acknowledged, revision ${outcome.revision} after the restart, ${outcome.faults.length === 0 ? "all agree" : outcome.faults.join("; ")}`);
}
console.log(`${runs} kills, ${acknowledged} changes acknowledged, ${revisions} found after the restart, ${faulty} runs with a fault`);
process.exitCode = faulty === 0 ? 0 : 1;
