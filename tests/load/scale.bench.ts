/**
 * `npm run bench:scale`: whether a delivered message costs us more, against the bare loop, with more clients or instruments.
 *
 * Every event goes to the same number of clients at every size, so that what grows is the size alone: docs/performance-pressure.md.
 */
import { parseArgs } from "node:util";
import { LoadGroup, median } from "./load-group.ts";
import { type BenchServer, pin, startBare, startOurs } from "./servers.ts";
import { type Measured, NOTHING, serveSide, SideProcess } from "./side-process.ts";

const HELP = `npm run bench:scale -- [options]
  --rounds N       rounds at each size, medians are of these (default 8)
  --seconds N      length of one measurement (default 2)
  --clients LIST   sizes of the first sweep, at 100 instruments (default 100,1000,10000)
  --instruments LIST   sizes of the second, at 1,000 clients (default 10,100,1000,5000)
  --fan-out N      clients that an event goes to, at every size (default 100)
  --events N       events in one write (default 1)
  --ours-on-both   both sides are ours: how far from 1 are ratios of equals on this machine?`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "8" }, seconds: { type: "string", default: "2" }, clients: { type: "string", default: "100,1000,10000" },
    instruments: { type: "string", default: "10,100,1000,5000" }, "fan-out": { type: "string", default: "100" }, events: { type: "string", default: "1" },
    "ours-on-both": { type: "boolean", default: false }, side: { type: "string" }, "is-ours": { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const FAN_OUT = Number(values["fan-out"]);
const EVENTS = Number(values.events);
const INSTRUMENTS = 100;
const CLIENTS = 1000;
const WARM_UP_S = 2;
/** What the service pings at most; the bare loop does the same. */
const PINGS_PER_S_MAX = 2000;
/** How far the ratio at one size may be from that at another. */
const SPREAD_MAX = 1.1;

interface Size {
  readonly clients: number;
  readonly instruments: number;
}

/** In the load process: a server with its clients. */
class Side {
  readonly #server: BenchServer;
  #group: LoadGroup;
  readonly #sequences: number[] = [];
  #next = 0;

  constructor(server: BenchServer) {
    this.#server = server;
    this.#group = new LoadGroup(server);
  }

  /** `clients` hold their share of `instruments`, so that each is held by the same number. */
  async open({ clients, instruments }: Size): Promise<Measured> {
    const held = (instruments * FAN_OUT) / clients;
    this.#send(Array.from({ length: instruments }, (_, symbol) => symbol));
    await this.#group.open(clients);
    const snapshots = this.#server.name === "ours" ? this.#group.delivered(clients * held) : Promise.resolve();
    await this.#group.subscribe((client) => Array.from({ length: held }, (_, i) => (client * held + i) % instruments));
    await snapshots;
    return NOTHING;
  }

  /** Events together, wait until everybody has them, the next. */
  async measure(seconds: number): Promise<Measured> {
    const [group, server] = [this.#group, this.#server];
    const [deliveries, cpu, start] = [group.deliveries, server.cpuSeconds(), performance.now()];
    while (performance.now() < start + seconds * 1000) {
      const done = group.delivered(EVENTS * FAN_OUT);
      this.#send(Array.from({ length: EVENTS }, () => this.#next++ % this.#sequences.length));
      await done;
    }
    return { cpuSeconds: server.cpuSeconds() - cpu, deliveries: group.deliveries - deliveries, seconds: (performance.now() - start) / 1000, latencies: [] };
  }

  async stop(): Promise<void> {
    this.#group.close();
    await this.#server.stop();
  }

  #send(symbols: readonly number[]): void {
    this.#server.send(symbols.map((symbol) => {
      const seq = (this.#sequences[symbol] ?? 0) + 1;
      this.#sequences[symbol] = seq;
      return { symbol, seq };
    }));
  }
}

async function beSide(isOurs: boolean): Promise<void> {
  const isPinned = pin(process.pid, "1");
  const side = new Side(isOurs ? await startOurs(1, isPinned) : await startBare(1, isPinned, true, PINGS_PER_S_MAX));
  serveSide({
    open: ([clients = 0, instruments = 0]) => side.open({ clients, instruments }),
    measure: ([seconds = 0]) => side.measure(seconds),
  }, () => side.stop());
}

const microsOf = ({ cpuSeconds, deliveries }: Measured): number => (cpuSeconds * 1e6) / deliveries;

/** The median ratio at a size. */
async function measureSize(size: Size): Promise<number> {
  const options = ["--fan-out", String(FAN_OUT), "--events", String(EVENTS)];
  const ours = new SideProcess(import.meta.url, "ours", [...options, "--is-ours"]);
  const other = new SideProcess(import.meta.url, "bare", values["ours-on-both"] ? [...options, "--is-ours"] : options);
  try {
    const all = new Map<SideProcess, Measured[]>([[ours, []], [other, []]]);
    for (const side of all.keys()) await side.ask("open", size.clients, size.instruments);
    for (const side of all.keys()) await side.ask("measure", WARM_UP_S);
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of round % 2 === 0 ? [ours, other] : [other, ours]) all.get(side)?.push(await side.ask("measure", SECONDS));
    }
    const [mine = [], theirs = []] = all.values();
    const ratios = mine.map((m, i) => microsOf(m) / microsOf(theirs[i] ?? NOTHING));
    const rate = median(mine.map((m) => m.deliveries / m.seconds));
    row([String(size.clients), String(size.instruments), String((size.instruments * FAN_OUT) / size.clients), median(mine.map((m) => microsOf(m))).toFixed(2),
      median(theirs.map((m) => microsOf(m))).toFixed(2), Math.round(rate).toLocaleString("en"), median(ratios).toFixed(3), `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`]);
    return median(ratios);
  } finally {
    await Promise.all([ours.stop(), other.stop()]);
  }
}

function row(cells: readonly string[]): void {
  console.log(cells.map((cell) => cell.padStart(11)).join(" "));
}

async function sweep(what: string, sizes: readonly Size[]): Promise<void> {
  if (sizes.length === 0) return;
  row(["clients", "instruments", "topics each", "ours us/msg", "bare us/msg", "msgs/s", "CPU ratio", "min-max"]);
  const ratios: number[] = [];
  for (const size of sizes) ratios.push(await measureSize(size));
  const spread = Math.max(...ratios) / Math.min(...ratios);
  console.log(`over ${what}: highest ratio is ${spread.toFixed(3)} times the lowest; bar <= ${SPREAD_MAX.toFixed(2)}\n`);
}

const sizesOf = (list: string): number[] => (list === "" ? [] : list.split(",").map(Number));

if (values.help) {
  console.log(HELP);
} else if (values.side !== undefined) {
  await beSide(values["is-ours"]);
} else {
  console.log(`node ${process.version}, every event to ${FAN_OUT} clients, ${EVENTS} at a time, ${ROUNDS} rounds of ${SECONDS} s a side, medians; servers on processor 0, load on processor 1\n`);
  await sweep("clients", sizesOf(values.clients).map((clients) => ({ clients, instruments: INSTRUMENTS })));
  await sweep("instruments", sizesOf(values.instruments).map((instruments) => ({ clients: CLIENTS, instruments })));
}
