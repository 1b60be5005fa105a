/**
 * Tests of the simulated exchange: what it promises about every event, its rate, its clock and its limits.
 */
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import { micros } from "../../../src/core/time.ts";
import { Random } from "../../../src/feeds/sim/random.ts";
import { RollingDay } from "../../../src/feeds/sim/rolling-day.ts";
import { listInstruments } from "../../../src/feeds/sim/sim-instruments.ts";
import { CATCH_UP_MS, SimulatedFeed, type SimulatedFeedOptions } from "../../../src/feeds/sim/simulated-feed.ts";
import { Pipeline } from "../../../src/ingest/pipeline.ts";
import type { BookSideView, MarketEvent } from "../../../src/market/market-event.ts";
import { scaledOrNaN } from "../../../src/market/price.ts";
import { CollectingSink } from "../../support/collecting-sink.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };

async function run(options: Partial<SimulatedFeedOptions>, ms: number) {
  const sink = new CollectingSink();
  const clock = new FakeClock();
  const feed = new SimulatedFeed({ sink, clock, log: silent, seed: 1, instruments: 50, eventsPerS: 2000, ...options });
  await feed.start();
  const introduced = sink.events.length;
  clock.advance(ms);
  const indexOf = (id: string) => sink.instruments.findIndex((i) => i.id === id);
  return { sink, clock, feed, introduced, indexOf, events: sink.events };
}

/** The events of each instrument. */
function byInstrument(events: readonly MarketEvent[]): Map<number, MarketEvent[]> {
  const map = new Map<number, MarketEvent[]>();
  for (const event of events) {
    const own = map.get(event.instrument) ?? [];
    own.push(event);
    map.set(event.instrument, own);
  }
  return map;
}

describe("the start", () => {
  it("gives every instrument a status, a quote, a book and a ticker before it resolves", async () => {
    const { sink, feed } = await run({}, 0);
    expect(sink.instruments[0]).toMatchObject({ id: "sim:*", simulated: true });
    expect(sink.events[0]).toMatchObject({ kind: "status", instrument: 0, state: "live", reason: "" });
    expect(sink.instruments).toHaveLength(51);
    expect(sink.instruments.every((i) => i.simulated && i.timeBase === "wall" && i.venue === "sim")).toBe(true);
    const own = byInstrument(sink.events);
    for (let index = 1; index <= 50; index++) expect(own.get(index)?.map((event) => event.kind)).toEqual(["status", "quote", "book", "ticker"]);
    expect(feed.report()).toMatchObject({ name: "sim", venues: ["sim"], state: "live", instruments: 50, simulated: true, reconnects: 0 });
  });

  it("lists sim:BTC-USD and sim:ETH-USD first, in ticks of 0.01 and lots of 0.0001", async () => {
    const { sink } = await run({ instruments: 2 }, 0);
    for (const [index, symbol] of [[1, "BTC-USD"], [2, "ETH-USD"]] as const) {
      expect(sink.instruments[index]).toMatchObject({ id: `sim:${symbol}`, priceScale: 2, sizeScale: 4, tickSize: 1, lotSize: 1, state: "active" });
    }
  });

  it("lists 10,000 instruments with different names and valid units", () => {
    const listed = listInstruments(10_000, new Random(3));
    expect(new Set(listed.map((i) => i.symbol)).size).toBe(10_000);
    expect(listed.every((i) => /^[A-Z]+(-[A-Z]+)?$/.test(i.symbol) && i.priceFirst % i.tickSize === 0 && i.priceFirst / i.tickSize > 400)).toBe(true);
    expect(new Set(listed.map((i) => `${i.tickSize} ${i.lotSize} ${i.priceScale} ${i.sizeScale}`)).size).toBeGreaterThan(8);
  });

  it("refuses what is out of range, all at once, and takes the limits themselves", () => {
    const make = (seed: number, instruments: number, eventsPerS: number) =>
      () => new SimulatedFeed({ sink: new CollectingSink(), clock: new FakeClock(), log: silent, seed, instruments, eventsPerS });
    expect(make(1.5, 0, 0.99)).toThrow(/3 faults.*\n.*SIM_SEED.*\n.*SIM_INSTRUMENTS: expected a whole number from 1 to 10000, found 0\n.*SIM_EVENTS_PER_S: expected a number from 1 to 500000, found 0\.99/);
    expect(make(1, 10_001, 500_001)).toThrow(/2 faults/);
    expect(make(1, 50, Number.NaN)).toThrow(/SIM_EVENTS_PER_S/);
    expect(make(-5, 1, 1)).not.toThrow();
    expect(make(0, 10_000, 500_000)).not.toThrow();
  });
});

