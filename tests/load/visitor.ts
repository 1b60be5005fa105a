/**
 * One client of the churn benchmark: it connects, authenticates, subscribes, reads, stops reading, reads on, and leaves.
 *
 * Kinds differ in what they hold (single topics, sampled ones, a wildcard), in whether they resume, and in how they leave.
 */
import type { MixedSource } from "./mixed-source.ts";
import { countMessages, firstSequence, type FrameListener, RawClient } from "./raw-client.ts";
import { type BenchServer, KEY, symbolName } from "./servers.ts";
import { topicOfFrame } from "./watched-group.ts";

const QUOTES_HELD = 15;
const TRADES_HELD = 5;
const EVERY_MS = 250;
export const KINDS = 4;

/** Where a visitor was when it left, for one that resumes. */
export interface Positions {
  readonly epoch: string;
  readonly sequences: ReadonlyMap<number, number>;
}

/** How long each part of a visit takes, milliseconds. */
export interface Visit {
  readonly readMs: number;
  readonly stallMs: number;
  readonly wakeMs: number;
}

/** What all visitors met. */
export class Visits {
  begun = 0;
  ended = 0;
  /** Connections that the server ended before the visitor left. */
  cut = 0;
  messages = 0;
  readonly controls = new Map<string, number>();

  count(what: string): void {
    this.controls.set(what, (this.controls.get(what) ?? 0) + 1);
  }
}

export class Visitor implements FrameListener {
  readonly #number: number;
  readonly #client: RawClient;
  readonly #source: MixedSource;
  readonly #visits: Visits;
  readonly #sequences = new Map<number, number>();
  #epoch = "";
  #isLeaving = false;

  constructor(number: number, source: MixedSource, visits: Visits) {
    this.#number = number;
    this.#client = new RawClient(number, this);
    this.#source = source;
    this.#visits = visits;
  }

  /** Resolves when the connection is gone. @param from where an earlier visitor was; null: it does not resume */
  async visit(server: BenchServer, { readMs, stallMs, wakeMs }: Visit, from: Positions | null): Promise<Positions> {
    const client = this.#client;
    this.#visits.begun++;
    const gone = new Promise<void>((resolve) => {
      client.onClosed = resolve;
    });
    await client.connect("127.0.0.1", server.streamPort, "/v1/stream");
    client.send(JSON.stringify({ type: "auth", api_key: KEY }));
    for (const command of this.#commands(from)) client.send(JSON.stringify(command));
    await pause(readMs);
    client.pause();
    await pause(stallMs);
    client.resume();
    await pause(wakeMs);
    this.#isLeaving = true;
    const way = Math.floor(this.#number / KINDS) % 3;
    if (way === 0) client.send(JSON.stringify({ type: "unsubscribe", id: 9, all: true }));
    if (way === 2) client.close();
    else client.leave();
    await gone;
    this.#visits.ended++;
    return { epoch: this.#epoch, sequences: this.#sequences };
  }

  data(_client: RawClient, payload: Buffer, from: number, to: number): void {
    const messages = countMessages(payload, from, to);
    this.#visits.messages += messages;
    if (!this.#isTracking) return;
    const topic = topicOfFrame(payload, from);
    if (topic >= 0) this.#sequences.set(topic, firstSequence(payload, from) + messages - 1);
  }

  control(_client: RawClient, text: string): void {
    const message: { type: string; code?: number; name?: string; topics?: { epoch: string; resumed?: string }[] } = JSON.parse(text);
    if (message.type === "error") this.#visits.count(`error ${message.code} ${message.name}`);
    else this.#visits.count(message.type);
    if (message.type === "error" && !this.#isLeaving) this.#visits.cut++;
    for (const topic of message.type === "subscribed" ? message.topics ?? [] : []) {
      this.#epoch = topic.epoch;
      if (topic.resumed !== undefined) this.#visits.count(`resumed ${topic.resumed}`);
    }
  }

  /** Only those whose frames are of single topics in full. */
  get #isTracking(): boolean {
    return this.#number % KINDS === 0 || this.#number % KINDS === 3;
  }

  #commands(from: Positions | null): object[] {
    const { topics, trades } = this.#source;
    const quotes = this.#some(0, topics - trades, QUOTES_HELD);
    const sold = this.#some(topics - trades, trades, TRADES_HELD);
    const commands: { type: "subscribe"; id: number; channel: string; symbols: string[]; every_ms?: number; resume?: object[] }[] = [
      { type: "subscribe", id: 1, channel: "quotes", symbols: quotes.map(symbolName) },
      { type: "subscribe", id: 2, channel: "trades", symbols: sold.map(symbolName) },
    ];
    for (const [i, command] of commands.entries()) {
      if (this.#number % KINDS === 1) command.every_ms = EVERY_MS;
      if (this.#number % KINDS === 2 && i === 0) command.symbols = ["bench:*"];
      if (from !== null) command.resume = (i === 0 ? quotes : sold).map((topic) => ({ symbol: symbolName(topic), epoch: from.epoch, seq: from.sequences.get(topic) ?? 0 })).filter(({ seq }) => seq > 0);
    }
    return commands;
  }

  /** Some of `count` topics, other ones for every group of kinds; those that resume hold what the one before them held. */
  #some(first: number, count: number, held: number): number[] {
    const shift = Math.floor(this.#number / (KINDS * 8)) * 7;
    return Array.from({ length: held }, (_, i) => first + ((shift + i) % count));
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
