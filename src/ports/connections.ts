/**
 * Sessions of the stream as an administrator sees them, whichever thread has them. Plain data: it crosses by structured clone.
 */
import type { Micros } from "../core/time.ts";

/** `closing`: the reason is said, the close waits for what is queued before it. */
export const LANES = ["live", "lagging", "closing"] as const;
export type Lane = (typeof LANES)[number];

/** One authenticated session. */
export interface Connection {
  /** As `authenticated` told it to the client. */
  readonly id: string;
  readonly keyId: string;
  readonly address: string;
  readonly lane: Lane;
  readonly encoding: string;
  readonly openedAt: Micros;
  readonly ageMs: number;
  /** Topics it holds, matches of its wildcards among them. */
  readonly topics: number;
  readonly wildcards: number;
  readonly unsentBytes: number;
  /** Data messages handed to it since `auth`, snapshots not counted. */
  readonly messages: number;
  /** Age of its oldest unanswered ping; null: all are answered. */
  readonly pingAgeMs: number | null;
}

export interface ConnectionQuery {
  /** Entries of a page. */
  readonly limit: number;
  /** Only ids that sort after it; empty: from the first. */
  readonly after: string;
  readonly keyId: string | null;
  readonly address: string | null;
  readonly lane: Lane | null;
}

/** The sessions of one fan-out that match, by id, from the first after the query's `after`. */
export interface ConnectionPage {
  readonly items: readonly Connection[];
  /** All sessions that match, also before `after` and beyond the page. */
  readonly matching: number;
}

/** The sessions of a node. */
export interface ConnectionList {
  readonly items: readonly FoundConnection[];
  readonly matching: number;
  /** Fan-out threads that did not answer in time: their sessions are missing. */
  readonly silentWorkers: number;
  /** Whether there are more after the last of these. */
  readonly hasMore: boolean;
}

export type FoundConnection = Connection & { readonly worker: number };

/** Both @throws {UnavailableError} when the stream thread does not answer. */
export interface ConnectionControl {
  list(query: ConnectionQuery): Promise<ConnectionList>;
  /** The session of that id; null when there is none. @param isDisconnected whether it is then told goodbye and closed */
  one(id: string, isDisconnected: boolean): Promise<FoundConnection | null>;
}

/** Pages of several fan-outs as one; each must have been asked the same. @param pages by worker; null: it did not answer */
export function mergePages(pages: readonly (ConnectionPage | null)[], limit: number): ConnectionList {
  const found = pages.flatMap((page, worker) => (page?.items ?? []).map((item) => ({ ...item, worker })));
  const sorted = found.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return {
    items: sorted.slice(0, limit), matching: pages.reduce((sum, page) => sum + (page?.matching ?? 0), 0),
    silentWorkers: pages.filter((page) => page === null).length, hasMore: sorted.length > limit,
  };
}