describe("the events", () => {
  it("are the same for the same seed and steps of the clock, and others for another seed", async () => {
    const first = await run({ seed: 7 }, 5000);
    const second = await run({ seed: 7 }, 5000);
    const other = await run({ seed: 8 }, 5000);
    expect(first.events.length).toBeGreaterThan(8000);
    expect(second.events).toEqual(first.events);
    expect(other.events).not.toEqual(first.events);
  });

  it("are consistent with each other: books, quotes, trades, times, grid", async () => {
    for (const [seed, eventsPerS] of [[1, 2000], [2, 20_000], [3, 200]] as const) {
      const { events, sink } = await run({ seed, eventsPerS }, eventsPerS > 2000 ? 3000 : 30_000);
      const own = [...byInstrument(events)].filter(([index]) => index > 0);
      expect(own.flatMap(([index, ownEvents]) => faultsOf(ownEvents, sink.instruments[index] ?? unknown())).slice(0, 5)).toEqual([]);
    }
  });

  it("are all accepted by ingest", async () => {
    const clock = new FakeClock();
    const pipeline = new Pipeline(clock, [], { flushMaxMs: 5, jumpBandPct: 20, instrumentsMax: 20_000 });
    const feed = new SimulatedFeed({ sink: pipeline, clock, log: silent, seed: 5, instruments: 50, eventsPerS: 2000 });
    await feed.start();
    clock.advance(20_000);
    const valueOf = (name: string) => [...feed.samples(), ...pipeline.samples()].filter((s) => s.name === name).reduce((sum, s) => sum + s.value, 0);
    expect(valueOf("ticker_sim_rejected_total")).toBe(0);
    expect(valueOf("ticker_ingest_flagged_total")).toBe(0);
    expect(valueOf("ticker_sim_events_total")).toBeGreaterThan(39_000);
  });

  it("give each leader at least 5 quotes and 2 trades in every second at the default rate", async () => {
    const { events, indexOf, introduced } = await run({ seed: 11 }, 60_000);
    const first = 1_700_000_000_000_000;
    for (const id of ["sim:BTC-USD", "sim:ETH-USD"]) {
      const quotes = new Float64Array(60);
      const trades = new Float64Array(60);
      for (const event of events.slice(introduced)) {
        if (event.instrument !== indexOf(id)) continue;
        const second = Math.floor((event.receiveTime - first) / 1e6);
        if (event.kind === "quote") quotes[second] = (quotes[second] ?? 0) + 1;
        if (event.kind === "trade") trades[second] = (trades[second] ?? 0) + 1;
      }
      expect(Math.min(...quotes)).toBeGreaterThanOrEqual(5);
      expect(Math.min(...trades)).toBeGreaterThanOrEqual(2);
    }
  });

  it("tell a ticker within a second of each change, with a day that holds its last price", async () => {
    const { events, sink } = await run({}, 20_000);
    const faults: string[] = [];
    for (const [index, own] of byInstrument(events)) {
      const scale = sink.instruments[index]?.priceScale ?? 0;
      let changedAt = Number.POSITIVE_INFINITY;
      for (const event of own) {
        if (event.receiveTime - changedAt > 1e6) faults.push(`${event.instrument}: late at ${event.receiveTime}`);
        if (event.kind === "trade" || event.kind === "quote") changedAt = Math.min(changedAt, event.receiveTime);
        if (event.kind !== "ticker") continue;
        changedAt = Number.POSITIVE_INFINITY;
        const [low = 0, last = 0, high = 0, open = 0] = [event.low24h, event.last, event.high24h, event.open24h].map((text) => scaledOrNaN(text ?? "", scale));
        if (!(low > 0 && low <= last && last <= high && open > 0 && Number(event.volume24h) > 0)) faults.push(JSON.stringify(event));
      }
    }
    expect(faults).toEqual([]);
  });
});

