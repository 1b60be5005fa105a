/**
 * From the entries of `FEEDS` to running feeds: which class stands behind which name.
 */
import type { Clock } from "../core/clock.ts";
import { unreachable } from "../core/types.ts";
import { binanceFeed } from "../feeds/binance/feed.ts";
import { coinbaseFeed } from "../feeds/coinbase/feed.ts";
import { krakenFeed } from "../feeds/kraken/feed.ts";
import { PushFeed } from "../feeds/push/push-feed.ts";
import { ReplayFeed } from "../feeds/replay-feed.ts";
import { SimulatedFeed } from "../feeds/sim/simulated-feed.ts";
import type { VenueFeed, VenueFeedOptions } from "../feeds/venue-feed.ts";
import type { KeyCheck } from "../ports/access.ts";
import type { Feed } from "../ports/feeds.ts";
import type { EventSink } from "../ports/records.ts";
import type { Logger } from "../ports/telemetry.ts";
import type { FeedSpec, StreamOptions } from "./stream-options.ts";

export interface FeedParts {
  readonly options: StreamOptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sink: EventSink;
  readonly keys: KeyCheck;
}

export interface CreatedFeeds {
  readonly feeds: readonly Feed[];
  readonly keysRevoked: (keyIds: readonly string[]) => void;
}

const VENUES: Readonly<Record<"binance" | "coinbase" | "kraken", (options: VenueFeedOptions) => VenueFeed>> = {
  binance: binanceFeed, coinbase: coinbaseFeed, kraken: krakenFeed,
};

export function createFeeds(parts: FeedParts): CreatedFeeds {
  const { options, clock, log, sink, keys } = parts;
  const pushes: PushFeed[] = [];
  const feeds: Feed[] = [];
  const others = (): ReadonlySet<string> => new Set(feeds.filter((feed) => !(feed instanceof PushFeed)).flatMap((feed) => feed.report().venues));

  const create = (spec: FeedSpec): Feed => {
    switch (spec.kind) {
      case "sim": return new SimulatedFeed({ sink, clock, log, ...options.sim });
      case "replay": return new ReplayFeed({ sink, clock, log, path: spec.path, speed: spec.speed });
      case "venue": return VENUES[spec.venue]({
        sink, clock, log, random: Math.random, wsUrl: spec.wsUrl ?? undefined, restUrl: spec.restUrl ?? undefined,
        instruments: options.feedInstruments, silenceMs: options.feedSilenceMs, instrumentSilenceMs: options.feedInstrumentSilenceMs, pulledInMax: options.feedPulledInMax,
      });
      case "push": {
        const push = new PushFeed({ sink, clock, log, keys, ...options.push, venuesTaken: others, instrumentsMax: options.instrumentsMax });
        pushes.push(push);
        return push;
      }
      default: return unreachable(spec);
    }
  };
  for (const spec of options.feeds) feeds.push(create(spec));
  return { feeds, keysRevoked: (ids) => { for (const push of pushes) push.keysRevoked(ids); } };
}
