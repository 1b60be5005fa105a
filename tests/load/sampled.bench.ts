/**
 * `npm run bench:sampled`: what 10,000 sampled dashboards cost, against a bare loop that publishes the same frames; how late they are.
 *
 * The bare loop is told each sample by its producer, all in one write; ours makes them from a stream: docs/performance-pressure.md.
 */
import { parseArgs } from "node:util";
import { nextBoundaryMs, PHASES, setOf } from "../../src/fanout/sampling-grid.ts";
import { LoadGroup, median, percentile } from "./load-group.ts";
import type { RawClient } from "./raw-client.ts";
import { type BenchServer, pin, startBare, startOurs } from "./servers.ts";
import { type Measured, NOTHING, serveSide, SideProcess } from "./side-process.ts";

const HELP = `npm run bench:sampled -- [options]
  --rounds N         rounds, medians are of these (default 6)
  --seconds N        length of one measurement (default 5)
  --clients N        connections of each side (default 10000)
  --events-per-s N   of our stream, over 100 instruments (default 1000: each moves 2.5 times between two samples)
  --bare-phases N    the bare loop's clients in so many groups, served in turn (1 or 10; default 1: all in one turn)
  --ours-on-both     both sides are ours: how far from 1 are ratios of equals on this machine?`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "6" }, seconds: { type: "string", default: "5" }, clients: { type: "string", default: "10000" },
    "events-per-s": { type: "string", default: "1000" }, "bare-phases": { type: "string", default: "1" }, "ours-on-both": { type: "boolean", default: false },
    side: { type: "string" }, "is-ours": { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const CLIENTS = Number(values.clients);
const EVENTS_PER_S = Number(values["events-per-s"]);
const BARE_PHASES = Number(values["bare-phases"]);
const EVERY_MS = 250;
const SYMBOLS = 100;
const HELD = 20;
const PINGS_PER_S_MAX = 2000;
const WARM_UP_S = 3;
/** Without clients: what taking in the stream costs. */
const INGEST_S = 5;
const TURN_MS = 10;
/** Of every so many-th client the arrivals are timed; prime, so that it meets all phases. */
const TIMED_EVERY = 11;
/** The first clients of all phases come this much ahead of the others, to learn the grid of boundaries from. */
const CALIBRATION_MS = 4000;
/** On an idle server most frames are late by less; otherwise the phases are not what this benchmark takes them for. */
const CALIBRATION_FIT_MS = 5;
/** A frame that is read this much before it is due, by that grid, was read when due. */
const EARLY_MS = 5;

/** Counts as its parent does, and times arrivals. */
class TimedGroup extends LoadGroup {
  /** 0: no client's arrivals are timed. */
  timedEvery = 0;
  readonly atMs: number[] = [];
  readonly phases: number[] = [];

  override data(client: RawClient, payload: Buffer, from: number, to: number): void {
    super.data(client, payload, from, to);
    if (this.timedEvery === 0 || client.index % this.timedEvery !== 0) return;
    this.atMs.push(performance.now());
    this.phases.push(client.index % PHASES);
  }
}

/** In the load process: a server with its clients. */
class Side {
  readonly #server: BenchServer;
  readonly #group: TimedGroup;
  readonly #sequences: number[] = [];
  readonly #sentMs: number[] = [];
  /** A boundary of the phase without offset, on this process' clock. */
  #originMs = 0;
  #next = 0;

  constructor(server: BenchServer) {
    this.#server = server;
    this.#group = new TimedGroup(server);
  }

  /** The stream with nobody to hear it. */
  async ingest(): Promise<Measured> {
    if (this.#server.name === "bare") return NOTHING;
    this.#send(Array.from({ length: SYMBOLS }, (_, symbol) => symbol));
    await this.#stream(performance.now() + 2000);
    const [cpu, start] = [this.#server.cpuSeconds(), performance.now()];
    await this.#stream(start + INGEST_S * 1000);
    return { ...NOTHING, cpuSeconds: this.#server.cpuSeconds() - cpu, seconds: (performance.now() - start) / 1000 };
  }

  /** In turn: the service gives phases in turn, so that a client's phase is known by its number. */
  async open(): Promise<Measured> {
    const group = this.#group;
    await group.open(CLIENTS);
    const symbolsOf = (client: number): number[] => {
      const phase = this.#server.name === "bare" ? client % BARE_PHASES : 0;
      return Array.from({ length: HELD }, (_, i) => phase * SYMBOLS + ((client * 7 + i * (SYMBOLS / HELD)) % SYMBOLS));
    };
    if (this.#server.name === "bare") {
      await group.subscribe(symbolsOf);
    } else {
      await group.subscribeInTurn(symbolsOf, { every_ms: EVERY_MS }, group.clients.slice(0, PHASES));
      await this.#calibrate();
      await group.subscribeInTurn(symbolsOf, { every_ms: EVERY_MS }, group.clients.slice(PHASES));
    }
    return NOTHING;
  }

  /** Latencies are p50, p99 and p99.9 from due to read, of all timed frames. */
  async measure(seconds: number): Promise<Measured> {
    const [group, server] = [this.#group, this.#server];
    group.atMs.length = group.phases.length = this.#sentMs.length = 0;
    group.timedEvery = TIMED_EVERY;
    const [deliveries, cpu, start] = [group.deliveries, server.cpuSeconds(), performance.now()];
    await (server.name === "ours" ? this.#stream(start + seconds * 1000) : this.#samples(start + seconds * 1000));
    const measured = { cpuSeconds: server.cpuSeconds() - cpu, deliveries: group.deliveries - deliveries, seconds: (performance.now() - start) / 1000 };
    group.timedEvery = 0;
    const lateness = server.name === "ours" ? this.#sinceDue() : this.#sinceSent();
    return { ...measured, latencies: [0.5, 0.99, 0.999].map((p) => percentile(lateness, p)) };
  }

  async stop(): Promise<void> {
    this.#group.close();
    await this.#server.stop();
  }

  /** Events at a steady rate, instrument after instrument. */
  async #stream(untilMs: number): Promise<void> {
    let owed = 0;
    for (let dueMs = performance.now(); dueMs < untilMs; dueMs += TURN_MS) {
      await until(dueMs);
      owed += (EVENTS_PER_S * TURN_MS) / 1000;
      const count = Math.floor(owed);
      owed -= count;
      if (count > 0) this.#send(Array.from({ length: count }, () => this.#next++ % SYMBOLS));
    }
  }

  /** What the bare loop is told: every sample, when it is due. */
  async #samples(untilMs: number): Promise<void> {
    let turn = 0;
    for (let dueMs = performance.now(); dueMs < untilMs; dueMs += EVERY_MS / BARE_PHASES) {
      await until(dueMs);
      const phase = turn++ % BARE_PHASES;
      this.#sentMs.push(performance.now());
      this.#send(Array.from({ length: SYMBOLS }, (_, symbol) => phase * SYMBOLS + symbol));
    }
    await until(untilMs);
  }

  #send(symbols: readonly number[]): void {
    this.#server.send(symbols.map((symbol) => {
      const seq = (this.#sequences[symbol] ?? 0) + 1;
      this.#sequences[symbol] = seq;
      return { symbol, seq };
    }));
  }

  /**
   * The grid of boundaries is the server clock's, which differs from ours by an unknown time. One client of each phase on a server
   * that does nothing else tells it, to about a millisecond.
   */
  async #calibrate(): Promise<void> {
    const group = this.#group;
    group.timedEvery = 1;
    await this.#stream(performance.now() + CALIBRATION_MS);
    group.timedEvery = 0;
    // Around the first place, so that the median is not torn apart where an interval ends and the next begins.
    const [first = 0] = this.#places();
    const shifts = this.#places().map((place) => modulo(place - first + EVERY_MS / 2) - EVERY_MS / 2);
    this.#originMs = first + percentile(shifts, 0.05);
    const spread = percentile(shifts, 0.75) - percentile(shifts, 0.05);
    if (spread > CALIBRATION_FIT_MS) console.warn(`the machine is busy, or phases are not what they are taken for: three quarters of the first frames are within ${spread.toFixed(1)} ms, lateness is right to that only`);
  }

  /** Of every timed arrival: when in an interval, were its phase the first. */
  #places(): number[] {
    const offsets = Array.from({ length: PHASES }, (_, phase) => nextBoundaryMs(setOf(EVERY_MS, phase), 0));
    return this.#group.atMs.map((at, i) => modulo(at - (offsets[this.#group.phases[i] ?? 0] ?? 0)));
  }

  /** From due to read. */
  #sinceDue(): number[] {
    return this.#places().map((place) => Math.max(0, modulo(place - this.#originMs + EARLY_MS) - EARLY_MS));
  }

  /** From the write of the bare loop's producer to the read. */
  #sinceSent(): number[] {
    const { atMs, phases } = this.#group;
    const lateness: number[] = [];
    const newest = Array.from({ length: BARE_PHASES }, () => -1);
    for (const [i, at] of atMs.entries()) {
      const phase = (phases[i] ?? 0) % BARE_PHASES;
      let turn = newest[phase] ?? -1;
      for (let next = turn < 0 ? phase : turn + BARE_PHASES; (this.#sentMs[next] ?? Number.POSITIVE_INFINITY) <= at; next += BARE_PHASES) turn = next;
      newest[phase] = turn;
      if (turn >= 0) lateness.push(at - (this.#sentMs[turn] ?? at));
    }
    return lateness;
  }
}

/** Place within the interval. */
function modulo(ms: number): number {
  return ((ms % EVERY_MS) + EVERY_MS) % EVERY_MS;
}

async function until(dueMs: number): Promise<void> {
  while (performance.now() < dueMs) await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now() - 0.5)));
}

