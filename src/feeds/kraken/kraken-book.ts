/**
 * A book as Kraken keeps it: cut to the subscribed depth after every message and proved by a checksum.
 *
 * Owns: depth and spelled decimals of one book. Runs on: stream thread. Path: hot.
 */
import type { Micros } from "../../core/time.ts";
import type { MapperCounts } from "../mapper-counts.ts";
import type { MapperOutput } from "../mapper.ts";
import { VenueBook } from "../venue-book.ts";
import { bookChecksum, type Decimals } from "./checksum.ts";

/** Depths that Kraken offers, in levels a side; the first is what it sends unasked. */
const DEPTHS = [10, 25, 100, 500, 1000] as const;

/** The depth that a snapshot of so many levels a side was subscribed with, at least. */
export function depthOf(levels: number): number {
  return DEPTHS.find((depth) => depth >= levels) ?? levels;
}

export class KrakenBook extends VenueBook implements Decimals {
  /** Levels a side of the subscription. */
  depth: number = DEPTHS[0];
  priceSpelled = -1;
  sizeSpelled = -1;

  /** Cuts to the depth and compares; a checksum that is no number was not sent and proves nothing. */
  agrees(checksum: number): boolean {
    this.book.truncate(this.depth);
    return Number.isNaN(checksum) || bookChecksum(this.book.bids, this.book.asks, this) === checksum;
  }

  /** Emits the book and its quote, whole from now on when it was a snapshot; distrusts it instead when the checksum differs. */
  conclude(isSnapshot: boolean, checksum: number, eventTime: Micros, receiveTime: Micros, out: MapperOutput, counts: MapperCounts): void {
    if (!this.agrees(checksum)) {
      counts.disproved++;
      return this.distrust("checksum of the book differs", out);
    }
    if (Number.isFinite(checksum)) counts.proved++;
    this.emitBook(eventTime, receiveTime, out);
    this.emitQuote(eventTime, receiveTime, out);
    if (isSnapshot) this.finish(out);
  }
}
