/**
 * A feed as the rest of the process sees it: something that runs, has a state, and can be asked to carry more.
 */
import type { Component } from "../core/component.ts";
import type { Micros } from "../core/time.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { Channel } from "../protocol/topic.ts";
import type { MetricSource } from "./telemetry.ts";

export type FeedState = "starting" | "live" | "stale" | "down";

export interface FeedReport {
  readonly name: string;
  /** Venues whose instruments this feed owns. */
  readonly venues: readonly string[];
  readonly state: FeedState;
  /** Why it is not live; empty when it is. */
  readonly reason: string;
  /** Milliseconds since the last byte from upstream; null before the first. */
  readonly ageMs: number | null;
  readonly reconnects: number;
  readonly instruments: number;
  readonly simulated: boolean;
}

/** What came of asking a venue for its list of instruments. */
export type ListOutcome =
  | { readonly kind: "loaded"; readonly venue: string; readonly at: Micros; /** When it is asked again. */ readonly nextAt: Micros; readonly instruments: readonly Instrument[] }
  | { readonly kind: "failed"; readonly venue: string; readonly at: Micros; /** Null: not by itself. */ readonly nextAt: Micros | null; readonly failure: string };

/** `unknown`: it waits until the instrument is known. `full`: refused, nothing was changed. `foreign`: of another feed's venue. */
export type CarryOutcome = "carried" | "unknown" | "full" | "foreign";

/**
 * One upstream source. `start` resolves once the feed is under way; it does not wait for the venue, which may be away.
 * Everything else is told through status events.
 */
export interface Feed extends Component, MetricSource {
  report(): FeedReport;
  /** A client wants a known instrument that is not carried yet. Ignored when it is not this feed's, already carried, or over the limit. */
  demand(instrument: InstrumentIndex): void;
  /**
   * A subscription wants these channels of an instrument (an id): counted, so that each needs its own `release`. Takes
   * effect on the open connection, also when the feed starts later or learns of the instrument later.
   */
  carry(id: string, channels: readonly Channel[]): CarryOutcome;
  /** The opposite of one `carry`. Channels that nobody wants any more do not flow from then on. */
  release(id: string, channels: readonly Channel[]): void;
  /** Asks the venue for its list now; null when this feed has none. Never rejects. */
  refresh(): Promise<ListOutcome | null>;
}
