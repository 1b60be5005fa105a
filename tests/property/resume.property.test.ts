/**
 * A position is judged as someone with the whole history would: random streams, holes and rings against a naive model.
 *
 * The model keeps every event. What it expects of a position is told to the client in the answer, in gaps and in replayed events.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import { Directory } from "../../src/fanout/directory.ts";
import { RecordCache } from "../../src/fanout/record-cache.ts";
import { Resumes } from "../../src/fanout/resume.ts";
import { Session } from "../../src/fanout/session.ts";
import { price, quantity } from "../../src/market/price.ts";
import { RecordWriter } from "../../src/protocol/record.ts";
import { barsSlot, QUOTES_SLOT, type Slot, topicKey, TRADES_SLOT } from "../../src/protocol/topic.ts";
import { instrument } from "../support/stream-rig.ts";

const RUNS = Number(process.env["RESUME_RUNS"] ?? 2000);
const SYMBOL = "t:A";

interface Event {
  readonly sequence: number;
  readonly isClosed: boolean;
}

/** A record cache, and everything it was ever told since the last hole. */
class Topic {
  readonly cache: RecordCache;
  readonly resumes: Resumes;
  readonly key: number;
  known: Event[] = [];
  /** Sequence before the first of `known`. */
  unseen = 0;
  newest = 0;
  readonly #slot: Slot;
  readonly #writer = new RecordWriter();

  constructor(slot: Slot, ringTradesMax: number, ringBarsMax: number, ringBytesMax = 1 << 28) {
    this.#slot = slot;
    this.key = topicKey(0, slot);
    this.cache = new RecordCache({ ringTradesMax, ringBarsMax, ringBytesMax });
    const directory = new Directory();
    directory.define(0, instrument(SYMBOL));
    this.resumes = new Resumes({ directory, cache: this.cache }, "now");
  }

  put(isClosed: boolean): void {
    const sequence = ++this.newest;
    this.known.push({ sequence, isClosed });
    this.#writer.clear();
    const stamps = { instrument: 0, eventTime: micros(sequence), receiveTime: micros(sequence) };
    if (this.#slot === TRADES_SLOT) {
      // Ids of many lengths: the places of the ring must grow.
      this.#writer.trade({ kind: "trade", id: "i".repeat((sequence * 7) % 30), price: price(100 + sequence), size: quantity(1), side: "buy", ...stamps }, this.key, sequence, 0);
    } else if (this.#slot === QUOTES_SLOT) {
      this.#writer.quote({ kind: "quote", bid: price(sequence), bidSize: quantity(1), ask: price(sequence + 1), askSize: quantity(1), ...stamps }, this.key, sequence, 0);
    } else {
      const at = price(100 + sequence);
      this.#writer.bar({ kind: "bar", interval: "1s", start: micros(sequence), open: at, high: at, low: at, close: at, volume: 1n, notional: 1n, trades: 1, closed: isClosed, ...stamps }, this.key, sequence);
    }
    this.cache.put(this.#writer.words, 0, this.#writer.offsets[1] ?? 0);
  }

  /** Events that this cache is never told of: a thread that began late, or was told a snapshot instead of a backlog. */
  skip(count: number): void {
    this.newest += count;
    this.unseen = this.newest;
    this.known = [];
  }

  /** The answer and all that follows it, in short, replayed in pieces of about `charsMax`. */
  resume(epoch: string, sequence: number, charsMax: number): unknown[] {
    const session = new Session("x");
    const verdict = this.resumes.judge(this.key, { epoch, sequence });
    const frames: unknown[] = [];
    let part = this.resumes.begin(session, this.key, verdict, charsMax);
    frames.push(...part.frames);
    while (!part.isWhole) {
      part = this.resumes.goOn(session, this.key, part.sequence, charsMax);
      frames.push(...part.frames);
    }
    if (part.sequence !== this.cache.sequenceOf(this.key)) throw new Error(`replayed up to ${part.sequence} of ${this.newest}`);
    return [verdict.outcome, verdict.sequence, ...frames.flatMap((frame) => short(String(frame)))];
  }
}

function short(frame: string): unknown[] {
  const parsed: unknown = JSON.parse(frame);
  const messages: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
  return messages.map((message) => {
    if (typeof message !== "object" || message === null) return message;
    const { type, from, to, reason, snapshot, seq, price: at, close } = { from: null, to: null, type: "", reason: "", snapshot: false, seq: 0, price: "", close: "", ...message };
    if (type === "gap") return `gap ${String(from)} ${String(to)} ${reason}`;
    if (at !== "" || close !== "") expect(Number(at === "" ? close : at)).toBe((100 + seq) / 100);
    return snapshot ? `snapshot ${seq}` : seq;
  });
}

/** What somebody who remembers everything would answer. */
function expected(topic: Topic, epoch: string, position: number, kind: "trades" | "bars" | "quotes", max: number): unknown[] {
  const { known, newest, unseen } = topic;
  const single = known.filter((e) => kind === "trades" || (kind === "bars" && e.isClosed)).map((e) => e.sequence);
  const kept = new Set(single.slice(-max));
  const lost = single.filter((sequence) => !kept.has(sequence));
  if (newest > 0) kept.add(newest);
  const inOrder = [...kept].toSorted((a, b) => a - b);
  const floor = Math.max(unseen, ...lost);
  if (epoch !== "now" || position > newest) {
    if (kind === "trades") return ["restart", floor, "gap null null restart", ...inOrder];
    return ["restart", newest, "gap null null restart", ...(newest > 0 ? [`snapshot ${newest}`] : [])];
  }
  if (position === newest) return ["exact", position];
  const after = inOrder.filter((sequence) => sequence > position);
  if (kind !== "quotes" && after.length === newest - position) return ["exact", position, ...after];
  if (kind !== "quotes" && floor > position) return ["expired", position, `gap ${position + 1} ${floor} expired`, ...inOrder.filter((sequence) => sequence > floor)];
  return ["snapshot", newest, ...after.map((sequence) => `snapshot ${sequence}`)];
}

const SLOTS = { trades: TRADES_SLOT, bars: barsSlot("1s"), quotes: QUOTES_SLOT } as const;

const anyCase = fc.record({
  kind: fc.constantFrom("trades", "bars", "quotes"),
  max: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 60, max: 140 }), fc.constant(600)),
  /** Runs of events (true: the last closes), and holes. */
  stream: fc.array(fc.oneof(
    { weight: 6, arbitrary: fc.record({ events: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 40 }) }, { weight: 1, arbitrary: fc.constant(300) }), closesEvery: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 1, arbitrary: fc.record({ hole: fc.integer({ min: 1, max: 5 }) }) },
  ), { maxLength: 8 }),
  positions: fc.array(fc.record({ fraction: fc.double({ min: 0, max: 1.1, noNaN: true }), epoch: fc.constantFrom("now", "now", "now", "before") }), { minLength: 1, maxLength: 6 }),
  charsMax: fc.integer({ min: 1, max: 5_000 }),
});

