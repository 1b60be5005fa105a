/**
 * `npm run bench:churn`: fifty clients a second come, subscribe, stall, read on and leave; does the server stay as it was?
 *
 * Memory is compared after it has levelled off; sessions, topics and groups must be none again at the end: docs/performance-pressure.md.
 */
import { parseArgs } from "node:util";
import { median } from "./load-group.ts";
import { MixedSource } from "./mixed-source.ts";
import { type BenchServer, pin, startOurs } from "./servers.ts";
import { KINDS, type Positions, Visitor, Visits } from "./visitor.ts";

const HELP = `npm run bench:churn -- [options]
  --minutes N        length, a fraction is fine (default 5; the bar's hour: 60)
  --warm-up N        minutes until memory is first compared (default: two fifths, at most 10)
  --per-s N          visitors a second (default 50)
  --events-per-s N   of the stream, over 40 topics, 10 of them trades (default 400)
  --read N           ms that a visitor reads before it stops (default 1000)
  --stall N          ms that it does not read (default 3000)
  --wake N           ms that it reads on before it leaves (default 1500)`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" }, "warm-up": { type: "string" }, "per-s": { type: "string", default: "50" }, "events-per-s": { type: "string", default: "400" },
    read: { type: "string", default: "1000" }, stall: { type: "string", default: "3000" }, wake: { type: "string", default: "1500" }, help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const MINUTES = Number(values.minutes);
const WARM_UP_MINUTES = Number(values["warm-up"] ?? Math.min(10, MINUTES * 0.4));
const PER_S = Number(values["per-s"]);
const EVENTS_PER_S = Number(values["events-per-s"]);
const VISIT = { readMs: Number(values.read), stallMs: Number(values.stall), wakeMs: Number(values.wake) };
const TOPICS = 40;
const TRADES = 10;
/** Trades that the service keeps of a topic: sent before anything is measured, so that memory does not grow by them. */
const RING_TRADES = 4096;
const RSS_EVERY_MS = 1000;
/** Memory is the median of this share of the time, at least so many samples. */
const WINDOW_SHARE = 0.1;
const WINDOW_MIN = 15;
const RISE_MAX = 0.05;
/** How long the last connections may take to be forgotten. */
const SETTLE_MS = 10_000;
/** What must be again as it was: all gauges of the stream, but for what is kept of trades and bars. */
const GAUGE = /^(ticker_stream_\w+|nodejs_active_handles_total|nodejs_active_requests_total)(\{[^}]*\})? (\S+)$/gm;
const CHANGING = new Set(["ticker_stream_ring_bytes"]);

