/**
 * The feed contract, kept by the simulated exchange, replay, and each venue against recorded frames.
 */
import { describe } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { ReplayFeed } from "../../src/feeds/replay-feed.ts";
import { SimulatedFeed } from "../../src/feeds/sim/simulated-feed.ts";
import { binanceFeed } from "../../src/feeds/binance/feed.ts";
import { coinbaseFeed } from "../../src/feeds/coinbase/feed.ts";
import { krakenFeed } from "../../src/feeds/kraken/feed.ts";
import { KeepingLog, seeded } from "../support/feed-harness.ts";
import { startLoopbackVenue } from "../support/loopback-venue.ts";
import { capturePath, hasVenueData } from "../support/venue-data.ts";
import { feedContract, type MakeFeed, upstreamContract } from "./feed.contract.ts";

const nothing = (): Promise<void> => Promise.resolve();

feedContract("the simulated exchange", (sink) =>
  Promise.resolve({ feed: new SimulatedFeed({ sink, clock: systemClock, log: new KeepingLog(), seed: 1, instruments: 3, eventsPerS: 2_000 }), stop: nothing }));

describe.skipIf(!hasVenueData)("recorded", () => {
  feedContract("a replay", (sink) =>
    Promise.resolve({ feed: new ReplayFeed({ sink, clock: systemClock, log: new KeepingLog(), path: capturePath("BINANCE_US"), speed: 100 }), stop: nothing }));

  const venues = [
    ["Binance", binanceFeed, "BINANCE_US", ["OMG-BUSD"], false],
    ["Coinbase Exchange", coinbaseFeed, "COINBASE", ["YFI-BTC"], false],
    ["Coinbase Advanced", coinbaseFeed, "COINBASE", ["YFI-BTC"], true],
    ["Kraken", krakenFeed, "KRAKEN", ["BTC-CHF"], false],
  ] as const;
  for (const [name, makeVenue, capture, instruments, isAdvanced] of venues) {
    const make: MakeFeed = async (sink, isAway) => {
      const venue = await startLoopbackVenue({ capture: capturePath(capture), speed: 50, isAdvanced });
      const { wsUrl, restUrl } = venue;
      if (isAway) await venue.stop();
      return {
        feed: makeVenue({
          sink, clock: systemClock, log: new KeepingLog(), random: seeded(1), wsUrl, restUrl, instruments,
          connection: { backoffFirstMs: 20, backoffMinMs: 5, backoffMaxMs: 50 },
        }),
        stop: () => (isAway ? Promise.resolve() : venue.stop()),
      };
    };
    feedContract(name, make);
    upstreamContract(name, make);
  }
});
