/**
 * Clients whose every event is accounted for: who missed what, who was told so, and what a client reads when it wakes up.
 *
 * Owns: the last sequence of every (client, topic), and the books of lagging clients. Path: per frame, so it is frugal.
 */
import { LoadGroup } from "./load-group.ts";
import type { MixedSource } from "./mixed-source.ts";
import { countMessages, firstSequence, type RawClient } from "./raw-client.ts";
import { type BenchServer, symbolName } from "./servers.ts";

const SYMBOL_DIGITS_AT = '[{"type":"quote","symbol":"bench:S'.length;
/** Second letter of the member after the type: `snapshot` or `symbol`. */
const MEMBER_LETTER_AT = '[{"type":"quote","s'.length;
const LETTER_N = 110;
const SYMBOL_NAME_DIGITS_AT = "bench:S".length;
/** Head of a WebSocket frame of 126 bytes to 64 KiB (RFC 6455, 5.2). */
const FRAME_HEAD_BYTES = 4;
/** Latencies are those of every so many-th client. */
const TIMED_EVERY = 8;

/** A client that stopped reading: what it sees from the moment it goes on. */
export interface Waking {
  readonly atMs: number;
  /** Newest sequences when it woke, by topic. */
  readonly targets: Int32Array;
  /** Topics of which it does not hold that value yet. */
  missing: number;
  /** Until it held the newest value of every topic; NaN: it does not yet. */
  tookMs: number;
  /** Bytes of data, in frames, that were sent before `lagging` (bare loop: before it woke) and read since. */
  oldBytes: number;
  sawLagging: boolean;
}

/** What a lagging client has counted since `lagging`. */
interface Books {
  folded: number;
  lost: number;
}

export class WatchedGroup extends LoadGroup {
  /** Clients that stop reading, by index; null while they sleep and before. */
  readonly wakings = new Map<number, Waking | null>();
  /** Bytes of data frames read by client 0. */
  bytesOfFirst = 0;
  isTiming = false;
  /** Latencies of clients that never stop. */
  readonly timesMs: number[] = [];
  /** Events that never came and that nobody told of; events that came twice. */
  holes = 0;
  doubles = 0;
  /** `caught_up` messages that say something else than was counted here. */
  disagreements = 0;
  snapshots = 0;
  counted = 0;
  folded = 0;
  lost = 0;
  /** `lagging` and `caught_up` messages; how many of the former to clients that never stop. */
  laggings = 0;
  laggingsOfOthers = 0;
  caughtUps = 0;
  readonly #source: MixedSource;
  readonly #base: Int32Array;
  readonly #last: Int32Array;
  readonly #books = new Map<number, Books>();

  constructor(server: BenchServer, source: MixedSource, clients: number) {
    super(server);
    this.#source = source;
    this.#base = new Int32Array(clients * source.topics).fill(-1);
    this.#last = new Int32Array(clients * source.topics).fill(-1);
  }

  /** Every client holds every topic. */
  async subscribeAll(): Promise<void> {
    const { topics, trades } = this.#source;
    const quotes = Array.from({ length: topics - trades }, (_, topic) => topic);
    const others = Array.from({ length: trades }, (_, i) => topics - trades + i);
    if (this.server.name === "bare") return this.subscribe(() => [...quotes, ...others]);
    await this.subscribe(() => quotes);
    await this.subscribe(() => others, { channel: "trades" });
  }

