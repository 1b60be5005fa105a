/**
 * A worker that misses batches anywhere and gets snapshots instead balances every account, in every mode.
 *
 * The real modules on a fake clock and a model of socket and network; between writer and fan-out stands the pool's own
 * backlog. `BEHIND_RUNS=20000 npm test -- worker-behind` runs more cases.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Fanout } from "../../src/fanout/fanout.ts";
import { KeyTable } from "../../src/fanout/key-table.ts";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import { createPlaceTable } from "../../src/fanout/places.ts";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { Account } from "../support/account.ts";
import { EventSource } from "../support/event-source.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FakeServer, type FakeSocket } from "../support/fake-server.ts";
import { SamplingBooks, WholeStream } from "../support/sampling-books.ts";
import type { Entry } from "../support/stream-client.ts";
import { instrument, keyRecord, READ_KEY, TEST_OPTIONS } from "../support/stream-rig.ts";
import { WorkerHop } from "../support/worker-hop.ts";

const RUNS = Number(process.env["BEHIND_RUNS"] ?? 1500);
const SYMBOLS = ["t:A", "t:B", "u:C"];
const CLIENTS = 3;
const LIMITS = { commandsBurst: 10_000, commandsPerS: 1_000, pingMs: 100, pingAgeMaxMs: 200, softLimitBytes: 2_000, stuckMs: 1e9, hardLimitBytes: 1e9, idleMs: 1e9, topicsPerAnswerMax: 2, startPacingBytes: 1_000 };

interface Client {
  readonly socket: FakeSocket;
  /** Compares every message with the truth, in every mode. */
  readonly books: SamplingBooks;
  /** Stricter, for full mode without wildcards. */
  readonly account: Account;
  isStalled: boolean;
}

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null;
}

const anyClient = fc.integer({ min: 0, max: CLIENTS - 1 });
const anyChannel = fc.constantFrom({ channel: "quotes" }, { channel: "trades" }, { channel: "trades" }, { channel: "bars", interval: "1s" });

function anySteps(symbols: readonly string[], modes: readonly object[]) {
  const anySymbols = fc.uniqueArray(fc.constantFrom(...symbols), { minLength: 1, maxLength: 2 });
  return fc.array(fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant("events" as const), of: fc.integer({ min: 0, max: 2 }), count: fc.integer({ min: 1, max: 12 }), isTrade: fc.boolean() }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(1, 10, 90, 250, 1_000, 2_500) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("subscribe" as const), client: anyClient, channel: anyChannel, mode: fc.constantFrom(...modes), symbols: anySymbols }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("unsubscribe" as const), client: anyClient, channel: anyChannel, symbols: anySymbols }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("stall" as const), client: anyClient }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("wake" as const), client: anyClient }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("behind" as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("answer" as const), bytesMax: fc.constantFrom(1, 200, 1e6) }) },
  ), { minLength: 10, maxLength: 60 });
}

type Step = ReturnType<typeof anySteps> extends fc.Arbitrary<(infer One)[]> ? One : never;

class World {
  readonly clock = new FakeClock();
  readonly stream = new WholeStream();
  readonly clients: Client[] = [];
  readonly fanout: Fanout;
  readonly hop: WorkerHop;
  readonly pipeline: Pipeline;
  #server: FakeServer | null = null;
  readonly source: EventSource;

