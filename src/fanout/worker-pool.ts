/**
 * Fan-out threads seen from the stream thread: each batch goes to each of them, and one that fails is replaced.
 *
 * One that does not keep up is sent nothing for a while and then, instead of its backlog, a snapshot of what moved.
 * A thread with open native sockets must never be terminated, because Node aborts the process then: a worker that fails
 * closes its sockets and ends by itself, one that hangs for good ends the process.
 * Owns: the workers, a record cache to make snapshots from. Runs on: stream thread. Path: one message per flush and worker.
 */
import { Worker } from "node:worker_threads";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, ResourceError } from "../core/errors.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { KeyChange, KeyRecord, RefusedSecret, TicketRedeemer } from "../ports/access.ts";
import type { ConnectionList, ConnectionQuery, FoundConnection } from "../ports/connections.ts";
import type { OrderEvent, OrderReader } from "../ports/orders.ts";
import type { RecordBatch, RecordSink } from "../ports/records.ts";
import type { FanoutSettings } from "../ports/stream-settings.ts";
import type { Logger, MetricSample } from "../ports/telemetry.ts";
import { Backlog } from "./backlog.ts";
import { freePort } from "./free-port.ts";
import { LiveOptions } from "./live-options.ts";
import type { FanoutOptions } from "./options.ts";
import { RecordCache } from "./record-cache.ts";
import { type Member, post, send } from "./pool-member.ts";
import { Calls, type FromWorker, type ToWorker, type WorkerInit } from "./thread-channel.ts";
import { WorkerQuestions } from "./worker-questions.ts";

/** A worker that takes nothing in for this long while batches wait hangs. */
const HUNG_MS = 5_000;
const CHECK_MS = 500;
/** Bytes on their way to one worker, beside the limit in batches: one that lets more pile up is behind. */
const IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024;
/** How often a worker that is behind is asked whether it has taken everything in, when no batch asks before. */
const ANSWER_MS = 10;
/** Bytes of one snapshot; what does not fit follows in the next. One of trades takes 3 ms to make, 28 ms at 8 MiB. */
const SNAPSHOT_BYTES_MAX = 1024 * 1024;
/** A worker that failed is replaced after this, twice as long each time its replacement fails too. */
const RESTART_MS = 250;
const RESTART_MS_MAX = 10_000;
/** One that listened for this long was sound: the wait begins anew. */
const STABLE_MS = 60_000;
const REPORT_MS = 1_000;
const STOP_MS = 2_000;

export interface WorkerPoolParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly options: FanoutOptions;
  readonly epoch: string;
  readonly workers: number;
  readonly host: string;
  readonly port: number;
  /** Module that a worker runs. */
  readonly entry: URL;
  /** Megabytes of short-lived objects before a worker cleans up. */
  readonly youngGenerationMb: number;
  readonly placeTable: SharedArrayBuffer;
  readonly redeem: TicketRedeemer;
  readonly demand: (index: InstrumentIndex) => void;
  /** What the channel `orders` is served from. */
  readonly readOrders?: OrderReader;
  /** A worker hangs: the process cannot go on. */
  readonly onHung: (reason: string) => void;
  /** `listening` or `settled` may have changed. */
  readonly onChange?: () => void;
  /** A key or ticket was not accepted; for the audit. */
  readonly onRefusedKey?: (refused: RefusedSecret) => void;
}

export class WorkerPool implements RecordSink, Component {
  readonly name = "workers";
  readonly #parts: WorkerPoolParts;
  readonly #members: Member[] = [];
  readonly #instruments: Instrument[] = [];
  readonly #live: LiveOptions;
  #settings: FanoutSettings | null = null;
  readonly #cache: RecordCache;
  readonly #keys = new Map<string, KeyRecord>();
  readonly #reports = new Calls<{ sessions: number; samples: readonly MetricSample[] }>();
  readonly #questions: WorkerQuestions;
  #port: number;
  #timer: Timer | null = null;
  readonly #restartTimers = new Set<Timer>();
  /** Nothing is replaced any more. */
  #isEnding = false;
  #restarts = 0;
  #answerTimer: Timer | null = null;
  #fellBehind = 0;
  #snapshots = 0;
  #skippedBatches = 0;
  #skippedRecords = 0;

