/**
 * What a cache claims to have kept: never more than it was told, also with holes and after snapshots of another cache.
 */
import { describe, expect, it } from "vitest";
import { Backlog } from "../../../src/fanout/backlog.ts";
import { RecordCache } from "../../../src/fanout/record-cache.ts";
import { KIND_BAR, KIND_QUOTE, KIND_TRADE } from "../../../src/protocol/record.ts";
import { BARS_SLOT, QUOTES_SLOT, TRADES_SLOT, topicKey } from "../../../src/protocol/topic.ts";

const TRADES = topicKey(1, TRADES_SLOT);
const QUOTES = topicKey(1, QUOTES_SLOT);
const BARS = topicKey(1, BARS_SLOT);
const OPTIONS = { ringTradesMax: 4, ringBarsMax: 2, ringBytesMax: 1 << 20 };
const CLOSED = 1 << 8;

function record(topic: number, meta: number, sequence: number): Float64Array {
  return Float64Array.of(topic, meta, sequence, 0, 0, sequence * 10, 1, 0, 0);
}

/** A cache that was told these trades. */
function trades(...sequences: number[]): RecordCache {
  const cache = new RecordCache(OPTIONS);
  for (const sequence of sequences) put(cache, record(TRADES, KIND_TRADE, sequence));
  return cache;
}

function put(cache: RecordCache, words: Float64Array): void {
  cache.put(words, 0, words.length);
}

function kept(cache: RecordCache, topic: number, position: number): { sequences: number[]; isComplete: boolean } {
  const { records, isComplete } = cache.since(topic, position);
  return { sequences: records.map(({ words, at }) => words[at + 2] ?? 0), isComplete };
}

describe("a cache that is told everything", () => {
  it("keeps the last trades, and knows what had to make room", () => {
    const cache = trades(1, 2, 3, 4, 5, 6);
    expect([kept(cache, TRADES, 2), kept(cache, TRADES, 1)]).toEqual([{ sequences: [3, 4, 5, 6], isComplete: true }, { sequences: [3, 4, 5, 6], isComplete: false }]);
    expect([cache.keptAfter(TRADES), cache.sequenceOf(TRADES)]).toEqual([2, 6]);
  });
});

describe("a cache with a hole in what it is told", () => {
  it("forgets the trades before the hole: what it keeps has none", () => {
    const cache = trades(1, 2, 3, 7, 8);
    expect([kept(cache, TRADES, 6), kept(cache, TRADES, 2)]).toEqual([{ sequences: [7, 8], isComplete: true }, { sequences: [7, 8], isComplete: false }]);
    expect([cache.keptAfter(TRADES), cache.countAfter(TRADES, 0)]).toEqual([6, 2]);
  });

  it("claims nothing before the first trade it was ever told", () => {
    const cache = trades(5);
    expect([kept(cache, TRADES, 4), kept(cache, TRADES, 3)]).toEqual([{ sequences: [5], isComplete: true }, { sequences: [5], isComplete: false }]);
  });

  it("claims no closed bar before it either, and needs no update of a running one", () => {
    const cache = new RecordCache(OPTIONS);
    for (const [sequence, meta] of [[1, 0], [2, CLOSED], [3, 0], [7, 0], [8, CLOSED]] as const) put(cache, record(BARS, KIND_BAR | meta, sequence));
    expect([kept(cache, BARS, 6), kept(cache, BARS, 5)]).toEqual([{ sequences: [8], isComplete: true }, { sequences: [8], isComplete: false }]);
  });

  it("still has the newest value of a state", () => {
    const cache = new RecordCache(OPTIONS);
    for (const sequence of [1, 9]) put(cache, record(QUOTES, KIND_QUOTE, sequence));
    expect([cache.sequenceOf(QUOTES), cache.keptAfter(QUOTES)]).toEqual([9, 0]);
  });
});

