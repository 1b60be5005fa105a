/**
 * Whatever comes in whatever order, the paper market does what a naive model does, and loses or invents neither cash nor quantity.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Micros, micros } from "../../src/core/time.ts";
import { PAPER_MONEY_SCALE, PAPER_UNIT_SCALE, type PaperFill, type PaperOrder, type PaperState } from "../../src/ports/paper.ts";
import { boundBy } from "../../src/trading/paper/amounts.ts";
import type { Depth } from "../../src/trading/paper/depth.ts";
import { PaperEngine } from "../../src/trading/paper/engine.ts";
import { type ModelLevel, type ModelTerms, PaperModel } from "../support/paper-model.ts";

const SYMBOL = "sim:A-USD";
const OWNERS = ["ann", "bob", "eve"];
const START = 300;
/** Dear, so that a fee that is forgotten shows. */
const RATES = { maker: 100_000, taker: 250_000 };
const UNIT = 10n ** BigInt(PAPER_UNIT_SCALE);
const MONEY = 10n ** BigInt(PAPER_MONEY_SCALE);
const DAY = 86_400_000_000;

type Command =
  | { readonly does: "book"; readonly bids: readonly ModelLevel[]; readonly asks: readonly ModelLevel[] }
  | { readonly does: "place"; readonly terms: ModelTerms }
  | { readonly does: "cancel"; readonly of: number }
  | { readonly does: "trade"; readonly price: number; readonly size: number; readonly side: "buy" | "sell" | "unknown" }
  | { readonly does: "day" };

const size = fc.integer({ min: 1, max: 30 });

/** Few prices, so that orders meet at the same one; or many. */
function runsOf(prices: number): fc.Arbitrary<Command[]> {
  const price = fc.integer({ min: 1, max: prices });
  const levels = fc.uniqueArray(fc.record({ price, size }), { selector: (level) => level.price, maxLength: 6 });
  const book = fc.tuple(levels, fc.integer({ min: 2, max: prices })).map(([all, middle]): Command => ({
    does: "book", bids: all.filter((level) => level.price < middle).toSorted((a, b) => b.price - a.price), asks: all.filter((level) => level.price >= middle).toSorted((a, b) => a.price - b.price),
  }));
  const terms = fc.record({
    owner: fc.constantFrom(...OWNERS), side: fc.constantFrom("buy" as const, "buy" as const, "sell" as const), type: fc.constantFrom("market" as const, "limit" as const, "limit" as const, "stop" as const, "stop_limit" as const),
    tif: fc.constantFrom("gtc" as const, "gtc" as const, "ioc" as const, "fok" as const, "day" as const), quantity: size, limit: price, stop: price,
  }).map(({ limit, stop, ...rest }): ModelTerms => ({
    ...rest, limit: rest.type === "limit" || rest.type === "stop_limit" ? limit : null, stop: rest.type === "stop" || rest.type === "stop_limit" ? stop : null,
  }));
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 3, arbitrary: book },
    { weight: 8, arbitrary: terms.map((each): Command => ({ does: "place", terms: each })) },
    { weight: 2, arbitrary: fc.nat(60).map((of): Command => ({ does: "cancel", of })) },
    { weight: 7, arbitrary: fc.record({ does: fc.constant("trade" as const), price, size, side: fc.constantFrom("buy" as const, "sell" as const, "unknown" as const) }) },
    { weight: 1, arbitrary: fc.constant<Command>({ does: "day" }) },
  );
  return fc.array(command, { maxLength: 80, size: "max" });
}
const runs = fc.oneof(runsOf(4), runsOf(20));

/** An engine, what it handed out, and the market it sees. */
class Run {
  readonly orders = new Map<number, PaperOrder>();
  readonly fills: PaperFill[] = [];
  readonly transitions: PaperOrder[] = [];
  readonly engine: PaperEngine;
  now: Micros = micros(1_700_000_000_000_000);
  depth: Depth = { version: "0", bids: [], asks: [] };
  #books = 0;
  #ids = 0;

  constructor(openPerOwnerMax = 1000) {
    this.engine = new PaperEngine({
      startBalance: BigInt(START) * MONEY, makerRate: BigInt(RATES.maker), takerRate: BigInt(RATES.taker), openPerOwnerMax, openMax: 10_000, depthOf: () => this.depth,
    });
  }

