/**
 * The thing traded: its identity, its units and what may be assumed of its quotes.
 */
import type { Price, Quantity, Scale } from "./price.ts";

/** Small number by which ingest, records and workers know an instrument; dense from 0, never reused. */
export type InstrumentIndex = number;

export interface Instrument {
  /** `venue:SYMBOL`, e.g. `coinbase:BTC-USD`; `venue:*` is the venue itself, which has only a status. */
  readonly id: string;
  /** Lower case. */
  readonly venue: string;
  /** `BASE-QUOTE` for pairs, the venue's own ticker otherwise. */
  readonly symbol: string;
  /** The venue's own spelling, accepted wherever a symbol is asked for. */
  readonly native: string;
  readonly priceScale: Scale;
  readonly sizeScale: Scale;
  /** Smallest step of a price, in price units; 1 when unknown. */
  readonly tickSize: Price;
  /** Smallest step of a size, in size units; 1 when unknown. */
  readonly lotSize: Quantity;
  readonly state: "active" | "halted" | "inactive";
  /** Made up by the simulated exchange: said wherever its data shows. */
  readonly simulated: boolean;
  /** Whether a bid above the ask can be real (a composite of several dealers); otherwise such a quote is rejected. */
  readonly mayCross: boolean;
  /**
   * `wall`: event times follow our clock, so a bar also closes 1 s after its end by our clock.
   * `event`: a recording is replayed, so a bar closes on a later event alone.
   */
  readonly timeBase: "wall" | "event";
}

const VENUE = /^[a-z][a-z0-9_]{0,31}$/;
const SYMBOL = /^[A-Za-z0-9][A-Za-z0-9._/@-]{0,63}$/;

/** The id of venue and symbol. @throws {RangeError} when either is malformed: both end up in frames unescaped. */
export function instrumentId(venue: string, symbol: string): string {
  if (!VENUE.test(venue)) throw new RangeError(`expected a venue of lower-case letters, digits and _, found "${venue}"`);
  if (!SYMBOL.test(symbol)) throw new RangeError(`expected a symbol of letters, digits and . _ / @ -, found "${symbol}"`);
  return `${venue}:${symbol}`;
}

/** The id of the venue itself, whose only channel is `status`. */
export function venueId(venue: string): string {
  if (!VENUE.test(venue)) throw new RangeError(`expected a venue of lower-case letters, digits and _, found "${venue}"`);
  return `${venue}:*`;
}

/** Whether the instrument stands for its whole venue. */
export function isVenue(instrument: Instrument): boolean {
  return instrument.symbol === "*";
}
