/**
 * The feeds as the main thread steers them, across the thread boundary.
 */
import type { Instrument } from "../market/instrument.ts";
import type { Channel } from "../protocol/topic.ts";
import type { ListOutcome } from "./feeds.ts";

/** From main to the feeds. */
export type FeedOrder =
  | { readonly type: "carry"; readonly call: number; readonly symbols: readonly string[]; readonly channels: readonly Channel[] }
  | { readonly type: "release"; readonly symbols: readonly string[]; readonly channels: readonly Channel[] }
  | { readonly type: "refresh"; readonly call: number };

/** From the feeds to main. */
export type FeedNotice =
  /** A venue was asked for its list. */
  | { readonly type: "listed"; readonly outcome: ListOutcome }
  | { readonly type: "carried"; readonly call: number; readonly refusals: readonly CarryRefusal[] }
  /** After the `listed` of each. */
  | { readonly type: "refreshed"; readonly call: number; readonly venues: readonly RefreshedVenue[] };

/** What a stream thread that starts is told of earlier runs. */
export interface FeedMemory {
  /** Lists of instruments as they were last seen. */
  readonly instruments: readonly Instrument[];
  /** What subscriptions ask for. */
  readonly carried: readonly { readonly symbols: readonly string[]; readonly channels: readonly Channel[] }[];
}

/** `full`: no room for one more instrument of the venue. `foreign`: no feed is of this venue. */
export interface CarryRefusal {
  readonly symbol: string;
  readonly why: "full" | "foreign";
}

/** What came of asking a venue; null: the list came. */
export interface RefreshedVenue {
  readonly venue: string;
  readonly failure: string | null;
}

export interface FeedControl {
  /** Grows with every start of the stream thread: what was carried before it no longer is, but for what its memory says. */
  term(): number;
  /**
   * Makes the feeds carry all of them, or none when one is refused. Answers the refusals. A stream thread that starts again
   * carries what its options say instead.
   * @throws {UnavailableError} when the stream thread is away or does not answer: then nothing more is carried than before
   */
  carry(symbols: readonly string[], channels: readonly Channel[]): Promise<readonly CarryRefusal[]>;
  /** The opposite of one `carry`. Nothing happens while the stream thread is away. */
  release(symbols: readonly string[], channels: readonly Channel[]): void;
  /** Asks every venue that has a list; resolves after the lists have been told. @throws {UnavailableError} when the stream thread is away or too slow */
  refresh(): Promise<readonly RefreshedVenue[]>;
}
