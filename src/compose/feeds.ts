/**
 * From the entries of `FEEDS` to running feeds: which class stands behind which name.
 */
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { ConfigurationError, FeedError } from "../core/errors.ts";
import { unreachable } from "../core/types.ts";
import { binanceFeed } from "../feeds/binance/feed.ts";
import { coinbaseFeed } from "../feeds/coinbase/feed.ts";
import { krakenFeed } from "../feeds/kraken/feed.ts";
import { PushFeed } from "../feeds/push/push-feed.ts";
import { ReplayFeed } from "../feeds/replay-feed.ts";
import { captureVenue } from "../feeds/replay-survey.ts";
import { SimulatedFeed } from "../feeds/sim/simulated-feed.ts";
import type { VenueFeed } from "../feeds/venue-feed.ts";
import type { VenueFeedOptions } from "../feeds/venue-feed-options.ts";
import type { KeyCheck } from "../ports/access.ts";
import type { Breakers } from "../ports/breakers.ts";
import type { Feed, ListOutcome } from "../ports/feeds.ts";
import type { EventSink } from "../ports/records.ts";
import type { Logger } from "../ports/telemetry.ts";
import type { FeedSpec, StreamOptions } from "./stream-options.ts";

export interface FeedParts {
  readonly options: Omit<StreamOptions, "settings">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sink: EventSink;
  readonly keys: KeyCheck;
  readonly breakers: Breakers;
  /** A venue was asked for its list. */
  readonly listed: (outcome: ListOutcome) => void;
}

export interface CreatedFeeds {
  readonly feeds: readonly Feed[];
  /** Starts before the feeds. Its start throws a ConfigurationError when two of them own one venue. */
  readonly venues: Component;
  readonly keysRevoked: (keyIds: readonly string[]) => void;
}

const VENUES: Readonly<Record<"binance" | "coinbase" | "kraken", (options: VenueFeedOptions) => VenueFeed>> = {
  binance: binanceFeed, coinbase: coinbaseFeed, kraken: krakenFeed,
};

export function createFeeds(parts: FeedParts): CreatedFeeds {
  const { options, clock, log, sink, keys, breakers, listed } = parts;
  const pushes: PushFeed[] = [];
  const feeds: Feed[] = [];
  /** Venues that a feed other than push owns, each with the entry of `FEEDS`. */
  const owners = new Map<string, string>();

  const create = (spec: FeedSpec): Feed => {
    switch (spec.kind) {
      case "sim": return new SimulatedFeed({ sink, clock, log, ...options.sim });
      case "replay": return new ReplayFeed({ sink, clock, log, path: spec.path, speed: spec.speed });
      case "venue": return VENUES[spec.venue]({
        sink, clock, log, random: Math.random, breaker: breakers.of(`venue.${spec.venue}`), wsUrl: spec.wsUrl ?? undefined, restUrl: spec.restUrl ?? undefined,
        instruments: options.feedInstruments, silenceMs: options.feedSilenceMs, instrumentSilenceMs: options.feedInstrumentSilenceMs, pulledInMax: options.feedPulledInMax,
        listRefreshMs: options.feedListRefreshMs, cached: options.memory.instruments, listed,
      });
      case "push": {
        const push = new PushFeed({ sink, clock, log, keys, ...options.push, venuesTaken: () => new Set(owners.keys()), instrumentsMax: options.instrumentsMax });
        pushes.push(push);
        return push;
      }
      default: return unreachable(spec);
    }
  };
  for (const spec of options.feeds) feeds.push(create(spec));
  const venues = { name: "venues", start: () => claimVenues(options.feeds, owners), stop: () => Promise.resolve() };
  return { feeds, venues, keysRevoked: (ids) => { for (const push of pushes) push.keysRevoked(ids); } };
}

/** Two feeds that number the events of one venue would mix two markets in one topic. */
async function claimVenues(specs: readonly FeedSpec[], owners: Map<string, string>): Promise<void> {
  const faults: string[] = [];
  for (const spec of specs) {
    const venue = await venueOf(spec);
    if (venue === null) continue;
    const name = spec.kind === "replay" ? `replay:${spec.path}` : venue;
    const owner = owners.get(venue);
    if (owner === undefined) owners.set(venue, name);
    else faults.push(`FEEDS: "${owner}" and "${name}" are both of the venue ${venue}; keep one of them`);
  }
  if (faults.length > 0) throw new ConfigurationError(faults);
}

/** Null for push, whose producers choose, and for a recording that cannot be read: its feed says so when it starts. */
async function venueOf(spec: FeedSpec): Promise<string | null> {
  switch (spec.kind) {
    case "push": return null;
    case "sim": return "sim";
    case "venue": return spec.venue;
    case "replay": return captureVenue(spec.path).catch((error: unknown) => {
      if (error instanceof FeedError) return null;
      throw error;
    });
    default: return unreachable(spec);
  }
}
