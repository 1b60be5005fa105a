/**
 * Sampling folds and never loses: random streams, modes, changes, stalls and reconnects, checked event by event.
 *
 * The real modules on a fake clock and a model of socket and network. `SAMPLING_RUNS=20000 npm test -- sampling` runs more.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Fanout } from "../../src/fanout/fanout.ts";
import { KeyTable } from "../../src/fanout/key-table.ts";
import { createPlaceTable } from "../../src/fanout/places.ts";
import { boundariesBetween, nextBoundaryMs, PHASES, setOf } from "../../src/fanout/sampling-grid.ts";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { price, quantity } from "../../src/market/price.ts";
import { EVERY_MS } from "../../src/protocol/commands.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FakeServer, type FakeSocket } from "../support/fake-server.ts";
import { SamplingBooks, WholeStream } from "../support/sampling-books.ts";
import { instrument, keyRecord, READ_KEY, TEST_OPTIONS } from "../support/stream-rig.ts";
import { WorkerHop } from "../support/worker-hop.ts";

const RUNS = Number(process.env["SAMPLING_RUNS"] ?? 1500);
const SYMBOLS = ["t:A", "t:B", "u:C"];
const CLIENTS = 3;
const WORLD_OPTIONS = {
  ...TEST_OPTIONS, commandsBurst: 10_000, commandsPerS: 1_000, pingMs: 100, pingAgeMaxMs: 200, softLimitBytes: 2_000, stuckMs: 1e9, hardLimitBytes: 1e9, idleMs: 1e9,
  topicsPerAnswerMax: 2, startPacingBytes: 1_000, ringTradesMax: 16, ringBarsMax: 3,
};

interface Client {
  readonly socket: FakeSocket;
  readonly books: SamplingBooks;
  isStalled: boolean;
}

const anyClient = fc.integer({ min: 0, max: CLIENTS - 1 });
const anySymbols = fc.uniqueArray(fc.constantFrom(...SYMBOLS, ...SYMBOLS, "t:*", "*"), { minLength: 1, maxLength: 2 });
const anyChannel = fc.constantFrom({ channel: "quotes" }, { channel: "trades" }, { channel: "bars", interval: "1s" }, { channel: "book", depth: 1 });
const anyMode = fc.constantFrom({}, { every_ms: 100 }, { every_ms: 100 }, { every_ms: 250 }, { every_ms: 1000 }, { every_ms: 5000 });
const anyStep = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("events" as const), of: fc.integer({ min: 0, max: 2 }), count: fc.integer({ min: 1, max: 6 }), kind: fc.constantFrom("quote" as const, "trade" as const, "trade" as const, "book" as const), size: fc.constantFrom(1, 12_345, 2 ** 53 - 1), by: fc.integer({ min: -3, max: 3 }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(1, 10, 37, 90, 250, 1_000, 5_500) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("subscribe" as const), client: anyClient, channel: anyChannel, mode: anyMode, symbols: anySymbols, recent: fc.constantFrom(0, 0, 3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unsubscribe" as const), client: anyClient, channel: anyChannel, symbols: anySymbols }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("stall" as const), client: anyClient }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wake" as const), client: anyClient }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resume" as const), client: anyClient, mode: anyMode, isStalled: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("appear" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("fall behind" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("catch up" as const) }) },
);

class World {
  readonly clock = new FakeClock();
  readonly stream = new WholeStream();
  readonly clients: Client[] = [];
  readonly fanout: Fanout;
  readonly pipeline: Pipeline;
  readonly channel: WorkerHop;
  #server: FakeServer | null = null;
  #units = 1000;
  #connected = 0;
  #names = SYMBOLS.length;

  constructor() {
    this.fanout = new Fanout({
      clock: this.clock, epoch: "e", keys: new KeyTable([keyRecord(READ_KEY, "k", ["read"])]), redeem: (_ticket, done) => done(null), placeTable: createPlaceTable(), demand: () => {},
      options: WORLD_OPTIONS, createServer: (_options, events) => (this.#server = new FakeServer(events)),
    });
    this.channel = new WorkerHop(WORLD_OPTIONS, this.fanout);
    this.pipeline = new Pipeline(this.clock, [this.stream, this.channel], { flushMaxMs: 0, jumpBandPct: 1e9, instrumentsMax: 100 });
    for (const symbol of SYMBOLS) this.pipeline.define(instrument(symbol));
  }

  async start(): Promise<void> {
    await this.fanout.start();
    await this.pipeline.start();
    for (let i = 0; i < CLIENTS; i++) this.clients.push(this.connect());
  }

  async stop(): Promise<void> {
    await this.pipeline.stop();
    await this.fanout.stop();
  }

  connect(): Client {
    const socket = this.#server?.connect(1_500);
    if (!socket) throw new Error("no server");
    const client: Client = { socket, books: new SamplingBooks(this.stream, () => this.clock.monotonicMs()), isStalled: false };
    this.say(client, { type: "auth", api_key: READ_KEY });
    // Two of three share their phase and so their groups; in turn they would be ten sessions apart.
    socket.session.samplePhase = (this.#connected++ % 3) >>> 1;
    return client;
  }

  say(client: Client, command: object): void {
    const text = JSON.stringify(command);
    this.#server?.events.frame(client.socket.session, text, text.length);
  }

  appear(): void {
    if (this.#names < 10) this.pipeline.define(instrument(`t:N${this.#names++}`));
  }

  events(of: number, kind: "quote" | "trade" | "book", count: number, size: number, by: number): void {
    const now = this.clock.nowMicros();
    for (let i = 0; i < count; i++) {
      this.#units = Math.max(100, this.#units + by * i);
      const stamps = { instrument: of, eventTime: now, receiveTime: now };
      const side = (from: number, step: number) => ({ count: 3, prices: Float64Array.from([2, 1, 0], (level) => from + step * level), sizes: Float64Array.from([1, 2, 3 + i]) });
      if (kind === "trade") this.pipeline.event({ kind, id: `T${i}`, price: price(this.#units), size: quantity(size), side: "buy", ...stamps });
      else if (kind === "quote") this.pipeline.event({ kind, bid: price(this.#units), bidSize: quantity(size), ask: price(this.#units + 1), askSize: quantity(1), ...stamps });
      else this.pipeline.event({ kind, bids: side(this.#units, -1), asks: side(this.#units + 1, 1), ...stamps });
    }
    this.pipeline.flush();
  }

  /** The client comes back with the positions it has, and asks for the same channels. */
  resume(place: number, mode: object, isStalled: boolean): void {
    const old = this.clients[place];
    if (!old) return;
    const client = this.connect();
    this.clients[place] = client;
    this.read();
    for (const [name, { at }] of old.books.held) {
      const [channel, symbol, rest = ""] = name.split(" ");
      const options = channel === "bars" ? { interval: rest } : channel === "book" ? { depth: Number(rest) } : {};
      this.say(client, { type: "subscribe", channel, symbols: [symbol], ...options, ...mode, resume: [{ symbol, epoch: "e", seq: at }] });
    }
    old.socket.close();
    client.isStalled = isStalled;
  }

  read(): void {
    for (const client of this.clients) if (!client.isStalled) client.socket.read(1_000, (text) => client.books.hear(text));
  }

  /** Time passes in steps in which nothing is due twice, and those who are awake read. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 10) {
      this.clock.advance(Math.min(10, left));
      this.read();
    }
  }

  run(step: Step): void {
    const client = "client" in step ? this.clients[step.client] : undefined;
    if (step.do === "events") this.events(step.of, step.kind, step.count, step.size, step.by);
    else if (step.do === "advance") this.advance(step.ms);
    else if (step.do === "appear") this.appear();
    else if (step.do === "fall behind") this.channel.fallBehind();
    else if (step.do === "catch up") this.channel.answer(Number.POSITIVE_INFINITY, 100);
    else if (client === undefined) return;
    else if (step.do === "stall") client.isStalled = true;
    else if (step.do === "wake") this.#wake(client);
    else if (step.do === "resume") this.resume(step.client, step.mode, step.isStalled);
    else if (step.do === "subscribe") this.say(client, { type: "subscribe", symbols: step.symbols, ...step.channel, ...step.mode, ...(step.channel.channel === "trades" ? { recent: step.recent } : {}) });
    else this.say(client, { type: "unsubscribe", symbols: step.symbols, ...step.channel });
    this.read();
  }

  /** Everybody reads on until nothing is under way; every boundary and change has passed. */
  settle(): void {
    this.channel.answer(Number.POSITIVE_INFINITY, 100);
    for (const client of this.clients) this.#wake(client);
    // A bar closes up to 2.1 s after its last trade, and then waits for its boundary.
    this.advance(7_500);
  }

  #wake(client: Client): void {
    client.isStalled = false;
    client.books.disturbed();
  }

  faults(): string[] {
    const faults: string[] = [];
    for (const { books } of this.clients) {
      faults.push(...books.faults);
      if (books.isLagging) faults.push("still lagging");
      for (const [name, { at }] of books.held) {
        const truth = this.stream.of(name.startsWith("book") ? name.slice(0, name.lastIndexOf(" ") + 1) : name).length;
        if (at !== truth) faults.push(`${name} ends at ${at}, the stream at ${truth}`);
      }
    }
    return faults;
  }

  sample(name: string): number {
    return this.fanout.samples().filter((s) => s.name === name).reduce((sum, s) => sum + s.value, 0);
  }
}