/** The gauges of the service by name and labels. */
async function gauges(server: BenchServer): Promise<Map<string, number>> {
  const page = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
  const kinds = new Map([...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", kind = ""]) => [name, kind]));
  const found = new Map<string, number>();
  for (const [, name = "", labels = "", value] of page.matchAll(GAUGE)) {
    if (kinds.get(name) === "gauge" && !CHANGING.has(name)) found.set(name + labels, Number(value));
  }
  return found;
}

class Churn {
  readonly #server: BenchServer;
  readonly #source: MixedSource;
  readonly visits = new Visits();
  /** Where visitors of kind 0 left, taken by those that resume. */
  readonly #left: Positions[] = [];
  readonly #failures: unknown[] = [];

  constructor(server: BenchServer, source: MixedSource) {
    this.#server = server;
    this.#source = source;
  }

  come(number: number): void {
    const from = number % KINDS === 3 ? this.#left.shift() ?? null : null;
    new Visitor(number, this.#source, this.visits).visit(this.#server, VISIT, from).then((positions) => {
      if (number % KINDS === 0) this.#left.push(positions);
    }, (error: unknown) => this.#failures.push(error));
  }

  /** @throws what a visitor met first, when connecting failed */
  check(): void {
    if (this.#failures.length > 0) throw new Error(`${this.#failures.length} visitors failed`, { cause: this.#failures[0] });
  }
}

/** Fills what is kept of trades, at a pace that the producer's socket takes. */
async function fill(source: MixedSource): Promise<void> {
  for (let sent = 0; sent < RING_TRADES * TOPICS; sent += 1000) {
    source.send(1000);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function reportMemory(rss: readonly number[]): boolean {
  const perMinute = Math.round(60_000 / RSS_EVERY_MS);
  const window = Math.max(WINDOW_MIN, Math.floor(rss.length * WINDOW_SHARE));
  const from = Math.min(Math.round(WARM_UP_MINUTES * perMinute), Math.max(0, rss.length - 2 * window));
  const mb = (value: number): string => (value / 1e6).toFixed(1);
  const minutes = Array.from({ length: Math.ceil(rss.length / perMinute) }, (_, i) => mb(median(rss.slice(i * perMinute, (i + 1) * perMinute))));
  const [early, late] = [median(rss.slice(from, from + window)), median(rss.slice(-window))];
  console.log(`resident MB by minute: ${minutes.join(" ")}`);
  console.log(`resident after ${WARM_UP_MINUTES.toFixed(1)} minutes ${mb(early)} MB, at the end ${mb(late)} MB: ${((late / early - 1) * 100).toFixed(1)} %; bar within ${RISE_MAX * 100} %`);
  return late / early - 1 <= RISE_MAX;
}

function reportGauges(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): boolean {
  const changed = [...after].filter(([name, value]) => (before.get(name) ?? 0) !== value);
  console.log(`gauges compared: ${after.size}; not as they were before: ${changed.length === 0 ? "none" : changed.map(([name, value]) => `${name} ${before.get(name) ?? 0} -> ${value}`).join(", ")}; bar none`);
  return changed.length === 0;
}

async function churn(server: BenchServer): Promise<boolean> {
  const source = new MixedSource(server, TOPICS, TRADES);
  await fill(source);
  const before = await gauges(server);
  const churn = new Churn(server, source);
  const rss: number[] = [];
  const start = performance.now();
  let number = 0;
  const arrivals = setInterval(() => {
    for (const due = ((performance.now() - start) * PER_S) / 1000; number < due;) churn.come(number++);
  }, 20);
  const samples = setInterval(() => rss.push(server.rss()), RSS_EVERY_MS);
  const cpu = server.cpuSeconds();
  await source.steady(EVENTS_PER_S, start + MINUTES * 60_000);
  const seconds = (performance.now() - start) / 1000;
  const cpuShare = (server.cpuSeconds() - cpu) / seconds;
  clearInterval(arrivals);
  clearInterval(samples);
  const { visits } = churn;
  for (const end = performance.now() + SETTLE_MS; visits.ended < visits.begun && performance.now() < end;) await new Promise((resolve) => setTimeout(resolve, 100));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  churn.check();
  console.log(`${visits.begun} visits in ${seconds.toFixed(0)} s, ${visits.ended} ended, ${visits.cut} cut short by the server; ${Math.round(visits.messages / seconds).toLocaleString("en")} messages a second; processor of the server ${(cpuShare * 100).toFixed(0)} %`);
  console.log(`met: ${[...visits.controls].filter(([what]) => what !== "heartbeat").map(([what, count]) => `${what} ${count.toLocaleString("en")}`).join(", ")}`);
  const isBack = reportGauges(before, await gauges(server));
  return reportMemory(rss) && isBack && visits.cut === 0 && visits.ended === visits.begun;
}

const isPinned = pin(process.pid, "1");
console.log(`node ${process.version}, ${PER_S} visitors a second for ${MINUTES} minutes; ${isPinned ? "server on processor 0, load on processor 1" : "processors not pinned"}`);
const server = await startOurs(1, isPinned);
try {
  const isGood = await churn(server);
  console.log(isGood ? "as it was" : "NOT AS IT WAS");
  process.exitCode = isGood ? 0 : 1;
} finally {
  await server.stop();
}
