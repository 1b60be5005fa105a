/**
 * One name for the same thing at several venues, and the spellings under which an instrument is looked for.
 */
import type { Instrument } from "./instrument.ts";

/** Codes that some venues have for what everybody else calls otherwise (Kraken's, after ISO 4217: no country owns X). */
const COMMON_CODES: Readonly<Record<string, string>> = { XBT: "BTC", XDG: "DOGE" };
const OWN_CODES: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(COMMON_CODES).map(([own, common]) => [common, own]));

/** What everybody calls an asset: `XBT` is `BTC`. Other codes stay. */
export function commonAsset(code: string): string {
  return COMMON_CODES[code] ?? code;
}

/** What is traded for what; `quote` is null for what is no pair. */
export interface Pair {
  readonly base: string;
  readonly quote: string | null;
}

/** `BTC-USD` is a pair; `INFY` and `BTC-USD-PERP` are not. */
export function pairOf(symbol: string): Pair {
  const [base = symbol, quote, ...more] = symbol.split("-");
  return quote === undefined || quote === "" || base === "" || more.length > 0 ? { base: symbol, quote: null } : { base, quote };
}

/** The name that the same pair has at every venue, in upper case and common codes: `BTC-USD`. */
export function canonicalOf(symbol: string): string {
  const { base, quote } = pairOf(symbol.toUpperCase());
  return quote === null ? base : `${commonAsset(base)}-${commonAsset(quote)}`;
}

/** Spellings of an instrument at its venue besides symbol and native one, in upper case: other codes, other separators. */
export function aliasesOf({ symbol, native }: Pick<Instrument, "symbol" | "native">): string[] {
  const { base, quote } = pairOf(symbol.toUpperCase());
  const codesOf = (code: string): string[] => [...new Set([code, COMMON_CODES[code] ?? code, OWN_CODES[code] ?? code])];
  const spellings = quote === null ? [base] : codesOf(base).flatMap((b) => codesOf(quote).flatMap((q) => ["-", "/", "_", ""].map((between) => `${b}${between}${q}`)));
  return [...new Set([...spellings, native.toUpperCase()])].filter((spelling) => spelling !== symbol && spelling !== native);
}
