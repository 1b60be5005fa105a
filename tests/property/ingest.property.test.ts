/**
 * Between mapper and record: no event lost, doubled, reordered or changed, against a naive model.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { micros } from "../../src/core/time.ts";
import type { Instrument, InstrumentIndex } from "../../src/market/instrument.ts";
import type { MarketEvent } from "../../src/market/market-event.ts";
import { formatScaled, price, quantity } from "../../src/market/price.ts";
import type { RecordBatch, RecordSink, RejectReason } from "../../src/ports/records.ts";
import { CodecInstrument } from "../../src/protocol/codec.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import { instrumentOf } from "../../src/protocol/topic.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { instrument } from "../support/stream-rig.ts";

/** Reads records back as messages, the way a client would get them. */
class ReadingSink implements RecordSink {
  readonly messages: Record<string, unknown>[] = [];
  readonly batches: number[] = [];
  readonly #codecs: CodecInstrument[] = [];

  define(index: InstrumentIndex, defined: Instrument): void {
    this.#codecs[index] = new CodecInstrument(defined);
  }

  batch(batch: RecordBatch): void {
    this.batches.push(batch.count);
    for (let i = 0; i < batch.count; i++) {
      const at = batch.offsets[i] ?? 0;
      const codec = this.#codecs[instrumentOf(batch.words[at] ?? 0)];
      if (codec) this.messages.push(JSON.parse(encodeJson(batch.words, batch.bytes, at, codec, 100, false)));
    }
  }

  lost(): void {}
}

const START = 1_700_000_000_000_000;
const instruments = [instrument("t:A"), instrument("t:B", { priceScale: 0, sizeScale: 8 }), instrument("t:C", { priceScale: 8, sizeScale: 0, mayCross: true })];
const units = fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), fc.constantFrom(0, -5, Number.NaN, 999_999_999, 1_000_000_000, 4_294_967_296));
const anyTime = fc.oneof(fc.integer({ min: -50, max: 50 }), fc.constant(0)).map((offset) => micros(START + offset * 1000));
const anyInstrument = fc.integer({ min: 0, max: 3 });
const anySource = fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined });
const anyId = fc.oneof(fc.integer({ min: 1, max: 1e9 }).map(String), fc.string({ maxLength: 70 }));

const anyTrade = fc.record({ instrument: anyInstrument, id: anyId, price: units, size: units, side: fc.constantFrom("buy" as const, "sell" as const, "unknown" as const), time: anyTime, source: anySource })
  .map((t): MarketEvent => ({ kind: "trade", instrument: t.instrument, id: t.id, price: price(t.price), size: quantity(t.size), side: t.side, eventTime: t.time, receiveTime: micros(START), ...(t.source === undefined ? {} : { sourceSequence: t.source }) }));
const anyQuote = fc.record({ instrument: anyInstrument, bid: units, bidSize: units, ask: units, askSize: units, time: anyTime, source: anySource })
  .map((q): MarketEvent => ({ kind: "quote", instrument: q.instrument, bid: price(q.bid), bidSize: quantity(q.bidSize), ask: price(q.ask), askSize: quantity(q.askSize), eventTime: q.time, receiveTime: micros(START), ...(q.source === undefined ? {} : { sourceSequence: q.source }) }));
const anyStep = fc.oneof({ weight: 4, arbitrary: anyTrade }, { weight: 4, arbitrary: anyQuote }, { weight: 1, arbitrary: fc.constant("flush" as const) });

/** What ingest promises, said as plainly as possible. */
class NaiveIngest {
  readonly expected: Record<string, unknown>[] = [];
  readonly #sequences = new Map<string, number>();
  readonly #sources = new Map<string, number>();
  readonly #times = new Map<string, number>();
  readonly #prices = new Map<string, number>();

