/**
 * `npm run bench:slow`: what a hundred clients that stop reading cost the others and the server, and what they find on waking.
 *
 * Ours and the bare publish loop are loaded one after the other with the same events. How to read it: docs/performance-pressure.md.
 */
import { parseArgs } from "node:util";
import { median, percentile } from "./load-group.ts";
import { MixedSource } from "./mixed-source.ts";
import { type BenchServer, pin, startBare, startOurs } from "./servers.ts";
import { WatchedGroup } from "./watched-group.ts";

const HELP = `npm run bench:slow -- [options]
  --rounds N         stalls, one after the other, medians are of these (default 3)
  --before N         seconds measured before each stall (default 20)
  --stall N          seconds that the slow clients do not read (default 20)
  --after N          seconds measured after each (default 15)
  --warm-up N        seconds before anything is measured (default 20)
  --streams NAMES    comma-separated: slow,fast (default both); a tenth of the clients stall
                     slow: 100 events a second to each client (20 kB/s)
                     fast: 4,350 events a second to each (about 870 kB/s)
  --clients N        of the slow stream (default 1000)
  --fast-clients N   of the fast stream (default 100)
  --bare-rounds N    rounds of the bare loop, for comparison (default 1; 0: none)`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" }, before: { type: "string", default: "20" }, stall: { type: "string", default: "20" },
    after: { type: "string", default: "15" }, "warm-up": { type: "string", default: "20" }, streams: { type: "string", default: "slow,fast" },
    clients: { type: "string", default: "1000" }, "fast-clients": { type: "string", default: "100" },
    "bare-rounds": { type: "string", default: "1" }, help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const [ROUNDS, BEFORE, STALL, AFTER, WARM_UP] = [values.rounds, values.before, values.stall, values.after, values["warm-up"]].map(Number);
const BARE_ROUNDS = Number(values["bare-rounds"]);
/** Topics that are trades; the others are quotes. */
const TRADES = 1;
/** One in so many stalls. */
const STALLING = 10;
const RSS_EVERY_MS = 250;
/** How long everybody may take to hold everything once nothing is sent any more. */
const SETTLE_MS = 10_000;

interface Stream {
  readonly name: string;
  readonly clients: number;
  readonly eventsPerS: number;
  /** Held by every client. */
  readonly topics: number;
  /** What may be read of the old stream. */
  readonly oldMax: string;
}

/** The fast one has so many trades in 20 s that not all are kept: the rest must be told as gaps. */
const STREAMS: readonly Stream[] = [
  { name: "slow", clients: Number(values.clients), eventsPerS: 100, topics: 20, oldMax: "3 s" },
  { name: "fast", clients: Number(values["fast-clients"]), eventsPerS: 4350, topics: 10, oldMax: "2 MB" },
];

interface Period {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Median of the p99s of single seconds: what is left when other work on the machine disturbs a few of them. */
  readonly p99OfSecondsMs: number;
  /** Bytes resident, all samples. */
  readonly rss: readonly number[];
  readonly cpuShare: number;
  /** Bytes a second that one client read. */
  readonly bytesPerS: number;
}

interface Round {
  readonly before: Period;
  readonly during: Period;
  readonly after: Period;
  readonly oldBytes: readonly number[];
  readonly tookMs: readonly number[];
  readonly neverFresh: number;
}

class Trial {
  readonly server: BenchServer;
  readonly stream: Stream;
  readonly source: MixedSource;
  readonly group: WatchedGroup;

  constructor(server: BenchServer, stream: Stream) {
    this.server = server;
    this.stream = stream;
    this.source = new MixedSource(server, stream.topics, TRADES);
    this.group = new WatchedGroup(server, this.source, stream.clients);
  }

  async open(): Promise<void> {
    this.source.send(this.stream.topics);
    await this.group.open(this.stream.clients);
    await this.group.subscribeAll();
    for (let i = this.stream.clients - Math.ceil(this.stream.clients / STALLING); i < this.stream.clients; i++) this.group.wakings.set(i, null);
  }

