/**
 * What every feed promises to the rest of the process, whatever stands behind it.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import { isVenue } from "../../src/market/instrument.ts";
import type { MarketEvent } from "../../src/market/market-event.ts";
import type { Feed } from "../../src/ports/feeds.ts";
import type { EventSink } from "../../src/ports/records.ts";
import { CollectingSink } from "../support/collecting-sink.ts";
import { until } from "../support/feed-harness.ts";

/** Makes a feed whose venue has data at once, or never when `isAway`. */
export type MakeFeed = (sink: EventSink, isAway: boolean) => Promise<{ readonly feed: Feed; readonly stop: () => Promise<void> }>;

/** Notes every event of an instrument that was not defined before. */
class StrictSink extends CollectingSink {
  readonly undefinedBefore: MarketEvent[] = [];

  override event(event: MarketEvent): null {
    if (this.instruments[event.instrument] === undefined) this.undefinedBefore.push(event);
    this.events.push(event);
    return null;
  }
}

function dataOf(sink: CollectingSink): number {
  return sink.events.filter((event) => event.kind !== "status").length;
}

async function running(make: MakeFeed, isAway: boolean): Promise<{ sink: StrictSink; feed: Feed }> {
  const sink = new StrictSink();
  const { feed, stop } = await make(sink, isAway);
  onTestFinished(stop);
  onTestFinished(() => feed.stop());
  return { sink, feed };
}

/** What every feed promises. */
export function feedContract(name: string, make: MakeFeed): void {
  const run = (): Promise<{ sink: StrictSink; feed: Feed }> => running(make, false);

  describe(`${name} as a feed`, () => {
    it("defines its venue and its instruments before any event of them", async () => {
      const { sink, feed } = await run();
      await feed.start();
      await until("data", () => dataOf(sink) > 0);
      expect(sink.undefinedBefore).toEqual([]);
      const venues = sink.instruments.filter(isVenue).map((each) => each.venue);
      expect(venues).toEqual(feed.report().venues);
      expect(sink.instruments.every((each) => venues.includes(each.venue))).toBe(true);
    });

    it("hands over complete values of plain numbers, with whole times", async () => {
      const { sink, feed } = await run();
      await feed.start();
      await until("data", () => dataOf(sink) > 0);
      for (const event of sink.events) {
        expect(Number.isSafeInteger(event.eventTime) && Number.isSafeInteger(event.receiveTime)).toBe(true);
        const sizes = event.kind === "trade" ? [event.price, event.size] : event.kind === "quote" ? [event.bid, event.bidSize, event.ask, event.askSize] : [1];
        expect(sizes.every((size) => Number.isSafeInteger(size) && size > 0)).toBe(true);
      }
    });

    it("says live when it is, each status once, and marks the ends of reads", async () => {
      const { sink, feed } = await run();
      await feed.start();
      await until("live", () => sink.events.some((event) => event.kind === "status" && event.state === "live" && sink.idOf(event).endsWith(":*")));
      const told = new Map<number, string>();
      for (const event of sink.events) {
        if (event.kind !== "status") continue;
        const text = `${event.state} ${event.reason}`;
        expect(told.get(event.instrument)).not.toBe(text);
        expect(event.reason.length).toBeLessThanOrEqual(200);
        told.set(event.instrument, text);
      }
      expect(sink.reads).toBeGreaterThan(0);
    });

    it("says nothing any more after it has stopped, but that it is down", async () => {
      const { sink, feed } = await run();
      await feed.start();
      await until("data", () => dataOf(sink) > 0);
      await feed.stop();
      const events = sink.events.length;
      await new Promise((resolve) => setImmediate(resolve));
      await feed.stop();
      expect(sink.events).toHaveLength(events);
      expect(sink.events.findLast((event) => event.kind === "status" && sink.idOf(event).endsWith(":*"))).toMatchObject({ state: "down" });
      expect(feed.report().state).toBe("down");
      expect(feed.report().reason).not.toBe("");
    });

    it("can be started again", async () => {
      const { sink, feed } = await run();
      await feed.start();
      await until("data", () => dataOf(sink) > 0);
      await feed.stop();
      const before = dataOf(sink);
      const instruments = sink.instruments.length;
      await feed.start();
      await until("data again", () => dataOf(sink) > before);
      expect(sink.instruments).toHaveLength(instruments);
    });

    it("passes over a demand for what it does not have", async () => {
      const { sink, feed } = await run();
      await feed.start();
      await until("data", () => dataOf(sink) > 0);
      const { instruments } = feed.report();
      feed.demand(999_999);
      expect(feed.report().instruments).toBe(instruments);
    });

    it("counts in samples that a scraper understands", async () => {
      const { sink, feed } = await run();
      await feed.start();
      await until("data", () => dataOf(sink) > 0);
      const samples = feed.samples();
      expect(new Set(samples.map((sample) => `${sample.name}${JSON.stringify(sample.labels)}`)).size).toBe(samples.length);
      for (const sample of samples) {
        expect(sample.name).toMatch(/^ticker_[a-z0-9_]+$/);
        expect(sample.name.endsWith("_total")).toBe(sample.type === "counter");
        expect(sample.help).not.toBe("");
        expect(sample.value).toBeGreaterThanOrEqual(0);
      }
      expect(samples.some((sample) => sample.type === "counter" && sample.value > 0)).toBe(true);
    });
  });
}

/** What a feed promises whose venue can be away. */
export function upstreamContract(name: string, make: MakeFeed): void {
  describe(`${name}, away`, () => {
    it("starts although the venue is away, and says that it is", async () => {
      const { sink, feed } = await running(make, true);
      await feed.start();
      await until("down", () => feed.report().state === "down");
      expect(feed.report().reason).not.toBe("");
      expect(sink.events.every((event) => event.kind === "status" && event.state !== "live")).toBe(true);
    });
  });
}
