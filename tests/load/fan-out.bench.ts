/**
 * `npm run bench`: what a delivered message costs, against a bare uWebSockets.js publish loop that sends the same bytes.
 *
 * Both servers run side by side and are loaded in turn, so that a ratio compares the same minute of a shared machine.
 * How to read it: docs/performance.md.
 */
import { parseArgs } from "node:util";
import { LoadGroup, median, percentile } from "./load-group.ts";
import { type BenchServer, pin, startBare, startOurs } from "./servers.ts";

const HELP = `npm run bench -- [options]
  --rounds N       rounds of each scenario (default 6; medians are of these)
  --seconds N      length of one measurement (default 2)
  --clients N      connections (default 1000)
  --workers N      fan-out threads of ours, loops of the bare server (default 1)
  --only NAMES     comma-separated: hot,portfolio,bursts,saturated,latency,memory
  --memory-clients N   connections of the memory scenario (default 5000)
  --bare-without-pings the bare loop never pings its clients (docs/performance.md says what that changes)`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "6" }, seconds: { type: "string", default: "2" }, clients: { type: "string", default: "1000" },
    workers: { type: "string", default: "1" }, only: { type: "string", default: "hot,portfolio,bursts,saturated,latency,memory" },
    "memory-clients": { type: "string", default: "5000" }, "bare-without-pings": { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const CLIENTS = Number(values.clients);
const WORKERS = Number(values.workers);
const ONLY = new Set(values.only.split(","));
const SYMBOLS = 100;
const HELD = 20;
const IN_FLIGHT = 64;
const BURST = 25;
/** Deliveries a second of the latency scenario. */
const STEADY_DELIVERIES = 100_000;

interface Measured {
  /** Processor microseconds of the server per delivered message. */
  readonly cpuMicros: number;
  readonly deliveriesPerS: number;
  readonly latencies: readonly number[];
}

/** Next sequence of each symbol of a server: both count alike. */
class Source {
  readonly #sequences = new Map<number, number>();
  readonly #server: BenchServer;
  sentAt: Map<number, number> | null = null;

  constructor(server: BenchServer) {
    this.#server = server;
  }

  send(symbols: readonly number[]): void {
    const now = performance.now();
    this.#server.send(symbols.map((symbol) => {
      const seq = (this.#sequences.get(symbol) ?? 0) + 1;
      this.#sequences.set(symbol, seq);
      this.sentAt?.set(symbol * 1e7 + seq, now);
      return { symbol, seq };
    }));
  }
}

interface Side {
  readonly server: BenchServer;
  readonly source: Source;
  group: LoadGroup;
}

async function measure(side: Side, run: (until: number) => Promise<void>): Promise<Measured> {
  const { server, group, source } = side;
  source.sentAt = group.sentAt = new Map();
  group.latencies.length = 0;
  const deliveries = group.deliveries;
  const cpu = server.cpuSeconds();
  const start = performance.now();
  await run(start + SECONDS * 1000);
  const seconds = (performance.now() - start) / 1000;
  const delivered = group.deliveries - deliveries;
  const latencies = [...group.latencies];
  const cpuMicros = ((server.cpuSeconds() - cpu) * 1e6) / delivered;
  source.sentAt = group.sentAt = null;
  return { cpuMicros, deliveriesPerS: delivered / seconds, latencies };
}

/** Sends `count` events together, waits until all of them are everywhere, again. */
async function closedLoop(side: Side, count: number, symbols: number, fanOut: number, until: number): Promise<void> {
  for (let next = 0; performance.now() < until;) {
    const some = Array.from({ length: count }, () => next++ % symbols);
    const done = side.group.delivered(count * fanOut);
    side.source.send(some);
    await done;
  }
}

/** Keeps 64 events of one symbol in flight, as seen by the first client. */
async function saturated(side: Side, until: number): Promise<void> {
  const { group, source } = side;
  const before = group.deliveries;
  let sent = IN_FLIGHT;
  await new Promise<void>((resolve) => {
    group.onFirst = (messages) => {
      if (performance.now() < until) {
        sent += messages;
        source.send(Array.from({ length: messages }, () => 0));
      } else {
        group.onFirst = null;
        resolve();
      }
    };
    source.send(Array.from({ length: IN_FLIGHT }, () => 0));
  });
  const rest = sent * CLIENTS - (group.deliveries - before);
  if (rest > 0) await group.delivered(rest);
}

/** So many deliveries a second, whoever is how late. */
async function steady(side: Side, until: number): Promise<void> {
  const everyMs = (CLIENTS / STEADY_DELIVERIES) * 1000;
  const before = side.group.deliveries;
  let sent = 0;
  for (let due = performance.now(); due < until; due += everyMs) {
    while (performance.now() < due) await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now() - 0.5)));
    side.source.send([0]);
    sent++;
  }
  const rest = sent * CLIENTS - (side.group.deliveries - before);
  if (rest > 0) await side.group.delivered(rest);
}