  override data(client: RawClient, payload: Buffer, from: number, to: number): void {
    const topic = topicOfFrame(payload, from);
    if (topic < 0) {
      this.snapshots++;
      return;
    }
    const messages = countMessages(payload, from, to);
    this.deliveries += messages;
    if (client.index === 0) this.bytesOfFirst += to - from + FRAME_HEAD_BYTES;
    const place = client.index * this.#source.topics + topic;
    const first = firstSequence(payload, from);
    const last = first + messages - 1;
    const known = this.#last[place] ?? -1;
    if (known < 0) this.#base[place] = first - 1;
    else if (first <= known) this.doubles++;
    else if (first > known + 1) this.#skipped(client.index, topic, first - known - 1);
    this.counted += messages;
    this.#last[place] = last;
    const waking = this.wakings.get(client.index);
    if (waking) this.#wakingData(waking, topic, known, last, to - from + FRAME_HEAD_BYTES);
    else if (this.isTiming && waking === undefined && client.index % TIMED_EVERY === 0) this.timesMs.push(performance.now() - this.#source.sentMs(topic, first));
  }

  override control(client: RawClient, text: string): void {
    super.control(client, text);
    if (text.startsWith('{"type":"subscribed"')) this.#subscribed(client.index, text);
    else if (text.startsWith('{"type":"gap"')) this.#gap(client.index, text);
    else if (text.startsWith('{"type":"lagging"')) this.#lagging(client.index);
    else if (text.startsWith('{"type":"caught_up"')) this.#caughtUp(client.index, text);
  }

  /** These clients read on; from here on it is watched what they get. */
  wake(): void {
    for (const index of this.wakings.keys()) {
      const targets = this.#source.sequences.slice();
      let missing = 0;
      for (let topic = 0; topic < targets.length; topic++) if ((this.#last[index * targets.length + topic] ?? 0) < (targets[topic] ?? 0)) missing++;
      this.wakings.set(index, { atMs: performance.now(), targets, missing, tookMs: missing === 0 ? 0 : Number.NaN, oldBytes: 0, sawLagging: false });
      this.clients[index]?.resume();
    }
  }

  /** (client, topic) pairs that do not hold the newest value of all that was sent. */
  behind(): number {
    const { sequences, topics } = this.#source;
    let behind = 0;
    for (let i = 0; i < this.#last.length; i++) if (this.#last[i] !== sequences[i % topics]) behind++;
    return behind;
  }

  /** Sum over all clients and topics: last sequence less the one counting began at. */
  distance(): number {
    let sum = 0;
    for (let i = 0; i < this.#last.length; i++) sum += (this.#last[i] ?? 0) - (this.#base[i] ?? 0);
    return sum;
  }

  #skipped(index: number, topic: number, count: number): void {
    const books = this.#books.get(index);
    if (books === undefined || this.#source.isTrade(topic)) this.holes += count;
    else books.folded += count;
  }

  #wakingData(waking: Waking, topic: number, before: number, last: number, bytes: number): void {
    const target = waking.targets[topic] ?? 0;
    if (!waking.sawLagging && last < target) waking.oldBytes += bytes;
    if (before >= target || last < target) return;
    waking.missing--;
    if (waking.missing === 0) waking.tookMs = performance.now() - waking.atMs;
  }

  #subscribed(index: number, text: string): void {
    const answer: { topics?: { symbol: string; seq: number }[] } = JSON.parse(text);
    for (const { symbol, seq } of answer.topics ?? []) {
      const place = index * this.#source.topics + topicOf(symbol);
      this.#base[place] = seq;
      this.#last[place] = seq;
    }
  }

  #gap(index: number, text: string): void {
    const gap: { symbol: string; from: number; to: number } = JSON.parse(text);
    const place = index * this.#source.topics + topicOf(gap.symbol);
    const books = this.#books.get(index);
    if (books === undefined || gap.from !== (this.#last[place] ?? 0) + 1) this.disagreements++;
    if (books) books.lost += gap.to - gap.from + 1;
    const waking = this.wakings.get(index);
    if (waking) this.#wakingData(waking, topicOf(gap.symbol), this.#last[place] ?? 0, gap.to, 0);
    this.#last[place] = gap.to;
  }

  #lagging(index: number): void {
    const waking = this.wakings.get(index);
    if (waking) waking.sawLagging = true;
    if (waking === undefined) this.laggingsOfOthers++;
    if (this.#books.has(index)) this.disagreements++;
    this.#books.set(index, { folded: 0, lost: 0 });
    this.laggings++;
  }

  #caughtUp(index: number, text: string): void {
    const told: Books = JSON.parse(text);
    const books = this.#books.get(index);
    this.#books.delete(index);
    if (books?.folded !== told.folded || books.lost !== told.lost) this.disagreements++;
    this.folded += told.folded;
    this.lost += told.lost;
    this.caughtUps++;
  }
}

/** The number of the symbol of a data frame of single events; -1 of a snapshot. */
export function topicOfFrame(payload: Buffer, from: number): number {
  if (payload[from + MEMBER_LETTER_AT] === LETTER_N) return -1;
  const at = from + SYMBOL_DIGITS_AT;
  return ((payload[at] ?? 0) - 48) * 100 + ((payload[at + 1] ?? 0) - 48) * 10 + ((payload[at + 2] ?? 0) - 48);
}

function topicOf(symbol: string): number {
  const topic = Number(symbol.slice(SYMBOL_NAME_DIGITS_AT, SYMBOL_NAME_DIGITS_AT + 3));
  if (symbolName(topic) !== symbol) throw new Error(`expected a symbol of the benchmark, found ${symbol}`);
  return topic;
}
