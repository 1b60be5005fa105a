/**
 * What the main thread is sent when, and what becomes of it when it does not take it in; limits on both sides.
 */
import { describe, expect, it } from "vitest";
import { MarketCopy } from "../../../src/compose/newest-values.ts";
import { Pipeline } from "../../../src/ingest/pipeline.ts";
import { EventSource } from "../../support/event-source.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MainHop } from "../../support/main-hop.ts";
import { instrument } from "../../support/stream-rig.ts";

const KEPT = { ringTradesMax: 32, ringBarsMax: 4, ringBytesMax: 1 << 20 };

function start() {
  const clock = new FakeClock();
  const hop = new MainHop(clock, KEPT);
  const pipeline = new Pipeline(clock, [hop], { flushMaxMs: 0, jumpBandPct: 1e9, instrumentsMax: 1_000 });
  pipeline.define(instrument("t:*", { native: "*" }));
  pipeline.define(instrument("t:A"));
  return { clock, hop, pipeline, source: new EventSource(clock, pipeline) };
}

/** Types of what is on its way. */
const types = (hop: MainHop) => hop.posted.map(({ type }) => type);

describe("the channel to the main thread", () => {
  it("collects for ten milliseconds and sends one message, and nothing while nothing happens", () => {
    const { clock, hop, source } = start();
    hop.take();
    source.send(1, 3, false);
    source.send(1, 2, true);
    clock.advance(9);
    expect(types(hop)).toEqual([]);
    clock.advance(1);
    expect(hop.posted).toMatchObject([{ type: "batch" }]);
    hop.take();
    clock.advance(1000);
    expect(types(hop)).toEqual([]);
    expect(hop.copy.quote("t:A")?.seq).toBe(3);
    expect(hop.sample("ticker_main_messages_total")).toBe(1);
  });

  it("sends a mebibyte at once", () => {
    const { hop, source } = start();
    hop.take();
    for (let i = 0; i < 20 && hop.posted.length === 0; i++) source.send(1, 2_000, false);
    const [sent] = hop.posted;
    expect(sent?.type === "batch" && sent.words.byteLength).toBeGreaterThanOrEqual(1 << 20);
  });

  it("sends of each book the newest only, and 256 of them at once", () => {
    const { clock, hop, pipeline } = start();
    for (let i = 2; i <= 257; i++) pipeline.define(instrument(`t:S${i}`));
    hop.take();
    const side = (best: number) => ({ count: 1, prices: Float64Array.of(best), sizes: Float64Array.of(1) });
    const book = (index: number, best: number) => {
      const now = clock.nowMicros();
      pipeline.event({ kind: "book", instrument: index, bids: side(best), asks: side(best + 1), eventTime: now, receiveTime: now });
      pipeline.flush();
    };
    for (let best = 100; best < 150; best++) for (let index = 1; index <= 255; index++) book(index, best);
    expect(types(hop)).toEqual([]);
    book(256, 100);
    expect(hop.posted).toMatchObject([{ type: "batch", count: 256 }]);
    hop.take();
    expect(JSON.parse(hop.copy.newest("t:A", { channel: "book" })?.json ?? "")).toMatchObject({ seq: 50, bids: [["1.49", "0.0001"]], epoch: "e" });
    book(1, 200);
    clock.advance(10);
    expect(hop.posted).toMatchObject([{ type: "batch", count: 1 }]);
  });

  it("sends a snapshot instead of the fifth message in flight, and batches again afterwards", () => {
    const { clock, hop, source } = start();
    hop.take();
    const round = (count: number, isTrade: boolean) => {
      source.send(1, count, isTrade);
      clock.advance(10);
    };
    for (let i = 0; i < 4; i++) round(1, false);
    expect(types(hop)).toEqual(["batch", "batch", "batch", "batch"]);
    expect(hop.log.lines).toEqual([]);
    round(1, false);
    round(50, true);
    round(1, false);
    expect(types(hop)).toHaveLength(4);
    expect(hop.log.lines).toMatchObject([{ level: "warn", message: expect.stringContaining("main thread is behind") }]);
    hop.take(3);
    clock.advance(10);
    expect(types(hop), "one is still not taken in").toEqual(["batch"]);
    hop.take();
    clock.advance(10);
    expect(types(hop)).toEqual(["snapshot"]);
    hop.take();
    expect(hop.copy.quote("t:A")?.seq).toBe(6);
    const { trades, first } = hop.copy.trades({ symbol: "t:A", after: 0, from: null, to: null, max: 100 });
    expect([trades.length, trades[0]?.seq, trades.at(-1)?.seq, first?.seq]).toEqual([32, 19, 50, 19]);
    round(2, true);
    expect(types(hop)).toEqual(["batch"]);
    expect([hop.sample("ticker_main_fell_behind_total"), hop.sample("ticker_main_snapshots_total"), hop.sample("ticker_main_records_skipped_total"), hop.sample("ticker_main_behind")]).toEqual([1, 1, expect.any(Number), 0]);
    expect(hop.sample("ticker_main_records_skipped_total")).toBeGreaterThanOrEqual(52);
  });

  it("tells what a venue lost once main answers again, as the sum", () => {
    const { clock, hop, pipeline, source } = start();
    hop.take();
    for (let i = 0; i < 5; i++) {
      source.send(1, 1, true);
      clock.advance(10);
    }
    pipeline.lost(1, "trade", 3);
    pipeline.lost(1, "trade", 4);
    hop.take();
    clock.advance(10);
    expect(hop.posted).toMatchObject([{ type: "lost", index: 1, missed: 7 }, { type: "snapshot" }]);
  });

  it("has the instrument known before its first record, whatever was collected before", () => {
    const { hop, pipeline, source } = start();
    source.send(1, 1, false);
    pipeline.define(instrument("t:B"));
    source.send(2, 1, false);
    expect(types(hop)).toEqual(["begin", "define", "define", "batch", "define"]);
  });
});