  constructor(parts: WorkerPoolParts, keys: readonly KeyRecord[]) {
    this.#parts = parts;
    this.#port = parts.port;
    this.#live = new LiveOptions(parts.options);
    this.#cache = new RecordCache(this.#live.options);
    this.#questions = new WorkerQuestions(parts.clock);
    for (const key of keys) this.#keys.set(key.digest, key);
  }

  async start(): Promise<void> {
    if (this.#port === 0) this.#port = await freePort(this.#parts.host);
    for (let i = 0; i < this.#parts.workers; i++) this.#port = await this.#add(0);
    this.#timer = this.#parts.clock.every(CHECK_MS, () => this.#check());
  }

  /** What the pool has kept, for whoever makes snapshots on its thread. */
  get cache(): RecordCache {
    return this.#cache;
  }

  /** The port in use, after the start. */
  get port(): number {
    return this.#port;
  }

  /** Workers that listen. */
  get listening(): number {
    return this.#members.filter((member) => member.listening).length;
  }

  async stop(): Promise<void> {
    this.#isEnding = true;
    this.#timer?.stop();
    this.#answerTimer?.stop();
    for (const timer of this.#restartTimers) timer.stop();
    await Promise.all(this.#members.map((member) => new Promise<void>((resolve) => {
      const giveUp = this.#parts.clock.after(STOP_MS, resolve);
      member.worker.once("exit", () => {
        giveUp.stop();
        resolve();
      });
      post(member, { type: "stop" });
    })));
  }

