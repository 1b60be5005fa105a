/**
 * Clients that are cut off anywhere and come back with what they have balance their books, whatever they claim to have.
 *
 * The real modules on a fake clock and a model of socket and network. Every message is compared with the truth; nothing
 * comes twice or is missing across connections unless a gap says so, and no gap says more than is lost.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Fanout } from "../../src/fanout/fanout.ts";
import { KeyTable } from "../../src/fanout/key-table.ts";
import { createPlaceTable } from "../../src/fanout/places.ts";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import type { RecordBatch, RecordSink } from "../../src/ports/records.ts";
import { HEADER_WORDS, extraOf } from "../../src/protocol/record.ts";
import { instrumentOf, meaningOf, slotOf } from "../../src/protocol/topic.ts";
import { EventSource } from "../support/event-source.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FakeServer, type FakeSocket } from "../support/fake-server.ts";
import { entriesOf, type Entry } from "../support/stream-client.ts";
import { instrument, keyRecord, READ_KEY, TEST_OPTIONS } from "../support/stream-rig.ts";

const RUNS = Number(process.env["RESUME_RUNS"] ?? 800);
const SYMBOLS = ["t:A", "t:B", "u:C"];
const RING_BARS = 2;
const FIELDS: Readonly<Record<string, string>> = { trades: "price", quotes: "bid", bars: "close" };
const CHANNELS: Readonly<Record<string, string>> = { trade: "trades", quote: "quotes", bar: "bars" };

interface Event {
  readonly value: number;
  readonly isClosed: boolean;
}

/** Every event of every topic, by sequence - 1. */
class Truth implements RecordSink {
  readonly topics = new Map<string, Event[]>();

  define(): void {}
  lost(): void {}

  batch({ words, offsets, count }: RecordBatch): void {
    for (let i = 0; i < count; i++) {
      const at = offsets[i] ?? 0;
      const { channel, interval } = meaningOf(slotOf(words[at] ?? 0));
      if (!(channel in FIELDS) || (interval !== null && interval !== "1s")) continue;
      // The close is the fifth number of a bar, price and bid are the first of theirs.
      const value = words[at + HEADER_WORDS + (channel === "bars" ? 4 : 0)] ?? 0;
      this.of(`${channel} ${SYMBOLS[instrumentOf(words[at] ?? 0)] ?? ""}`).push({ value, isClosed: channel === "bars" && extraOf(words[at + 1] ?? 0) === 1 });
    }
  }

  of(topic: string): Event[] {
    const events = this.topics.get(topic) ?? [];
    this.topics.set(topic, events);
    return events;
  }

  /** Sequences of the bars closed after `from`, up to `to`. */
  closed(topic: string, from: number, to: number): number[] {
    return this.of(topic).flatMap((event, i) => event.isClosed && i + 1 > from && i + 1 <= to ? [i + 1] : []);
  }
}

interface Claim {
  readonly epoch: string;
  readonly seq: number;
}

/** What a client knows of one topic on this connection. */
interface Held {
  at: number;
  /** What must come before anything else. */
  due: "nothing" | "snapshot" | "expired" | "restart";
  /** Sequences that the snapshot must hold. */
  snapshot: number[] | null;
  /** Running bars may be folded: events since a gap of the resume. */
  mayFold: boolean;
}

/** A client that believes nothing, and remembers across its connections. */
class Client {
  socket: FakeSocket;
  isStalled = false;
  isLagging = false;
  readonly faults: string[] = [];
  readonly held = new Map<string, Held>();
  /** Where it stands in all topics it ever had. */
  readonly positions = new Map<string, number>();
  /** What it claimed, by the id of the command. */
  readonly claims = new Map<number, Map<string, Claim>>();
  readonly #truth: Truth;
  readonly #ringTrades: number;
  #named = new Set<string>();

  constructor(socket: FakeSocket, truth: Truth, ringTrades: number) {
    this.socket = socket;
    this.#truth = truth;
    this.#ringTrades = ringTrades;
  }

  hear(text: string): void {
    const parsed: unknown = JSON.parse(text);
    for (const message of Array.isArray(parsed) ? parsed : [parsed]) {
      if (typeof message === "object" && message !== null) this.#message({ ...message });
    }
  }

  cutOff(socket: FakeSocket): void {
    this.socket = socket;
    this.held.clear();
    this.#named.clear();
    this.isLagging = false;
    this.isStalled = false;
  }

