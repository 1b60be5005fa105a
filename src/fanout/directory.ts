/**
 * The instruments a fan-out knows: by index, by every spelling, by venue; and what an unknown spelling may have meant.
 *
 * Owns: its own copy of the definitions. Runs on: the thread of its fan-out. Written when instruments load, not per tick.
 */
import { type Instrument, type InstrumentIndex, isVenue } from "../market/instrument.ts";
import { CodecInstrument } from "../protocol/codec.ts";

export interface Listing {
  readonly index: InstrumentIndex;
  readonly instrument: Instrument;
  readonly codec: CodecInstrument;
  readonly venue: VenueListing;
}

export interface VenueListing {
  readonly name: string;
  /** Small number of the venue, dense from 0. */
  readonly number: number;
  /** Index of `venue:*`, once it is defined. */
  self: InstrumentIndex | null;
  /** Instruments of the venue, without the venue itself. */
  readonly members: InstrumentIndex[];
}

const SUGGESTIONS_MAX = 3;

export class Directory {
  readonly #listings: Listing[] = [];
  readonly #bySpelling = new Map<string, InstrumentIndex>();
  readonly #venues = new Map<string, VenueListing>();
  readonly #venueList: VenueListing[] = [];
  /** Ids by their symbol with at most one character left out (upper case, letters and digits only). */
  readonly #near = new Map<string, InstrumentIndex[]>();

  /** True when the instrument is new. */
  define(index: InstrumentIndex, instrument: Instrument): boolean {
    const venue = this.#venueOf(instrument.venue);
    const isNew = this.#listings[index] === undefined;
    this.#listings[index] = { index, instrument, codec: new CodecInstrument(instrument), venue };
    if (!isNew) return false;
    this.#bySpelling.set(instrument.id, index);
    if (isVenue(instrument)) {
      venue.self = index;
      return true;
    }
    this.#bySpelling.set(`${instrument.venue}:${instrument.native}`, index);
    venue.members.push(index);
    for (const key of nearKeys(instrument.symbol)) {
      const list = this.#near.get(key);
      if (list) list.push(index);
      else this.#near.set(key, [index]);
    }
    return true;
  }

  at(index: InstrumentIndex): Listing | undefined {
    return this.#listings[index];
  }

  /** By id or by the venue's own spelling behind `venue:`. */
  find(spelling: string): Listing | undefined {
    const index = this.#bySpelling.get(spelling);
    return index === undefined ? undefined : this.#listings[index];
  }

  venue(name: string): VenueListing | undefined {
    return this.#venues.get(name);
  }

  venues(): readonly VenueListing[] {
    return this.#venueList;
  }

  get size(): number {
    return this.#listings.length;
  }

  /** Up to three ids that an unknown spelling may have meant: the same symbol elsewhere first, then one edit away. */
  suggest(spelling: string): string[] {
    const colon = spelling.indexOf(":");
    const venue = colon < 0 ? "" : spelling.slice(0, colon).toLowerCase();
    const symbol = spelling.slice(colon + 1, colon + 65);
    const found = new Map<string, number>();
    for (const [distance, key] of nearKeys(symbol).entries()) {
      for (const index of this.#near.get(key) ?? []) {
        const listing = this.#listings[index];
        if (!listing || found.size > 100) continue;
        const score = (distance === 0 ? 0 : 2) + (listing.instrument.venue === venue ? 0 : 1) + (plain(listing.instrument.symbol) === key ? 0 : 1);
        found.set(listing.instrument.id, Math.min(score, found.get(listing.instrument.id) ?? score));
      }
    }
    return [...found].toSorted((a, b) => a[1] - b[1]).slice(0, SUGGESTIONS_MAX).map(([id]) => id);
  }

  #venueOf(name: string): VenueListing {
    let venue = this.#venues.get(name);
    if (!venue) {
      venue = { name, number: this.#venueList.length, self: null, members: [] };
      this.#venues.set(name, venue);
      this.#venueList.push(venue);
    }
    return venue;
  }
}

function plain(symbol: string): string {
  return symbol.toUpperCase().replace(/[^A-Z0-9]/g, "");
}

/** The symbol itself first, then each form with one character left out: two symbols one edit apart share a form. */
function nearKeys(symbol: string): string[] {
  const whole = plain(symbol);
  const keys = [whole];
  for (let i = 0; i < whole.length; i++) keys.push(whole.slice(0, i) + whole.slice(i + 1));
  return [...new Set(keys)];
}
