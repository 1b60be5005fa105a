/**
 * What the simulated exchange lists: names, units, price levels, trading hours.
 */
import { type Price, price, type Quantity, quantity, type Scale, unitsPerOne } from "../../market/price.ts";
import type { Random } from "./random.ts";

export const SIM_VENUE = "sim";
/** `BTC-USD` and `ETH-USD` come first and are never halted or closed (protocol section 0). */
export const LEADERS = 2;

/** Open for `openS` of every `periodS` seconds. */
export interface Hours {
  readonly periodS: number;
  readonly openS: number;
  /** Seconds by which the period is shifted, so that not all instruments open at once. */
  readonly phaseS: number;
}

export interface SimInstrument {
  readonly symbol: string;
  readonly priceScale: Scale;
  readonly sizeScale: Scale;
  readonly tickSize: Price;
  readonly lotSize: Quantity;
  /** Where the price begins; it stays between half and twice of it. */
  readonly priceFirst: Price;
  /** Usual distance of two levels of the book, in ticks. */
  readonly gapTicks: number;
  /** Usual size of a level, in lots. */
  readonly levelLots: number;
  /** Levels a side has when it is made. */
  readonly levels: number;
  /** Null: always open. */
  readonly hours: Hours | null;
  readonly mayHalt: boolean;
  /** Share of the events, relative to the others. */
  readonly weight: number;
}

/** Symbol, price, decimals of prices, tick in price units, decimals of sizes, lot in size units, level size in lots. */
const PAIRS: readonly (readonly [string, number, Scale, number, Scale, number, number])[] = [
  ["BTC-USD", 67_000, 2, 1, 4, 1, 4000], ["ETH-USD", 3_500, 2, 1, 4, 1, 60_000], ["SOL-USD", 152, 2, 1, 3, 1, 40_000],
  ["XRP-USD", 0.52, 4, 1, 0, 1, 9000], ["DOGE-USD", 0.12345, 5, 1, 0, 1, 30_000], ["ADA-USD", 0.45, 4, 1, 1, 1, 80_000],
  ["LINK-USD", 14.2, 3, 1, 2, 1, 30_000], ["LTC-USD", 84.1, 2, 1, 3, 1, 20_000], ["BTC-EUR", 61_800, 1, 1, 5, 1, 30_000],
  ["ETH-BTC", 0.0522, 5, 1, 3, 1, 5000], ["EUR-USD", 1.085, 5, 1, 0, 1000, 900], ["USD-JPY", 150.25, 3, 1, 0, 1000, 900],
  ["GBP-USD", 1.271, 5, 1, 0, 1000, 700], ["XAU-USD", 2_400, 2, 10, 2, 1, 3000], ["AVAX-USD", 27.5, 2, 1, 2, 1, 20_000],
  ["DOT-USD", 6.12, 3, 1, 2, 1, 20_000],
];
const SYLLABLES = ["AR", "BO", "CE", "DI", "EX", "FO", "GA", "HE", "IN", "JU", "KO", "LU", "MA", "NO", "OR", "PE", "QI", "RA", "SU", "TE", "UN", "VA", "WE", "YO", "ZE"] as const;
/** Closed for a minute of every five. */
const PERIOD_S = 300;
const OPEN_S = 240;

/** The first `count` instruments; the same for the same seed. */
export function listInstruments(count: number, random: Random): SimInstrument[] {
  return Array.from({ length: count }, (_, i) => (i < PAIRS.length ? pair(i) : share(i, random)));
}

function pair(i: number): SimInstrument {
  const [symbol, first, priceScale, tick, sizeScale, lot, levelLots] = PAIRS[i] ?? ["X-USD", 100, 2, 1, 0, 1, 100];
  return instrument({
    symbol, priceScale, sizeScale, tickSize: price(tick), lotSize: quantity(lot), priceFirst: price(Math.round(first * unitsPerOne(priceScale))),
    levelLots, levels: i < LEADERS ? 80 : 40, hours: null, mayHalt: i >= LEADERS, weight: i === 0 ? 5 : i === 1 ? 4 : 1.5 / (1 + i / 16),
  });
}

/** A share that trades in whole pieces, from 20.00 to 900.00; every third opens and closes. */
function share(i: number, random: Random): SimInstrument {
  const n = i - PAIRS.length;
  const first = Math.round(20 * 45 ** random.unit() * 20) * 5;
  return instrument({
    symbol: ticker(n), priceScale: 2, sizeScale: 0, tickSize: price(n % 4 === 3 ? 5 : 1), lotSize: quantity(n % 5 === 4 ? 10 : 1), priceFirst: price(first),
    levelLots: 50 + random.below(300), levels: 20 + random.below(15), mayHalt: n % 3 !== 0,
    hours: n % 3 === 0 ? { periodS: PERIOD_S, openS: OPEN_S, phaseS: random.below(PERIOD_S) } : null, weight: 0.8 / (1 + n / 16),
  });
}

function instrument(of: Omit<SimInstrument, "gapTicks">): SimInstrument {
  return { ...of, gapTicks: Math.max(1, Math.round((of.priceFirst / of.tickSize) * 1e-5)) };
}

/** Four letters for the first 625 shares, then two more. */
function ticker(n: number): string {
  const syllable = (k: number): string => SYLLABLES[k % SYLLABLES.length] ?? "XX";
  const turn = Math.floor(n / 625);
  return `${syllable(n * 7)}${syllable(Math.floor((n % 625) / 25) + n * 3)}${turn === 0 ? "" : `${syllable(Math.floor(turn / 25))}${syllable(turn)}`}`;
}