  /** Answers the fills of this command. */
  do(what: Command): readonly PaperFill[] {
    const units = (value: number | null): bigint | null => (value === null ? null : BigInt(value) * UNIT);
    const side = (all: readonly ModelLevel[]) => all.map((level) => ({ price: BigInt(level.price) * UNIT, quantity: BigInt(level.size) * UNIT }));
    this.now = micros(this.now + 1000);
    switch (what.does) {
      case "book":
        this.depth = { version: String(++this.#books), bids: side(what.bids), asks: side(what.asks) };
        break;
      case "place": {
        const { owner, side: of, type, tif, quantity, limit, stop } = what.terms;
        this.engine.place({
          owner, clientOrderId: `o${++this.#ids}`, symbol: SYMBOL, side: of, type, timeInForce: tif, quantity: BigInt(quantity) * UNIT, limitPrice: units(limit), stopPrice: units(stop), currency: "USD", priceScale: 0,
        }, this.now);
        break;
      }
      case "cancel": {
        const order = this.orders.get(what.of);
        if (order) this.engine.cancel(order, this.now);
        break;
      }
      case "trade":
        this.engine.trade({ symbol: SYMBOL, price: BigInt(what.price) * UNIT, quantity: BigInt(what.size) * UNIT, side: what.side, received: this.now }, this.now);
        break;
      case "day":
        this.now = micros(this.now + DAY);
        this.engine.expire(this.now);
    }
    return this.taken();
  }

  taken(): readonly PaperFill[] {
    const taken = this.engine.take();
    if (!taken) return [];
    this.transitions.push(...taken.transitions);
    for (const order of taken.changes.orders) this.orders.set(order.number, order);
    this.fills.push(...taken.changes.fills);
    return taken.changes.fills;
  }
}

function apply(model: PaperModel, what: Command): void {
  switch (what.does) {
    case "book": return model.book(what.bids, what.asks);
    case "place": return void model.place(what.terms);
    case "cancel": return model.cancel(what.of);
    case "trade": return model.trade(what.price, what.size, what.side);
    case "day": return model.endDay();
  }
}

const isOpen = ({ state }: PaperOrder): boolean => state === "accepted" || state === "partially_filled";

/** Cash and quantity are where they were, with an owner or with the market. */
function conserves({ engine, orders, fills }: Run): void {
  for (const owner of OWNERS) {
    let cash = BigInt(START) * MONEY;
    let held = 0n;
    for (const fill of fills) {
      const order = orders.get(fill.orderNumber);
      if (order?.owner !== owner) continue;
      const sign = order.side === "buy" ? 1n : -1n;
      cash -= sign * fill.price * fill.quantity * 10n ** 6n + fill.fee;
      held += sign * fill.quantity;
    }
    const own = [...orders.values()].filter((order) => isOpen(order) && order.owner === owner);
    const bound = (side: "buy" | "sell"): bigint => own.filter((order) => order.side === side).reduce((sum, order) => sum + boundBy(order), 0n);
    expect(engine.accounts.cash(owner, "USD")).toEqual({ total: cash, available: cash - bound("buy") });
    expect(engine.accounts.position(owner, SYMBOL)).toEqual({ total: held, available: held - bound("sell") });
    expect(cash >= bound("buy") && held >= bound("sell")).toBe(true);
  }
}

describe("the paper market", () => {
  it("does what a naive model of its rules does, order by order and unit by unit", () => {
    let reached = 0;
    fc.assert(fc.property(runs, (commands) => {
      const run = new Run();
      const model = new PaperModel({ start: START, ...RATES });
      for (const what of commands) {
        run.do(what);
        apply(model, what);
        for (const order of model.orders) {
          const found = run.orders.get(order.number);
          expect([found?.state, found?.filled]).toEqual([order.state, BigInt(order.filled) * UNIT]);
        }
      }
      for (const owner of OWNERS) {
        expect(run.engine.accounts.cash(owner, "USD")).toMatchObject({ total: BigInt(model.cash.get(owner) ?? START * 1e6) * 10n ** 30n, available: BigInt(model.available({ owner, side: "buy" })) * 10n ** 30n });
        expect(run.engine.accounts.position(owner, SYMBOL)).toMatchObject({ total: BigInt(model.held.get(owner) ?? 0) * UNIT, available: BigInt(model.available({ owner, side: "sell" })) * UNIT });
      }
      reached += run.fills.filter(({ isMaker }) => isMaker).length;
    }), { numRuns: 400 });
    expect(reached).toBeGreaterThan(400);
  });

  it("keeps cash and quantity of every owner after every command, and never less than open orders bind", () => {
    fc.assert(fc.property(runs, (commands) => {
      const run = new Run();
      for (const what of commands) {
        run.do(what);
        conserves(run);
      }
      expect(run.engine.openCount).toBe([...run.orders.values()].filter(isOpen).length);
    }), { numRuns: 200 });
  });

  it("fills nothing outside book and tape: within the limit, at most what is shown, at most what was traded", () => {
    fc.assert(fc.property(runs, (commands) => {
      const run = new Run();
      const left = new Map<string, number>();
      for (const what of commands) {
        if (what.does === "book") {
          left.clear();
          for (const level of what.asks) left.set(`buy${level.price}`, level.size);
          for (const level of what.bids) left.set(`sell${level.price}`, level.size);
        }
        const traded = { buy: 0n, sell: 0n };
        for (const fill of run.do(what)) {
          const order = run.orders.get(fill.orderNumber);
          if (!order) throw new Error("a fill of no order");
          const sign = order.side === "buy" ? 1n : -1n;
          if (order.limitPrice !== null) expect(sign * (order.limitPrice - fill.price) >= 0n).toBe(true);
          if (fill.isMaker) {
            if (what.does !== "trade") throw new Error("a maker's fill without a trade");
            traded[order.side] += fill.quantity;
            expect(fill.price).toBe(order.limitPrice);
            expect(sign * (fill.price - BigInt(what.price) * UNIT) >= 0n && traded[order.side] <= BigInt(what.size) * UNIT).toBe(true);
          } else {
            const level = `${order.side}${fill.price / UNIT}`;
            left.set(level, (left.get(level) ?? 0) - Number(fill.quantity / UNIT));
            expect(left.get(level)).toBeGreaterThanOrEqual(0);
          }
        }
      }
    }), { numRuns: 300 });
  });

  it("respects price, then time: who gets something of a trade stands behind nobody who still waits", () => {
    let compared = 0;
    fc.assert(fc.property(runs, (commands) => {
      const run = new Run();
      for (const what of commands) {
        const before = [...run.orders.values()].filter((order) => isOpen(order) && order.isTriggered);
        const fills = run.do(what).filter(({ isMaker }) => isMaker);
        for (const fill of fills) {
          const order = before.find(({ number }) => number === fill.orderNumber);
          if (!order) throw new Error("a fill of an order that did not rest");
          const sign = order.side === "buy" ? 1n : -1n;
          const isFirst = (other: PaperOrder): boolean => {
            const better = sign * ((other.limitPrice ?? 0n) - (order.limitPrice ?? 0n));
            return better > 0n || (better === 0n && other.priority < order.priority);
          };
          for (const other of before.filter((each) => each.side === order.side && each.number !== order.number && isFirst(each))) {
            compared++;
            expect(run.orders.get(other.number)?.state).toBe("filled");
          }
        }
      }
    }), { numRuns: 400 });
    expect(compared).toBeGreaterThan(50);
  });

  it("lets no ended order change again, and no order fill backwards", () => {
    fc.assert(fc.property(runs, (commands) => {
      const run = new Run();
      for (const what of commands) run.do(what);
      const last = new Map<number, PaperOrder>();
      for (const next of run.transitions) {
        const before = last.get(next.number);
        expect(before === undefined || isOpen(before)).toBe(true);
        expect(next.filled >= (before?.filled ?? 0n) && next.filled <= next.quantity && next.revision > (before?.revision ?? 0)).toBe(true);
        expect(next.state === "filled").toBe(next.filled === next.quantity);
        last.set(next.number, next);
      }
    }), { numRuns: 200 });
  });

  it("does the same again for the same commands, and the same after a restart from what it handed out", () => {
    fc.assert(fc.property(runs, fc.nat(80), (commands, cut) => {
      const [whole, again] = [new Run(), new Run()];
      for (const what of commands) for (const run of [whole, again]) run.do(what);
      expect(again.transitions).toEqual(whole.transitions);
      expect(again.fills).toEqual(whole.fills);
      const cash = new Map<string, PaperState["cash"][number]>();
      const positions = new Map<string, PaperState["positions"][number]>();
      const first = new Run();
      for (const what of commands.slice(0, cut)) {
        first.do(what);
        for (const owner of OWNERS) {
          cash.set(owner, { owner, currency: "USD", total: first.engine.accounts.cash(owner, "USD").total, revision: 0 });
          positions.set(owner, { owner, symbol: SYMBOL, quantity: first.engine.accounts.position(owner, SYMBOL).total, cost: 0n, revision: 0 });
        }
      }
      const second = new Run();
      const orders = [...first.orders.values()].toSorted((a, b) => a.number - b.number);
      second.engine.restore({ orders: orders.filter(isOpen), cash: [...cash.values()], positions: [...positions.values()], orderNumber: orders.length, revision: 1e6 });
      for (const owner of OWNERS) {
        expect(second.engine.accounts.cash(owner, "USD")).toEqual(first.engine.accounts.cash(owner, "USD"));
        expect(second.engine.accounts.position(owner, SYMBOL)).toEqual(first.engine.accounts.position(owner, SYMBOL));
      }
      expect(second.engine.openCount).toBe(first.engine.openCount);
    }), { numRuns: 150 });
  });
});
