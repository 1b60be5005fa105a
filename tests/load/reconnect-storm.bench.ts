/**
 * `npm run bench:storm`: thousands of clients lose their connections at once and resume; what the others feel.
 *
 * The storm runs on a thread of its own, so that its work does not delay the clock of those who watch. Every client checks
 * from `seq` that nothing is missing or twice across the cut.
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { percentile } from "./load-group.ts";
import { countMessages, firstSequence, RawClient, type FrameListener } from "./raw-client.ts";
import { type BenchServer, KEY, pin, startOurs, symbolName } from "./servers.ts";

const HELP = `npm run bench:storm -- [options]
  --clients N     connections that are cut and come back (default 5000)
  --topics N      trade topics that each holds (default 20)
  --per-s N       trades a second of each topic (default 1)
  --away MS       how long they stay away (default 1000)
  --backlog N     trades of each topic that they miss besides (default 0)
  --storms N      storms, one after the other (default 3)`;

/** Topic that only the watchers hold, and how often it moves. */
const PROBE = 99;
const PROBES_PER_S = 100;
const WATCHERS = 50;
const OPENING_AT_ONCE = 250;
const TICK_MS = 10;
const SETTLE_MS = 3_000;
const SYMBOL_DIGITS_AT = '[{"type":"trade","symbol":"bench:S'.length;

interface StormData {
  readonly port: number;
  readonly clients: number;
  readonly topics: number;
}

interface StormResult {
  readonly tookMs: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly replayed: number;
  readonly holes: number;
}

/** The clients of the storm: where each stands in each topic. */
class Storm implements FrameListener {
  readonly #data: StormData;
  readonly #at: Int32Array;
  #clients: RawClient[] = [];
  #outcomes: Record<string, number> = {};
  #answered = 0;
  #received = 0;
  #holes = 0;
  #epoch = "";
  #wake: () => void = () => {};

  constructor(data: StormData) {
    this.#data = data;
    this.#at = new Int32Array(data.clients * data.topics);
  }

