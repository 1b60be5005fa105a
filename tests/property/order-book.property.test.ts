/**
 * Any run of changes leaves an order book as it leaves a naive map of prices.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OrderBook, type BookSideName } from "../../src/market/order-book.ts";
import type { BookSideView } from "../../src/market/market-event.ts";
import { price, quantity } from "../../src/market/price.ts";

type Change =
  | { readonly does: "set"; readonly side: BookSideName; readonly at: number; readonly size: number }
  | { readonly does: "truncate"; readonly levels: number }
  | { readonly does: "clear" };

/** Few prices, so that runs meet the same level again; sometimes many, so that the arrays grow. */
function changes(prices: number, length: number): fc.Arbitrary<Change[]> {
  const set = fc.record({
    does: fc.constant("set" as const), side: fc.constantFrom<BookSideName>("bid", "ask"),
    at: fc.integer({ min: 1, max: prices }), size: fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.integer({ min: 1, max: 9e15 }) }),
  });
  const truncate = fc.record({ does: fc.constant("truncate" as const), levels: fc.integer({ min: 0, max: prices }) });
  return fc.array(fc.oneof({ weight: 60, arbitrary: set }, { weight: 2, arbitrary: truncate }, { weight: 1, arbitrary: fc.constant({ does: "clear" as const }) }), { maxLength: length, size: "max" });
}

class Model {
  bid = new Map<number, number>();
  ask = new Map<number, number>();

  /** Worst level first. */
  sorted(side: BookSideName): [number, number][] {
    return [...this[side]].toSorted(([a], [b]) => (side === "bid" ? a - b : b - a));
  }

  apply(change: Change): boolean {
    if (change.does === "set") {
      const side = this[change.side];
      const before = side.get(change.at) ?? 0;
      if (change.size === 0) side.delete(change.at);
      else side.set(change.at, change.size);
      return before !== change.size;
    }
    const levels = change.does === "clear" ? 0 : change.levels;
    this.bid = new Map(this.sorted("bid").slice(Math.max(0, this.bid.size - levels)));
    this.ask = new Map(this.sorted("ask").slice(Math.max(0, this.ask.size - levels)));
    return false;
  }
}

function apply(book: OrderBook, change: Change): boolean {
  if (change.does === "set") return book.apply(change.side, price(change.at), quantity(change.size));
  if (change.does === "clear") book.clear();
  else book.truncate(change.levels);
  return false;
}

function levels(view: BookSideView): [number, number][] {
  return Array.from({ length: view.count }, (_, i) => [view.prices[i] ?? Number.NaN, view.sizes[i] ?? Number.NaN]);
}

function agrees(run: readonly Change[]): void {
  const book = new OrderBook();
  const model = new Model();
  for (const change of run) expect(apply(book, change)).toBe(model.apply(change));
  const bids = model.sorted("bid");
  const asks = model.sorted("ask");
  expect([levels(book.bids), levels(book.asks)]).toEqual([bids, asks]);
  expect([book.bestBid, book.bestAsk]).toEqual([bids.at(-1)?.[0] ?? Number.NaN, asks.at(-1)?.[0] ?? Number.NaN]);
}

describe("an order book and a naive map", () => {
  it("agree after any run of changes to few levels", () => {
    fc.assert(fc.property(changes(12, 60), agrees), { numRuns: 400 });
  });

  it("agree after long runs over many levels, through the growth of the arrays", () => {
    fc.assert(fc.property(changes(2_000, 900), agrees), { numRuns: 30 });
  });
});
