/**
 * Whatever the main thread takes in when: its copy ends equal to the fan-out's, and each trade and closed bar is told once or is gone.
 *
 * `MAIN_RUNS=20000 npm test -- main-channel.property` runs more cases.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { extraOf, KIND_BAR, KIND_TRADE } from "../../src/protocol/record.ts";
import { EventSource } from "../support/event-source.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MainHop } from "../support/main-hop.ts";
import { instrument } from "../support/stream-rig.ts";

const RUNS = Number(process.env["MAIN_RUNS"] ?? 500);
const KEPT = { ringTradesMax: 16, ringBarsMax: 4, ringBytesMax: 1 << 20 };
const SYMBOLS = ["t:A", "t:B", "u:C"];

const anySteps = fc.array(fc.oneof(
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
      else if (step.do === "advance") clock.advance(step.ms);
      else if (step.do === "take") hop.take(step.count);
      else pipeline.define(instrument("t:A", { state: "halted" }));
    }
    for (let i = 0; i < 10; i++) {
      clock.advance(10);
      hop.take();
    }
    let events = 0;
    for (const topic of hop.cache.topics()) {
      events += hop.cache.sequenceOf(topic);
      const [symbol = ""] = [SYMBOLS[topic >>> 4]];
      if ((topic & 15) !== 0) continue;
      const { trades } = hop.copy.trades({ symbol, after: 0, from: null, to: null, max: 1000 });
      expect(trades.map(({ seq }) => seq), `kept trades of ${symbol}`).toEqual(hop.cache.recent(topic, 1000).map(({ words, at }) => words[at + 2]).slice(-trades.length));
      expect(trades.at(-1)?.seq).toBe(hop.cache.sequenceOf(topic));
      expect(hop.copy.newest(symbol, { channel: "trades" })?.seq).toBe(hop.cache.sequenceOf(topic));
    }
    expect([...hop.copy.eventsByVenue().values()].reduce((sum, count) => sum + count, 0)).toBe(events);
    for (const [topic, sequences] of told) {
      expect(sequences, "each once, in order").toEqual([...new Set(sequences)].toSorted((a, b) => a - b));
      if (hop.sample("ticker_main_fell_behind_total") === 0 && (topic & 15) === 0) expect(sequences.length, "all of them").toBe(hop.cache.sequenceOf(topic));
      const kept = hop.cache.recent(topic, 1000).map(({ words, at }) => words[at + 2] ?? 0);
      expect(sequences.slice(-kept.length), "every one that is still kept").toEqual(kept.slice(-sequences.length));
    }
  }), { numRuns: RUNS });
});
