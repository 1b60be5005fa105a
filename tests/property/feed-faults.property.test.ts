/**
 * Wherever a fault strikes a book, the feed ends with the book of the venue.
 */
import { describe, expect, it, type TestContext } from "vitest";
import { FeedHarness, seeded, until } from "../support/feed-harness.ts";
import type { LoopbackFaults } from "../support/loopback-player.ts";
import { startLoopbackVenue } from "../support/loopback-venue.ts";
import { capturePath, hasVenueData } from "../support/venue-data.ts";

/**
 * `updates` is how many the instrument has; the last few are left alone, because nothing would follow to show the fault.
 * `levels` is how much of the book the venue lets us verify: Kraken's checksum is of the best ten levels a side, so the
 * loss of an update further down shows only when its level comes up. The Exchange feed shows no loss at all.
 */
const CASES = [
  { name: "Binance", capture: "BINANCE_US", symbol: "OMG-BUSD", native: "OMGBUSD", updates: 120, isAdvanced: false, mayDrop: true, levels: 1_000 },
  { name: "Coinbase Exchange", capture: "COINBASE", symbol: "YFI-BTC", native: "YFI-BTC", updates: 487, isAdvanced: false, mayDrop: false, levels: 10_000 },
  { name: "Coinbase Advanced", capture: "COINBASE", symbol: "YFI-BTC", native: "YFI-BTC", updates: 487, isAdvanced: true, mayDrop: true, levels: 10_000 },
  { name: "Kraken", capture: "KRAKEN", symbol: "BTC-CHF", native: "XBT/CHF", updates: 289, isAdvanced: false, mayDrop: true, levels: 10 },
] as const;

const SEED = Number(process.env["SEED"] ?? "20260801");
const RUNS = 6;

function faultsOf(each: (typeof CASES)[number], seed: number): LoopbackFaults {
  const random = seeded(seed);
  const kinds = each.mayDrop ? (["dropUpdate", "repeatUpdate", "reorderUpdates"] as const) : (["repeatUpdate", "reorderUpdates"] as const);
  const at = (): number => 1 + Math.floor(random() * (each.updates - 12));
  const faults: LoopbackFaults = {};
  for (let i = 0; i < 2; i++) {
    const kind = kinds[Math.floor(random() * kinds.length)] ?? "repeatUpdate";
    faults[kind] = at();
  }
  return faults;
}

/** What the feed ends with and what the venue has. */
async function ends(test: TestContext, each: (typeof CASES)[number], faults: LoopbackFaults): Promise<{ found: string; truth: string }> {
  const venue = await startLoopbackVenue({ capture: capturePath(each.capture), speed: 0, isAdvanced: each.isAdvanced, faults });
  const harness = new FeedHarness(venue.kind, venue, { instruments: [each.symbol] });
  test.onTestFinished(async () => {
    await harness.feed.stop();
    await venue.stop();
  });
  await harness.feed.start();
  const truth = (): string => {
    const book = venue.books.get(each.native);
    const side = (name: "bids" | "asks"): [number, number][] => (book?.sorted(name) ?? []).slice(0, each.levels).map((level): [number, number] => [Number(level[0]), Number(level[1])]);
    return JSON.stringify({ bids: side("bids"), asks: side("asks") });
  };
  const id = `${venue.kind}:${each.symbol}`;
  const found = (): string => {
    const book = harness.book(id);
    return JSON.stringify({ bids: book?.bids.slice(0, each.levels), asks: book?.asks.slice(0, each.levels) });
  };
  await until("the end of the recording", () => venue.isAtEnd, 15_000);
  const isRight = (): boolean => harness.states(id).at(-1) === "live" && found() === truth();
  const endMs = performance.now() + 5_000;
  await until("the book of the venue", () => isRight() || performance.now() > endMs, 8_000);
  return { found: `${harness.states(id).at(-1)} ${found()}`, truth: `live ${truth()}` };
}

describe.skipIf(!hasVenueData).concurrent(`faults at random places (SEED=${SEED})`, { timeout: 40_000 }, () => {
  const runs = CASES.flatMap((each) => Array.from({ length: RUNS }, (_, i) => ({ each, faults: faultsOf(each, SEED + i) })));
  it.for(runs)("$each.name $faults ends with the venue's book", async ({ each, faults }, test) => {
    const { found, truth } = await ends(test, each, faults);
    expect(found).toBe(truth);
  });
});
