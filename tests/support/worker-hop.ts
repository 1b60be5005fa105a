/**
 * The pool's side of one worker in the test's own thread: while the worker is behind it is sent nothing, and then snapshots.
 */
import { Backlog } from "../../src/fanout/backlog.ts";
import type { Fanout } from "../../src/fanout/fanout.ts";
import { RecordCache, type RecordCacheOptions } from "../../src/fanout/record-cache.ts";
import type { Instrument, InstrumentIndex } from "../../src/market/instrument.ts";
import type { RecordBatch, RecordSink } from "../../src/ports/records.ts";

export class WorkerHop implements RecordSink {
  readonly #cache: RecordCache;
  readonly #fanout: Fanout;
  #backlog: Backlog | null = null;

  constructor(options: RecordCacheOptions, fanout: Fanout) {
    this.#cache = new RecordCache(options);
    this.#fanout = fanout;
  }

  define(index: InstrumentIndex, defined: Instrument): void {
    this.#fanout.define(index, defined);
  }

  batch(batch: RecordBatch): void {
    for (let i = 0; i < batch.count; i++) this.#cache.put(batch.words, batch.offsets[i] ?? 0, batch.offsets[i + 1] ?? 0);
    if (this.#backlog) this.#backlog.skip(batch);
    else this.#fanout.batch(batch);
  }

  lost(): void {}

  fallBehind(): void {
    this.#backlog ??= new Backlog();
  }

  /** One snapshot of at most so many bytes, `ageMs` after the worker fell behind; with the last of it the batches go on. */
  answer(bytesMax: number, ageMs: number): void {
    if (!this.#backlog) return;
    const snapshot = this.#backlog.take(this.#cache, bytesMax);
    const isLast = this.#backlog.isEmpty;
    if (isLast) this.#backlog = null;
    this.#fanout.resync(snapshot, ageMs, isLast);
  }
}
