/**
 * The main thread's side of the stream thread: starts it, speaks with it, restarts it when it fails, drains it.
 *
 * Owns: the worker and what it last said. A thread with open native sockets must never be terminated, because Node aborts
 * the process then (decision 0009): it is asked to end, and one that hangs ends the process.
 */
import { Worker } from "node:worker_threads";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, ResourceError } from "../core/errors.ts";
import type { Grant, KeyChange, RefusedSecret } from "../ports/access.ts";
import type { BreakerChange, BreakerReport } from "../ports/breakers.ts";
import type { FeedNotice, FeedOrder } from "../ports/feed-control.ts";
import type { FeedReport } from "../ports/feeds.ts";
import type { MarketNotice } from "../ports/market-notices.ts";
import type { OrderEvent, OrderReader } from "../ports/orders.ts";
import type { StreamApplied, StreamSettings } from "../ports/stream-settings.ts";
import type { StreamCommand, StreamNotice, StreamReport, WorkerState } from "../ports/stream-control.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { StreamHealth } from "../services/health-service.ts";
import { STREAM_YOUNG_GENERATION_MB, type StreamOptions } from "./stream-options.ts";
import { StreamQuestions } from "./stream-questions.ts";

export interface StreamHostDeps {
  /** Module of the thread. */
  readonly entry: URL;
  /** Options of a thread that starts now: with the keys as they are. */
  readonly options: () => StreamOptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly redeem: (ticket: string) => Grant | null;
  /** A key or ticket was not accepted on the stream. */
  readonly onRefusedKey: (refused: RefusedSecret) => void;
  /** What the thread recorded. */
  readonly onMarket: (notice: MarketNotice) => void;
  /** A breaker of the thread changed by itself or by order. */
  readonly onBreaker: (report: BreakerReport, why: BreakerChange) => void;
  /** What the channel `orders` is served from. */
  readonly readOrders?: OrderReader;
  /** What the feeds say. */
  readonly onFeeds: (notice: FeedNotice) => void;
  /** The thread must listen within this time. */
  readonly startMs: number;
  /** A thread that says nothing for this long hangs. */
  readonly silenceMs: number;
  /** Sessions get this long to hear `goodbye` and close. */
  readonly drainMs: number;
  readonly restartsPerMinuteMax: number;
  /** The process cannot go on. Called once. */
  readonly onFatal: (reason: string) => void;
}

const REPORT_MS = 2000;
const EXIT_MS = 2000;
const WATCH_MS = 500;
const RESTART_DELAY_MS = 100;

/** Of a thread that has not said. */
const NO_WORKERS: WorkerState = { listening: 0, wanted: 0 };

type State = "idle" | "starting" | "listening" | "failed" | "stopping" | "stopped";

export class StreamHost implements Component, MetricSource {
  readonly name = "stream";
  readonly #deps: StreamHostDeps;
  #worker: Worker | null = null;
  #state: State = "idle";
  #reason = "not started";
  #port: number | null = null;
  #feeds: readonly FeedReport[] = [];
  #workers: WorkerState = NO_WORKERS;
  #breakers: readonly BreakerReport[] = [];
  #applied: StreamApplied | null = null;
  /** What administrators ask. */
  readonly questions: StreamQuestions;
  #lastNoticeMs = 0;
  #watch: Timer | null = null;
  #restart: Timer | null = null;
  #exitDeadline: Timer | null = null;
  #restarts = 0;
  #restartedAtMs: number[] = [];
  #redeemFailures = 0;
  #reportTimeouts = 0;
  #calls = 0;
  readonly #reports = new Map<number, (report: StreamReport | null) => void>();
  #onListening: ((failure: string | null) => void) | null = null;
  #onDrained: (() => void) | null = null;
  #onExit: (() => void) | null = null;

