/**
 * Properties of the bar builder against a naive model: sums, prices, the sequence of events of a bar, late counts.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import { BarBuilder } from "../../src/market/bar-builder.ts";
import { ExactSum, Product } from "../../src/market/exact-sum.ts";
import { type Bar, BAR_INTERVAL_MICROS, BAR_INTERVALS } from "../../src/market/market-event.ts";
import { price, quantity } from "../../src/market/price.ts";

const BASE = 1_700_000_095_000_000;
const UPDATE_MICROS = 250_000;

interface NaiveTrade { readonly price: bigint; readonly size: bigint; readonly time: number }
interface NaiveBar { readonly trades: NaiveTrade[]; isClosed: boolean }

/** One instrument: every bar as the list of its trades. */
class NaiveModel {
  late = 0;
  passed = 0;
  readonly bars = new Map<string, NaiveBar>();
  readonly isWall: boolean;

  constructor(isWall: boolean) {
    this.isWall = isWall;
  }

  pass(time: number): void {
    this.passed = Math.max(this.passed, time);
  }

  trade(trade: NaiveTrade): void {
    this.pass(trade.time);
    for (const interval of BAR_INTERVALS) {
      const length = BAR_INTERVAL_MICROS[interval];
      const start = trade.time - (trade.time % length);
      const bar = this.bars.get(`${interval} ${start}`) ?? { trades: [], isClosed: false };
      if (bar.isClosed || start + length <= this.passed) {
        this.late++;
        continue;
      }
      bar.trades.push(trade);
      this.bars.set(`${interval} ${start}`, bar);
    }
  }

  tick(now: number): void {
    if (!this.isWall) return;
    for (const [key, bar] of this.bars) {
      const [interval, start] = key.split(" ");
      for (const name of BAR_INTERVALS) if (name === interval && Number(start) + BAR_INTERVAL_MICROS[name] + 1e6 <= now) bar.isClosed = true;
    }
  }
}

function summary(trades: readonly NaiveTrade[]) {
  const prices = trades.map((trade) => trade.price);
  const byTime = trades.toSorted((a, b) => a.time - b.time);
  return {
    open: byTime[0]?.price, close: byTime.at(-1)?.price,
    high: prices.reduce((a, b) => (a > b ? a : b)), low: prices.reduce((a, b) => (a < b ? a : b)),
    volume: trades.reduce((sum, trade) => sum + trade.size, 0n), notional: trades.reduce((sum, trade) => sum + trade.price * trade.size, 0n),
    trades: trades.length,
  };
}

const summaryOf = (bar: Bar) => ({
  open: BigInt(bar.open), close: BigInt(bar.close), high: BigInt(bar.high), low: BigInt(bar.low),
  volume: bar.volume, notional: bar.notional, trades: bar.trades,
});

const units = fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.maxSafeInteger().map((n) => Math.max(1, Math.abs(n))));
const step = fc.record({
  kind: fc.constantFrom("trade", "trade", "trade", "passed", "tick"),
  instrument: fc.constantFrom(0, 1),
  /** How far our clock moves before the step, and how far the event lies before it, milliseconds. */
  moves: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 90_000 })),
  behind: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1500 }), fc.integer({ min: 0, max: 100_000 })),
  price: units, size: units,
});

describe("BarBuilder", () => {
  it("agrees with the naive model for any run of trades, other events and ticks", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let now = BASE;
      const emitted: { readonly bar: Bar; readonly now: number }[] = [];
      const builder = new BarBuilder((bar) => emitted.push({ bar, now }));
      const models = [new NaiveModel(true), new NaiveModel(false)];
      for (const { kind, instrument, moves, behind, price: p, size } of steps) {
        now += moves * 1000;
        const time = now - behind * 1000;
        if (kind === "tick") {
          builder.tick(micros(now));
          for (const model of models) model.tick(now);
          checkUpdatesAreOut(emitted, models, now);
        } else if (kind === "passed") {
          builder.passed(instrument, micros(time), micros(now));
          models[instrument]?.pass(time);
        } else {
          builder.trade(instrument, price(p), quantity(size), micros(time), micros(now), instrument === 0 ? "wall" : "event");
          models[instrument]?.trade({ price: BigInt(p), size: BigInt(size), time });
        }
      }
      const end = now + 3 * 86400e6;
      for (const instrument of [0, 1]) builder.passed(instrument, micros(end), micros(now));
      expect(builder.late).toBe(models.reduce((sum, model) => sum + model.late, 0));
      for (const [instrument, model] of models.entries()) checkBars(emitted.filter((e) => e.bar.instrument === instrument), model);
    }), { numRuns: 300 });
  });
});

/** After a tick whatever is older than an update's distance has been told. */
function checkUpdatesAreOut(emitted: readonly { readonly bar: Bar; readonly now: number }[], models: readonly NaiveModel[], now: number): void {
  const newest = new Map<string, { readonly bar: Bar; readonly now: number }>();
  for (const entry of emitted) newest.set(`${entry.bar.instrument} ${entry.bar.interval} ${entry.bar.start}`, entry);
  for (const [key, entry] of newest) {
    if (now - entry.now < UPDATE_MICROS) continue;
    const naive = models[entry.bar.instrument]?.bars.get(key.slice(2));
    expect(entry.bar.trades).toBe(naive?.trades.length);
  }
}

function checkBars(emitted: readonly { readonly bar: Bar; readonly now: number }[], model: NaiveModel): void {
  for (const interval of BAR_INTERVALS) {
    const events = emitted.filter((entry) => entry.bar.interval === interval);
    const starts = events.map((entry) => entry.bar.start);
    expect(starts, "bars follow one another").toEqual(starts.toSorted((a, b) => a - b));
    const naive = [...model.bars].filter(([key]) => key.startsWith(`${interval} `));
    expect(new Set(starts).size, "a bar for each interval with a trade and for no other").toBe(naive.length);
    for (const [key, bar] of naive) {
      const own = events.filter((entry) => `${interval} ${entry.bar.start}` === key);
      expect(own[0]?.bar).toMatchObject({ trades: 1, closed: false });
      expect(own.map((entry) => entry.bar.closed), "one close, at the end").toEqual(own.map((_, i) => i === own.length - 1));
      for (let i = 1; i < own.length - 1; i++) expect((own[i]?.now ?? 0) - (own[i - 1]?.now ?? 0)).toBeGreaterThanOrEqual(UPDATE_MICROS);
      for (const entry of own) expect(summaryOf(entry.bar)).toEqual(summary(bar.trades.slice(0, entry.bar.trades)));
      expect(own.at(-1)?.bar.trades).toBe(bar.trades.length);
    }
  }
}

describe("ExactSum", () => {
  it("equals the sum of bigint products", () => {
    const factor = fc.oneof(fc.nat({ max: 2 ** 30 }), fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }).map(Number), fc.constantFrom(2 ** 26, 2 ** 26 - 1, 2 ** 52, 2 ** 53 - 1));
    fc.assert(fc.property(fc.array(fc.tuple(factor, factor), { maxLength: 30 }), (pairs) => {
      const sum = new ExactSum();
      const plain = new ExactSum();
      const product = new Product();
      for (const [a, b] of pairs) {
        product.set(a, b);
        sum.addProduct(product);
        plain.add(a);
      }
      expect(sum.value()).toBe(pairs.reduce((total, [a, b]) => total + BigInt(a) * BigInt(b), 0n));
      expect(plain.value()).toBe(pairs.reduce((total, [a]) => total + BigInt(a), 0n));
    }), { numRuns: 500 });
  });
});
