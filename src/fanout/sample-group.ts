/**
 * One sampled topic: what (topic, interval, phase) stood at when it was last due, and what has come since.
 *
 * Owns: a copy of the record of its last boundary, so that whoever joins between two boundaries gets that value.
 */
import { BOOK_DEPTHS } from "../market/market-event.ts";
import { extraOf, HEADER_WORDS } from "../protocol/record.ts";
import { BARS_SLOT, BOOK_SLOT, sequenceTopic, slotOf, TRADES_SLOT, type TopicKey } from "../protocol/topic.ts";
import type { KeptRecord } from "./record-cache.ts";
import { SETS } from "./sampling-grid.ts";
import { TradeSummary } from "./trade-summary.ts";

/** Number of a sampled topic. */
export type SampleId = number;

export function sampleId(key: TopicKey, set: number): SampleId {
  return key * SETS + set;
}

export class SampleGroup {
  readonly id: SampleId;
  readonly key: TopicKey;
  readonly set: number;
  /** Topic whose sequence it has. */
  readonly topic: TopicKey;
  /** Levels of a book; 0 for everything else. */
  readonly depth: number;
  readonly isBars: boolean;
  /** Trades since the boundary; null for other channels. */
  readonly summary: TradeSummary | null;
  /** Sequence of the last boundary. */
  sequence: number;
  /** Messages published so far. */
  messages = 0;
  /** Place in the list of its set. */
  place = -1;
  #record: KeptRecord | null = null;

  constructor(key: TopicKey, set: number, sequence: number) {
    const slot = slotOf(key);
    this.id = sampleId(key, set);
    this.key = key;
    this.set = set;
    this.topic = sequenceTopic(key);
    this.depth = slot >= BOOK_SLOT ? BOOK_DEPTHS[slot - BOOK_SLOT] ?? 0 : 0;
    this.isBars = slot >= BARS_SLOT && slot < BOOK_SLOT;
    this.summary = slot === TRADES_SLOT ? new TradeSummary() : null;
    this.sequence = sequence;
  }

  /** The value at the last boundary; null for trades and before the first value. */
  get record(): KeptRecord | null {
    return this.#record;
  }

  /** Makes the record the value of the boundary, in a copy: of a book only the levels that the depth shows. */
  keep(from: KeptRecord): KeptRecord {
    const { words, at } = from;
    const extra = extraOf(words[at + 1] ?? 0);
    const bids = extra & 127;
    const asks = extra >>> 7;
    const shownBids = Math.min(bids, this.depth);
    const shownAsks = Math.min(asks, this.depth);
    const length = this.depth > 0 ? HEADER_WORDS + (shownBids + shownAsks) * 2 : words.length;
    const kept = this.#record !== null && this.#record.words.length >= length ? this.#record : recordOf(length);
    const to = kept.words;
    if (this.depth > 0) {
      copy(words, at, to, 0, HEADER_WORDS + shownBids * 2);
      copy(words, at + HEADER_WORDS + bids * 2, to, HEADER_WORDS + shownBids * 2, shownAsks * 2);
      to[1] = ((words[at + 1] ?? 0) & 255) | ((shownBids | (shownAsks << 7)) << 8);
    } else {
      copy(words, at, to, 0, length);
    }
    this.#record = kept;
    return kept;
  }
}

function recordOf(length: number): KeptRecord {
  const words = new Float64Array(length);
  return { words, bytes: new Uint8Array(words.buffer), at: 0 };
}

function copy(from: Float64Array, at: number, to: Float64Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[at + i] ?? 0;
}