async function beSide(isOurs: boolean): Promise<void> {
  const isPinned = pin(process.pid, "1");
  const side = new Side(isOurs ? await startOurs(1, isPinned) : await startBare(1, isPinned, true, PINGS_PER_S_MAX));
  serveSide({ ingest: () => side.ingest(), open: () => side.open(), measure: ([seconds = 0]) => side.measure(seconds) }, () => side.stop());
}

const microsOf = ({ cpuSeconds, deliveries }: Measured): number => (cpuSeconds * 1e6) / deliveries;

function report(label: string, measured: readonly Measured[], rest: readonly string[]): void {
  const cells = [median(measured.map(microsOf)).toFixed(3), Math.round(median(measured.map((m) => m.deliveries / m.seconds))).toLocaleString("en"),
    ...[0, 1, 2].map((i) => median(measured.map((m) => m.latencies[i] ?? Number.NaN)).toFixed(1)), ...rest];
  console.log([label.padEnd(8), ...cells.map((cell) => cell.padStart(12))].join(" "));
}

async function compare(): Promise<void> {
  const passed = ["clients", "events-per-s", "bare-phases"] as const;
  const options = passed.flatMap((name) => [`--${name}`, values[name]]);
  const ours = new SideProcess(import.meta.url, "ours", [...options, "--is-ours"]);
  const other = new SideProcess(import.meta.url, "bare", values["ours-on-both"] ? [...options, "--is-ours"] : options);
  try {
    const ingest = await ours.ask("ingest");
    await other.ask("ingest");
    const all = new Map<SideProcess, Measured[]>([[ours, []], [other, []]]);
    for (const side of all.keys()) await side.ask("open");
    for (const side of all.keys()) await side.ask("measure", WARM_UP_S);
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of round % 2 === 0 ? [ours, other] : [other, ours]) all.get(side)?.push(await side.ask("measure", SECONDS));
    }
    const [mine = [], theirs = []] = all.values();
    const ingestPerS = ingest.cpuSeconds / ingest.seconds;
    const ratios = mine.map((m, i) => microsOf(m) / microsOf(theirs[i] ?? NOTHING));
    const sending = mine.map((m, i) => microsOf({ ...m, cpuSeconds: m.cpuSeconds - ingestPerS * m.seconds }) / microsOf(theirs[i] ?? NOTHING));
    console.log(["".padEnd(8), ...["CPU us/msg", "msgs/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU ratio", "min-max"].map((cell) => cell.padStart(12))].join(" "));
    report("ours", mine, [median(ratios).toFixed(3), `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`]);
    report(values["ours-on-both"] ? "ours too" : "bare", theirs, []);
    console.log(`bars: CPU ratio <= 1.10, p99 from due to sent < 30 ms (measured to the client's read, which is later)`);
    console.log(`of ours, ${(ingestPerS * 100).toFixed(1)} % of a processor is taking in the stream, which the bare loop does not do; ratio without it ${median(sending).toFixed(3)}`);
  } finally {
    await Promise.all([ours.stop(), other.stop()]);
  }
}

if (values.help) {
  console.log(HELP);
} else if (values.side !== undefined) {
  await beSide(values["is-ours"]);
} else {
  console.log(`node ${process.version}, ${CLIENTS} clients, ${HELD} topics each at ${EVERY_MS} ms, ${ROUNDS} rounds of ${SECONDS} s a side, medians; servers on processor 0, load on processor 1`);
  await compare();
}
