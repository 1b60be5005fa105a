/**
 * The newest record of every topic, and the last trades and closed bars: what snapshots are made of.
 *
 * Owns: copies of records, per topic. Runs on: the thread of its fan-out. Path: hot; a put copies words and allocates
 * only when a topic is new or its record has grown.
 */
import { extraOf, HEADER_WORDS, KIND_BAR, KIND_TRADE, kindOf } from "../protocol/record.ts";
import { slotOf, STATUS_SLOT, type TopicKey } from "../protocol/topic.ts";

/** Where a kept record stands. */
export interface KeptRecord {
  readonly words: Float64Array;
  readonly bytes: Uint8Array;
  readonly at: number;
}

/**
 * What one cache tells another of some topics: kept trades and closed bars, then the newest record; the oldest first
 * within each topic. Plain data: it crosses threads.
 */
export interface RecordSnapshot {
  readonly count: number;
  /** Record i lies in `words` from `offsets[i]` to `offsets[i + 1]`. */
  readonly words: Float64Array<ArrayBuffer>;
  readonly offsets: Uint32Array;
  /** Pairs of a topic and a sequence: every trade or closed bar of the topic after it is here, and one up to it is not. */
  readonly holes: Float64Array;
}

const RING_FIRST = 64;

/** The last records of one topic, each in a place of the same size. */
class Ring {
  words: Float64Array;
  bytes: Uint8Array;
  stride: number;
  capacity: number;
  count = 0;
  /** Place of the next record. */
  next = 0;
  /** Sequence of the newest record that had to make room; 0: none had. */
  evicted = 0;

  constructor(stride: number, capacity: number) {
    this.stride = stride;
    this.capacity = capacity;
    this.words = new Float64Array(stride * capacity);
    this.bytes = new Uint8Array(this.words.buffer);
  }

  push(from: Float64Array, at: number, length: number): void {
    const to = this.next * this.stride;
    const words = this.words;
    if (this.count === this.capacity) this.evicted = words[to + 2] ?? 0;
    for (let i = 0; i < length; i++) words[to + i] = from[at + i] ?? 0;
    this.next = this.next + 1 === this.capacity ? 0 : this.next + 1;
    if (this.count < this.capacity) this.count++;
  }

  /** Word of the i-th oldest record. */
  at(i: number): number {
    const oldest = this.next - this.count + (this.next < this.count ? this.capacity : 0);
    return ((oldest + i) % this.capacity) * this.stride;
  }

  /** The same records in places of another size or number. */
  rebuilt(stride: number, capacity: number): Ring {
    const ring = new Ring(stride, capacity);
    ring.evicted = this.evicted;
    for (let i = Math.max(0, this.count - capacity); i < this.count; i++) ring.push(this.words, this.at(i), this.stride);
    return ring;
  }

  /** Records before a hole are worth nothing: what is kept has none. */
  restart(after: number): void {
    this.count = 0;
    this.next = 0;
    this.evicted = after;
  }

