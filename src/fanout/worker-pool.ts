/**
 * Fan-out threads seen from the stream thread: each batch goes to each of them, and one that fails is replaced.
 *
 * A thread with open native sockets must never be terminated, because Node aborts the process then: a worker that fails
 * closes its sockets and ends by itself, one that hangs ends the process.
 * Owns: the workers, a record cache to start a new one from. Runs on: stream thread. Path: one message per flush and worker.
 */
import { createServer } from "node:net";
import { Worker } from "node:worker_threads";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, ResourceError } from "../core/errors.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { KeyChange, KeyRecord, TicketRedeemer } from "../ports/access.ts";
import type { RecordBatch, RecordSink } from "../ports/records.ts";
import type { Logger, MetricSample } from "../ports/telemetry.ts";
import type { FanoutOptions } from "./options.ts";
import { RecordCache } from "./record-cache.ts";
import { Calls, type FromWorker, type ToWorker, type WorkerInit } from "./thread-channel.ts";

/** A worker that takes nothing in for this long while batches wait hangs. */
const HUNG_MS = 5_000;
const CHECK_MS = 500;
/** Bytes on their way to one worker; one that lets more pile up counts as hanging. */
const IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024;
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
  /** A worker hangs: the process cannot go on. */
  readonly onHung: (reason: string) => void;
  /** `listening` may have changed. */
  readonly onListeningChange?: () => void;
}

interface Member {
  readonly worker: Worker;
  readonly acknowledged: Int32Array;
  listening: boolean;
  /** When it began to listen; NaN before. */
  listeningSinceMs: number;
  /** Workers in a row before it that failed too soon. */
  readonly failures: number;
  /** Bytes of each batch not acknowledged yet, oldest first. */
  readonly inFlight: number[];
  inFlightBytes: number;
  /** Acknowledgements already accounted for. */
  seen: number;
  /** When it last took something in, or had nothing to take in. */
  seenAtMs: number;
  onListening: (port: number) => void;
  onDrained: (sessions: number) => void;
}

export class WorkerPool implements RecordSink, Component {
  readonly name = "workers";
  readonly #parts: WorkerPoolParts;
  readonly #members: Member[] = [];
  readonly #instruments: Instrument[] = [];
  readonly #cache: RecordCache;
  readonly #keys = new Map<string, KeyRecord>();
  readonly #reports = new Calls<{ sessions: number; samples: readonly MetricSample[] }>();
  #port: number;
  #timer: Timer | null = null;
  readonly #restartTimers = new Set<Timer>();
  /** Nothing is replaced any more. */
  #isEnding = false;
  #restarts = 0;

  constructor(parts: WorkerPoolParts, keys: readonly KeyRecord[]) {
    this.#parts = parts;
    this.#port = parts.port;
    this.#cache = new RecordCache(parts.options);
    for (const key of keys) this.#keys.set(key.digest, key);
  }

