/**
 * The accounting invariant: whatever streams, stalls, mode changes and reconnects come, every client can prove what it got.
 *
 * The real modules on a fake clock and a model of socket and network. For each client and topic: delivered + folded +
 * gaps = last seq - the acknowledgement's seq, the last value is the truth, trades never come twice.
 * `ACCOUNTING_RUNS=20000 npm test -- accounting` runs more cases.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Fanout } from "../../src/fanout/fanout.ts";
import { KeyTable } from "../../src/fanout/key-table.ts";
import { createPlaceTable } from "../../src/fanout/places.ts";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { EventSource } from "../support/event-source.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FakeServer, type FakeSocket } from "../support/fake-server.ts";
import { entriesOf, type Entry } from "../support/stream-client.ts";
import { instrument, keyRecord, READ_KEY, TEST_OPTIONS } from "../support/stream-rig.ts";

const RUNS = Number(process.env["ACCOUNTING_RUNS"] ?? 4000);
const SYMBOLS = ["t:A", "t:B", "u:C"];
const CLIENTS = 3;

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null;
}

/** What a client knows of one topic, from `seq` alone. */
interface Held {
  at: number;
  /** The last value told: the bid of a quote, the price of a trade. */
  value: unknown;
}

/** A client that believes nothing: it checks every message against what it was promised. */
class Bookkeeper {
  readonly held = new Map<string, Held>();
  readonly faults: string[] = [];
  isLagging = false;
  #folded = 0;
  #lost = 0;
  readonly #named = new Set<string>();

  hear(text: string): void {
    const parsed: unknown = JSON.parse(text);
    for (const message of Array.isArray(parsed) ? parsed : [parsed]) if (isEntry(message)) this.#message(message);
  }

  #message(message: Entry): void {
    switch (message["type"]) {
      case "subscribed": return this.#begin(message);
      case "unsubscribed": return this.#end(message);
      case "quote": return this.#value("quotes", message, message["bid"]);
      case "trade": return this.#value("trades", message, message["price"]);
      case "gap": return this.#gap(message);
      case "lagging":
        if (this.isLagging) this.faults.push("lagging twice");
        this.isLagging = true;
        this.#folded = 0;
        this.#lost = 0;
        return;
      case "caught_up":
        if (!this.isLagging || message["folded"] !== this.#folded || message["lost"] !== this.#lost) {
          this.faults.push(`caught_up says ${String(message["folded"])}/${String(message["lost"])}, counted ${this.#folded}/${this.#lost}`);
        }
        this.isLagging = false;
    }
  }

  #begin(message: Entry): void {
    for (const topic of entriesOf(message, "topics")) {
      const key = `${String(topic["channel"])} ${String(topic["symbol"])}`;
      const held = this.held.get(key);
      if (held && held.at !== topic["seq"]) this.faults.push(`${key} held at ${held.at}, acknowledged at ${String(topic["seq"])}`);
      if (!held) this.held.set(key, { at: Number(topic["seq"]), value: null });
      this.#named.add(key);
    }
    for (const gone of entriesOf(message, "replaced")) this.#replaced(String(gone["channel"]), String(gone["symbol"]));
    if (message["more"] === false) this.#named.clear();
  }

  /** A wildcard ended because a later claim took its place: what that claim does not name ended with it. */
  #replaced(channel: string, symbol: string): void {
    if (!symbol.endsWith("*")) return;
    for (const key of this.held.keys()) {
      if (key.startsWith(`${channel} ${symbol.slice(0, -1)}`) && !this.#named.has(key)) this.held.delete(key);
    }
  }

  #end(message: Entry): void {
    for (const topic of entriesOf(message, "topics")) {
      const key = `${String(topic["channel"])} ${String(topic["symbol"])}`;
      const held = this.held.get(key);
      if (held?.at !== topic["seq"]) this.faults.push(`${key} ended at ${String(topic["seq"])}, counted ${held?.at}`);
      this.held.delete(key);
    }
  }

  #value(channel: string, message: Entry, value: unknown): void {
    const key = `${channel} ${String(message["symbol"])}`;
    const held = this.held.get(key);
    const seq = Number(message["seq"]);
    if (!held) return void this.faults.push(`${key} ${seq} was not asked for`);
    if (message["snapshot"] === true) {
      if (seq > held.at) this.faults.push(`${key} snapshot ${seq} beyond ${held.at}`);
    } else {
      const skipped = seq - held.at - 1;
      if (skipped < 0) this.faults.push(`${key} ${seq} comes after ${held.at}`);
      if (skipped > 0 && (!this.isLagging || channel === "trades")) this.faults.push(`${key} hole of ${skipped} before ${seq}`);
      this.#folded += skipped;
      held.at = seq;
    }
    held.value = value;
  }

  #gap(message: Entry): void {
    const held = this.held.get(`${String(message["channel"])} ${String(message["symbol"])}`);
    if (held?.at !== Number(message["from"]) - 1) this.faults.push(`gap from ${String(message["from"])} at ${held?.at}`);
    if (!held) return;
    this.#lost += Number(message["to"]) - held.at;
    held.at = Number(message["to"]);
  }
}

