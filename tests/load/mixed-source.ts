/**
 * A producer of quotes and trades for either server of a benchmark: the last of its topics are trades, all others quotes.
 *
 * Owns: the sequence of each topic, and when each event left. The two kinds differ in nothing that a load client looks at.
 */
import { type BenchServer, symbolName } from "./servers.ts";

export class MixedSource {
  readonly topics: number;
  /** Topics that are trades: the last ones. */
  readonly trades: number;
  /** Last sequence sent, by topic. */
  readonly sequences: Int32Array;
  readonly #sentMs: number[][];
  readonly #server: BenchServer;
  #next = 0;

  constructor(server: BenchServer, topics: number, trades: number) {
    this.#server = server;
    this.topics = topics;
    this.trades = trades;
    this.sequences = new Int32Array(topics);
    this.#sentMs = Array.from({ length: topics }, () => []);
  }

  isTrade(topic: number): boolean {
    return topic >= this.topics - this.trades;
  }

  /** The next events, topic after topic; all of them leave in one write. */
  send(count: number): void {
    const now = performance.now();
    let text = "";
    for (let i = 0; i < count; i++) {
      const topic = this.#next++ % this.topics;
      const seq = (this.sequences[topic] ?? 0) + 1;
      this.sequences[topic] = seq;
      this.#sentMs[topic]?.push(now);
      text += this.#server.name === "ours" ? pushLine(topic, seq, this.isTrade(topic)) : bareLine(topic, seq, this.isTrade(topic));
    }
    this.#server.sendLines(text);
  }

  /** When an event left, milliseconds of this process. */
  sentMs(topic: number, seq: number): number {
    return this.#sentMs[topic]?.[seq - 1] ?? Number.NaN;
  }

  /** So many events a second until then, in a write every 10 ms. */
  async steady(perS: number, untilMs: number): Promise<void> {
    const everyMs = 10;
    let owed = 0;
    for (let dueMs = performance.now(); dueMs < untilMs; dueMs += everyMs) {
      while (performance.now() < dueMs) await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now() - 0.5)));
      owed += (perS * everyMs) / 1000;
      const count = Math.floor(owed);
      owed -= count;
      if (count > 0) this.send(count);
    }
  }
}

function pushLine(topic: number, seq: number, isTrade: boolean): string {
  const create = seq === 1 ? ',"create":true,"price_scale":2,"size_scale":4' : "";
  const values = isTrade ? `"price":"${priceOf(seq)}","size":"0.7500","side":"buy"` : `"bid":"${priceOf(seq)}","bid_size":"1.2500","ask":"67300.75","ask_size":"0.7500"`;
  return `{"type":"${isTrade ? "trade" : "quote"}","symbol":"${symbolName(topic)}",${values}${create}}\n`;
}

/** The bytes that both servers send; times and ids have as many digits as real ones. */
function bareLine(topic: number, seq: number, isTrade: boolean): string {
  const values = isTrade ? `"id":"${seq}","price":"${priceOf(seq)}","size":"0.7500","side":"buy"` : `"bid":"${priceOf(seq)}","bid_size":"1.2500","ask":"67300.75","ask_size":"0.7500"`;
  return `${symbolName(topic)}\t[{"type":"${isTrade ? "trade" : "quote"}","symbol":"${symbolName(topic)}","seq":${seq},${values},"time":1763650000123456,"received":1763650000123456}]\n`;
}

function priceOf(seq: number): string {
  return `67${100 + (seq % 100)}.25`;
}