describe("a cache that takes in a snapshot", () => {
  it("goes on without a hole where the other one has kept everything since", () => {
    const writer = trades(1, 2, 3, 4, 5);
    const reader = trades(1, 2, 3);
    const backlog = new Backlog();
    backlog.skip(batchOf(record(TRADES, KIND_TRADE, 4), record(TRADES, KIND_TRADE, 5)));
    reader.restore(backlog.take(writer, 1e6));
    expect([kept(reader, TRADES, 1), reader.keptAfter(TRADES)]).toEqual([{ sequences: [2, 3, 4, 5], isComplete: true }, 1]);
  });

  it("has a hole where the other one has not", () => {
    const writer = trades(1, 2, 3, 4, 5, 6, 7, 8);
    const reader = trades(1, 2, 3);
    const backlog = new Backlog();
    backlog.skip(batchOf(...[4, 5, 6, 7, 8].map((sequence) => record(TRADES, KIND_TRADE, sequence))));
    const snapshot = backlog.take(writer, 1e6);
    expect([...snapshot.holes]).toEqual([TRADES, 4]);
    reader.restore(snapshot);
    expect([kept(reader, TRADES, 4), kept(reader, TRADES, 3)]).toEqual([{ sequences: [5, 6, 7, 8], isComplete: true }, { sequences: [5, 6, 7, 8], isComplete: false }]);
  });

  it("keeps its closed bars when only updates of running ones lie between", () => {
    const bars = [[1, CLOSED], [2, 0], [3, 0], [4, CLOSED], [5, 0]] as const;
    const writer = new RecordCache(OPTIONS);
    const reader = new RecordCache(OPTIONS);
    for (const [sequence, meta] of bars) put(writer, record(BARS, KIND_BAR | meta, sequence));
    put(reader, record(BARS, KIND_BAR | CLOSED, 1));
    const backlog = new Backlog();
    backlog.skip(batchOf(...bars.slice(1).map(([sequence, meta]) => record(BARS, KIND_BAR | meta, sequence))));
    reader.restore(backlog.take(writer, 1e6));
    expect([kept(reader, BARS, 0), reader.sequenceOf(BARS)]).toEqual([{ sequences: [1, 4], isComplete: true }, 5]);
  });

  it("of everything has what the other one has", () => {
    const writer = trades(1, 2, 3, 4, 5);
    put(writer, record(QUOTES, KIND_QUOTE, 7));
    const reader = new RecordCache(OPTIONS);
    reader.restore(Backlog.everything(writer).take(writer, 1e6));
    expect([kept(reader, TRADES, 0), reader.keptAfter(TRADES), reader.sequenceOf(QUOTES)]).toEqual([kept(writer, TRADES, 0), 1, 7]);
  });
});

describe("a backlog", () => {
  it("ends a snapshot with the topic that reaches the limit, and leaves the rest for the next", () => {
    const writer = trades(1, 2);
    put(writer, record(QUOTES, KIND_QUOTE, 7));
    const tradesBytes = 2 * 9 * 8;
    const whole = Backlog.everything(writer);
    expect([whole.take(writer, tradesBytes + 1).count, whole.isEmpty]).toEqual([3, true]);
    const parted = Backlog.everything(writer);
    expect([parted.take(writer, tradesBytes).count, parted.isEmpty, parted.topics]).toEqual([2, false, 1]);
    expect([parted.take(writer, tradesBytes).count, parted.isEmpty]).toEqual([1, true]);
  });

  it("adds up what venues lost, and knows not how much once one of them did not", () => {
    const backlog = new Backlog();
    for (const [index, missed] of [[1, 3], [2, 1], [1, 4], [2, null], [2, 5]] as const) backlog.lose(index, missed);
    expect([backlog.takeLost(), backlog.takeLost()]).toEqual([[[1, 7], [2, null]], []]);
  });
});

function batchOf(...records: Float64Array[]): { count: number; words: Float64Array; bytes: Uint8Array; offsets: Uint32Array } {
  const words = Float64Array.from(records.flatMap((one) => [...one]));
  return { count: records.length, words, bytes: new Uint8Array(words.buffer), offsets: Uint32Array.from({ length: records.length + 1 }, (_, i) => i * 9) };
}
