/**
 * Recorded traffic from a loopback venue through the real feeds gives what the recordings are known to hold.
 */
import { afterEach, describe, expect, it } from "vitest";
import { CountingSink, FeedHarness, until } from "../../support/feed-harness.ts";
import { startLoopbackVenue, type LoopbackOptions, type LoopbackVenue } from "../../support/loopback-venue.ts";
import { capturePath, hasVenueData } from "../../support/venue-data.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function loopback(capture: string, options: Partial<LoopbackOptions> = {}): Promise<LoopbackVenue> {
  const venue = await startLoopbackVenue({ capture: capturePath(capture), ...options });
  stops.push(() => venue.stop());
  return venue;
}

async function run(venue: LoopbackVenue, instruments: string[]): Promise<FeedHarness> {
  const harness = new FeedHarness(venue.kind, venue, { instruments }, new CountingSink());
  stops.push(() => harness.feed.stop());
  await harness.feed.start();
  return harness;
}

/** Everything played has been read, and the event loop has nothing of it left. */
async function played(venue: LoopbackVenue, harness: FeedHarness): Promise<void> {
  await until("the end of the recording", () => venue.isAtEnd && harness.sample("ticker_feed_messages_total") >= venue.totals.messages, 15_000);
}

const BINANCE = ["NKN-USDT", "BLZ-ETH", "LRC-BTC", "RUNE-EUR"];
const COINBASE = ["SKL-USD", "SKL-BTC", "BAND-GBP", "NMR-EUR", "BAND-BTC", "YFI-BTC", "DASH-BTC", "NU-GBP", "CRV-EUR", "SKL-GBP"];
const KRAKEN = ["KSM-BTC", "XMR-USD", "ETH-CHF", "OMG-USD", "GRT-ETH", "WAVES-EUR", "ADA-BTC", "BTC-CHF", "SC-EUR", "OCEAN-BTC"];

describe.skipIf(!hasVenueData)("recorded traffic through the real feed", () => {
  it("gives every book update, quote and trade of the Binance recording", async () => {
    const venue = await loopback("BINANCE");
    const harness = await run(venue, BINANCE);
    await played(venue, harness);
    expect(harness.count("book")).toBe(176);
    expect(harness.count("quote")).toBe(84);
    expect(harness.count("trade")).toBe(2);
    expect(harness.feed.counters).toMatchObject({ resyncs: 0, malformed: 0 });
    expect(harness.states("binance:*").at(-1)).toBe("live");
    expect(harness.states("binance:NKN-USDT").at(-1)).toBe("live");
  });

  it("gives every book update and trade of the Coinbase recording", async () => {
    const venue = await loopback("COINBASE");
    const harness = await run(venue, COINBASE);
    await played(venue, harness);
    expect(harness.count("book")).toBe(9_729);
    expect(harness.count("trade")).toBe(97);
    expect(harness.count("ticker")).toBe(107);
    expect(harness.feed.counters).toMatchObject({ resyncs: 0, malformed: 0, tradesMissed: 0 });
    expect(harness.states("coinbase:YFI-BTC").at(-1)).toBe("live");
  });

  it("gives every book update and trade of the Kraken recording, three connections merged into one", async () => {
    const venue = await loopback("KRAKEN");
    const harness = await run(venue, KRAKEN);
    await played(venue, harness);
    expect(harness.count("book")).toBe(4_279);
    expect(harness.count("trade")).toBe(10);
    expect(harness.feed.counters).toMatchObject({ resyncs: 0, malformed: 0 });
    expect(harness.states("kraken:BTC-CHF").at(-1)).toBe("live");
  });
});