  async period(seconds: number): Promise<Period> {
    const { group, server, source, stream } = this;
    const rss: number[] = [];
    const marks: number[] = [0];
    const timer = setInterval(() => {
      if (rss.push(server.rss()) % (1000 / RSS_EVERY_MS) === 0) marks.push(group.timesMs.length);
    }, RSS_EVERY_MS);
    group.timesMs.length = 0;
    group.isTiming = true;
    const [bytes, cpu, start] = [group.bytesOfFirst, server.cpuSeconds(), performance.now()];
    await source.steady(stream.eventsPerS, start + seconds * 1000);
    const took = (performance.now() - start) / 1000;
    group.isTiming = false;
    clearInterval(timer);
    return {
      p50Ms: percentile(group.timesMs, 0.5), p99Ms: percentile(group.timesMs, 0.99), rss,
      p99OfSecondsMs: median(marks.slice(1).map((to, i) => percentile(group.timesMs.slice(marks[i], to), 0.99))),
      cpuShare: (server.cpuSeconds() - cpu) / took, bytesPerS: (group.bytesOfFirst - bytes) / took,
    };
  }

  async round(): Promise<Round> {
    const { group } = this;
    for (const index of group.wakings.keys()) group.wakings.set(index, null);
    const before = await this.period(BEFORE ?? 0);
    for (const index of group.wakings.keys()) group.clients[index]?.pause();
    const during = await this.period(STALL ?? 0);
    group.wake();
    const after = await this.period(AFTER ?? 0);
    const wakings = [...group.wakings.values()].filter((waking) => waking !== null);
    return {
      before, during, after, oldBytes: wakings.map((waking) => waking.oldBytes),
      tookMs: wakings.map((waking) => waking.tookMs).filter((ms) => !Number.isNaN(ms)), neverFresh: wakings.filter((waking) => waking.missing > 0).length,
    };
  }