it("answers every position as one with the whole history would", () => {
  fc.assert(fc.property(anyCase, ({ kind, max, stream, positions, charsMax }) => {
    const topic = new Topic(SLOTS[kind], max, max);
    for (const step of stream) {
      if ("hole" in step) {
        topic.skip(step.hole);
        // A hole shows only when the next event comes.
        topic.put(kind === "bars");
      } else for (let i = 1; i <= step.events; i++) topic.put(i % step.closesEvery === 0);
    }
    for (const { fraction, epoch } of positions) {
      const position = Math.round(fraction * topic.newest);
      expect(topic.resume(epoch, position, charsMax)).toEqual(expected(topic, epoch, position, kind, max));
    }
  }), { numRuns: RUNS });
}, 60_000);

it("says what made room while a replay was on its way, and then goes on", () => {
  fc.assert(fc.property(fc.integer({ min: 2, max: 40 }), fc.integer({ min: 1, max: 300 }), fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 20 }), (max, before, meanwhile) => {
    const topic = new Topic(TRADES_SLOT, max, 1);
    for (let i = 0; i < before; i++) topic.put(false);
    const session = new Session("x");
    const verdict = topic.resumes.judge(topic.key, { epoch: "now", sequence: 0 });
    let at = verdict.sequence;
    let gaps = 0;
    let delivered = 0;
    const read = (frames: readonly unknown[]): void => {
      for (const item of frames.flatMap((frame) => short(String(frame)))) {
        const [gap, from, to] = String(item).split(" ");
        if (gap === "gap") {
          expect(Number(from)).toBe(at + 1);
          gaps += Number(to) - at;
          at = Number(to);
        } else {
          expect(item).toBe(++at);
          delivered++;
        }
      }
    };
    let part = topic.resumes.begin(session, topic.key, verdict, 1);
    read(part.frames);
    for (const events of [...meanwhile, 0]) {
      for (let i = 0; i < events; i++) topic.put(false);
      part = topic.resumes.goOn(session, topic.key, part.sequence, 1);
      read(part.frames);
    }
    while (!part.isWhole) {
      part = topic.resumes.goOn(session, topic.key, part.sequence, 1);
      read(part.frames);
    }
    expect(delivered + gaps).toBe(topic.newest - verdict.sequence);
    expect(session.messagesBase).toBe(delivered);
  }), { numRuns: 500 });
});

it("keeps 256 trades of a topic when the bytes of all rings are used up, and no more", () => {
  const topic = new Topic(TRADES_SLOT, 4096, 1, 1);
  for (let i = 0; i < 256; i++) topic.put(false);
  expect(topic.cache.keptAfter(topic.key)).toBe(0);
  topic.put(false);
  expect(topic.cache.keptAfter(topic.key)).toBe(1);
});

it("keeps 4,096 trades of a topic, and no more", () => {
  const topic = new Topic(TRADES_SLOT, 4096, 1);
  for (let i = 0; i < 4096; i++) topic.put(false);
  expect(topic.cache.keptAfter(topic.key)).toBe(0);
  topic.put(false);
  expect(topic.cache.keptAfter(topic.key)).toBe(1);
});
