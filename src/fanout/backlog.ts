/**
 * What a worker has not been sent: the position of every topic that moved on without it, and the snapshots that make up for it.
 *
 * Owns: a number per topic, whatever the stream does meanwhile. Runs on: stream thread. Path: per record while a worker is behind.
 */
import type { InstrumentIndex } from "../market/instrument.ts";
import type { RecordBatch } from "../ports/records.ts";
import type { TopicKey } from "../protocol/topic.ts";
import type { RecordCache, RecordSnapshot } from "./record-cache.ts";

export class Backlog {
  /** Last sequence that the worker has, by topic. */
  readonly #positions = new Map<TopicKey, number>();
  /** Trades that a venue lost meanwhile, by instrument; null: nobody knows how many. */
  readonly #lost = new Map<InstrumentIndex, number | null>();

  /** Of a worker that has nothing yet. */
  static everything(cache: RecordCache): Backlog {
    const backlog = new Backlog();
    for (const topic of cache.topics()) backlog.#positions.set(topic, 0);
    return backlog;
  }

  /** Whether a snapshot has nothing to say any more. */
  get isEmpty(): boolean {
    return this.#positions.size === 0;
  }

  /** Topics that have moved. */
  get topics(): number {
    return this.#positions.size;
  }

  /** The batch is not sent. */
  skip({ count, words, offsets }: RecordBatch): void {
    for (let i = 0; i < count; i++) {
      const at = offsets[i] ?? 0;
      const topic = words[at] ?? 0;
      if (!this.#positions.has(topic)) this.#positions.set(topic, (words[at + 2] ?? 1) - 1);
    }
  }

  lose(index: InstrumentIndex, missed: number | null): void {
    const before = this.#lost.get(index);
    this.#lost.set(index, missed === null || before === null ? null : missed + (before ?? 0));
  }

  /** What venues lost, each instrument once; forgotten here. */
  takeLost(): [InstrumentIndex, number | null][] {
    const lost = [...this.#lost];
    this.#lost.clear();
    return lost;
  }

  /**
   * What the cache has kept of the topics that moved; they are forgotten here.
   * @param bytesMax ends with the topic that reaches it: the rest is for another snapshot
   */
  take(cache: RecordCache, bytesMax: number): RecordSnapshot {
    const pieces = new SnapshotWriter();
    const holes: number[] = [];
    const add = (words: Float64Array, at: number, length: number): void => pieces.add(words, at, length);
    for (const [topic, position] of this.#positions) {
      if (pieces.bytes >= bytesMax) break;
      this.#positions.delete(topic);
      const keptAfter = cache.keptAfter(topic);
      if (keptAfter > position) holes.push(topic, keptAfter);
      cache.visitAfter(topic, position, add);
    }
    return { ...pieces.written(), holes: Float64Array.from(holes) };
  }
}

class SnapshotWriter {
  #words = new Float64Array(1 << 10);
  #length = 0;
  readonly #offsets = [0];

  get bytes(): number {
    return this.#length * 8;
  }

  add(from: Float64Array, at: number, length: number): void {
    if (this.#length + length > this.#words.length) {
      const words = new Float64Array(Math.max(this.#length + length, this.#words.length * 2));
      words.set(this.#words);
      this.#words = words;
    }
    const to = this.#length;
    for (let i = 0; i < length; i++) this.#words[to + i] = from[at + i] ?? 0;
    this.#length += length;
    this.#offsets.push(this.#length);
  }

  written(): Omit<RecordSnapshot, "holes"> {
    return { count: this.#offsets.length - 1, words: this.#words.slice(0, this.#length), offsets: Uint32Array.from(this.#offsets) };
  }
}
