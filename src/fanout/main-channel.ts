/**
 * Main seen from the stream thread: one more sink, told every few milliseconds what was recorded since.
 *
 * What a record costs here is a copy of its words, a book only a mark: main needs the newest, which is copied when the
 * message leaves. When main does not take messages in, the channel remembers positions only and sends, once main answers,
 * snapshots from the fan-out's own cache.
 * Owns: the records collected since the last message. Runs on: stream thread. Path: hot, once per record.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { MarketNotice } from "../ports/market-notices.ts";
import type { RecordBatch, RecordSink } from "../ports/records.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { instrumentOf, slotOf, BOOK_SLOT, type TopicKey } from "../protocol/topic.ts";
import { Backlog } from "./backlog.ts";
import type { RecordCache } from "./record-cache.ts";

const WORDS_FIRST = 1 << 14;
const COUNT_FIRST = 1 << 10;
/** Collected bytes that leave before their time. */
const MESSAGE_BYTES_MAX = 1024 * 1024;
/** Books that leave before their time: some 3 kB each. */
const MESSAGE_BOOKS_MAX = 256;
/** Bytes on their way to main, beside the limit in messages. */
const IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024;
const SNAPSHOT_BYTES_MAX = 1024 * 1024;

export interface MainChannelParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly epoch: string;
  /** The cache of the fan-out, which must be a sink before this one: snapshots are made from it. */
  readonly cache: RecordCache;
  /** Milliseconds that records are collected before they leave. */
  readonly everyMs: number;
  /** Messages on their way and not taken in; at so many nothing is sent, and then snapshots. */
  readonly messagesInFlightMax: number;
  readonly post: (notice: MarketNotice, transfer: readonly ArrayBuffer[]) => void;
}