  /** Which of the kept records, counted from the oldest, is the first after a position. */
  indexAfter(position: number): number {
    let low = 0;
    for (let high = this.count; low < high;) {
      const middle = (low + high) >>> 1;
      if ((this.words[this.at(middle) + 2] ?? 0) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

export interface RecordCacheOptions {
  readonly ringTradesMax: number;
  readonly ringBarsMax: number;
  readonly ringBytesMax: number;
}

/** Records kept of a trade topic even when `ringBytesMax` is used up. */
const RING_TRADES_MIN = 256;

export class RecordCache {
  readonly #options: RecordCacheOptions;
  readonly #newest: (Float64Array | undefined)[] = [];
  readonly #rings = new Map<TopicKey, Ring>();
  /** Sequence before the first record of the topic that was seen without a hole; trades and bars only. */
  readonly #unseen: number[] = [];
  #ringBytes = 0;

  constructor(options: RecordCacheOptions) {
    this.#options = options;
  }

  /**
   * Keeps a copy of the record at words `at` to `end`.
   * @param follows nothing that would be kept lies between the newest record and this one, whatever their sequences say
   */
  put(words: Float64Array, at: number, end: number, follows = false): void {
    const topic = words[at] ?? 0;
    const length = end - at;
    let kept = this.#newest[topic];
    const last = kept?.[2] ?? 0;
    if (kept === undefined || kept.length < length) {
      kept = new Float64Array(length);
      this.#newest[topic] = kept;
    }
    const meta = words[at + 1] ?? 0;
    const kind = kindOf(meta);
    if (!follows && (kind === KIND_TRADE || kind === KIND_BAR) && words[at + 2] !== last + 1) this.#hole(topic, (words[at + 2] ?? 1) - 1);
    for (let i = 0; i < length; i++) kept[i] = words[at + i] ?? 0;
    if (kind === KIND_TRADE) this.#keep(topic, words, at, length, this.#options.ringTradesMax);
    else if (kind === KIND_BAR && extraOf(meta) === 1) this.#keep(topic, words, at, length, this.#options.ringBarsMax);
  }

  /** Takes in what another cache has kept after the positions of this one. */
  restore({ count, words, offsets, holes }: RecordSnapshot): void {
    for (let i = 0; i < holes.length; i += 2) this.#hole(holes[i] ?? 0, holes[i + 1] ?? 0);
    for (let i = 0; i < count; i++) this.put(words, offsets[i] ?? 0, offsets[i + 1] ?? 0, true);
  }

  /** Sequence of the newest record of the topic; 0 when it has none. */
  sequenceOf(topic: TopicKey): number {
    return this.#newest[topic]?.[2] ?? 0;
  }

  newest(topic: TopicKey): KeptRecord | null {
    const words = this.#newest[topic];
    return words ? { words, bytes: new Uint8Array(words.buffer), at: 0 } : null;
  }

  /** State (index into STATUS_STATES) of the instrument, or -1 when nothing was ever said. */
  stateOf(statusTopic: TopicKey): number {
    const meta = slotOf(statusTopic) === STATUS_SLOT ? this.#newest[statusTopic]?.[1] : undefined;
    return meta === undefined ? -1 : extraOf(meta) & 7;
  }

  /** The last `count` kept trades or closed bars, oldest first; fewer when fewer are kept. */
  recent(topic: TopicKey, count: number): KeptRecord[] {
    const ring = this.#rings.get(topic);
    const found: KeptRecord[] = [];
    if (!ring) return found;
    for (let i = Math.max(0, ring.count - count); i < ring.count; i++) found.push({ words: ring.words, bytes: ring.bytes, at: ring.at(i) });
    return found;
  }

  /**
   * The kept trades or closed bars after a position, oldest first, and whether none between is missing. For bars, updates
   * of a running bar are not kept: they may be folded.
   * @param max the oldest of them, at most so many
   */
  since(topic: TopicKey, position: number, max = Number.POSITIVE_INFINITY): { readonly records: KeptRecord[]; readonly isComplete: boolean } {
    const ring = this.#rings.get(topic);
    if (!ring) return { records: [], isComplete: this.keptAfter(topic) <= position };
    const records: KeptRecord[] = [];
    const from = ring.indexAfter(position);
    for (let i = from, end = Math.min(ring.count, from + max); i < end; i++) records.push({ words: ring.words, bytes: ring.bytes, at: ring.at(i) });
    return { records, isComplete: ring.evicted <= position };
  }

  /** Every trade or closed bar after this sequence is kept; 0: every one there ever was. */
  keptAfter(topic: TopicKey): number {
    return this.#rings.get(topic)?.evicted ?? this.#unseen[topic] ?? 0;
  }

  /** How many events after a position are kept: trades, closed bars and the newest value. */
  countAfter(topic: TopicKey, position: number): number {
    const newest = this.sequenceOf(topic);
    const ring = this.#rings.get(topic);
    if (newest <= position) return 0;
    if (!ring) return 1;
    const isInRing = ring.count > 0 && ring.words[ring.at(ring.count - 1) + 2] === newest;
    return ring.count - ring.indexAfter(position) + (isInRing ? 0 : 1);
  }

  /** Visits what a snapshot of the topic is made of: kept trades or closed bars after a position, then the newest record. */
  visitAfter(topic: TopicKey, position: number, visit: (words: Float64Array, at: number, length: number) => void): void {
    const ring = this.#rings.get(topic);
    const newest = this.#newest[topic];
    let last = position;
    for (let i = ring?.indexAfter(position) ?? 0; ring && i < ring.count; i++) {
      const at = ring.at(i);
      last = ring.words[at + 2] ?? 0;
      visit(ring.words, at, ring.stride);
    }
    if (newest && (newest[2] ?? 0) > last) visit(newest, 0, newest.length);
  }

  /** Every topic that has a record. */
  topics(): TopicKey[] {
    return [...this.#newest.keys()].filter((topic) => this.#newest[topic] !== undefined);
  }

  /** Bytes of all rings. */
  get ringBytes(): number {
    return this.#ringBytes;
  }

  #keep(topic: TopicKey, words: Float64Array, at: number, length: number, max: number): void {
    let ring = this.#rings.get(topic);
    if (ring === undefined) {
      ring = this.#replace(topic, undefined, new Ring(Math.max(length, HEADER_WORDS + 4), Math.min(max, RING_FIRST)));
      ring.evicted = this.#unseen[topic] ?? 0;
    } else if (length > ring.stride) {
      ring = this.#replace(topic, ring, ring.rebuilt(length, ring.capacity));
    } else if (ring.count === ring.capacity && ring.capacity < max && this.#mayGrow(ring)) {
      ring = this.#replace(topic, ring, ring.rebuilt(ring.stride, Math.min(max, ring.capacity * 2)));
    }
    ring.push(words, at, length);
  }

  /** The record to come does not follow the newest: this thread was not told of what lies between. */
  #hole(topic: TopicKey, unseen: number): void {
    this.#unseen[topic] = unseen;
    this.#rings.get(topic)?.restart(unseen);
  }

  #mayGrow(ring: Ring): boolean {
    return ring.capacity < RING_TRADES_MIN || this.#ringBytes + ring.words.byteLength <= this.#options.ringBytesMax;
  }

  #replace(topic: TopicKey, old: Ring | undefined, ring: Ring): Ring {
    this.#ringBytes += ring.words.byteLength - (old?.words.byteLength ?? 0);
    this.#rings.set(topic, ring);
    return ring;
  }
}