  constructor(deps: StreamHostDeps) {
    this.#deps = deps;
    this.questions = new StreamQuestions(deps.clock, () => (this.#state === "listening" ? (question) => this.#post(question) : null));
  }

  /** @throws {ResourceError} when the thread fails or does not listen in time. */
  async start(): Promise<void> {
    const failure = await this.#spawn();
    if (failure !== null) throw new ResourceError(`the stream thread cannot start: ${failure}`);
    this.#watch = this.#deps.clock.every(WATCH_MS, () => this.#checkAlive());
  }

  /** Drains the sessions, then ends the thread. Resolves also when the thread does not end: see `isThreadAlive`. */
  async stop(): Promise<void> {
    this.#watch?.stop();
    this.#restart?.stop();
    this.#exitDeadline?.stop();
    const isServing = this.#state === "listening";
    this.#state = "stopping";
    this.#reason = "draining";
    if (this.#worker && isServing) {
      const { drainMs } = this.#deps;
      if (!await this.#within(drainMs + WATCH_MS, (done) => {
        this.#onDrained = done;
        this.#post({ type: "drain", withinMs: drainMs });
      })) this.#deps.log.warn({ drainMs }, "sessions were not drained in time");
    }
    const worker = this.#worker;
    if (worker && !await this.#within(EXIT_MS, (done) => {
      this.#onExit = done;
      this.#post({ type: "stop" });
    })) this.#deps.log.error({ exitMs: EXIT_MS }, "the stream thread did not end in time");
    this.#state = "stopped";
    this.#reason = "stopped";
  }

  /** Whether leaving by `process.exit` would abort, because the thread still holds native sockets. */
  isThreadAlive(): boolean {
    return this.#worker !== null;
  }

  health(): StreamHealth {
    return { isListening: this.#state === "listening", reason: this.#reason, feeds: this.#feeds, workers: this.#workers };
  }

  /** The thread's breakers, as it last told. */
  breakers(): readonly BreakerReport[] {
    return this.#breakers;
  }

  /** The stream's port; null while it does not listen. */
  port(): number | null {
    return this.#state === "listening" ? this.#port : null;
  }

  settingsChanged(settings: StreamSettings): void {
    this.#post({ type: "settings", settings });
  }

  /** Revisions of the settings that the thread works by, as it last told; null while there is none. */
  settingsApplied(): StreamApplied | null {
    return this.#applied;
  }

  keysChanged(change: KeyChange): void {
    this.#post({ type: "keys", change });
  }

  /** Events of orders as they were written. */
  orderEvents(events: readonly OrderEvent[]): void {
    this.#post({ type: "order_events", events });
  }

  /** False when the thread does not listen: then it hears nothing. */
  orderFeeds(order: FeedOrder): boolean {
    if (this.#state !== "listening") return false;
    this.#post({ type: "feeds", order });
    return true;
  }

  /** What the thread counts now; null when it does not answer in time. */
  report(): Promise<StreamReport | null> {
    if (this.#state !== "listening") return Promise.resolve(null);
    const call = ++this.#calls;
    return new Promise((resolve) => {
      const deadline = this.#deps.clock.after(REPORT_MS, () => {
        this.#reportTimeouts++;
        this.#reports.delete(call);
        resolve(null);
      });
      this.#reports.set(call, (report) => {
        deadline.stop();
        this.#reports.delete(call);
        resolve(report);
      });
      this.#post({ type: "report", call });
    });
  }

  samples(): MetricSample[] {
    const sample = (name: string, help: string, type: "counter" | "gauge", value: number): MetricSample => ({ name, help, type, labels: {}, value });
    return [
      sample("ticker_stream_up", "Whether the stream thread listens", "gauge", this.#state === "listening" ? 1 : 0),
      sample("ticker_stream_restarts_total", "Restarts of the stream thread", "counter", this.#restarts),
      sample("ticker_stream_report_timeouts_total", "Times the stream thread did not report in time", "counter", this.#reportTimeouts),
      sample("ticker_stream_redeem_failures_total", "Tickets the stream asked about that were refused", "counter", this.#redeemFailures),
    ];
  }

  /** Resolves with null once the thread listens, else with why it does not. */
  #spawn(): Promise<string | null> {
    this.#state = "starting";
    this.#reason = "starting";
    this.#lastNoticeMs = this.#deps.clock.monotonicMs();
    const worker = new Worker(this.#deps.entry, { workerData: this.#deps.options(), resourceLimits: { maxYoungGenerationSizeMb: STREAM_YOUNG_GENERATION_MB } });
    this.#worker = worker;
    worker.on("message", (notice: StreamNotice) => this.#notice(notice));
    worker.on("error", (error) => this.#failed(messageOf(error)));
    worker.on("exit", (code) => this.#exited(worker, code));
    return new Promise((resolve) => {
      const deadline = this.#deps.clock.after(this.#deps.startMs, () => this.#onListening?.(`it did not listen within ${this.#deps.startMs} ms`));
      this.#onListening = (failure) => {
        deadline.stop();
        this.#onListening = null;
        resolve(failure);
      };
    });
  }

  #notice(notice: StreamNotice): void {
    this.#lastNoticeMs = this.#deps.clock.monotonicMs();
    switch (notice.type) {
      case "listening": return this.#listening(notice.port);
      case "state":
        this.#feeds = notice.feeds;
        this.#workers = notice.workers;
        this.#breakers = notice.breakers;
        return;
      case "settings":
        this.#applied = notice.applied;
        return;
      case "refused": return this.#deps.onRefusedKey(notice.refused);
      case "market": return this.#deps.onMarket(notice.notice);
      case "connections":
      case "connection":
      case "breaker": return this.questions.answered(notice);
      case "feeds": return this.#deps.onFeeds(notice.notice);
      case "breaker_changed": return this.#deps.onBreaker(notice.report, notice.why);
      case "redeem": return this.#redeem(notice.call, notice.ticket);
      case "orders": return this.#deps.readOrders?.(notice.question, (answer) => this.#post({ type: "orders", call: notice.call, answer }));
      case "report": this.#reports.get(notice.call)?.(notice.report); return;
      case "log": this.#deps.log[notice.level](notice.fields, notice.message); return;
      case "failed": return this.#failed(notice.message);
      case "drained": this.#onDrained?.(); return;
      case "stopped": return;
    }
  }

  #listening(port: number): void {
    this.#port = port;
    if (this.#state === "starting") {
      this.#state = "listening";
      this.#reason = "";
    }
    this.#onListening?.(null);
  }

  #redeem(call: number, ticket: string): void {
    const grant = this.#deps.redeem(ticket);
    if (!grant) this.#redeemFailures++;
    this.#post({ type: "redeemed", call, grant });
  }

  /** The thread says that it cannot go on; it closes its sockets and ends by itself. */
  #failed(reason: string): void {
    if (this.#state === "stopping" || this.#state === "stopped" || this.#state === "failed") return;
    this.#deps.log.error({ reason }, "the stream thread failed");
    this.#state = "failed";
    this.#reason = reason;
    this.#feeds = [];
    this.#applied = null;
    this.#workers = NO_WORKERS;
    this.#exitDeadline = this.#deps.clock.after(EXIT_MS, () => this.#deps.onFatal(`the stream thread failed (${reason}) and does not end`));
  }

  #exited(worker: Worker, code: number): void {
    if (worker !== this.#worker) return;
    this.#worker = null;
    if (this.#state !== "stopping" && this.#state !== "stopped" && this.#state !== "failed") this.#failed(`it ended with code ${code}`);
    this.#exitDeadline?.stop();
    for (const answer of this.#reports.values()) answer(null);
    this.questions.lost();
    this.#onDrained?.();
    this.#onExit?.();
    const { state, reason } = { state: this.#state, reason: this.#reason };
    if (this.#onListening) this.#onListening(reason);
    else if (state === "failed") this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    this.#restartedAtMs = this.#restartedAtMs.filter((atMs) => nowMs - atMs < 60_000);
    if (this.#restartedAtMs.length >= this.#deps.restartsPerMinuteMax) {
      this.#deps.onFatal(`the stream thread failed again after ${this.#restartedAtMs.length} restarts in a minute: ${this.#reason}`);
      return;
    }
    this.#restartedAtMs.push(nowMs);
    this.#restarts++;
    this.#restart = this.#deps.clock.after(RESTART_DELAY_MS * this.#restartedAtMs.length, () => void this.#startAgain());
  }

  async #startAgain(): Promise<void> {
    const failure = await this.#spawn();
    if (failure === null) this.#deps.log.warn({ restarts: this.#restarts }, "the stream thread runs again");
    else if (this.#state !== "stopping" && this.#state !== "stopped") this.#deps.onFatal(`the stream thread cannot start again: ${failure}`);
  }

  #checkAlive(): void {
    const silentMs = this.#deps.clock.monotonicMs() - this.#lastNoticeMs;
    if (this.#state !== "listening" || silentMs < this.#deps.silenceMs) return;
    this.#state = "failed";
    this.#reason = `it has been silent for ${Math.round(silentMs)} ms`;
    this.#deps.onFatal(`the stream thread hangs: ${this.#reason}`);
  }

  /** Whether `begin` called `done` in time. */
  #within(ms: number, begin: (done: () => void) => void): Promise<boolean> {
    return new Promise((resolve) => {
      const deadline = this.#deps.clock.after(ms, () => resolve(false));
      begin(() => {
        deadline.stop();
        resolve(true);
      });
    });
  }

  #post(command: StreamCommand): void {
    this.#worker?.postMessage(command);
  }
}