  data(client: RawClient, payload: Buffer, from: number, to: number): void {
    const at = from + SYMBOL_DIGITS_AT;
    const topic = ((payload[at] ?? 0) - 48) * 100 + ((payload[at + 1] ?? 0) - 48) * 10 + ((payload[at + 2] ?? 0) - 48);
    const place = client.index * this.#data.topics + topic;
    const messages = countMessages(payload, from, to);
    if (firstSequence(payload, from) !== (this.#at[place] ?? 0) + 1) this.#holes++;
    this.#at[place] = (this.#at[place] ?? 0) + messages;
    this.#received += messages;
  }

  control(client: RawClient, text: string): void {
    if (text.startsWith('{"type":"authenticated"')) return client.send(this.#subscription(client.index));
    if (!text.startsWith('{"type":"subscribed"')) {
      if (text.startsWith('{"type":"error"') || text.startsWith('{"type":"gap"')) throw new Error(text);
      return;
    }
    const answer: { topics: { symbol: string; seq: number; epoch: string; resumed?: string }[]; more: boolean } = JSON.parse(text);
    for (const { symbol, seq, epoch, resumed } of answer.topics) {
      const place = client.index * this.#data.topics + Number(symbol.slice(-7, -4));
      if (resumed === "exact" && seq !== this.#at[place]) this.#holes++;
      this.#at[place] = seq;
      this.#epoch = epoch;
      this.#outcomes[resumed ?? "fresh"] = (this.#outcomes[resumed ?? "fresh"] ?? 0) + 1;
    }
    if (answer.more) return;
    this.#answered++;
    this.#wake();
  }

  async open(): Promise<void> {
    this.#answered = 0;
    const { clients, port } = this.#data;
    this.#clients = Array.from({ length: clients }, (_, i) => new RawClient(i, this));
    for (let from = 0; from < clients; from += OPENING_AT_ONCE) {
      const some = this.#clients.slice(from, from + OPENING_AT_ONCE);
      await Promise.all(some.map((client) => client.connect("127.0.0.1", port, "/v1/stream")));
      for (const client of some) client.send(`{"type":"auth","api_key":"${KEY}"}`);
    }
    while (this.#answered < clients) await new Promise<void>((resolve) => { this.#wake = resolve; });
  }

  cut(): void {
    for (const client of this.#clients) client.close();
  }

  async back(): Promise<StormResult> {
    this.#outcomes = {};
    this.#holes = 0;
    const [receivedBefore, start] = [this.#received, performance.now()];
    await this.open();
    return { tookMs: performance.now() - start, outcomes: this.#outcomes, replayed: this.#received - receivedBefore, holes: this.#holes };
  }

  #subscription(index: number): string {
    const symbols = Array.from({ length: this.#data.topics }, (_, topic) => symbolName(topic));
    const resume = this.#epoch === "" ? {} : { resume: symbols.map((symbol, topic) => ({ symbol, epoch: this.#epoch, seq: this.#at[index * this.#data.topics + topic] })) };
    return JSON.stringify({ type: "subscribe", id: 1, channel: "trades", symbols, ...resume });
  }
}

/** Commands of the main thread, each answered when it is done. */
function serveStorm(): void {
  const data: StormData = workerData;
  const storm = new Storm(data);
  parentPort?.on("message", (command: "open" | "cut" | "back") => {
    if (command === "cut") storm.cut();
    const done = command === "open" ? storm.open() : command === "back" ? storm.back() : Promise.resolve();
    void done.then((result) => parentPort?.postMessage(result ?? null));
  });
}

/** Trades and probes at a steady pace, and the lateness of each probe. */
class Watch implements FrameListener {
  readonly timesMs: number[] = [];
  readonly #server: BenchServer;
  readonly #topics: number;
  readonly #sentMs: number[] = [];
  #trades = 0;
  #subscribed = 0;

  constructor(server: BenchServer, topics: number) {
    this.#server = server;
    this.#topics = topics;
  }

  data(_client: RawClient, payload: Buffer, from: number): void {
    const sentMs = this.#sentMs[firstSequence(payload, from) - 1];
    if (sentMs !== undefined) this.timesMs.push(performance.now() - sentMs);
  }

  control(client: RawClient, text: string): void {
    if (text.startsWith('{"type":"authenticated"')) client.send(JSON.stringify({ type: "subscribe", id: 1, channel: "quotes", symbols: [symbolName(PROBE)] }));
    else if (text.startsWith('{"type":"subscribed"')) this.#subscribed++;
  }

  async open(): Promise<void> {
    for (let i = 0; i < WATCHERS; i++) {
      const client = new RawClient(i, this);
      await client.connect("127.0.0.1", this.#server.streamPort, "/v1/stream");
      client.send(`{"type":"auth","api_key":"${KEY}"}`);
    }
    while (this.#subscribed < WATCHERS) await pause(TICK_MS);
  }

  /** So many trades of each topic, at once. */
  trades(each: number): void {
    let text = "";
    for (let i = 0; i < each * this.#topics; i++) text += this.#trade();
    this.#server.sendLines(text);
  }

  /** Until it is told to stop. */
  run(perS: number): () => void {
    let owed = 0;
    let probesOwed = 0;
    const timer = setInterval(() => {
      let text = "";
      for (owed += (perS * this.#topics * TICK_MS) / 1000; owed >= 1; owed--) text += this.#trade();
      for (probesOwed += (PROBES_PER_S * TICK_MS) / 1000; probesOwed >= 1; probesOwed--) {
        this.#sentMs.push(performance.now());
        text += `{"type":"quote","symbol":"${symbolName(PROBE)}","bid":"67100.25","bid_size":"1.2500","ask":"67100.75","ask_size":"0.7500"}\n`;
      }
      if (text !== "") this.#server.sendLines(text);
    }, TICK_MS);
    return () => clearInterval(timer);
  }

  /** Every symbol, without an event that counts. */
  create(): void {
    this.#sentMs.push(Number.NaN);
    this.#server.sendLines(`{"type":"quote","symbol":"${symbolName(PROBE)}","bid":"67100.25","bid_size":"1.2500","ask":"67100.75","ask_size":"0.7500","create":true,"price_scale":2,"size_scale":4}\n`);
    for (let i = 0; i < this.#topics; i++) this.#server.sendLines(this.#trade(',"create":true,"price_scale":2,"size_scale":4'));
  }

  take(): number[] {
    return this.timesMs.splice(0).filter((ms) => !Number.isNaN(ms));
  }

  #trade(more = ""): string {
    return `{"type":"trade","symbol":"${symbolName(this.#trades++ % this.#topics)}","price":"67100.25","size":"0.7500","side":"buy"${more}}\n`;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function line(what: string, times: readonly number[]): void {
  const at = (p: number): string => percentile(times, p).toFixed(1).padStart(7);
  console.log(`${what.padEnd(34)} p50 ${at(0.5)}  p99 ${at(0.99)}  p99.9 ${at(0.999)}  most ${at(1)} ms of ${times.length}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      clients: { type: "string", default: "5000" }, topics: { type: "string", default: "20" }, "per-s": { type: "string", default: "1" }, away: { type: "string", default: "1000" },
      backlog: { type: "string", default: "0" }, storms: { type: "string", default: "3" }, help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const [clients, topics, perS, awayMs, backlog, storms] = [values.clients, values.topics, values["per-s"], values.away, values.backlog, values.storms].map(Number);
  const isPinned = pin(process.pid, "1");
  const server = await startOurs(1, isPinned);
  const watch = new Watch(server, topics ?? 0);
  watch.create();
  await pause(500);
  const data: StormData = { port: server.streamPort, clients: clients ?? 0, topics: topics ?? 0 };
  const storm = new Worker(new URL(import.meta.url), { workerData: data });
  const ask = async (command: string): Promise<unknown> => {
    storm.postMessage(command);
    const [answer] = await once(storm, "message");
    return answer;
  };
  await watch.open();
  await ask("open");
  console.log(`node ${process.version}: ${clients} clients with ${topics} topics, ${perS} trades a second of each, away ${awayMs} ms, ${backlog} trades missed at once; ${isPinned ? "server on processor 0, load on processor 1" : "not pinned"}`);
  const stop = watch.run(perS ?? 0);
  let holes = 0;
  for (let i = 0; i < (storms ?? 0); i++) {
    await pause(SETTLE_MS);
    line("the others before", watch.take());
    await ask("cut");
    watch.trades(backlog ?? 0);
    await pause(awayMs ?? 0);
    watch.take();
    const cpu = server.cpuSeconds();
    const result = await ask("back");
    const { tookMs, outcomes, replayed, holes: missed }: StormResult = resultOf(result);
    line("the others during the storm", watch.take());
    console.log(`  ${clients} came back in ${Math.round(tookMs)} ms, ${(server.cpuSeconds() - cpu).toFixed(2)} s of the server's processor; ${JSON.stringify(outcomes)}, ${replayed} messages, missing or twice ${missed}`);
    holes += missed;
  }
  stop();
  void storm.terminate();
  await server.stop();
  process.exitCode = holes === 0 ? 0 : 1;
}

function resultOf(value: unknown): StormResult {
  const empty: StormResult = { tookMs: Number.NaN, outcomes: {}, replayed: 0, holes: 0 };
  return typeof value === "object" && value !== null ? { ...empty, ...value } : empty;
}

if (isMainThread) await main();
else serveStorm();
