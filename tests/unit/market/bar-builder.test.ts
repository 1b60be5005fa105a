/**
 * Tests of the bar builder: when a bar begins, is updated and closes, and what becomes of late trades.
 */
import { describe, expect, it } from "vitest";
import { micros } from "../../../src/core/time.ts";
import { BarBuilder } from "../../../src/market/bar-builder.ts";
import type { Bar } from "../../../src/market/market-event.ts";
import { price, quantity } from "../../../src/market/price.ts";

/** 2023-11-14T22:15:00Z, a multiple of 15 minutes. */
const BASE = 1_700_000_100_000_000;
const at = (ms: number) => micros(BASE + ms * 1000);

function builder(options?: { updateMs?: number; closeAfterMs?: number }) {
  const bars: Bar[] = [];
  const build = new BarBuilder((bar) => bars.push(bar), options);
  const trade = (ms: number, units: number, size = 1, receivedMs = ms, timeBase: "wall" | "event" = "wall") =>
    build.trade(0, price(units), quantity(size), at(ms), at(receivedMs), timeBase);
  const of = (interval: Bar["interval"]) => bars.filter((bar) => bar.interval === interval);
  return { build, trade, of, bars };
}

describe("the events of a bar", () => {
  it("emits the first trade at once in all six intervals", () => {
    const { trade, bars } = builder();
    trade(10, 100, 5);
    expect(bars.map((bar) => bar.interval)).toEqual(["1s", "1m", "5m", "15m", "1h", "1d"]);
    expect(bars.every((bar) => bar.trades === 1 && !bar.closed && bar.open === 100 && bar.volume === 5n && bar.notional === 500n)).toBe(true);
    expect(bars[0]).toMatchObject({ start: at(0), eventTime: at(10), receiveTime: at(10) });
    expect(bars[5]?.start).toBe(Math.floor(BASE / 86400e6) * 86400e6);
  });

  it("holds the next update until 250 ms have passed, and not longer", () => {
    const { build, trade, of } = builder();
    trade(0, 100);
    trade(100, 101);
    build.tick(at(249.999));
    expect(of("1m")).toHaveLength(1);
    build.tick(at(250));
    expect(of("1m")).toHaveLength(2);
    expect(of("1m")[1]).toMatchObject({ close: 101, trades: 2, closed: false, receiveTime: at(100) });
    build.tick(at(900));
    expect(of("1m")).toHaveLength(2);
    trade(901, 102);
    expect(of("1m")).toHaveLength(3);
  });

  it("goes on with updates when the clock is set back", () => {
    const { trade, of } = builder();
    trade(500, 100, 1, 500);
    trade(501, 101, 1, 100);
    expect(of("1m")).toHaveLength(2);
  });

  it("closes a bar when a later event passes its end, before the next bar begins", () => {
    const { trade, of } = builder();
    trade(0, 100);
    trade(999, 90);
    trade(1000, 110);
    expect(of("1s").map((bar) => [bar.start, bar.closed, bar.open, bar.close])).toEqual([
      [at(0), false, 100, 100], [at(0), false, 100, 90], [at(0), true, 100, 90], [at(1000), false, 110, 110],
    ]);
  });

  it("closes on an event that is no trade, one microsecond late or exactly at the end", () => {
    const { build, trade, of } = builder();
    trade(0, 100);
    build.passed(0, micros(at(1000) - 1), at(1000));
    expect(of("1s")).toHaveLength(1);
    build.passed(0, at(1000), at(1000));
    expect(of("1s").map((bar) => bar.closed)).toEqual([false, true]);
  });

  it("closes 1 s after the end by our clock, and only where event times follow it", () => {
    const { build, trade, of } = builder();
    trade(0, 100);
    build.tick(at(1999.999));
    expect(of("1s").map((bar) => bar.closed)).toEqual([false]);
    build.tick(at(2000));
    expect(of("1s").map((bar) => bar.closed)).toEqual([false, true]);
    build.tick(at(5000));
    expect(of("1s")).toHaveLength(2);

    const replayed = builder();
    replayed.trade(0, 100, 1, 0, "event");
    replayed.build.tick(at(1e9));
    expect(replayed.of("1s").map((bar) => bar.closed)).toEqual([false]);
  });

  it("gives no bar for an interval without a trade", () => {
    const { build, trade, of } = builder();
    trade(0, 100);
    for (let ms = 500; ms < 60_000; ms += 500) build.passed(0, at(ms), at(ms));
    trade(60_000, 100);
    expect(of("1s").map((bar) => bar.start)).toEqual([at(0), at(0), at(60_000)]);
  });

  it("keeps instruments apart, also far ones", () => {
    const { build, trade, bars } = builder();
    trade(0, 100);
    build.trade(5000, price(7), quantity(1), at(3000), at(3000), "wall");
    expect(bars.filter((bar) => bar.closed)).toEqual([]);
    expect(bars.filter((bar) => bar.instrument === 5000)).toHaveLength(6);
  });
});

describe("late and disordered trades", () => {
  it("counts a late trade and applies it to the longer intervals that are open", () => {
    const { build, trade, of } = builder();
    trade(500, 100);
    trade(1500, 110);
    trade(999, 500);
    expect(build.late).toBe(1);
    build.passed(0, at(60_000), at(60_000));
    expect(of("1s").filter((bar) => bar.closed).map((bar) => bar.high)).toEqual([100, 110]);
    expect(of("1m").at(-1)).toMatchObject({ closed: true, high: 500, trades: 3, close: 110 });
  });

  it("counts a trade as late when its interval was passed without a trade", () => {
    const { build, trade, of } = builder();
    build.passed(0, at(5000), at(5000));
    trade(1000, 100, 1, 5000);
    expect(build.late).toBe(1);
    expect(of("1s")).toEqual([]);
    expect(of("1m")).toHaveLength(1);
  });

  it("counts a trade as late after our clock has closed its bar", () => {
    const { build, trade, of } = builder();
    trade(500, 100);
    build.tick(at(2000));
    trade(999, 100, 1, 2100);
    expect(build.late).toBe(1);
    expect(of("1s").map((bar) => bar.trades)).toEqual([1, 1]);
  });

  it("takes open and close by event time, not by arrival", () => {
    const { build, trade, of } = builder();
    trade(500, 100);
    trade(800, 120);
    trade(300, 90);
    trade(800, 121);
    trade(600, 1);
    build.passed(0, at(1000), at(1000));
    expect(of("1s").at(-1)).toMatchObject({ open: 90, close: 121, low: 1, high: 121, trades: 5, eventTime: at(800) });
  });
});

describe("sums", () => {
  it("stay exact far beyond 2^53", () => {
    const { build, trade, of } = builder();
    const units = Number.MAX_SAFE_INTEGER;
    for (let i = 0; i < 5; i++) trade(i, units, units - i);
    trade(6, 3_000_000_000_001, 7_000_000_003);
    build.passed(0, at(1000), at(1000));
    const sizes = [0, 1, 2, 3, 4].map((i) => BigInt(units - i));
    expect(of("1s").at(-1)?.volume).toBe(sizes.reduce((a, b) => a + b) + 7_000_000_003n);
    expect(of("1s").at(-1)?.notional).toBe(sizes.reduce((a, b) => a + b) * BigInt(units) + 3_000_000_000_001n * 7_000_000_003n);
  });
});