  constructor(limits: Partial<FanoutOptions>) {
    const options = { ...TEST_OPTIONS, ...LIMITS, ...limits };
    this.fanout = new Fanout({
      clock: this.clock, options, epoch: "e", keys: new KeyTable([keyRecord(READ_KEY, "k", ["read"])]), redeem: (_ticket, done) => done(null), placeTable: createPlaceTable(), demand: () => {},
      createServer: (_options, events) => (this.#server = new FakeServer(events)),
    });
    this.hop = new WorkerHop(options, this.fanout);
    this.pipeline = new Pipeline(this.clock, [this.stream, this.hop], { flushMaxMs: 0, jumpBandPct: 1e9, instrumentsMax: 100 });
    for (const symbol of SYMBOLS) this.pipeline.define(instrument(symbol));
    this.source = new EventSource(this.clock, this.pipeline, 1000);
  }

  async start(): Promise<void> {
    await this.fanout.start();
    await this.pipeline.start();
    for (let i = 0; i < CLIENTS; i++) this.clients.push(this.#connect());
  }

  async stop(): Promise<void> {
    await this.pipeline.stop();
    await this.fanout.stop();
  }

  run(step: Step): void {
    const client = "client" in step ? this.clients[step.client] : undefined;
    if (step.do === "events") this.source.send(step.of, step.count, step.isTrade);
    else if (step.do === "advance") this.#advance(step.ms);
    else if (step.do === "behind") this.hop.fallBehind();
    else if (step.do === "answer") this.hop.answer(step.bytesMax, 5);
    else if (client === undefined) return;
    else if (step.do === "stall") client.isStalled = true;
    else if (step.do === "wake") this.#wake(client);
    else if (step.do === "subscribe") this.say(client, { type: "subscribe", symbols: step.symbols, ...step.channel, ...step.mode });
    else this.say(client, { type: "unsubscribe", symbols: step.symbols, ...step.channel });
    this.#read();
  }

  /** Everything is taken in and read; every boundary and change has passed. */
  settle(): void {
    this.hop.answer(1e9, 5);
    for (const client of this.clients) this.#wake(client);
    this.#advance(7_500);
  }

  say(client: Client, command: object): void {
    const text = JSON.stringify(command);
    this.#server?.events.frame(client.socket.session, text, text.length);
    this.#read();
  }

  /** What is wrong, and where a client does not end at the truth. */
  faults(isStrict: boolean): string[] {
    return this.clients.flatMap(({ books, account, socket }) => {
      const faults = [...books.faults, ...(isStrict ? account.faults : [])];
      if (books.isLagging || socket.unread > 0) faults.push(`lagging ${books.isLagging}, ${socket.unread} unread`);
      for (const [name, { at }] of books.held) if (at !== this.stream.of(name).length) faults.push(`${name} ends at ${at}, the stream at ${this.stream.of(name).length}`);
      return faults;
    });
  }

  sample(name: string): number {
    return this.fanout.samples().filter((sample) => sample.name === name).reduce((sum, { value }) => sum + value, 0);
  }

  #connect(): Client {
    const socket = this.#server?.connect(1_500);
    if (!socket) throw new Error("no server");
    const client: Client = { socket, books: new SamplingBooks(this.stream, () => this.clock.monotonicMs()), account: new Account(), isStalled: false };
    this.say(client, { type: "auth", api_key: READ_KEY });
    return client;
  }

  #advance(ms: number): void {
    for (let left = ms; left > 0; left -= 10) {
      this.clock.advance(Math.min(10, left));
      this.#read();
    }
  }

  #read(): void {
    for (const client of this.clients) if (!client.isStalled) client.socket.read(1_000, (text) => hear(client, text));
  }

  #wake(client: Client): void {
    client.isStalled = false;
    client.books.disturbed();
  }
}

function hear({ books, account }: Client, text: string): void {
  books.hear(text);
  const parsed: unknown = JSON.parse(text);
  for (const message of Array.isArray(parsed) ? parsed : [parsed]) if (isEntry(message)) account.hear(message);
}

/** Plays the steps; answers what is wrong at the end. */
async function faultsAfter(steps: readonly Step[], limits: Partial<FanoutOptions>, isStrict: boolean): Promise<string[]> {
  const world = new World(limits);
  await world.start();
  for (const step of steps) world.run(step);
  world.settle();
  const faults = world.faults(isStrict).slice(0, 5);
  for (const client of world.clients) {
    world.say(client, { type: "ping", id: 1 });
    const { pong, messages } = client.books;
    if (pong?.["lane"] !== "live" || pong["messages"] !== messages) faults.push(`${JSON.stringify(pong)}, counted ${messages}`);
    world.say(client, { type: "unsubscribe", all: true });
  }
  faults.push(...world.faults(isStrict));
  if (world.sample("ticker_stream_subscriptions") !== 0) faults.push("subscriptions are left");
  await world.stop();
  return faults;
}

const anyLimits = fc.constantFrom({}, { ringTradesMax: 8, ringBarsMax: 2 });

it("skips nothing outside the lagging lane, and folds and loses what it says, in full mode", async () => {
  await fc.assert(fc.asyncProperty(anySteps(SYMBOLS, [{}]), anyLimits, async (steps, limits) => {
    expect(await faultsAfter(steps, limits, true)).toEqual([]);
  }), { numRuns: RUNS });
}, 120_000);

it("keeps every account with wildcards, sampling and changes between", async () => {
  const modes = [{}, {}, { every_ms: 100 }, { every_ms: 250 }, { every_ms: 1000 }];
  await fc.assert(fc.asyncProperty(anySteps([...SYMBOLS, "t:*", "*"], modes), anyLimits, async (steps, limits) => {
    expect(await faultsAfter(steps, limits, false)).toEqual([]);
  }), { numRuns: RUNS });
}, 120_000);
