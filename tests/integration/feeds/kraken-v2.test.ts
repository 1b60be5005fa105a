/**
 * Today's Kraken protocol, spoken word by word: greeting, subscription, a bad checksum, and what heals it.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import { FeedHarness, until } from "../../support/feed-harness.ts";
import { startScriptedVenue, type ScriptedVenue } from "../../support/scripted-venue.ts";
import { fixtureLines, hasVenueData, member } from "../../support/venue-data.ts";

const GREETING = { channel: "status", type: "update", data: [{ version: "2.0.10", system: "online", api_version: "v2", connection_id: 1 }] };
const PAIRS = { error: [], result: { XXBTZUSD: { altname: "XBTUSD", wsname: "XBT/USD", pair_decimals: 1, lot_decimals: 8, tick_size: "0.1", status: "online" } } };

async function setup(): Promise<{ venue: ScriptedVenue; harness: FeedHarness }> {
  const venue = await startScriptedVenue((path) => (path === "/0/public/AssetPairs" ? { body: PAIRS } : null), (say) => say(GREETING));
  const harness = new FeedHarness("kraken", venue, { instruments: ["BTC-USD"] });
  onTestFinished(async () => {
    await harness.feed.stop();
    await venue.stop();
  });
  await harness.feed.start();
  return { venue, harness };
}

const subscribe = (channel: string, more: Readonly<Record<string, unknown>> = {}): unknown => ({ method: "subscribe", params: { channel, symbol: ["BTC/USD"], ...more } });

describe("Kraken v2", () => {
  it("subscribes after the greeting, in v2's form and spelling", async () => {
    const { venue } = await setup();
    await until("the subscriptions", () => venue.heard.length === 3);
    expect(venue.heard).toEqual([subscribe("book", { depth: 100 }), subscribe("trade", { snapshot: false }), subscribe("ticker", { event_trigger: "bbo" })]);
  });

  it("lives on heartbeats, and asks for the book again after a bad checksum", async () => {
    const { venue, harness } = await setup();
    await until("the subscriptions", () => venue.heard.length === 3);
    venue.say({ channel: "heartbeat" });
    await until("the venue to be live", () => harness.states("kraken:*").at(-1) === "live");
    venue.say({ channel: "book", type: "update", data: [{ symbol: "BTC/USD", bids: [{ price: 100.1, qty: 1 }], asks: [], checksum: 1, timestamp: "2024-01-01T00:00:00Z" }] });
    await until("a request for the book", () => venue.heard.length === 5);
    expect(venue.heard.slice(3)).toEqual([
      { method: "unsubscribe", params: { channel: "book", symbol: ["BTC/USD"], depth: 100 } },
      subscribe("book", { depth: 100 }),
    ]);
    expect(harness.states("kraken:BTC-USD").at(-1)).toBe("stale");
  });

  it.skipIf(!hasVenueData)("reads the fixtures of the format as data", async () => {
    const { venue, harness } = await setup();
    await until("the subscriptions", () => venue.heard.length === 3);
    const messages = fixtureLines().filter((line) => member(line, "exchange") === "kraken").map((line) => member(line, "message"))
      .filter((message) => typeof member(message, "channel") === "string" && JSON.stringify(message).includes('"BTC/USD"'));
    for (const message of messages) venue.say(message);
    await until("the messages", () => harness.sample("ticker_feed_messages_total") >= messages.length + 1);
    expect(harness.feed.counters.malformed).toBe(0);
    expect(harness.states("kraken:*").at(-1)).toBe("live");
  });
});