describe("the copy on the main thread", () => {
  it("knows nothing before the first record", () => {
    const copy = new MarketCopy(new FakeClock(), KEPT);
    expect([copy.epoch(), copy.ageMs(), copy.instruments(), copy.find("t:A"), copy.quote("t:A")]).toEqual([null, null, [], null, null]);
  });

  it("answers from the old stream until the new one has said something, and then with its epoch", () => {
    const { clock, hop, source } = start();
    source.send(1, 3, false);
    clock.advance(10);
    hop.take();
    const next = new MainHop(clock, KEPT, { epoch: "f" });
    const pipeline = new Pipeline(clock, [next], { flushMaxMs: 0, jumpBandPct: 1e9, instrumentsMax: 100 });
    pipeline.define(instrument("t:*", { native: "*" }));
    pipeline.define(instrument("t:B"));
    for (const notice of next.posted) hop.copy.hear(notice);
    expect([hop.copy.epoch(), hop.copy.quote("t:A")?.seq, hop.copy.find("t:B")]).toEqual(["e", 3, null]);
    next.posted.length = 0;
    new EventSource(clock, pipeline).send(1, 1, false);
    clock.advance(10);
    for (const notice of next.posted) hop.copy.hear(notice);
    expect([hop.copy.epoch(), hop.copy.quote("t:A"), hop.copy.quote("t:B")?.seq]).toEqual(["f", null, 1]);
  });

  it("says how long ago it heard of the stream, and how many events each venue had", () => {
    const { clock, hop, source } = start();
    source.send(1, 3, false);
    source.send(1, 4, true);
    clock.advance(10);
    hop.take();
    clock.advance(25);
    expect(hop.copy.ageMs()).toBe(25);
    const bars = 6 * 1;
    expect(hop.copy.eventsByVenue()).toEqual(new Map([["t", 3 + 4 + bars]]));
  });
});