  take(event: MarketEvent): RejectReason | null {
    const of = instruments[event.instrument];
    if (!of || (event.kind !== "trade" && event.kind !== "quote")) return "unknown_instrument";
    const numbers = event.kind === "trade" ? [event.price, event.size] : [event.bid, event.ask, event.bidSize, event.askSize];
    if (numbers.some((n) => Number.isNaN(n))) return "malformed";
    const [first = 0, second = 0] = numbers;
    if (first <= 0 || second <= 0 || numbers.some((n) => n < 0)) return "non_positive";
    if (event.kind === "trade" && !/^[ !#-[\]-~]{0,64}$/.test(event.id)) return "malformed";
    if (event.kind === "quote" && event.bid > event.ask && !of.mayCross) return "crossed";
    const topic = `${event.kind} ${of.id}`;
    if (event.sourceSequence !== undefined) {
      if (event.sourceSequence <= (this.#sources.get(topic) ?? -1)) return "stale";
      this.#sources.set(topic, event.sourceSequence);
    } else if (event.kind === "quote" && event.eventTime !== event.receiveTime) {
      if (event.eventTime < (this.#times.get(topic) ?? 0)) return "stale";
      this.#times.set(topic, event.eventTime);
    }
    const seq = (this.#sequences.get(topic) ?? 0) + 1;
    this.#sequences.set(topic, seq);
    const last = this.#prices.get(topic) ?? 0;
    this.#prices.set(topic, first);
    const flags = last > 0 && Math.abs(first - last) > last * 0.1 ? { flags: ["jump"] } : {};
    const stamps = { time: event.eventTime, received: event.receiveTime, ...flags };
    const p = (n: number): string => formatScaled(n, of.priceScale);
    const s = (n: number): string => formatScaled(n, of.sizeScale);
    this.expected.push(event.kind === "trade"
      ? { type: "trade", symbol: of.id, seq, id: event.id, price: p(event.price), size: s(event.size), side: event.side, ...stamps }
      : { type: "quote", symbol: of.id, seq, bid: p(event.bid), bid_size: s(event.bidSize), ask: p(event.ask), ask_size: s(event.askSize), ...stamps });
    return null;
  }
}

describe("ingest", () => {
  it("numbers, keeps and hands on exactly what it accepts, in order, and gives the reason for the rest", () => {
    fc.assert(fc.property(fc.array(anyStep, { maxLength: 200 }), (steps) => {
      const sink = new ReadingSink();
      const pipeline = new Pipeline(new FakeClock(START), [sink], { flushMaxMs: 5, jumpBandPct: 10, instrumentsMax: 10 });
      const naive = new NaiveIngest();
      for (const one of instruments) pipeline.define(one);
      for (const step of steps) {
        if (step === "flush") pipeline.endOfRead(false);
        else expect(pipeline.event(step)).toBe(naive.take(step));
      }
      pipeline.flush();
      expect(sink.messages.filter((m) => m["type"] !== "bar")).toEqual(naive.expected);
    }), { numRuns: 300 });
  });

  it("hands a long read over in bounded pieces", () => {
    const sink = new ReadingSink();
    const pipeline = new Pipeline(new FakeClock(START), [sink], { flushMaxMs: 5, jumpBandPct: 10, instrumentsMax: 10 });
    pipeline.define(instrument("t:A"));
    for (let i = 0; i < 10_000; i++) {
      pipeline.event({ kind: "quote", instrument: 0, bid: price(100), bidSize: quantity(1), ask: price(101), askSize: quantity(1), eventTime: micros(START), receiveTime: micros(START) });
    }
    pipeline.endOfRead(false);
    expect(sink.batches).toEqual([4096, 4096, 1808]);
    expect(sink.messages.map((m) => m["seq"])).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1));
  });

  it("refuses the instrument after the last one and an event from the far future", () => {
    const pipeline = new Pipeline(new FakeClock(START), [], { flushMaxMs: 5, jumpBandPct: 10, instrumentsMax: 1 });
    pipeline.define(instrument("t:A"));
    expect(() => pipeline.define(instrument("t:B"))).toThrow(/1 instruments are the limit/);
    const at = (ahead: number) => pipeline.event({ kind: "status", instrument: 0, state: "live", reason: "", eventTime: micros(START + ahead), receiveTime: micros(START) });
    expect([at(60_000_000), at(60_000_001)]).toEqual([null, "future"]);
  });
});
