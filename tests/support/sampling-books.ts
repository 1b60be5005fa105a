/**
 * A client that keeps books of sampled and full topics from `seq` alone, and checks every message against the whole stream.
 */
import { formatBig } from "../../src/market/price.ts";
import type { RecordBatch, RecordSink } from "../../src/ports/records.ts";
import { Directory } from "../../src/fanout/directory.ts";
import type { Instrument, InstrumentIndex } from "../../src/market/instrument.ts";
import { jsonCodec } from "../../src/protocol/json-codec.ts";
import { instrumentOf, sequenceTopic } from "../../src/protocol/topic.ts";
import { entriesOf, type Entry } from "./stream-client.ts";

const CHANNEL_OF: Readonly<Record<string, string>> = { quote: "quotes", trade: "trades", trade_summary: "trades", bar: "bars", book: "book", ticker: "ticker" };
/** Longest time until a change of mode takes effect, milliseconds. */
const CHANGE_MS = 5_000;
/** A client that is awake reads at least this often, milliseconds. */
const READ_MS = 10;

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every event of the pipeline as its JSON message, by channel, symbol and sequence. */
export class WholeStream implements RecordSink {
  readonly #directory = new Directory();
  readonly #events = new Map<string, Entry[]>();

  define(index: InstrumentIndex, instrument: Instrument): void {
    this.#directory.define(index, instrument);
  }

  batch({ words, bytes, offsets, count }: RecordBatch): void {
    for (let i = 0; i < count; i++) {
      const at = offsets[i] ?? 0;
      const listing = this.#directory.at(instrumentOf(sequenceTopic(words[at] ?? 0)));
      if (!listing) continue;
      const message: unknown = JSON.parse(String(jsonCodec.event(words, bytes, at, listing.codec, 100, false)));
      if (isEntry(message)) this.of(topicName(message)).push(message);
    }
  }

  lost(): void {}

  /** Event of sequence s stands at s - 1. */
  of(topic: string): Entry[] {
    const events = this.#events.get(topic) ?? [];
    this.#events.set(topic, events);
    return events;
  }
}

/** Bars of several intervals are topics of their own; all depths of a book are one. */
function topicName(message: Entry): string {
  const channel = textOf(message["channel"]) || CHANNEL_OF[textOf(message["type"])];
  return `${channel} ${textOf(message["symbol"])} ${textOf(message["interval"])}`;
}

function units(text: unknown): bigint {
  return BigInt(String(text).replace(".", ""));
}

/** Half to even, by text book. */
function naiveVwap(notional: bigint, volume: bigint): string {
  const numerator = notional * 10_000n;
  const quotient = numerator / volume;
  const rest = (numerator % volume) * 2n;
  return formatBig(rest > volume || (rest === volume && quotient % 2n === 1n) ? quotient + 1n : quotient, 6);
}

/** The summary of trades as the protocol words it (price scale 2). */
export function naiveSummary(trades: readonly Entry[]): Entry {
  const prices = trades.map((trade) => units(trade["price"]));
  const sizes = trades.map((trade) => units(trade["size"]));
  const [first, last] = [trades[0], trades.at(-1)];
  const volume = sizes.reduce((sum, size) => sum + size, 0n);
  const notional = prices.reduce((sum, price, i) => sum + price * (sizes[i] ?? 0n), 0n);
  return {
    type: "trade_summary", symbol: first?.["symbol"], first_seq: first?.["seq"], seq: last?.["seq"], count: trades.length, volume: formatBig(volume, 4),
    open: first?.["price"], high: formatBig(prices.reduce((a, b) => (b > a ? b : a)), 2), low: formatBig(prices.reduce((a, b) => (b < a ? b : a)), 2),
    close: last?.["price"], vwap: naiveVwap(notional, volume), time: last?.["time"],
  };
}

interface Held {
  at: number;
  everyMs: number;
  /** When it was acknowledged with this mode. */
  sinceMs: number;
  /** When it was last sent a sample. */
  sampledMs: number;
  /** Whether the snapshot of its beginning is still to come. */
  isOwed: boolean;
}

export class SamplingBooks {
  readonly held = new Map<string, Held>();
  readonly faults: string[] = [];
  /** Data messages, snapshots not counted. */
  messages = 0;
  pong: Entry | null = null;
  isLagging = false;
  gaps = 0;
  readonly #stream: WholeStream;
  readonly #nowMs: () => number;
  /** Topics that the present command has named so far. */
  readonly #named = new Set<string>();

  constructor(stream: WholeStream, nowMs: () => number) {
    this.#stream = stream;
    this.#nowMs = nowMs;
  }

  hear(text: string): void {
    const parsed: unknown = JSON.parse(text);
    if (!Array.isArray(parsed)) return isEntry(parsed) ? this.#control(parsed) : undefined;
    for (const message of parsed) if (isEntry(message)) this.#data(message);
  }

