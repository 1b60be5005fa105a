/**
 * Whatever the main thread takes in when: its copy ends equal to the fan-out's, and each trade and closed bar is told once or is gone.
 *
 * `MAIN_RUNS=20000 npm test -- main-channel.property` runs more cases.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { formatScaled } from "../../src/market/price.ts";
import { extraOf, KIND_BAR, KIND_TRADE } from "../../src/protocol/record.ts";
import { BOOK_SLOT, instrumentOf, slotOf, TRADES_SLOT } from "../../src/protocol/topic.ts";
import { EventSource } from "../support/event-source.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MainHop } from "../support/main-hop.ts";
import { instrument } from "../support/stream-rig.ts";

const RUNS = Number(process.env["MAIN_RUNS"] ?? 500);
const KEPT = { ringTradesMax: 16, ringBarsMax: 4, ringBytesMax: 1 << 20 };
const SYMBOLS = ["t:A", "t:B", "u:C"];

const side = (best: number) => ({ count: 1, prices: Float64Array.of(best), sizes: Float64Array.of(1) });

const anySteps = fc.array(fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("book" as const), of: fc.integer({ min: 0, max: 2 }), best: fc.integer({ min: 1, max: 1_000 }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("events" as const), of: fc.integer({ min: 0, max: 2 }), count: fc.integer({ min: 1, max: 12 }), isTrade: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(1, 10, 50, 1_000, 2_500) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("take" as const), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: "define" as const }) },
), { minLength: 5, maxLength: 60 });

it("ends with the same values and misses only what the fan-out has lost as well", () => {
  fc.assert(fc.property(anySteps, (steps) => {
    const clock = new FakeClock();
    const hop = new MainHop(clock, KEPT);
    const pipeline = new Pipeline(clock, [hop], { flushMaxMs: 0, jumpBandPct: 1e9, instrumentsMax: 100 });
    void pipeline.start();
    const source = new EventSource(clock, pipeline);
    for (const symbol of SYMBOLS) pipeline.define(instrument(symbol));
    const told = new Map<number, number[]>();
    const hear = (words: Float64Array, _bytes: Uint8Array, at: number): void => {
      const topic = words[at] ?? 0;
      told.set(topic, [...told.get(topic) ?? [], words[at + 2] ?? 0]);
    };
    hop.copy.listen(KIND_TRADE, hear);
    hop.copy.listen(KIND_BAR, (words, bytes, at) => {
      if (extraOf(words[at + 1] ?? 0) === 1) hear(words, bytes, at);
    });
    for (const step of steps) {
      if (step.do === "events") source.send(step.of, step.count, step.isTrade);
      else if (step.do === "book") {
        const now = clock.nowMicros();
        pipeline.event({ kind: "book", instrument: step.of, bids: side(step.best), asks: side(step.best + 1), eventTime: now, receiveTime: now });
        pipeline.flush();
      } else if (step.do === "advance") clock.advance(step.ms);
      else if (step.do === "take") hop.take(step.count);
      else pipeline.define(instrument("t:A", { state: "halted" }));
    }
    void pipeline.stop();
    for (let i = 0; i < 60; i++) {
      clock.advance(10);
      hop.take();
    }
    let events = 0;
    for (const topic of hop.cache.topics()) {
      events += hop.cache.sequenceOf(topic);
      const symbol = SYMBOLS[instrumentOf(topic)] ?? "";
      if (slotOf(topic) === BOOK_SLOT) {
        const bid = formatScaled(hop.cache.newest(topic)?.words[5] ?? 0, 2);
        expect(JSON.parse(hop.copy.newest(symbol, { channel: "book", depth: 1 })?.json ?? "{}")).toMatchObject({ seq: hop.cache.sequenceOf(topic), bids: [[bid, "0.0001"]] });
      }
      if (slotOf(topic) !== TRADES_SLOT) continue;
      const { trades } = hop.copy.trades({ symbol, after: 0, from: null, to: null, max: 1000 });
      expect(trades.map(({ seq }) => seq), `kept trades of ${symbol}`).toEqual(hop.cache.recent(topic, 1000).map(({ words, at }) => words[at + 2]).slice(-trades.length));
      expect(trades.at(-1)?.seq).toBe(hop.cache.sequenceOf(topic));
      expect(hop.copy.newest(symbol, { channel: "trades" })?.seq).toBe(hop.cache.sequenceOf(topic));
    }
    expect([...hop.copy.eventsByVenue().values()].reduce((sum, count) => sum + count, 0)).toBe(events);
    for (const [topic, sequences] of told) {
      expect(sequences, "each once, in order").toEqual([...new Set(sequences)].toSorted((a, b) => a - b));
      if (hop.sample("ticker_main_fell_behind_total") === 0 && slotOf(topic) === TRADES_SLOT) expect(sequences.length, "all of them").toBe(hop.cache.sequenceOf(topic));
      const kept = hop.cache.recent(topic, 1000).map(({ words, at }) => words[at + 2] ?? 0);
      expect(sequences.slice(-kept.length), "every one that is still kept").toEqual(kept.slice(-sequences.length));
    }
  }), { numRuns: RUNS });
});