describe("trading hours and halts", () => {
  it("open, close and halt others than the leaders, say so, and publish nothing in between", async () => {
    const { events, sink } = await run({ seed: 4, eventsPerS: 60 }, 900_000);
    const reasons = new Set<string>();
    const faults: string[] = [];
    let reopened = 0;
    for (const [index, own] of byInstrument(events)) {
      if (index === 0) continue;
      let isOpen = true;
      for (const [position, event] of own.entries()) {
        if (event.kind === "status") {
          if (!isOpen && event.state === "live") reopened++;
          isOpen = event.state === "live";
          reasons.add(event.reason.replace(/ until \d\d:\d\d:\d\d UTC$/, ""));
          if ((event.reason === "") !== isOpen || (index <= 2 && !isOpen)) faults.push(JSON.stringify(event));
        } else if (position >= 4 && !isOpen && event.kind !== "ticker") {
          faults.push(`${event.kind} of ${index} while closed`);
        }
      }
    }
    expect(faults).toEqual([]);
    expect([...reasons].toSorted()).toEqual(["", "closed", "trading halt after volatility"]);
    expect(reopened).toBeGreaterThan(10);
    expect(sink.instruments.slice(1, 3).map((i) => i.state)).toEqual(["active", "active"]);
    expect(sink.instruments.filter((i) => i.state === "halted").length).toBeGreaterThan(0);
  });
});

describe("the rate", () => {
  it.each([[1, 400], [37, 120], [2000, 20], [50_000, 2]])("of %i events a second is kept in the mean", async (eventsPerS, seconds) => {
    const { events, introduced } = await run({ eventsPerS, seed: 9 }, seconds * 1000);
    const expected = eventsPerS * seconds;
    expect(events.length - introduced).toBeGreaterThan(expected * 0.9 - 10);
    expect(events.length - introduced).toBeLessThan(expected * 1.02 + 10);
  });

  it("comes in bursts", async () => {
    const { events, introduced } = await run({}, 30_000);
    const counts = new Float64Array(1500);
    for (const event of events.slice(introduced)) {
      const slot = Math.floor((event.receiveTime - 1_700_000_000_000_000) / 20_000);
      counts[slot] = (counts[slot] ?? 0) + 1;
    }
    const mean = counts.reduce((sum, n) => sum + n, 0) / counts.length;
    const variance = counts.reduce((sum, n) => sum + (n - mean) ** 2, 0) / counts.length;
    expect(mean).toBeCloseTo(40, -1);
    expect(variance / mean, "an even flow has less than 1").toBeGreaterThan(2);
  });

  it("skips and counts what is owed for longer than the limit when a slice comes late, and nothing up to it", async () => {
    for (const [lateMs, skipped] of [[CATCH_UP_MS, 0], [CATCH_UP_MS + 100, 200]] as const) {
      const clock = new StalledClock();
      const feed = new SimulatedFeed({ sink: new CollectingSink(), clock, log: silent, seed: 1, instruments: 3, eventsPerS: 2000 });
      await feed.start();
      clock.advance(lateMs);
      clock.fire();
      expect(feed.samples().find((s) => s.name === "ticker_sim_skipped_total")?.value).toBe(skipped);
    }
  });

  it("costs less than a microsecond an event at 500,000 a second", async () => {
    let made = 0;
    let index = 0;
    const sink = { define: () => index++, event: () => { made++; return null; }, lost() {}, endOfRead() {} };
    const clock = new FakeClock();
    await new SimulatedFeed({ sink, clock, log: silent, seed: 1, instruments: 50, eventsPerS: 500_000 }).start();
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 6; round++) {
      const [before, from] = [made, systemClock.monotonicMs()];
      clock.advance(250);
      best = Math.min(best, ((systemClock.monotonicMs() - from) * 1000) / (made - before));
    }
    expect(best).toBeLessThan(1);
  });
});

describe("stopping", () => {
  it("says down and falls silent; a new start says live and introduces everything again", async () => {
    const { sink, clock, feed } = await run({ instruments: 3 }, 1000);
    await feed.stop();
    expect(sink.events.at(-1)).toMatchObject({ kind: "status", instrument: 0, state: "down" });
    expect(feed.report()).toMatchObject({ state: "down", reason: "not running" });
    const before = sink.events.length;
    clock.advance(5000);
    expect(sink.events).toHaveLength(before);
    await feed.start();
    expect(sink.events.slice(before).map((event) => event.kind)).toEqual(["status", ...Array.from({ length: 3 }, () => ["status", "quote", "book", "ticker"]).flat()]);
    clock.advance(5000);
    const ids = sink.events.flatMap((event) => (event.kind === "trade" ? [`${event.instrument} ${event.id}`] : []));
    expect(new Set(ids).size).toBe(ids.length);
    expect(sink.instruments).toHaveLength(4);
  });
});