  #control(message: Entry): void {
    if (message["type"] === "subscribed") this.#begin(message);
    else if (message["type"] === "unsubscribed") this.#end(message);
    else if (message["type"] === "gap") this.#gap(message);
    else if (message["type"] === "pong") this.pong = message;
    else if (message["type"] === "error") this.faults.push(JSON.stringify(message));
    else if (message["type"] === "lagging") this.isLagging = true;
    else if (message["type"] === "caught_up") {
      this.isLagging = false;
      this.disturbed();
    }
  }

  /** What comes now may have waited: its time means nothing. */
  disturbed(): void {
    for (const held of this.held.values()) Object.assign(held, { sinceMs: this.#nowMs(), sampledMs: Number.NaN });
  }

  #begin(message: Entry): void {
    for (const topic of entriesOf(message, "topics")) {
      const name = nameOf(topic);
      const held = this.held.get(name);
      const everyMs = Number(topic["every_ms"] ?? 0);
      const at = Number(topic["seq"]);
      this.#named.add(name);
      if (held && held.at !== at) this.faults.push(`${name} held at ${held.at}, acknowledged at ${at}`);
      const isOwed = at > 0 && topic["channel"] !== "trades" && topic["resumed"] === undefined;
      if (!held) this.held.set(name, { at, everyMs, sinceMs: this.#nowMs(), sampledMs: Number.NaN, isOwed });
      else if (held.everyMs !== everyMs) Object.assign(held, { everyMs, sinceMs: this.#nowMs(), sampledMs: Number.NaN });
    }
    for (const gone of entriesOf(message, "replaced")) this.#replaced(gone);
    if (message["more"] === false) this.#named.clear();
  }

  #replaced(gone: Entry): void {
    const [prefix, star] = nameOf(gone).split("*");
    if (star === undefined) return;
    for (const name of this.held.keys()) if (name.startsWith(prefix ?? "") && name.endsWith(star) && !this.#named.has(name)) this.held.delete(name);
  }

  #end(message: Entry): void {
    for (const topic of entriesOf(message, "topics")) {
      const name = nameOf(topic);
      const held = this.held.get(name);
      if (held?.at !== topic["seq"]) this.faults.push(`${name} ended at ${String(topic["seq"])}, counted ${held?.at}`);
      this.held.delete(name);
    }
  }

  #gap(message: Entry): void {
    const held = this.held.get(nameOf(message));
    if (!held || held.at !== Number(message["from"]) - 1) return void this.faults.push(`gap ${JSON.stringify(message)} at ${held?.at}`);
    held.at = Number(message["to"]);
    this.gaps++;
  }

  #data(message: Entry): void {
    const name = nameOf(message);
    const held = this.held.get(name);
    const events = this.#stream.of(topicName(message));
    const seq = Number(message["seq"]);
    if (!held) return void this.faults.push(`${name} ${seq} was not asked for`);
    if (held.isOwed && message["snapshot"] !== true) this.faults.push(`${name} ${seq} comes before the snapshot`);
    held.isOwed = false;
    if (message["snapshot"] === true) {
      // Recent trades, and closed bars that a resume brings, stand before the position.
      if (message["type"] !== "trade" && message["type"] !== "bar" ? seq !== held.at : seq > held.at) this.faults.push(`${name} snapshot ${seq} at ${held.at}`);
    } else {
      this.messages++;
      this.#account(name, held, message, events);
      held.at = seq;
    }
    this.#compare(name, message, events);
  }

  #account(name: string, held: Held, message: Entry, events: readonly Entry[]): void {
    const seq = Number(message["seq"]);
    const [isSummary, nowMs] = [message["type"] === "trade_summary", this.#nowMs()];
    const isSteady = nowMs - held.sinceMs > CHANGE_MS + READ_MS && !this.isLagging;
    if (seq <= held.at) this.faults.push(`${name} ${seq} comes after ${held.at}`);
    if (isSummary ? message["first_seq"] !== held.at + 1 : message["type"] === "trade" && seq !== held.at + 1) this.faults.push(`${name} ${JSON.stringify(message)} at ${held.at}`);
    if (message["type"] === "bar" && events.slice(held.at, seq - 1).some((bar) => bar["closed"] === true)) this.faults.push(`${name} folded a closed bar between ${held.at} and ${seq}`);
    if (!isSteady) return;
    if (held.everyMs === 0 && seq !== held.at + 1) this.faults.push(`${name} hole before ${seq} in full mode`);
    if (held.everyMs > 0 && message["type"] === "trade") this.faults.push(`${name} single trade while sampled`);
    if (held.everyMs > 0 && message["type"] !== "bar") {
      const offMs = (nowMs - held.sampledMs + READ_MS) % held.everyMs;
      if (offMs > 2 * READ_MS) this.faults.push(`${name} sample at ${nowMs} after one at ${held.sampledMs}, every ${held.everyMs}`);
      if (nowMs === held.sampledMs) this.faults.push(`${name} two samples at ${nowMs}`);
      held.sampledMs = nowMs;
    }
  }

  #compare(name: string, message: Entry, events: readonly Entry[]): void {
    const seq = Number(message["seq"]);
    const truth = message["type"] === "trade_summary" ? naiveSummary(events.slice(Number(message["first_seq"]) - 1, seq)) : shown(events[seq - 1], message["depth"]);
    const { snapshot: _, ...told } = message;
    if (JSON.stringify(told) !== JSON.stringify(truth)) this.faults.push(`${name} ${JSON.stringify(told)} is not ${JSON.stringify(truth)}`);
  }
}

/** What of an event a depth shows. */
function shown(event: Entry | undefined, depth: unknown): Entry | undefined {
  if (event?.["type"] !== "book") return event;
  const side = (name: string): unknown[] => (Array.isArray(event[name]) ? event[name].slice(0, Number(depth)) : []);
  return { ...event, depth, bids: side("bids"), asks: side("asks") };
}

function textOf(value: unknown): string {
  return typeof value === "number" || typeof value === "string" ? String(value) : "";
}

function nameOf(topic: Entry): string {
  return `${topicName(topic)}${textOf(topic["depth"])}`;
}