function line(cells: readonly string[]): void {
  console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(12) : cell.padStart(11))).join(" "));
}

async function scenario(name: string, bar: string, sides: readonly [Side, Side], run: (side: Side, until: number) => Promise<void>): Promise<void> {
  if (!ONLY.has(name)) return;
  const ours: Measured[] = [];
  const bare: Measured[] = [];
  for (const side of sides) await run(side, performance.now() + 500);
  for (let round = 0; round < ROUNDS; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      (side.server.name === "ours" ? ours : bare).push(await measure(side, (until) => run(side, until)));
    }
  }
  const ratios = ours.map((o, i) => o.cpuMicros / (bare[i]?.cpuMicros ?? Number.NaN));
  for (const [label, all] of [["ours", ours], ["bare", bare]] as const) {
    const latencies = all.flatMap((m) => m.latencies);
    line([name, label, median(all.map((m) => m.cpuMicros)).toFixed(3), Math.round(median(all.map((m) => m.deliveriesPerS))).toLocaleString("en"),
      ...[0.5, 0.99, 0.999].map((p) => percentile(latencies, p).toFixed(2)),
      ...(label === "ours" ? [median(ratios).toFixed(2), `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`, bar] : [])]);
  }
}

async function speed(): Promise<void> {
  const isPinned = WORKERS === 1 && pin(process.pid, "1");
  console.log(isPinned ? "servers on processor 0, load on processor 1" : "processors not pinned");
  const sides: [Side, Side] = [await sideOf(await startOurs(WORKERS, isPinned)), await sideOf(await startBare(WORKERS, isPinned, !values["bare-without-pings"]))];
  try {
    line(["scenario", "server", "CPU us/msg", "msgs/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU ratio", "min-max", "bar"]);
    for (const side of sides) await fresh(side, () => [0]);
    await scenario("hot", WORKERS === 1 ? "<= 1.05" : "<= 1.10", sides, (side, until) => closedLoop(side, 1, 1, CLIENTS, until));
    await scenario("saturated", "<= 0.70", sides, saturated);
    await scenario("latency", "p99 +3 ms", sides, steady);
    for (const side of sides) await fresh(side, (client) => Array.from({ length: HELD }, (_, i) => (client * 7 + i * (SYMBOLS / HELD)) % SYMBOLS));
    await scenario("portfolio", WORKERS === 1 ? "<= 1.10" : "<= 1.20", sides, (side, until) => closedLoop(side, 1, SYMBOLS, (CLIENTS * HELD) / SYMBOLS, until));
    await scenario("bursts", "<= 1.00", sides, (side, until) => closedLoop(side, BURST, SYMBOLS, (CLIENTS * HELD) / SYMBOLS, until));
  } finally {
    for (const side of sides) {
      side.group.close();
      await side.server.stop();
    }
  }
}

async function sideOf(server: BenchServer): Promise<Side> {
  const side: Side = { server, source: new Source(server), group: new LoadGroup(server) };
  side.source.send(Array.from({ length: SYMBOLS }, (_, i) => i));
  return side;
}

/** New connections with another set of symbols. */
async function fresh(side: Side, symbolsOf: (client: number) => readonly number[]): Promise<void> {
  side.group.close();
  side.group = new LoadGroup(side.server);
  await side.group.open(CLIENTS);
  await side.group.subscribe(symbolsOf);
}

async function memory(): Promise<void> {
  if (!ONLY.has("memory")) return;
  const clients = Number(values["memory-clients"]);
  for (const start of [() => startOurs(WORKERS), () => startBare(WORKERS)]) {
    const side = await sideOf(await start());
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const empty = side.server.rss();
    await side.group.open(clients);
    await side.group.subscribe((client) => Array.from({ length: HELD }, (_, i) => (client * 7 + i * (SYMBOLS / HELD)) % SYMBOLS));
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const full = side.server.rss();
    console.log(`memory       ${side.server.name}: ${((full - empty) / clients / 1000).toFixed(2)} kB resident per connection with ${HELD} topics (${clients} connections, empty ${(empty / 1e6).toFixed(0)} MB, full ${(full / 1e6).toFixed(0)} MB)${side.server.name === "ours" ? "; bar 7 kB" : ""}`);
    side.group.close();
    await side.server.stop();
  }
}

console.log(`node ${process.version}, ${CLIENTS} clients, workers ${WORKERS}, ${ROUNDS} rounds of ${SECONDS} s a side, medians; ratios are of pairs`);
if (["hot", "portfolio", "bursts", "saturated", "latency"].some((name) => ONLY.has(name))) await speed();
await memory();