type Step = typeof anyStep extends fc.Arbitrary<infer Each> ? Each : never;

/** A session lags, its wildcard ends, and it asks for a member again: that it stood elsewhere before means nothing. */
const HELD_BEFORE: Step[] = [
  { do: "events", of: 0, count: 2, kind: "trade", size: 1, by: 0 }, { do: "stall", client: 2 },
  { do: "subscribe", client: 2, channel: { channel: "bars", interval: "1s" }, mode: {}, symbols: ["*"], recent: 0 }, { do: "advance", ms: 1000 },
  { do: "subscribe", client: 2, channel: { channel: "bars", interval: "1s" }, mode: {}, symbols: ["t:A"], recent: 0 },
  { do: "events", of: 1, count: 1, kind: "trade", size: 1, by: 0 },
  { do: "subscribe", client: 2, channel: { channel: "bars", interval: "1s" }, mode: { every_ms: 100 }, symbols: ["t:B"], recent: 0 },
];
/** A session that waits to join its group goes lagging before the boundary. */
const LAGS_DETACHED: Step[] = [
  { do: "events", of: 0, count: 3, kind: "trade", size: 1, by: 0 },
  { do: "subscribe", client: 0, channel: { channel: "trades" }, mode: { every_ms: 5000 }, symbols: ["t:A"], recent: 0 },
  { do: "events", of: 0, count: 3, kind: "trade", size: 1, by: 0 }, { do: "resume", client: 0, mode: { every_ms: 5000 }, isStalled: true },
  { do: "subscribe", client: 0, channel: { channel: "quotes" }, mode: {}, symbols: ["t:B"], recent: 0 }, { do: "advance", ms: 90 },
  { do: "events", of: 1, count: 3, kind: "quote", size: 1, by: 0 }, { do: "advance", ms: 1000 }, { do: "events", of: 0, count: 3, kind: "trade", size: 1, by: 0 }, { do: "advance", ms: 5500 },
];

