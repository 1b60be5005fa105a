/**
 * What the parsers of the venues' instrument lists share: their answer, and reading one entry after the other.
 */
import { FeedError } from "../core/errors.ts";
import { instrumentId, type Instrument } from "../market/instrument.ts";
import { decimalsOf, parsePrice, parseQuantity } from "../market/price.ts";
import { isForeignRecord, positiveText, type ForeignRecord } from "./foreign.ts";

export interface InstrumentList {
  readonly instruments: readonly Instrument[];
  /** Entries that could not be read, each left out. */
  readonly skipped: number;
}

/** What a venue says of one instrument, in its own text. */
export interface ListedInstrument {
  readonly venue: string;
  readonly symbol: string;
  readonly native: string;
  /** Decimal text of the smallest step; the scale has at least its decimals. */
  readonly tick: unknown;
  readonly lot: unknown;
  /**
   * For a venue that still shows orders made when a step was finer: decimals that it writes at most, and decimal text
   * of the largest price and order. The scale gets as many of those decimals as 2^53 leaves room for.
   */
  readonly room?: { readonly decimals: number; readonly priceMax: unknown; readonly sizeMax: unknown };
  readonly state: Instrument["state"];
}

/** Reads a list entry by entry; one that `read` answers null for, or that is no valid instrument, is skipped. @throws {FeedError} when it is no list. */
export function readInstrumentList(
  venue: string, source: string, entries: unknown, read: (entry: ForeignRecord) => ListedInstrument | null,
): InstrumentList {
  if (!Array.isArray(entries)) throw new FeedError(`${venue}: expected a list of instruments in ${source}, found ${typeof entries}`);
  const instruments: Instrument[] = [];
  for (const entry of entries) {
    const listed = isForeignRecord(entry) ? read(entry) : null;
    const instrument = listed === null ? null : instrumentOf(listed);
    if (instrument !== null) instruments.push(instrument);
  }
  return { instruments, skipped: entries.length - instruments.length };
}

function instrumentOf(listed: ListedInstrument): Instrument | null {
  const tick = positiveText(listed.tick);
  const lot = positiveText(listed.lot);
  if (tick === null || lot === null) return null;
  const room = listed.room;
  const priceScale = Math.max(decimalsOf(tick), room === undefined ? 0 : decimalsThatFit(room.decimals, room.priceMax));
  const sizeScale = Math.max(decimalsOf(lot), room === undefined ? 0 : decimalsThatFit(room.decimals, room.sizeMax));
  try {
    return {
      id: instrumentId(listed.venue, listed.symbol), venue: listed.venue, symbol: listed.symbol, native: listed.native,
      priceScale, sizeScale, tickSize: parsePrice(tick, priceScale), lotSize: parseQuantity(lot, sizeScale),
      state: listed.state, simulated: false, mayCross: false, timeBase: "wall",
    };
  } catch (error) {
    // A symbol that does not fit our grammar, or more decimals than a scale may have: this entry only.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** A level may hold a hundred times the largest order; a number below 2^53 has at least 15 digits. */
const SPARE_DIGITS = 2;
const EXACT_DIGITS = 15;

function decimalsThatFit(decimals: number, largest: unknown): number {
  const text = positiveText(largest);
  if (text === null) return 0;
  const point = text.indexOf(".");
  const wholeDigits = point < 0 ? text.length : point;
  return Math.max(0, Math.min(decimals, EXACT_DIGITS - SPARE_DIGITS - wholeDigits));
}

/** Decimal text of the smallest step with so many decimals: 2 is "0.01". Null when it is no whole number from 0 to 15. */
export function stepOfDecimals(decimals: unknown): string | null {
  if (typeof decimals !== "number" || !Number.isInteger(decimals) || decimals < 0 || decimals > 15) return null;
  return decimals === 0 ? "1" : `0.${"0".repeat(decimals - 1)}1`;
}
