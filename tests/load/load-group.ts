/**
 * Many raw clients of one server and what they hear: deliveries, who waits for what, how late messages are.
 */
import { once } from "node:events";
import { EventEmitter } from "node:events";
import { countMessages, firstSequence, RawClient, type FrameListener } from "./raw-client.ts";
import { type BenchServer, KEY, symbolName } from "./servers.ts";

/** Connections opened at a time. */
const OPENING_AT_ONCE = 200;
/** Where the three digits of the symbol number stand in a data frame: `[{"type":"quote","symbol":"bench:S042-USD"`. */
const SYMBOL_DIGITS_AT = '[{"type":"quote","symbol":"bench:S'.length;

export class LoadGroup implements FrameListener {
  readonly clients: RawClient[] = [];
  readonly server: BenchServer;
  /** Messages delivered to all clients. */
  deliveries = 0;
  /** Called when `deliveries` reaches `target`. */
  target = Number.POSITIVE_INFINITY;
  onTarget: () => void = () => {};
  /** Called with the sequence of each frame that the first client gets. */
  onFirst: ((messages: number) => void) | null = null;
  /** When set: send times by symbol and sequence; latencies (ms) of every eighth client are collected. */
  sentAt: Map<number, number> | null = null;
  readonly latencies: number[] = [];
  readonly #controls = new EventEmitter();
  #answers = 0;

  constructor(server: BenchServer) {
    this.server = server;
    this.#controls.setMaxListeners(0);
  }

  data(client: RawClient, payload: Buffer, from: number, to: number): void {
    const messages = countMessages(payload, from, to);
    client.received += messages;
    this.deliveries += messages;
    if (this.sentAt !== null && (client.index & 7) === 0) this.#time(payload, from);
    if (client.index === 0 && this.onFirst !== null) this.onFirst(messages);
    if (this.deliveries >= this.target) {
      this.target = Number.POSITIVE_INFINITY;
      this.onTarget();
    }
  }

  control(_client: RawClient, text: string): void {
    if (text.startsWith('{"type":"authenticated"') || (text.startsWith('{"type":"subscribed"') && !text.includes('"more":true'))) {
      this.#answers++;
      this.#controls.emit("answer");
    } else if (text.startsWith('{"type":"error"')) {
      throw new Error(`${this.server.name}: ${text}`);
    }
  }

  /** Opens and authenticates so many connections. */
  async open(count: number): Promise<void> {
    for (let from = 0; from < count; from += OPENING_AT_ONCE) {
      const some = Array.from({ length: Math.min(OPENING_AT_ONCE, count - from) }, (_, i) => new RawClient(from + i, this));
      await Promise.all(some.map((client) => client.connect("127.0.0.1", this.server.streamPort, "/v1/stream")));
      for (const client of some) client.send(JSON.stringify({ type: "auth", api_key: KEY }));
      this.clients.push(...some);
      await this.#answered(this.clients.length);
    }
    this.#answers = 0;
  }

  /** Subscribes each client to its symbols. @param options further fields of the command, such as another `channel` */
  async subscribe(symbolsOf: (client: number) => readonly number[], options: Readonly<Record<string, unknown>> = {}): Promise<void> {
    this.#answers = 0;
    for (const client of this.clients) {
      client.send(subscription(symbolsOf(client.index), options));
      if (client.index % OPENING_AT_ONCE === OPENING_AT_ONCE - 1) await this.#answered(client.index + 1);
    }
    await this.#answered(this.clients.length);
  }

  /** The same one client at a time, so that the server takes them in this order. @param clients some of those that are open */
  async subscribeInTurn(symbolsOf: (client: number) => readonly number[], options: Readonly<Record<string, unknown>>, clients: readonly RawClient[]): Promise<void> {
    this.#answers = 0;
    for (const [i, client] of clients.entries()) {
      client.send(subscription(symbolsOf(client.index), options));
      await this.#answered(i + 1);
    }
  }

  /** Resolves when so many more messages have been delivered. */
  delivered(more: number): Promise<void> {
    return new Promise((resolve) => {
      this.target = this.deliveries + more;
      this.onTarget = resolve;
    });
  }

  close(): void {
    for (const client of this.clients) client.close();
    this.clients.length = 0;
  }

  #time(payload: Buffer, from: number): void {
    const at = from + SYMBOL_DIGITS_AT;
    const symbol = ((payload[at] ?? 0) - 48) * 100 + ((payload[at + 1] ?? 0) - 48) * 10 + ((payload[at + 2] ?? 0) - 48);
    const sent = this.sentAt?.get(symbol * 1e7 + firstSequence(payload, from));
    if (sent !== undefined) this.latencies.push(performance.now() - sent);
  }

  async #answered(count: number): Promise<void> {
    const deadline = AbortSignal.timeout(30_000);
    while (this.#answers < count) await once(this.#controls, "answer", { signal: deadline });
  }
}

function subscription(symbols: readonly number[], options: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ type: "subscribe", id: 1, channel: "quotes", symbols: symbols.map((symbol) => symbolName(symbol)), ...options });
}

/** The value below which the share `p` of the sorted values lies. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[sorted.length / 2 - 1] ?? Number.NaN)) / 2;
}
