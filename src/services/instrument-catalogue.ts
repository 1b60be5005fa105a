/**
 * Instruments by every spelling, with search and suggestions. Made anew when a list changes; its indexes when they are first asked for.
 *
 * Owns: nothing that changes after it was made.
 */
import { aliasesOf, canonicalOf } from "../market/canonical.ts";
import { SuggestionIndex } from "../market/suggestions.ts";
import type { RegisteredInstrument } from "../ports/storage.ts";

export interface InstrumentQuery {
  /** Ids, native spellings or aliases behind `venue:`; empty: all. */
  readonly symbols: readonly string[];
  readonly venue: string | null;
  /** Part of id, native spelling, base or quote, in any case; null: all. */
  readonly text: string | null;
  readonly state: RegisteredInstrument["instrument"]["state"] | null;
  /** Canonical name, or a spelling of it (`XBT-USD`); null: all. */
  readonly canonical: string | null;
}

interface Indexes {
  readonly exact: ReadonlyMap<string, RegisteredInstrument>;
  /** By `venue:ALIAS`; null where two instruments share one. */
  readonly aliases: ReadonlyMap<string, RegisteredInstrument | null>;
  readonly near: SuggestionIndex;
}

export class Catalogue {
  /** By id, ascending. */
  readonly entries: readonly RegisteredInstrument[];
  #indexes: Indexes | null = null;

  constructor(entries: Iterable<RegisteredInstrument>) {
    this.entries = [...entries].toSorted((a, b) => (a.instrument.id < b.instrument.id ? -1 : 1));
  }

  /** By id, by the venue's spelling behind `venue:`, or by another code or separator of a pair, in any case. */
  find(spelling: string): RegisteredInstrument | null {
    const { exact, aliases } = this.#index();
    const found = exact.get(spelling);
    if (found !== undefined) return found;
    const colon = spelling.indexOf(":");
    return colon < 0 ? null : aliases.get(keyOf(spelling.slice(0, colon), spelling.slice(colon + 1))) ?? null;
  }

  suggest(spelling: string): string[] {
    return this.#index().near.suggest(spelling);
  }

  search({ symbols, venue, text, state, canonical }: InstrumentQuery): readonly RegisteredInstrument[] {
    const wanted = text?.toUpperCase() ?? null;
    const name = canonical === null ? null : canonicalOf(canonical.replaceAll(/[/_]/g, "-"));
    const ids = new Set(symbols.map((symbol) => this.find(symbol)?.instrument.id));
    return this.entries.filter(({ instrument }) => (
      (symbols.length === 0 || ids.has(instrument.id)) && (venue === null || instrument.venue === venue) && (state === null || instrument.state === state)
      && (name === null || canonicalOf(instrument.symbol) === name)
      && (wanted === null || instrument.id.toUpperCase().includes(wanted) || instrument.native.toUpperCase().includes(wanted) || canonicalOf(instrument.symbol).includes(wanted))
    ));
  }

  #index(): Indexes {
    this.#indexes ??= indexesOf(this.entries);
    return this.#indexes;
  }
}

function keyOf(venue: string, spelling: string): string {
  return `${venue.toLowerCase()}:${spelling.toUpperCase()}`;
}

function indexesOf(entries: readonly RegisteredInstrument[]): Indexes {
  const exact = new Map<string, RegisteredInstrument>();
  const aliases = new Map<string, RegisteredInstrument | null>();
  const near = new SuggestionIndex();
  for (const entry of entries) {
    const { id, venue, native } = entry.instrument;
    exact.set(`${venue}:${native}`, entry);
    exact.set(id, entry);
    near.add(entry.instrument);
  }
  for (const entry of entries) {
    const { venue, symbol } = entry.instrument;
    const own = keyOf(venue, symbol);
    // A symbol in another case is meant before any alias of another instrument.
    aliases.set(own, entry);
  }
  const symbols = new Set(aliases.keys());
  for (const entry of entries) {
    for (const alias of aliasesOf(entry.instrument)) {
      const key = keyOf(entry.instrument.venue, alias);
      if (symbols.has(key)) continue;
      const other = aliases.get(key);
      aliases.set(key, other === undefined || other === entry ? entry : null);
    }
  }
  return { exact, aliases, near };
}
