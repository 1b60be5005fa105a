/**
 * What main hands to the stream thread and that hands to its workers: plain data, it crosses by structured clone.
 */
import type { FanoutOptions } from "../fanout/options.ts";
import type { KeyRecord } from "../ports/access.ts";
import type { FeedMemory } from "../ports/feed-control.ts";
import type { BreakerLimits, StandingTrip } from "../ports/breakers.ts";
import type { StreamSettings } from "../ports/stream-settings.ts";

/**
 * Megabytes of short-lived objects that a stream or fan-out thread may collect before it cleans up. The engine's default
 * (48) is resident memory that no session needs: with it the first 2,500 connections cost 15.7 kB each, with 24 some 9.
 */
export const STREAM_YOUNG_GENERATION_MB = 24;

/** One entry of `FEEDS`, parsed. */
export type FeedSpec =
  | { readonly kind: "sim" }
  | { readonly kind: "push" }
  | { readonly kind: "venue"; readonly venue: "binance" | "coinbase" | "kraken"; readonly wsUrl: string | null; readonly restUrl: string | null }
  | { readonly kind: "replay"; readonly path: string; /** 1 is the recorded pace, 0 as fast as possible. */ readonly speed: number };

export interface StreamOptions {
  readonly host: string;
  readonly streamPort: number;
  /** Fan-out threads; 1 means inside the stream thread. */
  readonly workers: number;
  readonly flushMaxMs: number;
  /** How records are handed to the main thread: this often, and at most so many messages on their way. */
  readonly main: { readonly everyMs: number; readonly messagesInFlightMax: number };
  readonly feeds: readonly FeedSpec[];
  /** Ids (`venue:SYMBOL` or the venue's spelling) carried from the start; empty: the venue's BTC and ETH pairs. */
  readonly feedInstruments: readonly string[];
  readonly feedSilenceMs: number;
  readonly feedInstrumentSilenceMs: number;
  readonly feedPulledInMax: number;
  readonly feedListRefreshMs: number;
  readonly sim: { readonly seed: number; readonly instruments: number; readonly eventsPerS: number };
  readonly push: { readonly host: string; readonly port: number; readonly lineBytesMax: number; readonly connectionsMax: number };
  readonly instrumentsMax: number;
  /** A price this many percent away from the last one is flagged, not dropped. */
  readonly jumpBandPct: number;
  readonly fanout: FanoutOptions;
  readonly keys: readonly KeyRecord[];
  readonly memory: FeedMemory;
  readonly breakers: BreakerLimits;
  /** Breakers that operators opened before this thread started. */
  readonly trips: readonly StandingTrip[];
  /** What operators may change while it runs, as it is at the start. */
  readonly settings: StreamSettings;
}
