/**
 * What the feed of a live venue can be told, and what it does when it is not told.
 */
import type { Clock } from "../core/clock.ts";
import type { Instrument } from "../market/instrument.ts";
import type { Breaker } from "../ports/breakers.ts";
import type { ListOutcome } from "../ports/feeds.ts";
import type { EventSink } from "../ports/records.ts";
import type { Logger } from "../ports/telemetry.ts";
import type { ConnectionTap } from "./feed-connection.ts";
import type { ConnectionLimits } from "./reconnect-plan.ts";
import type { ResyncLimits } from "./resync-plan.ts";
import type { RestLimits, RestTap } from "./venue-rest.ts";

/** What a venue's feed needs; everything optional has the default named here. */
export interface VenueFeedOptions {
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform from 0 to below 1, for back-off. */
  readonly random: () => number;
  /** Default: the venue's public production address. */
  readonly wsUrl?: string | undefined;
  readonly restUrl?: string | undefined;
  /** Symbols, native spellings or ids; those of other venues are passed over. Default: the venue's BTC and ETH pairs. */
  readonly instruments?: readonly string[] | undefined;
  /** A connection without data for this long is replaced. Default 10,000. */
  readonly silenceMs?: number | undefined;
  /** An instrument without data for this long is stale. Default 60,000. */
  readonly instrumentSilenceMs?: number | undefined;
  /** Most instruments pulled in beyond the configured ones. Default 200. */
  readonly pulledInMax?: number | undefined;
  /** Most instruments made known. Default 10,000. */
  readonly instrumentsMax?: number | undefined;
  /** The instrument list is read again this often; its halts become statuses. Default 3,600,000. */
  readonly listRefreshMs?: number | undefined;
  /** The list as it was last seen, of any venue: the feed goes on with its own part until the venue answers. */
  readonly cached?: readonly Instrument[] | undefined;
  /** Around every question to the venue's REST side. Default: none. */
  readonly breaker?: Pick<Breaker, "run"> | undefined;
  /** Told whenever the venue was asked for its list. */
  readonly listed?: ((outcome: ListOutcome) => void) | undefined;
  readonly connection?: Partial<ConnectionLimits> | undefined;
  readonly resync?: Partial<ResyncLimits> | undefined;
  readonly rest?: Partial<RestLimits> | undefined;
  readonly tap?: (ConnectionTap & { readonly answered: RestTap }) | undefined;
}

export const VENUE_FEED_DEFAULTS = {
  instrumentSilenceMs: 60_000, pulledInMax: 200, instrumentsMax: 10_000, listRefreshMs: 3_600_000,
} as const;