  #message(message: Entry): void {
    const type = String(message["type"]);
    if (type === "subscribed") this.#begin(message);
    else if (type === "gap") this.#gap(message);
    else if (type === "lagging") this.isLagging = true;
    else if (type === "caught_up") this.isLagging = false;
    else if (type in CHANNELS) this.#value(CHANNELS[type] ?? "", message);
    else if (type === "error") this.faults.push(JSON.stringify(message));
  }

  #begin(message: Entry): void {
    for (const entry of entriesOf(message, "topics")) {
      const topic = `${String(entry["channel"])} ${String(entry["symbol"])}`;
      this.#named.add(topic);
      const seq = Number(entry["seq"]);
      const held = this.held.get(topic);
      if (held) {
        if (held.at !== seq || entry["resumed"] !== undefined) this.faults.push(`${topic} held at ${held.at}, acknowledged ${JSON.stringify(entry)}`);
        continue;
      }
      this.held.set(topic, this.#judged(topic, seq, entry["resumed"], this.claims.get(Number(message["id"]))?.get(topic)));
      this.positions.set(topic, seq);
    }
    for (const gone of entriesOf(message, "replaced")) {
      const prefix = `${String(gone["channel"])} ${String(gone["symbol"]).replace("*", "")}`;
      if (String(gone["symbol"]).endsWith("*")) for (const topic of this.held.keys()) if (topic.startsWith(prefix) && !this.#named.has(topic)) this.held.delete(topic);
    }
    if (message["more"] === false) this.#named = new Set();
  }

  /** Checks the answer against the claim. */
  #judged(topic: string, seq: number, resumed: unknown, claim: Claim | undefined): Held {
    const isState = topic.startsWith("quotes");
    const fresh: Held = { at: seq, due: "nothing", snapshot: null, mayFold: false };
    if (!claim) {
      if (resumed !== undefined) this.faults.push(`${topic} resumed as ${JSON.stringify(resumed)} unasked`);
      return fresh;
    }
    const isTrue = claim.epoch === "e" && claim.seq <= this.#truth.of(topic).length;
    if (resumed === "exact") {
      if (!isTrue || seq !== claim.seq) this.faults.push(`${topic} exact at ${seq} for ${JSON.stringify(claim)}`);
      return fresh;
    }
    if (resumed === "snapshot") {
      if (!isTrue || seq <= claim.seq || topic.startsWith("trades")) this.faults.push(`${topic} snapshot at ${seq} for ${JSON.stringify(claim)}`);
      const closed = this.#truth.closed(topic, claim.seq, seq);
      return { ...fresh, due: "snapshot", snapshot: isState || closed.at(-1) === seq ? (isState ? [seq] : closed) : [...closed, seq] };
    }
    if (resumed !== "gap") this.faults.push(`${topic} resumed as ${JSON.stringify(resumed)}`);
    // A claim from the future at the time of the command may be true by the time we read the answer.
    if (claim.epoch === "e" && seq === claim.seq) return { ...fresh, due: "expired", mayFold: true };
    return { ...fresh, due: "restart" };
  }

  #gap(message: Entry): void {
    const topic = `${String(message["channel"])} ${String(message["symbol"])}`;
    const held = this.held.get(topic);
    const reason = String(message["reason"]);
    if (!held) return void this.faults.push(`gap of ${topic}, not held`);
    if (held.due === "expired" || held.due === "restart" ? reason !== held.due : reason !== "slow") this.faults.push(`${topic} gap ${reason}, due was ${held.due}`);
    held.due = "nothing";
    if (reason === "restart") {
      if ("from" in message || "to" in message) this.faults.push(`${topic} restart with a distance`);
      return;
    }
    const to = Number(message["to"]);
    if (message["from"] !== held.at + 1 || to <= held.at) this.faults.push(`${topic} gap from ${String(message["from"])} to ${to} at ${held.at}`);
    const events = this.#truth.of(topic);
    const keptBehind = topic.startsWith("bars") ? this.#truth.closed(topic, to, events.length).length >= RING_BARS && this.#truth.closed(topic, to - 1, to).length === 1 : events.length - to >= this.#ringTrades;
    // The lagging lane counts the updates before the first kept bar with the gap.
    if (!keptBehind && !(this.isLagging && topic.startsWith("bars"))) this.faults.push(`${topic} gap to ${to} says more than is lost of ${events.length}`);
    held.at = to;
    this.positions.set(topic, to);
  }

  #value(channel: string, message: Entry): void {
    const topic = `${channel} ${String(message["symbol"])}`;
    const held = this.held.get(topic);
    const seq = Number(message["seq"]);
    if (!held) return void this.faults.push(`${topic} ${seq} was not asked for`);
    const truth = this.#truth.of(topic)[seq - 1];
    if (truth?.value !== Math.round(Number(message[FIELDS[channel] ?? ""]) * 100)) this.faults.push(`${topic} ${seq} is not what happened`);
    if (message["snapshot"] === true) {
      if (held.snapshot !== null && held.snapshot.shift() !== seq) this.faults.push(`${topic} snapshot ${seq} out of place`);
      if (held.due === "snapshot" && held.snapshot?.length === 0) held.due = "nothing";
      else if (held.due !== "nothing" && held.due !== "snapshot") this.faults.push(`${topic} snapshot before ${held.due}`);
      if (seq > held.at) this.faults.push(`${topic} snapshot ${seq} beyond ${held.at}`);
      return;
    }
    if (held.due !== "nothing") this.faults.push(`${topic} ${seq} before ${held.due}`);
    if (seq <= held.at) this.faults.push(`${topic} ${seq} comes after ${held.at}`);
    if (seq > held.at + 1 && (channel === "trades" || !(this.isLagging || held.mayFold))) this.faults.push(`${topic} hole before ${seq} at ${held.at}`);
    if (channel === "bars" && this.#truth.closed(topic, held.at, seq - 1).length > 0) this.faults.push(`${topic} folded a closed bar before ${seq}`);
    held.at = seq;
    this.positions.set(topic, seq);
  }
}