  async start(): Promise<void> {
    if (this.#port === 0) this.#port = await freePort(this.#parts.host);
    for (let i = 0; i < this.#parts.workers; i++) this.#port = await this.#add(0);
    this.#timer = this.#parts.clock.every(CHECK_MS, () => this.#check());
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
    for (const member of this.#members) send(member, words.slice(0, offsets[count] ?? 0), offsets.slice(0, count + 1), count);
  }

  lost(index: InstrumentIndex, _kind: "trade", missed: number | null): void {
    for (const member of this.#members) post(member, { type: "lost", index, missed });
  }

  changeKeys(change: KeyChange): void {
    for (const id of change.revoked) for (const [digest, key] of this.#keys) if (key.keyId === id) this.#keys.delete(digest);
    for (const key of change.added) this.#keys.set(key.digest, key);
    for (const member of this.#members) post(member, { type: "keys", change });
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
    const own: MetricSample[] = [
      { name: "ticker_workers_restarted_total", help: "Fan-out threads replaced", type: "counter", labels: {}, value: this.#restarts },
      { name: "ticker_workers_listening", help: "Fan-out threads that take connections", type: "gauge", labels: {}, value: this.listening },
    ];
    return { sessions: answers.reduce((sum, a) => sum + a.sessions, 0), samples: [...own, ...answers.flatMap((a) => a.samples)] };
  }

  /** Starts one worker and brings it up to date; resolves when it listens. */
  #add(failures: number): Promise<number> {
    const { options, epoch, host, placeTable, clock, entry } = this.#parts;
    const acknowledged = new SharedArrayBuffer(4);
    const init: WorkerInit = { options, epoch, keys: [...this.#keys.values()], placeTable, acknowledged, host, port: this.#port };
    const worker = new Worker(entry, { workerData: init, resourceLimits: { maxYoungGenerationSizeMb: this.#parts.youngGenerationMb } });
    return new Promise((resolve, reject) => {
      const member: Member = {
        worker, acknowledged: new Int32Array(acknowledged), listening: false, listeningSinceMs: Number.NaN, failures, inFlight: [], inFlightBytes: 0, seen: 0,
        seenAtMs: clock.monotonicMs(), onListening: resolve, onDrained: () => {},
      };
      this.#members.push(member);
      worker.on("message", (message: FromWorker) => this.#heard(member, message));
      worker.on("error", (error) => this.#parts.log.error({ error: messageOf(error) }, "fan-out thread failed"));
      worker.once("exit", (code) => {
        this.#gone(member, code);
        reject(new ResourceError(`a fan-out thread ended with code ${code} before it listened`));
      });
      for (const [index, instrument] of this.#instruments.entries()) post(member, { type: "define", index, instrument });
      this.#sendSnapshot(member);
    });
  }

  /** Everything newest, as one batch: what a new worker answers subscriptions from. */
  #sendSnapshot(member: Member): void {
    const kept = this.#cache.all();
    if (kept.length === 0) return;
    const offsets = new Uint32Array(kept.length + 1);
    let length = 0;
    for (const [i, record] of kept.entries()) offsets[i + 1] = length += record.length;
    const words = new Float64Array(length);
    for (const [i, record] of kept.entries()) words.set(record, offsets[i] ?? 0);
    send(member, words, offsets, kept.length);
  }

  #heard(member: Member, message: FromWorker): void {
    switch (message.type) {
      case "listening":
        member.listening = true;
        member.listeningSinceMs = this.#parts.clock.monotonicMs();
        this.#parts.onListeningChange?.();
        return member.onListening(message.port);
      case "redeem":
        return this.#parts.redeem(message.ticket, (grant) => post(member, { type: "redeemed", call: message.call, grant }));
      case "demand": return this.#parts.demand(message.index);
      case "report": return this.#reports.answer(message.call, message);
      case "drained": return member.onDrained(message.sessions);
      case "failed": return this.#parts.log.error({ error: message.message }, "fan-out thread failed");
      case "stopped": return;
    }
  }

  #check(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const member of [...this.#members]) {
      const taken = Atomics.load(member.acknowledged, 0);
      if (taken !== member.seen || member.inFlight.length === 0) member.seenAtMs = nowMs;
      for (; member.seen < taken; member.seen++) member.inFlightBytes -= member.inFlight.shift() ?? 0;
      const hungMs = nowMs - member.seenAtMs;
      if (hungMs < HUNG_MS && member.inFlightBytes < IN_FLIGHT_BYTES_MAX) continue;
      this.#parts.onHung(`a fan-out thread took nothing in for ${Math.round(hungMs)} ms, ${member.inFlightBytes} bytes wait`);
    }
  }

  #gone(member: Member, code: number): void {
    const place = this.#members.indexOf(member);
    if (place >= 0) this.#members.splice(place, 1);
    member.onDrained(0);
    this.#parts.onListeningChange?.();
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

/** The library shares a port among threads only when it was asked for by its number. */
function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host, port: 0, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function post(member: Member, message: ToWorker): void {
  member.worker.postMessage(message);
}

function send(member: Member, words: Float64Array<ArrayBuffer>, offsets: Uint32Array<ArrayBuffer>, count: number): void {
  member.inFlight.push(words.byteLength);
  member.inFlightBytes += words.byteLength;
  const message: ToWorker = { type: "batch", count, words, offsets };
  member.worker.postMessage(message, [words.buffer, offsets.buffer]);
}
