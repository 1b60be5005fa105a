/**
 * What a venue's own folder tells the shared feed about it: its addresses, its list and how one connection is spoken.
 */
import type { Clock } from "../core/clock.ts";
import type { Micros } from "../core/time.ts";
import type { Instrument } from "../market/instrument.ts";
import type { Logger, MetricSource } from "../ports/telemetry.ts";
import type { ChannelMask } from "./channel-mask.ts";
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
  /** The session can speak to the venue now, or must say everything again: all that is carried is subscribed to from the beginning. */
  resubscribe(): void;
  /** A snapshot that was asked for will not come; it is asked for again after a back-off. */
  snapshotFailed(entry: Entry, error: unknown): void;
  /** Runs what hands events over outside of a socket read. */
  deliver(run: () => void): void;
}

/** The protocol of one feed's connection; lives as long as the feed and is reset when a connection ends. */
export interface VenueSession extends MetricSource {
  /** Whether the venue can be spoken to: from the opening on, or from its greeting on. */
  readonly isReady: boolean;
  /** The socket is open. These are subscribed to by the address; the rest follows by `subscribe`. */
  opened(addressed: readonly Entry[]): void;
  /** Carries more on the open connection. @param channels bits of the profile's `upstream` */
  subscribe(added: readonly Entry[], channels: number): void;
  /** The opposite. */
  unsubscribe(left: readonly Entry[], channels: number): void;
  /** The book of this instrument is no longer asked for: what is known of it does not count, and nothing is owed for it. */
  forgetBook(entry: Entry): void;
  /** Asks for fresh snapshots of these books, all at once: venues limit messages per second. */
  resync(entries: readonly Entry[]): void;
  /** One message as `JSON.parse` made it. */
  message(message: unknown, receiveTime: Micros): void;
  reset(): void;
}

/** A channel as the venue has it, and which of ours need it. */
export interface UpstreamChannel {
  /** The venue's name for it. */
  readonly name: string;
  readonly serves: ChannelMask;
  readonly isBook: boolean;
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
  /** Most instruments that the address itself subscribes to; the rest follow by message. */
  readonly addressedMax: number;
  /** The venue's channels, in the order in which they are asked for. */
  readonly upstream: readonly UpstreamChannel[];
  /** @throws {FeedError} when the body is no list. */
  parseList(body: unknown): InstrumentList;
  /** Further spellings of a native one in messages. */
  readonly spellings: (native: string) => readonly string[];
  /** A usable definition for a configured name while the list cannot be had; null when the name tells too little. */
  assume(symbol: string): Instrument | null;
  /** The address to open, given the configured one; it subscribes to what is marked as `upstream` of these. */
  url(base: string, addressed: readonly Entry[]): string;
  session(context: SessionContext): VenueSession;
}