/** What is added to the position that a client claims; null: it claims another epoch. */
const anyLie = fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -20, max: 5 }) }, { weight: 1, arbitrary: fc.constant(null) });
const anyChannel = fc.constantFrom("trades", "trades", "quotes", "bars");
const anySymbols = fc.uniqueArray(fc.constantFrom(...SYMBOLS, "t:*", "*"), { minLength: 1, maxLength: 2 });
const anyCount = fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 12 }) }, { weight: 1, arbitrary: fc.constant(600) });
const anyClient = fc.integer({ min: 0, max: 1 });
const anyStep = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("events" as const), of: fc.integer({ min: 0, max: 2 }), count: anyCount, isTrade: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(1, 60, 300, 1_100) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("subscribe" as const), client: anyClient, channel: anyChannel, symbols: anySymbols, lie: anyLie }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const), client: anyClient, after: fc.integer({ min: 0, max: 8 }) }) },
  /** Cut off, away for some events of the first instrument, back. */
  { weight: 5, arbitrary: fc.record({ do: fc.constant("away" as const), client: anyClient, after: fc.integer({ min: 0, max: 8 }), counts: fc.array(anyCount, { maxLength: 4 }), channel: anyChannel, symbols: fc.constantFrom(["t:A"], ["t:*"], ["t:B", "t:A"]), lie: anyLie }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("stall" as const), client: anyClient }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("sip" as const), client: anyClient, items: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wake" as const), client: anyClient }) },
);

type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

const TRADES = { client: 0, channel: "trades", symbols: ["t:A"], lie: 0 } as const;
const BURST: Step = { do: "events", of: 0, count: 600, isTrade: true };
/** A replay of several frames that its reader does not take, while more trades come than are kept. */
const SLOW_REPLAY: Step[] = [
  { do: "away", ...TRADES, symbols: ["t:A"], after: 0, counts: [1] }, { do: "advance", ms: 60 }, { do: "away", ...TRADES, symbols: ["t:A"], after: 0, counts: [600] },
  { do: "stall", client: 0 }, BURST, BURST, { do: "advance", ms: 60 },
];

class World {
  readonly clock = new FakeClock();
  readonly truth = new Truth();
  readonly fanout: Fanout;
  readonly pipeline: Pipeline;
  readonly clients: Client[] = [];
  #server: FakeServer | null = null;
  readonly source: EventSource;
  #commands = 0;

