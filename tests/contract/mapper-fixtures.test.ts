/**
 * The mappers against another project's fixtures: the same messages, our events compared with its normalised ones.
 *
 * Where ours differ on purpose, the difference is written out below.
 */
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { BinanceMapper } from "../../src/feeds/binance/normalise-v3.ts";
import { CoinbaseExchangeMapper } from "../../src/feeds/coinbase/normalise-exchange.ts";
import { microsOfUtcText } from "../../src/feeds/foreign.ts";
import { KrakenV1Mapper } from "../../src/feeds/kraken/normalise-v1.ts";
import { KrakenV2Mapper } from "../../src/feeds/kraken/normalise-v2.ts";
import { micros, type Micros } from "../../src/core/time.ts";
import type { MarketEvent } from "../../src/market/market-event.ts";
import { fixtureLines, hasVenueData, KeepingOutput, list, member, TestLookup, testInstrument } from "../support/venue-data.ts";

interface Fixture {
  readonly exchange: string;
  readonly test: string;
  readonly receiveTime: Micros;
  readonly message: unknown;
  readonly expected: unknown[];
}

const NATIVES = [
  "BNBBTC", "BTCUSDT", "DOGEBNB", "BTCUSDC", "GNTBTC", "ETC-GBP", "BTC-EUR", "ETH-USD", "BAT-USDC", "YFI-USD", "BTC-USD", "LTC/XBT", "XBT/EUR",
  "XMR/USD", "BCH/USD", "BCH/EUR", "ADA/CAD", "XBT/USD", "LINK/ETH", "BTC/USD", "AAPLx/USD", "ANETx/USD",
];
const lookup = new TestLookup(NATIVES.map((native) => testInstrument("venue", native, 8, 8)));

function fixtures(prefix: string): Fixture[] {
  return fixtureLines().map((line) => ({
    exchange: String(member(line, "exchange")),
    test: String(member(line, "test")),
    receiveTime: micros(microsOfUtcText(member(line, "localTimestamp"))),
    message: member(line, "message"),
    expected: list(member(line, "expected")),
  })).filter(({ test }) => test.startsWith(prefix) && Number.isInteger(Number(test.slice(prefix.length))));
}

/** A naive book by price, best bid first: what the expected changes make of what was there. */
class ModelBook {
  readonly bids = new Map<number, number>();
  readonly asks = new Map<number, number>();

  change(side: Map<number, number>, changes: unknown): void {
    for (const each of list(changes)) {
      const amount = Number(member(each, "amount"));
      if (amount === 0) side.delete(Number(member(each, "price")));
      else side.set(Number(member(each, "price")), amount);
    }
  }

  sides(): { bids: number[][]; asks: number[][] } {
    return { bids: [...this.bids].toSorted((a, b) => b[0] - a[0]), asks: [...this.asks].toSorted((a, b) => a[0] - b[0]) };
  }
}

function numbers(levels: [string, string][]): number[][] {
  return levels.map(([at, size]) => [Number(at), Number(size)]);
}

/** Our event in the form of the fixture. */
function fixtureForm(event: MarketEvent, exchange: string, receiveTime: Micros): Record<string, unknown> {
  const instrument = lookup.instruments[event.instrument];
  const units = 10 ** 8;
  const common = { exchange, symbol: instrument?.native, timestamp: event.eventTime, localTimestamp: receiveTime };
  if (event.kind === "trade") {
    const id = event.id === "" ? {} : { id: event.id };
    return { type: "trade", ...common, ...id, price: event.price / units, amount: event.size / units, side: event.side };
  }
  if (event.kind === "quote") {
    return {
      type: "book_ticker", ...common, bidPrice: event.bid / units, bidAmount: event.bidSize / units, askPrice: event.ask / units, askAmount: event.askSize / units,
    };
  }
  if (event.kind === "ticker") return { type: "book_ticker", ...common, bidPrice: Number(event.bid), askPrice: Number(event.ask) };
  throw new Error(`no fixture form of ${event.kind}`);
}

function withMicros(expected: unknown): unknown {
  if (typeof expected !== "object" || expected === null) return expected;
  return {
    ...expected, timestamp: microsOfUtcText(member(expected, "timestamp")), localTimestamp: microsOfUtcText(member(expected, "localTimestamp")),
  };
}

