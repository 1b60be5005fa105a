/**
 * The instruments a fan-out knows: by index, by every spelling, by venue; and what an unknown spelling may have meant.
 *
 * Owns: its own copy of the definitions. Runs on: the thread of its fan-out. Written when instruments load, not per tick.
 */
import { type Instrument, type InstrumentIndex, isVenue } from "../market/instrument.ts";
import { SuggestionIndex } from "../market/suggestions.ts";
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

export class Directory {
  readonly #listings: Listing[] = [];
  readonly #bySpelling = new Map<string, InstrumentIndex>();
  readonly #venues = new Map<string, VenueListing>();
  readonly #venueList: VenueListing[] = [];
  readonly #near = new SuggestionIndex();

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
    this.#near.add(instrument);
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
    return this.#near.suggest(spelling);
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