  define(index: InstrumentIndex, instrument: Instrument): void {
    this.#instruments[index] = instrument;
    for (const member of this.#members) post(member, { type: "define", index, instrument });
  }

  batch(batch: RecordBatch): void {
    const { count, words, offsets } = batch;
    for (let i = 0; i < count; i++) this.#cache.put(words, offsets[i] ?? 0, offsets[i + 1] ?? 0);
    for (const member of this.#members) {
      this.#settle(member);
      if (member.backlog === null && !this.#hasRoom(member)) this.#fallBehind(member);
      if (member.backlog === null) send(member, words.slice(0, offsets[count] ?? 0), offsets.slice(0, count + 1), count);
      else this.#skip(member, member.backlog, batch);
    }
  }

  lost(index: InstrumentIndex, _kind: "trade", missed: number | null): void {
    for (const member of this.#members) {
      if (member.backlog) member.backlog.lose(index, missed);
      else post(member, { type: "lost", index, missed });
    }
  }

  /** Events of orders as they were written: each worker knows who holds them. */
  orderEvents(events: readonly OrderEvent[]): void {
    for (const member of this.#members) post(member, { type: "order_events", events });
  }

  changeKeys(change: KeyChange): void {
    for (const id of change.revoked) for (const [digest, key] of this.#keys) if (key.keyId === id) this.#keys.delete(digest);
    for (const key of change.added) this.#keys.set(key.digest, key);
    for (const member of this.#members) post(member, { type: "keys", change });
  }

  /** Hands them to every worker, and to those that start later. */
  applySettings(settings: FanoutSettings): void {
    this.#settings = settings;
    this.#live.apply(settings);
    for (const member of this.#members) post(member, { type: "settings", settings });
  }

  /** Revisions of the settings that the workers work by; of those that take messages. */
  get settled(): readonly number[] {
    return this.#members.map((member) => member.settled).filter((revision) => !Number.isNaN(revision));
  }

  /** Resolves with the number of sessions that were told to go. */
  async drain(withinMs: number): Promise<number> {
    this.#isEnding = true;
    const drained = await Promise.all(this.#members.map((member) => new Promise<number>((resolve) => {
      member.onDrained = resolve;
      post(member, { type: "drain", withinMs });
    })));
    return drained.reduce((sum, sessions) => sum + sessions, 0);
  }

  /** Sessions of all workers. */
  connections(query: ConnectionQuery): Promise<ConnectionList> {
    return this.#questions.list(this.#posts(), query);
  }

  connection(id: string, isDisconnected: boolean): Promise<FoundConnection | null> {
    return this.#questions.connection(this.#posts(), id, isDisconnected);
  }

  #posts(): ((message: ToWorker) => void)[] {
    return this.#members.map((member) => (message) => post(member, message));
  }

  /** Numbers of all workers, each with its label; a worker that does not answer within a second is left out. */
  async report(): Promise<{ sessions: number; samples: MetricSample[] }> {
    const answers = await Promise.all(this.#members.map((member, i) => new Promise<{ sessions: number; samples: MetricSample[] }>((resolve) => {
      const late = this.#parts.clock.after(REPORT_MS, () => resolve({ sessions: 0, samples: [] }));
      const call = this.#reports.open(({ sessions, samples }) => {
        late.stop();
        resolve({ sessions, samples: samples.map((sample) => ({ ...sample, labels: { ...sample.labels, worker: String(i) } })) });
      });
      post(member, { type: "report", call });
    })));
    return { sessions: answers.reduce((sum, a) => sum + a.sessions, 0), samples: [...this.#samples(), ...answers.flatMap((a) => a.samples)] };
  }

  #samples(): MetricSample[] {
    const gauge = (name: string, help: string, value: number, labels: Record<string, string> = {}): MetricSample => ({ name, help, type: "gauge", labels, value });
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    for (const member of this.#members) this.#settle(member);
    return [
      counter("ticker_workers_restarted_total", "Fan-out threads replaced", this.#restarts),
      gauge("ticker_workers_listening", "Fan-out threads that take connections", this.listening),
      gauge("ticker_workers_behind", "Fan-out threads that are sent nothing until they have taken everything in", this.#members.filter((member) => member.backlog !== null).length),
      ...this.#members.map((member, i) => gauge("ticker_workers_batches_in_flight", "Batches sent to a fan-out thread and not taken in yet", member.inFlight.length, { worker: String(i) })),
      counter("ticker_workers_fell_behind_total", "Times a fan-out thread had too many batches to take in", this.#fellBehind),
      counter("ticker_workers_batches_skipped_total", "Batches not sent to a fan-out thread that was behind", this.#skippedBatches),
      counter("ticker_workers_records_skipped_total", "Records in them, once per thread", this.#skippedRecords),
      counter("ticker_workers_snapshots_total", "Snapshots sent to fan-out threads that were new or behind", this.#snapshots),
    ];
  }

  /** Starts one worker and, once it takes messages, brings it up to date; resolves when it listens. */
  #add(failures: number): Promise<number> {
    const { options, epoch, host, placeTable, clock, entry } = this.#parts;
    const acknowledged = new SharedArrayBuffer(4);
    const init: WorkerInit = { options, settings: this.#settings, epoch, keys: [...this.#keys.values()], placeTable, acknowledged, host, port: this.#port };
    const worker = new Worker(entry, { workerData: init, resourceLimits: { maxYoungGenerationSizeMb: this.#parts.youngGenerationMb } });
    return new Promise((resolve, reject) => {
      const member: Member = {
        worker, settled: Number.NaN, acknowledged: new Int32Array(acknowledged), ready: false, listening: false, listeningSinceMs: Number.NaN, failures, inFlight: [], inFlightBytes: 0, seen: 0,
        seenAtMs: clock.monotonicMs(), backlog: Backlog.everything(this.#cache), behindSinceMs: clock.monotonicMs(), onListening: resolve, onDrained: () => {},
      };
      this.#members.push(member);
      worker.on("message", (message: FromWorker) => this.#heard(member, message));
      worker.on("error", (error) => this.#parts.log.error({ error: messageOf(error) }, "fan-out thread failed"));
      worker.once("exit", (code) => {
        this.#gone(member, code);
        reject(new ResourceError(`a fan-out thread ended with code ${code} before it listened`));
      });
      for (const [index, instrument] of this.#instruments.entries()) post(member, { type: "define", index, instrument });
    });
  }

  #hasRoom(member: Member): boolean {
    return member.inFlight.length < this.#parts.options.batchesInFlightMax && member.inFlightBytes < IN_FLIGHT_BYTES_MAX;
  }

  #fallBehind(member: Member): void {
    const { clock, log } = this.#parts;
    member.backlog = new Backlog();
    member.behindSinceMs = clock.monotonicMs();
    this.#fellBehind++;
    log.warn({ batches: member.inFlight.length, bytes: member.inFlightBytes }, "a fan-out thread is behind: it gets a snapshot once it has taken these in");
  }

  #skip(member: Member, backlog: Backlog, batch: RecordBatch): void {
    backlog.skip(batch);
    if (member.ready) {
      this.#skippedBatches++;
      this.#skippedRecords += batch.count;
    }
    this.#bringUpToDate(member);
  }

  /** Sends what has moved without it to a worker that has taken everything else in; with the last of it, it gets every batch again. */
  #bringUpToDate(member: Member): void {
    const { backlog } = member;
    if (backlog === null) return;
    if (member.ready && member.inFlight.length === 0) {
      for (const [index, missed] of backlog.takeLost()) post(member, { type: "lost", index, missed });
      const snapshot = backlog.take(this.#cache, SNAPSHOT_BYTES_MAX);
      if (backlog.isEmpty) member.backlog = null;
      this.#snapshots++;
      member.inFlight.push(snapshot.words.byteLength);
      member.inFlightBytes += snapshot.words.byteLength;
      post(member, { type: "resync", snapshot, ageMs: Math.round(this.#parts.clock.monotonicMs() - member.behindSinceMs), isLast: member.backlog === null }, [snapshot.words.buffer]);
    }
    if (member.backlog !== null) this.#answerTimer ??= this.#parts.clock.every(ANSWER_MS, () => this.#askAll());
  }

  /** For a stream that stands still: otherwise each batch asks. */
  #askAll(): void {
    for (const member of this.#members) {
      this.#settle(member);
      this.#bringUpToDate(member);
    }
    if (this.#members.some((member) => member.backlog !== null)) return;
    this.#answerTimer?.stop();
    this.#answerTimer = null;
  }

  /** Accounts for what the worker has taken in since the last look. */
  #settle(member: Member): void {
    const taken = Atomics.load(member.acknowledged, 0);
    if (taken === member.seen) return;
    member.seenAtMs = this.#parts.clock.monotonicMs();
    for (; member.seen < taken; member.seen++) member.inFlightBytes -= member.inFlight.shift() ?? 0;
  }

  #heard(member: Member, message: FromWorker): void {
    switch (message.type) {
      case "ready":
        member.ready = true;
        return this.#bringUpToDate(member);
      case "listening":
        member.listening = true;
        member.listeningSinceMs = this.#parts.clock.monotonicMs();
        this.#parts.onChange?.();
        return member.onListening(message.port);
      case "redeem":
        return this.#parts.redeem(message.ticket, (grant) => post(member, { type: "redeemed", call: message.call, grant }));
      case "demand": return this.#parts.demand(message.index);
      case "orders":
        return this.#parts.readOrders?.(message.question, (answer) => post(member, { type: "orders", call: message.call, answer }));
      case "settled":
        member.settled = message.revision;
        return this.#parts.onChange?.();
      case "refused": return this.#parts.onRefusedKey?.(message.refused);
      case "report": return this.#reports.answer(message.call, message);
      case "connections":
      case "connection": return this.#questions.answered(message);
      case "drained": return member.onDrained(message.sessions);
      case "failed": return this.#parts.log.error({ error: message.message }, "fan-out thread failed");
      case "stopped": return;
    }
  }

  #check(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const member of [...this.#members]) {
      this.#settle(member);
      if (member.inFlight.length === 0) member.seenAtMs = nowMs;
      const hungMs = nowMs - member.seenAtMs;
      if (hungMs < HUNG_MS) continue;
      this.#parts.onHung(`a fan-out thread took nothing in for ${Math.round(hungMs)} ms, ${member.inFlightBytes} bytes wait`);
    }
  }

  #gone(member: Member, code: number): void {
    const place = this.#members.indexOf(member);
    if (place >= 0) this.#members.splice(place, 1);
    member.onDrained(0);
    this.#parts.onChange?.();
    if (!this.#isEnding) this.#replace(member, code);
  }

  #replace(member: Member, code: number): void {
    const { clock, log } = this.#parts;
    const failures = clock.monotonicMs() - member.listeningSinceMs >= STABLE_MS ? 0 : member.failures;
    const inMs = Math.min(RESTART_MS * 2 ** failures, RESTART_MS_MAX);
    this.#restarts++;
    log.error({ code, inMs }, "fan-out thread ended: starting another");
    const timer = clock.after(inMs, () => {
      this.#restartTimers.delete(timer);
      if (!this.#isEnding) void this.#add(failures + 1).catch((error: unknown) => log.error({ error: messageOf(error) }, "fan-out thread did not start"));
    });
    this.#restartTimers.add(timer);
  }
}