interface Venue {
  /** A snapshot in the venue's form with these levels, for fixtures that begin in the middle of a book. */
  prime(native: string, bids: [string, string][], asks: [string, string][], receiveTime: Micros): void;
  feed(fixture: Fixture): void;
}

/** Checks one fixture after the other; answers how many expected events of each type were compared. */
function check(all: readonly Fixture[], out: KeepingOutput, venue: Venue): Record<string, number> {
  const models = new Map<string, ModelBook>();
  const compared: Record<string, number> = {};
  for (const fixture of all) {
    for (const expected of fixture.expected) {
      if (member(expected, "type") === "book_change") prepare(models, expected, venue, fixture);
    }
    out.events.length = 0;
    out.books.length = 0;
    venue.feed(fixture);
    const wanted = fixture.expected.filter((expected) => member(expected, "type") !== "book_change");
    // A ticker without sizes is no quote of ours: its bid and ask stand in the ticker event.
    const isSized = wanted.some((expected) => member(expected, "askAmount") !== undefined);
    // A quote beside a book is its best level, which these fixtures do not have.
    const isDerived = out.count("book") > 0;
    const found = out.events.filter(({ kind }) =>
      kind === "trade" || (kind === "quote" && !isDerived) || (kind === "ticker" && wanted.length > 0 && !isSized));
    expect(found.map((event) => fixtureForm(event, fixture.exchange, fixture.receiveTime)), fixture.test).toEqual(wanted.map(withMicros));
    const changes = fixture.expected.filter((expected) => member(expected, "type") === "book_change");
    expect(out.books.length > 0, fixture.test).toBe(changes.length > 0);
    // Ours emits the snapshot, then each held update that is newer; theirs merges them under the snapshot's time.
    for (const change of changes) compareBook(models, change, out.books, fixture.test);
    for (const expected of fixture.expected) {
      const type = String(member(expected, "type"));
      compared[type] = (compared[type] ?? 0) + 1;
    }
  }
  return compared;
}

/** The model of the book, first primed with what the change is going to remove. */
function prepare(models: Map<string, ModelBook>, change: unknown, venue: Venue, fixture: Fixture): void {
  const native = nativeOf(change);
  if (models.has(native) || member(change, "isSnapshot") === true) return;
  const model = new ModelBook();
  const removed = (side: "bids" | "asks"): [string, string][] => list(member(change, side))
    .filter((level) => member(level, "amount") === 0)
    .map((level) => [String(member(level, "price")), "1"]);
  for (const [at, size] of removed("bids")) model.bids.set(Number(at), Number(size));
  for (const [at, size] of removed("asks")) model.asks.set(Number(at), Number(size));
  venue.prime(native, removed("bids"), removed("asks"), fixture.receiveTime);
  models.set(native, model);
}

function compareBook(models: Map<string, ModelBook>, change: unknown, books: KeepingOutput["books"], test: string): void {
  const book = books.at(-1);
  const native = nativeOf(change);
  const model = member(change, "isSnapshot") === true ? new ModelBook() : models.get(native) ?? new ModelBook();
  models.set(native, model);
  model.change(model.bids, member(change, "bids"));
  model.change(model.asks, member(change, "asks"));
  expect({ native: book?.native, bids: numbers(book?.bids ?? []), asks: numbers(book?.asks ?? []), time: books[0]?.eventTime }, test)
    .toEqual({ native, ...model.sides(), time: microsOfUtcText(member(change, "timestamp")) });
}

/** One fixture names a snapshot after its channel, where we name the pair: it stands one element later in that message. */
function nativeOf(change: unknown): string {
  const symbol = String(member(change, "symbol"));
  return symbol === "book-1000" ? "ADA/CAD" : symbol;
}

