/**
 * What a venue's own folder tells the shared feed about it: its addresses, its list and how one connection is spoken.
 */
import type { Clock } from "../core/clock.ts";
import type { Micros } from "../core/time.ts";
import type { Instrument } from "../market/instrument.ts";
import type { Logger, MetricSource } from "../ports/telemetry.ts";
import type { InstrumentList } from "./instrument-list.ts";
import type { Entry, InstrumentSet } from "./instrument-set.ts";
import type { MapperOutput } from "./mapper.ts";
import type { VenueRest } from "./venue-rest.ts";

/** What a session may use. */
export interface SessionContext {
  readonly set: InstrumentSet;
  readonly out: MapperOutput;
  readonly rest: VenueRest;
  readonly clock: Clock;
  readonly log: Logger;
  /** Nothing happens while the socket is not open. */
  send(text: string): void;
  /** A snapshot that was asked for will not come; it is asked for again after a back-off. */
  snapshotFailed(entry: Entry, error: unknown): void;
  /** Runs what hands events over outside of a socket read. */
  deliver(run: () => void): void;
}

/** The protocol of one feed's connection; lives as long as the feed and is reset when a connection ends. */
export interface VenueSession extends MetricSource {
  /**
   * The socket is open: subscribe to everything carried, unless the URL did it. The URL was made of the first `addressed`
   * carried instruments; those behind them joined while the connection was opening.
   */
  opened(addressed: number): void;
  /** Carries more on the open connection. */
  subscribe(added: readonly Entry[]): void;
  /** Asks for fresh snapshots of these books, all at once: venues limit messages per second. */
  resync(entries: readonly Entry[]): void;
  /** One message as `JSON.parse` made it. */
  message(message: unknown, receiveTime: Micros): void;
  reset(): void;
}

export interface VenueProfile {
  /** Lower case; also the name of the feed. */
  readonly venue: string;
  /** Production addresses; overridden by `<VENUE>_WS_URL` and `<VENUE>_REST_URL`. */
  readonly wsUrl: string;
  readonly restUrl: string;
  /** Path of the instrument list at `restUrl`. */
  readonly listPath: string;
  /** Symbols carried when nothing else is configured: the venue's BTC and ETH pairs. */
  readonly defaultSymbols: readonly string[];
  /** A connection is replaced at this age in milliseconds. */
  readonly ageMaxMs: number;
  /** Most instruments on one connection. */
  readonly carriedMax: number;
  /** @throws {FeedError} when the body is no list. */
  parseList(body: unknown): InstrumentList;
  /** Further spellings of a native one in messages. */
  readonly spellings: (native: string) => readonly string[];
  /** A usable definition for a configured name while the list cannot be had; null when the name tells too little. */
  assume(symbol: string): Instrument | null;
  /** The address to open, given the configured one. */
  url(base: string, carried: readonly Entry[]): string;
  session(context: SessionContext): VenueSession;
}
