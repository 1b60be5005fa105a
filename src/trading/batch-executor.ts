/**
 * Executes batches, as many as fit at a time, and finishes after a start whatever is not final.
 *
 * Owns: which batch runs here. A run that fails because the database is away is taken up again; nothing is sent meanwhile.
 * Runs on: main thread.
 */
import { type Clock, type Timer, wait } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, StoreError } from "../core/errors.ts";
import type { Batch, BatchStore, Order, OrderStore } from "../ports/orders.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { BatchRun, type RunResult } from "./batch-run.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import type { TradingLimits } from "./limits.ts";
import type { OrderInput } from "./order-machine.ts";
import { OrderUpdates } from "./order-updates.ts";

export interface BatchExecutorDeps {
  readonly orders: OrderStore;
  readonly batches: BatchStore;
  /** By name. */
  readonly brokers: ReadonlyMap<string, BrokerCalls>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: TradingLimits;
  /** The kill switch: the setting `orders.enabled`. */
  readonly isEnabled: () => boolean;
}

/** `interrupted`: the process ends or the database is away; the batch goes on later. */
export type Execution = Extract<RunResult, { type: "final" }> | { readonly type: "interrupted" };

export class BatchExecutor implements Component, MetricSource {
  readonly name = "trading";
  readonly #deps: BatchExecutorDeps;
  readonly updates: OrderUpdates;
  readonly #runs = new Map<string, { readonly run: BatchRun; readonly done: Promise<Execution> }>();
  readonly #runOfOrder = new Map<string, BatchRun>();
  readonly #stopped: Promise<void>;
  #stopNow: () => void = () => undefined;
  #isStopping = false;
  #isResuming = false;
  #timer: Timer | null = null;
  #prunes: Timer | null = null;
  #executed = 0;
  #resumed = 0;
  #interrupted = 0;

  constructor(deps: BatchExecutorDeps) {
    this.#deps = deps;
    this.#stopped = new Promise((resolve) => {
      this.#stopNow = resolve;
    });
    this.updates = new OrderUpdates({
      ...deps, callsOf: this.#callsOf, isRunning: (orderId) => this.#runOfOrder.has(orderId),
      offer: (orderId, input) => {
        const run = this.#runOfOrder.get(orderId);
        run?.hear(orderId, input);
        return run !== undefined;
      },
    });
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  hasRoom(): boolean {
    return this.#runs.size < this.#deps.limits.runningMax;
  }

  async start(): Promise<void> {
    const { brokers, clock, limits } = this.#deps;
    for (const { broker } of brokers.values()) broker.onUpdate((update) => this.updates.hear(update.clientOrderId, { type: "report", order: update }));
    await this.#resume();
    this.updates.start();
    this.#timer = clock.every(limits.resumeMs, () => void this.#resume());
    this.#prunes = clock.every(limits.pruneMs, () => void this.#prune());
  }

  /** Sends nothing more; waits a while for calls that are under way, so that what they bring is written. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#stopNow();
    this.#timer?.stop();
    this.#prunes?.stop();
    await Promise.race([Promise.all([...this.#runs.values()].map(({ done }) => done)), wait(this.#deps.clock, this.#deps.limits.stopMs)]);
    await Promise.race([this.updates.stop(), wait(this.#deps.clock, this.#deps.limits.stopMs)]);
  }

  /** Executes a batch whose intent is durable. Never rejects; when the process ends it resolves at once. */
  execute(batch: Batch, orders: readonly Order[]): Promise<Execution> {
    this.#executed++;
    return Promise.race([this.#run(batch, orders), this.#stopped.then((): Execution => ({ type: "interrupted" }))]);
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      counter("ticker_batches_total", "Batches and single orders whose intent was written", this.#executed),
      counter("ticker_batches_resumed_total", "Batches taken up again, after a start or when the database was away", this.#resumed),
      counter("ticker_batches_interrupted_total", "Runs of a batch that ended before it was final", this.#interrupted),
      { name: "ticker_batches_running", help: "Batches and single orders under way", type: "gauge", labels: {}, value: this.#runs.size },
      ...this.updates.samples(), ...[...this.#deps.brokers.values()].flatMap((calls) => calls.samples()),
    ];
  }

  readonly #callsOf = (order: Order): BrokerCalls | null => this.#deps.brokers.get(order.broker) ?? null;

  #run(batch: Batch, orders: readonly Order[]): Promise<Execution> {
    const running = this.#runs.get(batch.id);
    if (running !== undefined) return running.done;
    const { clock } = this.#deps;
    const run = new BatchRun(batch, orders, {
      ...this.#deps, callsOf: this.#callsOf, isStopping: () => this.#isStopping, onLate: (orderId, input: OrderInput) => this.updates.hear(orderId, input),
      pause: (ms) => Promise.race([wait(clock, ms), this.#stopped]),
    });
    for (const id of run.orderIds) this.#runOfOrder.set(id, run);
    const done = this.#finished(batch, run);
    this.#runs.set(batch.id, { run, done });
    return done;
  }

  async #finished(batch: Batch, run: BatchRun): Promise<Execution> {
    const ids = { batch: batch.id, owner: batch.owner, request_id: batch.trace.requestId, correlation_id: batch.trace.correlationId };
    try {
      const result = await run.run();
      if (result.type === "final") return result;
      this.#deps.log.warn(ids, "a batch pauses because the process ends; it goes on at the next start");
    } catch (error) {
      const level = error instanceof StoreError ? "warn" : "error";
      this.#deps.log[level]({ ...ids, reason: messageOf(error) }, "a batch was interrupted; it goes on when that is over");
    } finally {
      this.#runs.delete(batch.id);
      for (const id of run.orderIds) this.#runOfOrder.delete(id);
      for (const [orderId, input] of run.unheard()) this.updates.hear(orderId, input);
    }
    this.#interrupted++;
    return { type: "interrupted" };
  }

  /** Takes up what is not final and does not run. */
  async #resume(): Promise<void> {
    if (this.#isResuming || this.#isStopping) return;
    this.#isResuming = true;
    const { batches, orders, limits, log } = this.#deps;
    try {
      for (const batch of await batches.running(limits.runningMax)) {
        if (this.#runs.has(batch.id) || this.#isStopping || !this.hasRoom()) continue;
        const legs = await orders.ofBatch(batch.id);
        const now = await batches.load(batch.id);
        if (now?.batch.state !== "running" || this.#runs.has(batch.id)) continue;
        this.#resumed++;
        log.info({ batch: batch.id, phase: now.batch.phase, correlation_id: batch.trace.correlationId }, "a batch is taken up again");
        void this.#run(now.batch, legs);
      }
    } catch (error) {
      log.warn({ reason: messageOf(error) }, "batches that are not final could not be read; tried again later");
    } finally {
      this.#isResuming = false;
    }
  }

  async #prune(): Promise<void> {
    const { batches, orders, clock, limits, log } = this.#deps;
    const before = (ms: number) => clock.nowMicros() - ms * 1000;
    try {
      await batches.pruneKeys(before(limits.keysKeepMs));
      await orders.pruneEvents(before(limits.eventsKeepMs));
    } catch (error) {
      log.warn({ reason: messageOf(error) }, "old idempotency keys and order events could not be removed; tried again later");
    }
  }
}