  constructor(ringTradesMax: number) {
    this.fanout = new Fanout({
      clock: this.clock, epoch: "e", keys: new KeyTable([keyRecord(READ_KEY, "k", ["read"])]), redeem: (_ticket, done) => done(null), placeTable: createPlaceTable(), demand: () => {},
      options: {
        ...TEST_OPTIONS, commandsBurst: 10_000, commandsPerS: 1_000, pingMs: 100, pingAgeMaxMs: 200, ringTradesMax, ringBarsMax: RING_BARS, softLimitBytes: 2_000, stuckMs: 1e9,
        hardLimitBytes: 1e9, topicsPerAnswerMax: 2, startPacingBytes: 1_000, idleMs: 1e9, sessionsPerKeyMax: 1_000,
      },
      createServer: (_options, events) => (this.#server = new FakeServer(events)),
    });
    this.pipeline = new Pipeline(this.clock, [this.fanout, this.truth], { flushMaxMs: 5, jumpBandPct: 1e9, instrumentsMax: 10 });
    for (const symbol of SYMBOLS) this.pipeline.define(instrument(symbol));
    this.source = new EventSource(this.clock, this.pipeline);
    for (let i = 0; i < 2; i++) this.clients.push(new Client(this.connect(), this.truth, ringTradesMax));
  }

  connect(): FakeSocket {
    const socket = this.#server?.connect(1_500);
    if (!socket) throw new Error("no server");
    this.#say(socket, { type: "auth", api_key: READ_KEY });
    return socket;
  }

  /** A position of every topic of the channel that the client ever had goes with it. */
  subscribe(client: Client, channel: string, symbols: readonly string[], lie: number | null): void {
    const id = ++this.#commands;
    const claims = new Map<string, Claim>();
    for (const [topic, at] of client.positions) {
      if (topic.startsWith(`${channel} `)) claims.set(topic, { epoch: lie === null ? "before" : "e", seq: Math.max(0, at + (lie ?? 0)) });
    }
    client.claims.set(id, claims);
    const resume = [...claims].map(([topic, claim]) => ({ symbol: topic.slice(channel.length + 1), ...claim }));
    this.#say(client.socket, { type: "subscribe", id, channel, symbols, resume, ...(channel === "bars" ? { interval: "1s" } : {}) });
  }

  cut(client: Client, after: number): void {
    client.socket.read(after, (text) => client.hear(text));
    client.socket.close();
    client.cutOff(this.connect());
  }

  read(): void {
    for (const client of this.clients) if (!client.isStalled) client.socket.read(1_000, (text) => client.hear(text));
  }

  /** All wake up and read on until nothing is under way any more. */
  settle(): void {
    for (const client of this.clients) client.isStalled = false;
    for (let i = 0; i < 400 && (i < 60 || this.clients.some(({ socket, isLagging }) => isLagging || socket.unread > 0)); i++) {
      this.read();
      this.clock.advance(50);
    }
    this.read();
  }

  #say(socket: FakeSocket, command: object): void {
    const text = JSON.stringify(command);
    this.#server?.events.frame(socket.session, text, text.length);
  }
}

it("balances across connections, whatever a client claims to have", async () => {
  const outcomes = new Map<string, number>();
  await fc.assert(fc.asyncProperty(fc.constantFrom(3, 8, 900), fc.array(anyStep, { minLength: 10, maxLength: 60 }), async (ringTrades, steps) => {
    const world = new World(ringTrades);
    await world.fanout.start();
    await world.pipeline.start();
    for (const step of steps) {
      const client = "client" in step ? world.clients[step.client] : undefined;
      if (step.do === "events") world.source.send(step.of, step.count, step.isTrade);
      else if (step.do === "advance") world.clock.advance(step.ms);
      else if (client === undefined) continue;
      else if (step.do === "stall") client.isStalled = true;
      else if (step.do === "wake") client.isStalled = false;
      else if (step.do === "sip") client.socket.read(step.items, (text) => client.hear(text));
      else if (step.do === "cut") world.cut(client, step.after);
      else if (step.do === "away") {
        world.cut(client, step.after);
        for (const count of step.counts) {
          world.source.send(0, count, step.channel !== "quotes");
          world.clock.advance(400);
        }
        world.subscribe(client, step.channel, step.symbols, step.lie);
      } else world.subscribe(client, step.channel, step.symbols, step.lie);
      if (step.do === "advance" || step.do === "wake") world.read();
    }
    world.settle();
    for (const { faults, socket, isLagging, held } of world.clients) {
      expect(faults).toEqual([]);
      expect([socket.closeCode, isLagging, socket.unread]).toEqual([null, false, 0]);
      for (const [topic, { at, due }] of held) expect([topic, at, due]).toEqual([topic, world.truth.of(topic).length, "nothing"]);
    }
    for (const { name, labels, value } of world.fanout.samples()) {
      if (name === "ticker_stream_resumes_total" || name === "ticker_stream_replays_lost_total") outcomes.set(labels["outcome"] ?? "slow", (outcomes.get(labels["outcome"] ?? "slow") ?? 0) + value);
    }
    await world.pipeline.stop();
  }), { numRuns: RUNS, examples: [[900, SLOW_REPLAY]] });
  // A test that never saw an outcome says nothing about it.
  if (process.env["RESUME_PRINT"]) process.stderr.write(`${JSON.stringify([...outcomes])}\n`);
  for (const outcome of ["exact", "snapshot", "expired", "restart", "slow"]) expect([outcome, (outcomes.get(outcome) ?? 0) > 0]).toEqual([outcome, true]);
}, 120_000);
