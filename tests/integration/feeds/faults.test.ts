/**
 * What a venue can do wrong: noticed, counted, shown as stale, healed by a fresh snapshot, and the book is right again.
 */
import { describe, expect, it, type TestContext } from "vitest";
import { FeedHarness, until } from "../../support/feed-harness.ts";
import type { LoopbackFaults } from "../../support/loopback-player.ts";
import { startLoopbackVenue, type LoopbackOptions, type LoopbackVenue } from "../../support/loopback-venue.ts";
import { capturePath, hasVenueData } from "../../support/venue-data.ts";

interface Case {
  readonly capture: string;
  readonly venue: string;
  readonly symbol: string;
  readonly native: string;
  readonly options?: Partial<LoopbackOptions>;
}

/** One busy instrument a venue, so that the fault strikes its book and updates follow. */
const CASES = {
  "Binance": { capture: "BINANCE_US", venue: "binance", symbol: "OMG-BUSD", native: "OMGBUSD" },
  "Coinbase Exchange": { capture: "COINBASE", venue: "coinbase", symbol: "YFI-BTC", native: "YFI-BTC" },
  "Coinbase Advanced": { capture: "COINBASE", venue: "coinbase", symbol: "YFI-BTC", native: "YFI-BTC", options: { isAdvanced: true } },
  "Kraken": { capture: "KRAKEN", venue: "kraken", symbol: "BTC-CHF", native: "XBT/CHF" },
} as const satisfies Readonly<Record<string, Case>>;

interface Running {
  readonly each: Case;
  readonly venue: LoopbackVenue;
  readonly harness: FeedHarness;
  readonly id: string;
}

/** Thirty recorded seconds pass in less than one. */
async function run(test: TestContext, name: keyof typeof CASES, faults: LoopbackFaults): Promise<Running> {
  const each: Case = CASES[name];
  const venue = await startLoopbackVenue({ capture: capturePath(each.capture), speed: 40, faults, ...each.options });
  const harness = new FeedHarness(venue.kind, venue, { instruments: [each.symbol] });
  test.onTestFinished(async () => {
    await harness.feed.stop();
    await venue.stop();
  });
  await harness.feed.start();
  return { each, venue, harness, id: `${each.venue}:${each.symbol}` };
}

/** The venue's own book at its present position. */
function trueBook({ venue, each }: Running): { bids: [number, number][]; asks: [number, number][] } | null {
  const book = venue.books.get(each.native);
  if (book === undefined) return null;
  const side = (name: "bids" | "asks"): [number, number][] => book.sorted(name).map((level): [number, number] => [Number(level[0]), Number(level[1])]);
  return { bids: side("bids"), asks: side("asks") };
}

async function endsRight(running: Running): Promise<void> {
  const { venue, harness, id } = running;
  await until("the end of the recording", () => venue.isAtEnd, 10_000);
  await until("the instrument to be live", () => harness.states(id).at(-1) === "live", 5_000);
  const isRight = (): boolean => JSON.stringify(harness.book(id)) === JSON.stringify(trueBook(running));
  const endMs = performance.now() + 3_000;
  await until("the book of the venue", () => isRight() || performance.now() > endMs, 5_000);
  expect(harness.book(id)).toEqual(trueBook(running));
}

/** States in order, without repeats of the same one for another reason. */
function changes({ harness, id }: Running): string[] {
  return harness.states(id).filter((state, i, all) => state !== all[i - 1]);
}

describe.skipIf(!hasVenueData).concurrent("a book update that goes wrong", { timeout: 30_000 }, () => {
  // Two updates of the Exchange feed that carry the same time change different levels: their order cannot matter.
  it.for([
    ["Binance", { dropUpdate: 20 }], ["Binance", { repeatUpdate: 20 }], ["Binance", { reorderUpdates: 20 }],
    ["Coinbase Exchange", { repeatUpdate: 20 }], ["Coinbase Exchange", { reorderUpdates: 22 }],
    ["Coinbase Advanced", { dropUpdate: 20 }], ["Coinbase Advanced", { repeatUpdate: 20 }], ["Coinbase Advanced", { reorderUpdates: 20 }],
    ["Kraken", { dropUpdate: 20 }], ["Kraken", { repeatUpdate: 20 }], ["Kraken", { reorderUpdates: 20 }],
  ] as const)("%s %o is noticed, counted, shown as stale and healed", async ([name, faults], test) => {
    const running = await run(test, name, faults);
    await endsRight(running);
    const { venue, harness, id } = running;
    expect(venue.totals.dropped + venue.totals.repeated + venue.totals.reordered).toBe(1);
    expect(harness.feed.counters.resyncs).toBe(1);
    expect(harness.sample("ticker_feed_resyncs_total")).toBe(1);
    expect(changes(running)).toEqual(["stale", "live", "stale", "live"]);
    expect(harness.statuses(id).at(-2)?.reason).not.toBe("");
    expect(venue.connections).toBe(1);
  });

  it("leaves an undisturbed book alone", async (test) => {
    const running = await run(test, "Kraken", {});
    await endsRight(running);
    expect(running.harness.feed.counters.resyncs).toBe(0);
    expect(changes(running)).toEqual(["stale", "live"]);
  });
});

describe.skipIf(!hasVenueData).concurrent("a connection that goes wrong", { timeout: 30_000 }, () => {
  it.for([
    ["Binance", { cutFrame: 100 }], ["Coinbase Exchange", { cutFrame: 100 }], ["Coinbase Advanced", { cutFrame: 100 }], ["Kraken", { cutFrame: 100 }],
  ] as const)("%s %o: a frame that ends half-way leads to a new connection and a fresh book", async ([name, faults], test) => {
    const running = await run(test, name, faults);
    await endsRight(running);
    const { venue, harness } = running;
    expect(venue.totals.cut).toBe(1);
    expect(venue.connections).toBe(2);
    expect(harness.sample("ticker_feed_disconnects_total", { reason: "closed" })).toBe(1);
    expect(changes(running)).toEqual(["stale", "live", "stale", "live"]);
    expect(harness.states(`${running.each.venue}:*`).filter((state) => state === "live")).toHaveLength(2);
    expect(harness.feed.counters.resyncs).toBe(0);
  });
});