it("keeps every account, whatever changes its mode and when", async () => {
  await fc.assert(fc.asyncProperty(fc.array(anyStep, { minLength: 10, maxLength: 60 }), async (steps) => {
    const world = new World();
    await world.start();
    for (const step of steps) world.run(step);
    world.settle();
    expect(world.faults().slice(0, 5)).toEqual([]);
    for (const client of world.clients) {
      world.say(client, { type: "ping", id: 1 });
      world.read();
      expect(client.books.pong).toMatchObject({ messages: client.books.messages, lane: "live" });
      world.say(client, { type: "unsubscribe", all: true });
      world.read();
    }
    expect(world.faults()).toEqual([]);
    world.advance(5_500);
    expect([world.sample("ticker_stream_subscriptions"), world.sample("ticker_stream_sample_groups"), world.sample("ticker_stream_sampling_waiting")]).toEqual([0, 0, 0]);
    await world.stop();
  }), { numRuns: RUNS, examples: [[HELD_BEFORE], [LAGS_DETACHED]] });
}, 120_000);

it("keeps the phases of every interval apart, and lets the intervals of a phase meet", () => {
  const gapMs: Record<number, number> = { 100: 10, 250: 20, 1000: 40, 5000: 310 };
  for (const everyMs of EVERY_MS) {
    const firsts = Array.from({ length: PHASES }, (_, phase) => nextBoundaryMs(setOf(everyMs, phase), 1e6)).toSorted((a, b) => a - b);
    for (const [i, at] of firsts.entries()) expect((firsts[i + 1] ?? (firsts[0] ?? 0) + everyMs) - at).toBeGreaterThanOrEqual(gapMs[everyMs] ?? 0);
  }
  for (let phase = 0; phase < PHASES; phase++) {
    const meets = (everyMs: 100 | 250 | 1000 | 5000) => {
      const at = nextBoundaryMs(setOf(5000, phase), 1e6);
      return boundariesBetween(setOf(everyMs, phase), at - 0.5, at);
    };
    expect(EVERY_MS.map(meets)).toEqual([1, 1, 1, 1]);
  }
});