  /** Nothing is sent any more: everybody comes to hold everything. */
  async settle(): Promise<void> {
    const end = performance.now() + SETTLE_MS;
    while (this.group.behind() > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function row(what: string, ours: string, bare: string, bar: string): void {
  console.log(`${what.padEnd(46)} ${ours.padStart(22)} ${bare.padStart(22)}   ${bar}`);
}

const MB = 1e6;
const fixed = (value: number, digits: number): string => (Number.isFinite(value) ? value.toFixed(digits) : "-");
const of = (rounds: readonly Round[], pick: (round: Round) => number): number => median(rounds.map(pick));
const rise = (from: number, to: number): number => (to / from - 1) * 100;
const worst = (values: readonly number[]): number => values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
const range = (rounds: readonly Round[], pick: (round: Round) => number): string =>
  rounds.length < 2 ? "" : ` (${rounds.map((round) => fixed(pick(round), Math.abs(pick(round)) < 10 ? 1 : 0)).join(", ")})`;

function report(stream: Stream, ours: readonly Round[], bare: readonly Round[]): void {
  const both = (what: string, bar: string, pick: (round: Round) => number, digits = 2, isDetailed = false): void => {
    row(what, fixed(of(ours, pick), digits) + (isDetailed ? range(ours, pick) : ""), fixed(of(bare, pick), digits), bar);
  };
  /** What may at most be: of all rounds. */
  const most = (what: string, bar: string, pick: (round: Round) => number, digits = 0): void => {
    row(what, fixed(worst(ours.map(pick)), digits) + range(ours, pick), fixed(worst(bare.map(pick)), digits), bar);
  };
  row(`${stream.name}: ${stream.clients} clients, ${Math.ceil(stream.clients / STALLING)} stall`, "ours", "bare", "bar");
  both("kB/s of a client", "", (round) => round.before.bytesPerS / 1000, 1);
  both("deliveries a second", "", () => stream.clients * stream.eventsPerS, 0);
  both("processor of the server, before, %", "", (round) => round.before.cpuShare * 100, 0);
  both("p50 ms of the others, before", "", (round) => round.before.p50Ms);
  both("p50 ms, during", "", (round) => round.during.p50Ms);
  both("p99 ms of the others, before", "", (round) => round.before.p99Ms);
  both("p99 ms, during", "", (round) => round.during.p99Ms);
  both("p99 ms, after", "", (round) => round.after.p99Ms);
  both("rise of p99 while they stall, %", "< 20", (round) => rise(round.before.p99Ms, round.during.p99Ms), 0, true);
  both("p99 ms of the median second, before", "", (round) => round.before.p99OfSecondsMs);
  both("p99 ms of the median second, during", "", (round) => round.during.p99OfSecondsMs);
  both("rise of the median second's p99, %", "< 20", (round) => rise(round.before.p99OfSecondsMs, round.during.p99OfSecondsMs), 0, true);
  both("resident MB, before", "", (round) => median(round.before.rss) / MB, 1);
  both("resident MB, during: rise of the highest", "< 30", (round) => (worst(round.during.rss) - median(round.before.rss)) / MB, 1, true);
  both("resident MB, last third after: rise", "returns", (round) => (median(round.after.rss.slice(-Math.ceil(round.after.rss.length / 3))) - median(round.before.rss)) / MB, 1, true);
  both("old stream read on waking, median kB", "", (round) => median(round.oldBytes) / 1000, 0);
  most("old stream read on waking, most, kB", stream.oldMax === "2 MB" ? "<= 2000" : "", (round) => worst(round.oldBytes) / 1000);
  most("the same, seconds of the stream", stream.oldMax === "3 s" ? "<= 3" : "", (round) => worst(round.oldBytes) / round.before.bytesPerS, 2);
  both("ms until all newest values, median", "", (round) => median(round.tookMs), 0);
  most("ms until all newest values, slowest", "<= 1000", (round) => worst(round.tookMs));
  most("clients that never got there", "0", (round) => round.neverFresh);
}

/** Whether the books are right. */
function account({ group, stream, server }: Trial): boolean {
  const isBalanced = group.counted + group.folded + group.lost === group.distance();
  const number = (value: number): string => value.toLocaleString("en");
  console.log(`  ${server.name}: ${number(group.counted)} delivered + ${number(group.folded)} folded + ${number(group.lost)} in gaps ${isBalanced ? "=" : "IS NOT"} ${
    number(group.distance())} by seq; missed without a word ${number(group.holes)}, twice ${group.doubles}, behind at the end ${group.behind()}; lagging ${group.laggings}, caught_up ${
    group.caughtUps}, of which disagree ${group.disagreements}; lagging though they read ${group.laggingsOfOthers}`);
  if (server.name === "bare") return true;
  return isBalanced && group.holes === 0 && group.doubles === 0 && group.behind() === 0 && group.disagreements === 0 && group.laggings === group.caughtUps && group.snapshots === stream.clients * (stream.topics - TRADES);
}

async function trial(server: BenchServer, stream: Stream, rounds: number): Promise<{ readonly rounds: Round[]; readonly trial: Trial }> {
  const trial = new Trial(server, stream);
  try {
    await trial.open();
    await trial.period(WARM_UP ?? 0);
    const done: Round[] = [];
    for (let i = 0; i < rounds; i++) done.push(await trial.round());
    await trial.settle();
    return { rounds: done, trial };
  } finally {
    trial.group.close();
    await server.stop();
  }
}

const isPinned = pin(process.pid, "1");
console.log(`node ${process.version}, ${ROUNDS} rounds: ${BEFORE} s before, ${STALL} s stalled, ${AFTER} s after; ${isPinned ? "server on processor 0, load on processor 1" : "processors not pinned"}`);
let isRight = true;
for (const stream of STREAMS.filter(({ name }) => values.streams.split(",").includes(name))) {
  const ours = await trial(await startOurs(1, isPinned), stream, ROUNDS ?? 0);
  const bare = BARE_ROUNDS > 0 ? await trial(await startBare(1, isPinned), stream, BARE_ROUNDS) : null;
  report(stream, ours.rounds, bare?.rounds ?? []);
  isRight = account(ours.trial) && isRight;
  if (bare) account(bare.trial);
}
console.log(isRight ? "every event is accounted for" : "THE BOOKS OF OURS ARE WRONG");
process.exitCode = isRight ? 0 : 1;
