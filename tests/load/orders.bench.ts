/**
 * `npm run bench:orders`: how long batches of ten orders take at the paper broker, with PGlite and with Postgres, and what
 * 20 batches a second cost those who watch quotes. How to read it: docs/orders.md.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { newServerDatabase } from "../support/server-database.ts";
import { postgres } from "../support/servers.ts";
import { median, percentile } from "./load-group.ts";
import { MixedSource } from "./mixed-source.ts";
import { type BenchServer, pin, startOurs } from "./servers.ts";
import { type Measured, SideProcess } from "./side-process.ts";
import { WatchedGroup } from "./watched-group.ts";

const HELP = `npm run bench:orders -- [options]
  --rounds N       rounds, medians are of these (default 5)
  --seconds N      of each measurement (default 10)
  --database NAME  embedded, postgres or both (default both)
  --clients N      that watch 20 topics of quotes each, 100 events a second (default 100)
  --pace N         batches a second while the stream is watched (default 20)
  --pinned         the service on processor 0 alone, the load on processor 1, as in the other benchmarks`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "10" }, database: { type: "string", default: "both" }, clients: { type: "string", default: "100" },
    pace: { type: "string", default: "20" }, pinned: { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const [ROUNDS = 1, SECONDS = 1, CLIENTS = 1, PACE = 1] = [values.rounds, values.seconds, values.clients, values.pace].map(Number);
const KEY = `tk_orders${"0".repeat(32)}`;
const TOPICS = 20;
const EVENTS_PER_S = 100;
const AT_ONCE = 8;
const RISE_MAX_PCT = 20;
const POSTER = new URL("order-poster.ts", import.meta.url).href;
const fixed = (value: number): string => value.toFixed(value < 10 ? 2 : 1);

interface Watched {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly deliveries: number;
}

class Trial {
  readonly #name: string;
  readonly #server: BenchServer;
  readonly #poster: SideProcess;
  readonly #source: MixedSource;
  readonly #group: WatchedGroup;

  constructor(name: string, server: BenchServer) {
    this.#name = name;
    this.#server = server;
    this.#poster = new SideProcess(POSTER, "ours", [`http://127.0.0.1:${server.httpPort}`, KEY]);
    this.#source = new MixedSource(server, TOPICS, 0);
    this.#group = new WatchedGroup(server, this.#source, CLIENTS);
  }

  async stop(): Promise<void> {
    this.#group.close();
    await this.#poster.stop();
  }

  async batches(): Promise<void> {
    await this.#poster.ask("stock");
    await this.#poster.ask("atOnce", 2, 3);
    for (const width of [1, AT_ONCE]) {
      const rounds: Measured[] = [];
      const cpuSeconds = this.#server.cpuSeconds();
      for (let i = 0; i < ROUNDS; i++) rounds.push(await this.#poster.ask("atOnce", width, SECONDS));
      const count = rounds.reduce((sum, { deliveries }) => sum + deliveries, 0);
      const of = (pick: (round: Measured) => number): string => fixed(median(rounds.map(pick)));
      console.log(`${this.#name}, ${width} at a time: p50 ${of(({ latencies }) => percentile(latencies, 0.5))} ms, p99 ${of(({ latencies }) => percentile(latencies, 0.99))} ms, ${
        of(({ deliveries, seconds }) => deliveries / seconds)} batches a second, ${count} batches, ${fixed(((this.#server.cpuSeconds() - cpuSeconds) / count) * 1000)} ms of processor each (all threads, market data included)`);
    }
  }

  /** Whether the rise is within the bar. */
  async stream(): Promise<boolean> {
    this.#source.send(TOPICS);
    await this.#group.open(CLIENTS);
    await this.#group.subscribe(() => Array.from({ length: TOPICS }, (_, topic) => topic));
    await this.#watched();
    const [without, during, posted]: [Watched[], Watched[], Measured[]] = [[], [], []];
    for (let i = 0; i < ROUNDS; i++) {
      without.push(await this.#watched());
      const posting = this.#poster.ask("paced", PACE, SECONDS);
      during.push(await this.#watched());
      posted.push(await posting);
    }
    const rise = (median(during.map(({ p99Ms }) => p99Ms)) / median(without.map(({ p99Ms }) => p99Ms)) - 1) * 100;
    const told = (of: readonly Watched[]): string => `p50 ${fixed(median(of.map(({ p50Ms }) => p50Ms)))} ms, p99 ${fixed(median(of.map(({ p99Ms }) => p99Ms)))} ms (${of.map(({ p99Ms }) => fixed(p99Ms)).join(", ")})`;
    console.log(`${this.#name}, stream without batches: ${told(without)}`);
    console.log(`${this.#name}, stream with ${fixed(median(posted.map(({ deliveries, seconds }) => deliveries / seconds)))} batches a second: ${told(during)}; batches p50 ${
      fixed(median(posted.map(({ latencies }) => percentile(latencies, 0.5))))} ms, p99 ${fixed(median(posted.map(({ latencies }) => percentile(latencies, 0.99))))} ms`);
    console.log(`${this.#name}, rise of the stream's p99: ${rise.toFixed(0)} % (bar: below ${RISE_MAX_PCT} %); holes ${this.#group.holes}, doubles ${this.#group.doubles}, lagging ${this.#group.laggings}`);
    return rise < RISE_MAX_PCT && this.#group.holes === 0 && this.#group.doubles === 0;
  }

  async #watched(): Promise<Watched> {
    const group = this.#group;
    group.timesMs.length = 0;
    group.isTiming = true;
    await this.#source.steady(EVENTS_PER_S, performance.now() + SECONDS * 1000);
    group.isTiming = false;
    return { p50Ms: percentile(group.timesMs, 0.5), p99Ms: percentile(group.timesMs, 0.99), deliveries: group.deliveries };
  }
}

async function trial(name: string, databaseUrl: string | null): Promise<boolean> {
  const env = { FEEDS: "sim,push", RATE_LIMITS: "off", LOG_LEVEL: "warn", ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }) };
  const server = await startOurs(1, isPinned, { env, keys: [`trade:${KEY}`] });
  const run = new Trial(name, server);
  try {
    await run.batches();
    return await run.stream();
  } finally {
    await run.stop();
    await server.stop();
  }
}

const isPinned = values.pinned && pin(process.pid, "1");
console.log(`node ${process.version}, ${ROUNDS} rounds of ${SECONDS} s, ${CLIENTS} clients; ${isPinned ? "service on processor 0, load on processor 1" : "processors not pinned"}; load average before: ${fixed(loadavg()[0] ?? 0)}`);
let isWithin = true;
if (values.database !== "postgres") isWithin = await trial("PGlite", null) && isWithin;
if (values.database !== "embedded") {
  const found = await postgres(true);
  if ("skip" in found) {
    console.log(`SKIPPED: Postgres: ${found.skip}`);
  } else {
    const made = await newServerDatabase(found.url);
    try {
      isWithin = await trial("Postgres", made.url) && isWithin;
    } finally {
      await made.drop();
      await found.stop();
    }
  }
}
console.log(`load average after: ${fixed(loadavg()[0] ?? 0)}`);
process.exitCode = isWithin ? 0 : 1;