export class MainChannel implements RecordSink, Component, MetricSource {
  readonly name = "main channel";
  readonly #parts: MainChannelParts;
  readonly #acknowledged = new Int32Array(new SharedArrayBuffer(4));
  #words = new Float64Array(WORDS_FIRST);
  #offsets = new Uint32Array(COUNT_FIRST);
  #count = 0;
  #length = 0;
  /** Books that have changed since the last message, and by instrument whether its book is among them. */
  readonly #books: TopicKey[] = [];
  #isChanged = new Uint8Array(COUNT_FIRST);
  /** Bytes of each message not taken in yet, oldest first. */
  readonly #inFlight: number[] = [];
  #inFlightBytes = 0;
  #seen = 0;
  /** What main has not been sent, while it is behind. */
  #backlog: Backlog | null = null;
  /** Runs while something waits to leave. */
  #timer: Timer | null = null;
  readonly #due = (): void => {
    this.#timer = null;
    this.#leave();
  };
  #messages = 0;
  #fellBehind = 0;
  #skipped = 0;
  #snapshots = 0;

  constructor(parts: MainChannelParts) {
    this.#parts = parts;
  }

  /** Before the first record. */
  async start(): Promise<void> {
    this.#parts.post({ type: "begin", epoch: this.#parts.epoch, acknowledged: this.#sharedCounter() }, []);
  }

  async stop(): Promise<void> {
    this.#leave();
    this.#timer?.stop();
    this.#timer = null;
  }

  define(index: InstrumentIndex, instrument: Instrument): void {
    this.#leave();
    this.#parts.post({ type: "define", index, instrument }, []);
  }

  batch(batch: RecordBatch): void {
    if (this.#backlog === null) this.#collect(batch);
    else this.#skip(this.#backlog, batch);
    if (this.#length * 8 >= MESSAGE_BYTES_MAX || this.#books.length >= MESSAGE_BOOKS_MAX) this.#leave();
    else this.#timer ??= this.#parts.clock.after(this.#parts.everyMs, this.#due);
  }

  lost(index: InstrumentIndex, _kind: "trade", missed: number | null): void {
    this.#leave();
    if (this.#backlog === null) this.#parts.post({ type: "lost", index, missed }, []);
    else this.#backlog.lose(index, missed);
  }

  samples(): MetricSample[] {
    this.#settle();
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    const gauge = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "gauge", labels: {}, value });
    return [
      counter("ticker_main_messages_total", "Messages of records sent to the main thread", this.#messages),
      counter("ticker_main_snapshots_total", "Snapshots sent to the main thread instead of what it had missed", this.#snapshots),
      counter("ticker_main_fell_behind_total", "Times the main thread had too many messages to take in", this.#fellBehind),
      counter("ticker_main_records_skipped_total", "Records not sent to the main thread while it was behind", this.#skipped),
      gauge("ticker_main_messages_in_flight", "Messages sent to the main thread and not taken in yet", this.#inFlight.length),
      gauge("ticker_main_behind", "Whether the main thread is behind", this.#backlog === null ? 0 : 1),
    ];
  }

  #sharedCounter(): SharedArrayBuffer {
    const { buffer } = this.#acknowledged;
    return buffer;
  }

  #collect({ count, words, offsets }: RecordBatch): void {
    for (let i = 0; i < count; i++) {
      const at = offsets[i] ?? 0;
      const topic = words[at] ?? 0;
      if (slotOf(topic) === BOOK_SLOT) this.#mark(topic);
      else this.#copy(words, at, (offsets[i + 1] ?? at) - at);
    }
  }

  #mark(topic: TopicKey): void {
    const instrument = instrumentOf(topic);
    if (instrument >= this.#isChanged.length) this.#growMarks(instrument + 1);
    if (this.#isChanged[instrument] === 1) return;
    this.#isChanged[instrument] = 1;
    this.#books.push(topic);
  }

  readonly #copy = (from: Float64Array, at: number, length: number): void => {
    if (this.#length + length > this.#words.length) this.#growWords(this.#length + length);
    if (this.#count + 2 > this.#offsets.length) this.#growOffsets(this.#count + 2);
    const words = this.#words;
    const to = this.#length;
    for (let i = 0; i < length; i++) words[to + i] = from[at + i] ?? 0;
    this.#length = to + length;
    this.#offsets[++this.#count] = this.#length;
  };

  /** Copies the newest of each book that has changed. */
  #copyBooks(): void {
    for (const topic of this.#books) {
      this.#isChanged[instrumentOf(topic)] = 0;
      this.#parts.cache.visitAfter(topic, 0, this.#copy);
    }
    this.#books.length = 0;
  }

  #skip(backlog: Backlog, batch: RecordBatch): void {
    backlog.skip(batch);
    this.#skipped += batch.count;
  }

  /** Sends what has been collected, or what makes up for what was not. */
  #leave(): void {
    this.#settle();
    this.#copyBooks();
    if (this.#backlog === null && this.#count > 0 && !this.#hasRoom()) this.#fallBehind();
    if (this.#backlog !== null) return this.#bringUpToDate(this.#backlog);
    if (this.#count === 0) return;
    const words = this.#words.slice(0, this.#length);
    const offsets = this.#offsets.slice(0, this.#count + 1);
    this.#send({ type: "batch", count: this.#count, words, offsets }, words.byteLength, [words.buffer, offsets.buffer]);
    this.#forget();
  }

  #hasRoom(): boolean {
    return this.#inFlight.length < this.#parts.messagesInFlightMax && this.#inFlightBytes < IN_FLIGHT_BYTES_MAX;
  }

  #fallBehind(): void {
    const backlog = new Backlog();
    this.#fellBehind++;
    this.#parts.log.warn({ messages: this.#inFlight.length, bytes: this.#inFlightBytes }, "the main thread is behind: it gets a snapshot once it has taken these in");
    this.#skip(backlog, { count: this.#count, words: this.#words, bytes: new Uint8Array(this.#words.buffer), offsets: this.#offsets });
    this.#forget();
    this.#backlog = backlog;
  }

  #bringUpToDate(backlog: Backlog): void {
    if (this.#inFlight.length === 0) {
      for (const [index, missed] of backlog.takeLost()) this.#parts.post({ type: "lost", index, missed }, []);
      const records = backlog.take(this.#parts.cache, SNAPSHOT_BYTES_MAX);
      if (backlog.isEmpty) this.#backlog = null;
      this.#snapshots++;
      this.#send({ type: "snapshot", records }, records.words.byteLength, [records.words.buffer]);
    }
    if (this.#backlog !== null) this.#timer ??= this.#parts.clock.after(this.#parts.everyMs, this.#due);
  }

  #send(notice: MarketNotice, bytes: number, transfer: readonly ArrayBuffer[]): void {
    this.#messages++;
    this.#inFlight.push(bytes);
    this.#inFlightBytes += bytes;
    this.#parts.post(notice, transfer);
  }

  /** Accounts for what main has taken in since the last look. */
  #settle(): void {
    const taken = Atomics.load(this.#acknowledged, 0);
    for (; this.#seen < taken; this.#seen++) this.#inFlightBytes -= this.#inFlight.shift() ?? 0;
  }

  #forget(): void {
    this.#count = 0;
    this.#length = 0;
  }

  #growWords(least: number): void {
    const words = new Float64Array(Math.max(least, this.#words.length * 2));
    words.set(this.#words.subarray(0, this.#length));
    this.#words = words;
  }

  #growMarks(least: number): void {
    const marks = new Uint8Array(Math.max(least, this.#isChanged.length * 2));
    marks.set(this.#isChanged);
    this.#isChanged = marks;
  }

  #growOffsets(least: number): void {
    const offsets = new Uint32Array(Math.max(least, this.#offsets.length * 2));
    offsets.set(this.#offsets);
    this.#offsets = offsets;
  }
}
