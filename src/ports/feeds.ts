/**
 * A feed as the rest of the process sees it: something that runs, has a state, and can be asked to carry more.
 */
import type { Component } from "../core/component.ts";
import type { InstrumentIndex } from "../market/instrument.ts";
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

/**
 * One upstream source. `start` resolves once the feed is under way; it does not wait for the venue, which may be away.
 * Everything else is told through status events.
 */
export interface Feed extends Component, MetricSource {
  report(): FeedReport;
  /** A client wants a known instrument that is not carried yet. Ignored when it is not this feed's, already carried, or over the limit. */
  demand(instrument: InstrumentIndex): void;
}
