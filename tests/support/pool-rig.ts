/**
 * A pool of fan-out threads that fail when told to, with the pipeline before it: everything but feeds, REST and the clock's source.
 */
import { BroadcastChannel } from "node:worker_threads";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { micros } from "../../src/core/time.ts";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import { createPlaceTable } from "../../src/fanout/places.ts";
import { WorkerPool } from "../../src/fanout/worker-pool.ts";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { price, quantity } from "../../src/market/price.ts";
import { KeepingLog } from "./silent-log.ts";
import { StreamClient } from "./stream-client.ts";
import { instrument, keyRecord, READ_KEY, TEST_OPTIONS } from "./stream-rig.ts";
import type { Order } from "./unreliable-worker.ts";

const ENTRY = new URL("./unreliable-worker.ts", import.meta.url);

export interface PoolRigOptions {
  readonly workers?: number;
  readonly clock?: Clock;
  readonly fanout?: Partial<FanoutOptions>;
}

export class PoolRig {
  readonly pool: WorkerPool;
  readonly pipeline: Pipeline;
  /** What the pool said of workers that hang for good. */
  readonly hung: string[] = [];
  readonly log = new KeepingLog();
  /** Threads in the order of their start; a thread that hangs says its number negated. */
  readonly threads: number[] = [];
  readonly #channel = new BroadcastChannel("unreliable-worker");
  readonly #released = new Int32Array(new SharedArrayBuffer(4));
  readonly #clients: StreamClient[] = [];
  #trades = 0;
  #wake: () => void = () => {};

  private constructor({ workers = 2, clock = systemClock, fanout = {} }: PoolRigOptions) {
    this.#channel.onmessage = (event: { readonly data: unknown }): void => {
      this.threads.push(Number(event.data));
      this.#wake();
    };
    this.pool = new WorkerPool({
      clock, log: this.log, options: { ...TEST_OPTIONS, sessionsPerKeyMax: 20, ...fanout }, epoch: "e", workers, host: "127.0.0.1", port: 0, entry: ENTRY,
      youngGenerationMb: 12, placeTable: createPlaceTable(), redeem: (_ticket, done) => done(null), demand: () => {}, onHung: (reason) => this.hung.push(reason),
    }, [keyRecord(READ_KEY, "k-read", ["read"])]);
    this.pipeline = new Pipeline(systemClock, [this.pool], { flushMaxMs: 5, jumpBandPct: 1e9, instrumentsMax: 100 });
  }

  /** With the instrument `t:A`, which has index 1. */
  static async start(options: PoolRigOptions = {}): Promise<PoolRig> {
    const rig = new PoolRig(options);
    await rig.pool.start();
    rig.pipeline.define(instrument("t:*", { native: "*" }));
    rig.pipeline.define(instrument("t:A"));
    await rig.#heard(() => rig.threads.length === (options.workers ?? 2));
    return rig;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    this.release();
    this.#channel.close();
    await this.pool.stop();
  }

  tell(thread: number | undefined, act: Order["act"]): void {
    Atomics.store(this.#released, 0, 0);
    this.#channel.postMessage({ to: thread ?? 0, act, released: this.#released } satisfies Order);
  }

  /** Hangs the worker that was started as the n-th, until `release`. */
  async hang(n: number): Promise<void> {
    this.tell(this.threads[n], "hang");
    await this.#heard(() => this.threads.includes(-(this.threads[n] ?? 0)));
  }

  release(): void {
    Atomics.store(this.#released, 0, 1);
    Atomics.notify(this.#released, 0);
  }

  /** One quote of t:A as one batch. @param agoMs its event time, before now */
  quote(bid: number, agoMs = 0): void {
    const now = systemClock.nowMicros();
    this.pipeline.event({ kind: "quote", instrument: 1, bid: price(bid), bidSize: quantity(1), ask: price(bid + 1), askSize: quantity(1), eventTime: micros(now - agoMs * 1000), receiveTime: now });
    this.pipeline.flush();
  }

  /** One trade of t:A as one batch. @param agoMs its event time, before now */
  trade(at: number, agoMs = 0): void {
    const now = systemClock.nowMicros();
    this.pipeline.event({ kind: "trade", instrument: 1, id: `T${++this.#trades}`, price: price(at), size: quantity(1), side: "buy", eventTime: micros(now - agoMs * 1000), receiveTime: now });
    this.pipeline.flush();
  }

  /** A client that has asked to be let in, and its answer: `authenticated`, or the close code. */
  async connect(): Promise<{ client: StreamClient; isInside: boolean }> {
    const client = new StreamClient(`ws://127.0.0.1:${this.pool.port}/v1/stream`);
    this.#clients.push(client);
    await client.next((m) => m.type === "welcome");
    client.say({ type: "auth", api_key: READ_KEY });
    const isInside = await client.next((m) => m.type === "authenticated").then(() => true, () => false);
    return { client, isInside };
  }

  /** So many sessions. */
  async sessions(count: number): Promise<StreamClient[]> {
    const rushing = await Promise.all(Array.from({ length: count }, () => this.connect()));
    return rushing.filter(({ isInside }) => isInside).map(({ client }) => client);
  }

  /** A number of the pool or of one of its workers (in the order of their start). */
  async sample(name: string, worker?: number): Promise<number> {
    const { samples } = await this.pool.report();
    const found = samples.filter((sample) => sample.name === name && (worker === undefined || sample.labels["worker"] === String(worker)));
    return found.reduce((sum, sample) => sum + sample.value, 0);
  }

  /** Resolves once what the threads have said fits. */
  async #heard(fits: () => boolean): Promise<void> {
    let isLate = false;
    const deadline = systemClock.after(5_000, () => {
      isLate = true;
      this.#wake();
    });
    while (!fits() && !isLate) await new Promise<void>((resolve) => { this.#wake = resolve; });
    deadline.stop();
    if (isLate) throw new Error(`the threads have only said: ${this.threads.join(", ")}`);
  }
}