describe("RollingDay", () => {
  it("forgets an hour after 24, and everything after a day without trades", () => {
    const hour = 3600e6;
    const day = new RollingDay(micros(1000 * hour), 100, 1, 0, new Random(1));
    day.trade(1000 * hour, 900, 5);
    day.trade(1010 * hour, 100, 7);
    expect([day.high, day.volume]).toEqual([900, 12]);
    day.trade(1023 * hour, 100, 1);
    expect([day.high, day.volume]).toEqual([900, 13]);
    day.trade(1024 * hour, 100, 1);
    expect([day.high, day.volume]).toEqual([100, 9]);
    day.trade(2000 * hour, 50, 1);
    expect([day.open, day.high, day.low, day.volume]).toEqual([50, 50, 50, 1]);
  });
});

/** A clock whose periodic timer fires only when told. */
class StalledClock extends FakeClock {
  #run: () => void = () => {};
  override every(_periodMs: number, run: () => void) {
    this.#run = run;
    return { stop() {} };
  }
  fire(): void {
    this.#run();
  }
}

function unknown(): never {
  throw new Error("an event of an unknown instrument");
}

interface Grid { readonly id: string; readonly tickSize: number; readonly lotSize: number }

/** What is inconsistent in the events of one instrument. */
function faultsOf(own: readonly MarketEvent[], of: Grid): string[] {
  const faults: string[] = [];
  let time = 0;
  let [bid, bidSize, ask, askSize] = [0, 0, 0, 0];
  /** Prices that were published and may trade: of the last book, and of the quotes since. */
  let published = new Set<number>();
  /** No trade since the last quote. */
  let isFirst = false;
  const must = (what: string, isTrue: boolean, event: MarketEvent): void => {
    if (!isTrue) faults.push(`${of.id} ${event.kind} at ${event.eventTime}: ${what}`);
  };
  for (const event of own) {
    must("time grows and is not ahead of ours", event.eventTime > time && event.eventTime - event.receiveTime < 1000, event);
    time = event.eventTime;
    if (event.kind === "quote") {
      must("bid below ask, on the grid", event.bid > 0 && event.bid < event.ask && event.bid % of.tickSize === 0 && event.ask % of.tickSize === 0, event);
      must("whole lots", event.bidSize > 0 && event.askSize > 0 && event.bidSize % of.lotSize === 0 && event.askSize % of.lotSize === 0, event);
      [bid, bidSize, ask, askSize] = [event.bid, event.bidSize, event.ask, event.askSize];
      published.add(bid).add(ask);
      isFirst = true;
    } else if (event.kind === "book") {
      must("bids rise to the best, asks fall to it, on the grid", isOrdered(event.bids, 1, of) && isOrdered(event.asks, -1, of), event);
      const best = [event.bids, event.asks].flatMap((side) => [side.prices[side.count - 1], side.sizes[side.count - 1]]);
      must("the best levels are the last quote", best.join() === [bid, bidSize, ask, askSize].join(), event);
      published = new Set([...event.bids.prices, ...event.asks.prices]);
    } else if (event.kind === "trade") {
      const [best, bestSize] = event.side === "buy" ? [ask, askSize] : [bid, bidSize];
      must("at a published price, in whole lots", published.has(event.price) && event.size > 0 && event.size % of.lotSize === 0, event);
      must("first at the quote, then worse", isFirst ? event.price === best && event.size <= bestSize : event.side === "buy" ? event.price > ask : event.price < bid, event);
      isFirst = false;
    }
  }
  return faults;
}

/** Between 10 and 100 levels, best last. */
function isOrdered(side: BookSideView, sign: number, of: Grid): boolean {
  for (let i = 0; i < side.count; i++) {
    const [at = 0, before, size = 0] = [side.prices[i], side.prices[i - 1], side.sizes[i]];
    if (before !== undefined && (at - before) * sign <= 0) return false;
    if (!(at > 0 && at % of.tickSize === 0 && size > 0 && size % of.lotSize === 0)) return false;
  }
  return side.count >= 10 && side.count <= 100;
}