interface Client {
  socket: FakeSocket;
  books: Bookkeeper;
  isStalled: boolean;
}

const anyClient = fc.integer({ min: 0, max: CLIENTS - 1 });
const anySymbols = fc.uniqueArray(fc.constantFrom(...SYMBOLS, "t:*", "*"), { minLength: 1, maxLength: 2 });
const anyChannel = fc.constantFrom("quotes", "trades");
const anyStep = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("events" as const), of: fc.integer({ min: 0, max: 2 }), count: fc.integer({ min: 1, max: 12 }), isTrade: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(1, 30, 60, 200, 600) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("subscribe" as const), client: anyClient, channel: anyChannel, symbols: anySymbols }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unsubscribe" as const), client: anyClient, channel: anyChannel, symbols: anySymbols }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("stall" as const), client: anyClient }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("wake" as const), client: anyClient }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("sip" as const), client: anyClient, items: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reconnect" as const), client: anyClient }) },
);

class World {
  readonly clock = new FakeClock();
  readonly fanout: Fanout;
  readonly pipeline: Pipeline;
  readonly clients: Client[] = [];
  /** Newest sequence and value of every topic. */
  readonly truth = new Map<string, { seq: number; value: string }>();
  #server: FakeServer | null = null;
  readonly source: EventSource;

  constructor() {
    this.fanout = new Fanout({
      clock: this.clock, epoch: "e", keys: new KeyTable([keyRecord(READ_KEY, "k", ["read"])]), redeem: (_ticket, done) => done(null),
      placeTable: createPlaceTable(), demand: () => {},
      options: { ...TEST_OPTIONS, commandsBurst: 10_000, commandsPerS: 1_000, pingMs: 100, pingAgeMaxMs: 200, ringTradesMax: 8, softLimitBytes: 2_000, stuckMs: 1e9, hardLimitBytes: 1e9, topicsPerAnswerMax: 2, startPacingBytes: 1_000 },
      createServer: (_options, events) => (this.#server = new FakeServer(events)),
    });
    this.pipeline = new Pipeline(this.clock, [this.fanout], { flushMaxMs: 5, jumpBandPct: 1e9, instrumentsMax: 10 });
    for (const symbol of SYMBOLS) this.pipeline.define(instrument(symbol));
    this.source = new EventSource(this.clock, this.pipeline);
  }

  async start(): Promise<void> {
    await this.fanout.start();
    for (let i = 0; i < CLIENTS; i++) this.clients.push(this.connect());
  }

  connect(): Client {
    const socket = this.#server?.connect(1_500);
    if (!socket) throw new Error("no server");
    const client: Client = { socket, books: new Bookkeeper(), isStalled: false };
    this.say(client, { type: "auth", api_key: READ_KEY });
    return client;
  }

  say(client: Client, command: object): void {
    const text = JSON.stringify(command);
    this.#server?.events.frame(client.socket.session, text, text.length);
  }

  events(of: number, count: number, isTrade: boolean): void {
    const key = `${isTrade ? "trades" : "quotes"} ${SYMBOLS[of] ?? ""}`;
    this.source.send(of, count, isTrade);
    this.truth.set(key, { seq: (this.truth.get(key)?.seq ?? 0) + count, value: (this.source.units / 100).toFixed(2) });
  }

  /** Everybody who is awake reads what is there. */
  read(items = 1_000): void {
    for (const client of this.clients) if (!client.isStalled) client.socket.read(items, (text) => client.books.hear(text));
  }

  /** All wake up and read on until nothing is under way any more. */
  settle(): void {
    for (const client of this.clients) client.isStalled = false;
    for (let i = 0; i < 60; i++) {
      this.read();
      this.clock.advance(50);
    }
    this.read();
  }
}

it("balances for every client and topic, and ends at the truth", async () => {
  await fc.assert(fc.asyncProperty(fc.array(anyStep, { minLength: 10, maxLength: 60 }), async (steps) => {
    const world = new World();
    await world.start();
    for (const step of steps) {
      const client = "client" in step ? world.clients[step.client] : undefined;
      if (step.do === "events") world.events(step.of, step.count, step.isTrade);
      else if (step.do === "advance") world.clock.advance(step.ms);
      else if (client === undefined) continue;
      else if (step.do === "stall") client.isStalled = true;
      else if (step.do === "wake") client.isStalled = false;
      else if (step.do === "sip") client.socket.read(step.items, (text) => client.books.hear(text));
      else if (step.do === "reconnect") {
        client.socket.close();
        world.clients[step.client] = world.connect();
      } else world.say(client, { type: step.do, channel: step.channel, symbols: step.symbols });
      if (step.do !== "events") world.read();
    }
    world.settle();
    for (const { socket, books } of world.clients) {
      expect(books.faults).toEqual([]);
      expect([socket.closeCode, books.isLagging, socket.unread]).toEqual([null, false, 0]);
      for (const [key, { at, value }] of books.held) {
        const truth = world.truth.get(key);
        expect([key, at]).toEqual([key, truth?.seq ?? 0]);
        if (value !== null) expect([key, value]).toEqual([key, truth?.value]);
      }
    }
  }), { numRuns: RUNS });
}, 120_000);
