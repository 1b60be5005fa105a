/**
 * The order book, case by case.
 */
import { describe, expect, it } from "vitest";
import { BOOK_LEVELS_MAX, OrderBook } from "../../../src/market/order-book.ts";
import type { BookSideView } from "../../../src/market/market-event.ts";
import { price, quantity } from "../../../src/market/price.ts";

function set(book: OrderBook, side: "bid" | "ask", at: number, size: number): boolean {
  return book.apply(side, price(at), quantity(size));
}

function levels(side: BookSideView): number[][] {
  return [...side.prices.subarray(0, side.count)].map((at, i) => [at, side.sizes[i] ?? Number.NaN]);
}

describe("an order book", () => {
  it("keeps the best level of each side last", () => {
    const book = new OrderBook();
    for (const at of [100, 102, 99, 101]) set(book, "bid", at, at);
    for (const at of [105, 103, 106, 104]) set(book, "ask", at, at);
    expect(levels(book.bids)).toEqual([[99, 99], [100, 100], [101, 101], [102, 102]]);
    expect(levels(book.asks)).toEqual([[106, 106], [105, 105], [104, 104], [103, 103]]);
    expect([book.bestBid, book.bestAsk, book.isCrossed]).toEqual([102, 103, false]);
  });

  it("says whether a change changed anything", () => {
    const book = new OrderBook();
    expect(set(book, "bid", 10, 0)).toBe(false);
    expect(set(book, "bid", 10, 5)).toBe(true);
    expect(set(book, "bid", 10, 5)).toBe(false);
    expect(set(book, "bid", 10, 6)).toBe(true);
    expect(set(book, "bid", 10, 0)).toBe(true);
    expect(book.bids.count).toBe(0);
  });

  it("has no best level when it is empty, and is not crossed then", () => {
    const book = new OrderBook();
    set(book, "bid", 10, 1);
    expect([book.bestBid, book.bestAsk, book.isCrossed]).toEqual([10, Number.NaN, false]);
    set(book, "ask", 10, 1);
    expect(book.isCrossed).toBe(true);
    book.clear();
    expect([book.bids.count, book.asks.count, book.bestBid]).toEqual([0, 0, Number.NaN]);
  });

  it("keeps the best levels when it is truncated", () => {
    const book = new OrderBook();
    for (let at = 1; at <= 5; at++) {
      set(book, "bid", at, 1);
      set(book, "ask", 10 + at, 1);
    }
    book.truncate(5);
    expect([book.bids.count, book.asks.count]).toEqual([5, 5]);
    book.truncate(2);
    expect([levels(book.bids), levels(book.asks)]).toEqual([[[4, 1], [5, 1]], [[12, 1], [11, 1]]]);
  });

  it("takes as many levels as its limit and gives up the worst, counted, beyond it", () => {
    const tally = { evicted: 0 };
    const book = new OrderBook(3, tally);
    for (const at of [5, 6, 7]) set(book, "bid", at, 1);
    expect([levels(book.bids).map(([at]) => at), tally.evicted]).toEqual([[5, 6, 7], 0]);
    expect(set(book, "bid", 8, 1)).toBe(true);
    expect(set(book, "bid", 4, 1)).toBe(false);
    expect([levels(book.bids).map(([at]) => at), tally.evicted]).toEqual([[6, 7, 8], 2]);
    expect(set(book, "bid", 6, 2)).toBe(true);
  });

  it("refuses a limit that is none", () => {
    expect(() => new OrderBook(0)).toThrow("at least one level a side, found 0");
    expect(BOOK_LEVELS_MAX).toBe(100_000);
  });

  it("keeps its views through growth, so that an event may hold them", () => {
    const book = new OrderBook();
    const view = book.bids;
    for (let at = 1; at <= 1000; at++) set(book, "bid", at, at);
    expect(book.bids).toBe(view);
    expect([view.count, view.prices[999], view.sizes[0]]).toEqual([1000, 1000, 1]);
  });
});