describe.skipIf(!hasVenueData)("fixtures of another project", () => {
  it("agree on Binance", () => {
    const out = new KeepingOutput(lookup);
    const mapper = new BinanceMapper(lookup, out);
    const booksPerSnapshot: [string, number][] = [];
    const compared = check(fixtures("map binance messages "), out, {
      prime: () => { throw new Error("every book of these fixtures begins with a snapshot"); },
      feed: ({ test, message, receiveTime }) => {
        const stream = String(member(message, "stream"));
        if (!stream.endsWith("@depthSnapshot")) return mapper.message(message, receiveTime);
        mapper.snapshot(stream.slice(0, stream.indexOf("@")).toUpperCase(), member(message, "data"), receiveTime);
        booksPerSnapshot.push([test, out.count("book")]);
      },
    });
    expect(compared).toEqual({ trade: 2, book_ticker: 1, book_change: 4 });
    // The second comes with the one held update that is newer.
    expect(booksPerSnapshot).toEqual([["map binance messages 5", 1], ["map binance messages 9", 2]]);
    expect(out.malformations).toEqual([]);
  });

  it("agree on Coinbase", () => {
    const out = new KeepingOutput(lookup);
    const mapper = new CoinbaseExchangeMapper(lookup, out);
    const all = fixtures("map coinbase messages ");
    const untimed = all[4];
    if (untimed === undefined) throw new Error("expected nine fixtures");
    // Between the second and the fifth message the real feed removed this ask; left standing it would cross the book.
    all.splice(4, 0, {
      ...untimed, test: "in between",
      message: { type: "l2update", product_id: "BTC-EUR", time: "2019-08-01T00:00:03.818Z", changes: [["sell", "9202.54", "0"]] },
      expected: [{ type: "book_change", symbol: "BTC-EUR", isSnapshot: false, bids: [], asks: [{ price: 9202.54, amount: 0 }], timestamp: "2019-08-01T00:00:03.818000Z" }],
    });
    const compared = check(all, out, {
      prime: (native, bids, asks, receiveTime) => mapper.message({ type: "snapshot", product_id: native, bids, asks }, receiveTime),
      feed: ({ message, receiveTime }) => mapper.message(message, receiveTime),
    });
    expect(compared).toEqual({ trade: 1, book_change: 5 + 1, book_ticker: 3 });
    expect(out.malformations, "the size 0.-10000").toHaveLength(1);
    expect(mapper.counts.untimed, "the time of year 1").toBe(1);
  });

  it("agree on Kraken v1", () => {
    const out = new KeepingOutput(lookup);
    const mapper = new KrakenV1Mapper(lookup, out);
    const timed = (levels: [string, string][]): string[][] => levels.map(([at, size]) => [at, size, "1561939000.000000"]);
    const compared = check(fixtures("map kraken messages "), out, {
      prime: (native, bids, asks, receiveTime) => mapper.message([1, { as: timed(asks), bs: timed(bids) }, "book-1000", native], receiveTime),
      feed: ({ message, receiveTime }) => mapper.message(message, receiveTime),
    });
    expect(compared).toEqual({ trade: 3, book_change: 4, book_ticker: 1 });
    expect([out.malformations, out.resyncs, mapper.counts.empty]).toEqual([[], [], 1]);
  });

  it("agree on Kraken v2, one connection per channel, once the made-up checksum is a right one", () => {
    const out = new KeepingOutput(lookup);
    const mappers = new Map<string, KrakenV2Mapper>();
    const mapperOf = (message: unknown): KrakenV2Mapper => {
      const channel = String(member(message, "channel"));
      const mapper = mappers.get(channel) ?? new KrakenV2Mapper(lookup, out);
      mappers.set(channel, mapper);
      return mapper;
    };
    const numeric = (levels: [string, string][]): unknown[] => levels.map(([at, size]) => ({ price: Number(at), qty: Number(size) }));
    const compared = check(fixtures("map kraken v2 messages "), out, {
      prime: (symbol, bids, asks, receiveTime) =>
        mapperOf({ channel: "book" }).message({ channel: "book", type: "snapshot", data: [{ symbol, bids: numeric(bids), asks: numeric(asks) }] }, receiveTime),
      feed: ({ message, receiveTime }) => {
        if (!JSON.stringify(message).includes("\"checksum\":123456,")) return mapperOf(message).message(message, receiveTime);
        mapperOf(message).message(message, receiveTime);
        expect([out.count("book"), out.resyncs.map(({ native }) => native)]).toEqual([0, ["AAPLx/USD"]]);
        const right = crc32(["20010000000", "80000000", "19990000000", "120000000"].join(""));
        mapperOf(message).message(JSON.parse(JSON.stringify(message).replace("123456,", `${right},`)), receiveTime);
      },
    });
    expect(compared).toEqual({ trade: 1, book_change: 2, book_ticker: 1 });
    expect(out.malformations).toEqual([]);
  });
});
