/**
 * The books of one connection by the venue's spelling of their instrument.
 *
 * Owns: one VenueBook per carried instrument that has been heard of. Path: hot, two map look-ups per message.
 */
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { MapperCounts } from "./mapper-counts.ts";
import type { InstrumentLookup } from "./mapper.ts";
import type { VenueBook } from "./venue-book.ts";

export class VenueBooks<Book extends VenueBook> {
  readonly #lookup: InstrumentLookup;
  readonly #make: (index: InstrumentIndex, instrument: Instrument) => Book;
  readonly #counts: MapperCounts;
  readonly #books = new Map<InstrumentIndex, Book>();

  constructor(lookup: InstrumentLookup, make: (index: InstrumentIndex, instrument: Instrument) => Book, counts: MapperCounts) {
    this.#lookup = lookup;
    this.#make = make;
    this.#counts = counts;
  }

  /** Undefined, and counted, when the instrument is not carried. Its scales are those of the first call until `clear`. */
  of(native: unknown): Book | undefined {
    const carried = typeof native === "string" ? this.#lookup.byNative(native) : undefined;
    if (carried === undefined) {
      this.#counts.unknown++;
      return undefined;
    }
    let book = this.#books.get(carried.index);
    if (book === undefined) {
      book = this.#make(carried.index, carried.instrument);
      this.#books.set(carried.index, book);
    }
    return book;
  }

  all(): IterableIterator<Book> {
    return this.#books.values();
  }

  forget(index: InstrumentIndex): void {
    this.#books.delete(index);
  }

  clear(): void {
    this.#books.clear();
  }
}
