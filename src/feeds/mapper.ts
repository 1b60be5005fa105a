/**
 * What a venue's mapper is: messages of one connection in, market events out; pure but for the book it keeps.
 *
 * One mapper class per venue and format version (`feeds/<venue>/normalise-<version>.ts`); a feed owns one instance per
 * connection and resets it when the connection ends.
 */
import type { Micros } from "../core/time.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { MarketEvent } from "../market/market-event.ts";

/** Where a mapper puts what it read, in the order of the message. */
export interface MapperOutput {
  event(event: MarketEvent): void;
  /** The book of this instrument can no longer be trusted (sequence gap, checksum): it needs a new snapshot. */
  resync(instrument: InstrumentIndex, reason: string): void;
  /** A snapshot has made the book whole (again). */
  synced(instrument: InstrumentIndex): void;
  /** Part of a message that could not be read: counted, the message sampled to the log. Nothing was emitted for it. */
  malformed(reason: string): void;
  /** Anything that is no market data: acknowledgements, heartbeats, venue errors. */
  control(kind: "subscribed" | "heartbeat" | "error" | "other", detail: string): void;
}

/** Instruments of the venue by its own spelling; undefined for one that is not carried. */
export interface InstrumentLookup {
  byNative(native: string): { readonly index: InstrumentIndex; readonly instrument: Instrument } | undefined;
}

export interface Mapper {
  /** One message as `JSON.parse` made it. Never throws for foreign input: it says `malformed`. */
  message(message: unknown, receiveTime: Micros): void;
  /** Forgets the book of one instrument: it is no longer asked for. */
  forget(instrument: InstrumentIndex): void;
  /** Forgets books and sequence positions: the connection ended. */
  reset(): void;
}
