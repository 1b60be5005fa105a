/**
 * The instruments of one venue: which are known, which are carried, and how the venue spells them.
 *
 * Owns: the entries of one feed. Path: `byNative` and `at` are hot.
 */
import { instrumentId, venueId, type Instrument, type InstrumentIndex } from "../market/instrument.ts";
import { formatScaled, price, quantity, scaledOrNaN } from "../market/price.ts";
import type { EventSink } from "../ports/records.ts";
import { ALL_CHANNELS, type ChannelMask } from "./channel-mask.ts";
import type { InstrumentLookup } from "./mapper.ts";

/** One known instrument of the venue. Fields that change are changed by the feed alone. */
export interface Entry {
  readonly index: InstrumentIndex;
  instrument: Instrument;
  isCarried: boolean;
  /** What of it is carried; 0 while it is not. */
  channels: ChannelMask;
  /** The venue's own channels that the present connection is subscribed to, as bits of the profile's list. */
  upstream: number;
  /** A book is asked of the venue, be it for the quotes in it. */
  hasBook: boolean;
  /** In `FEED_INSTRUMENTS`. */
  isConfigured: boolean;
  /** A client on the stream asked for it. */
  isDemanded: boolean;
  /** It was carried and no longer is: what still arrives of it does not bring it back. */
  isReleased: boolean;
  /** Monotonic milliseconds of the last event; NaN before the first since the connection opened. */
  lastMs: number;
  /** Why the book cannot be trusted; empty when it can. */
  unsynced: string;
  isSilent: boolean;
  /** The venue's number of the last trade; NaN before the first and where it has none. */
  tradeLast: number;
  /** Trades without a number came, so what a disconnect lost cannot be counted. */
  hasUnnumberedTrades: boolean;
  /** What was last told to clients, state and reason; empty before the first. */
  told: string;
}

export class InstrumentSet implements InstrumentLookup {
  readonly #sink: EventSink;
  readonly #knownMax: number;
  readonly #spellings: (native: string) => readonly string[];
  readonly #byIndex: (Entry | undefined)[] = [];
  readonly #bySpelling = new Map<string, Entry>();
  readonly #byName = new Map<string, Entry>();
  readonly #carried: Entry[] = [];
  /** Instruments beyond the limit, not made known. */
  refused = 0;
  /** Asked for every known instrument that data arrives for although it is not carried; true makes it carried. */
  adopt: (entry: Entry) => boolean = () => false;

  /** `spellings` are further spellings of a native one that arrive in messages. */
  constructor(sink: EventSink, knownMax: number, spellings: (native: string) => readonly string[] = () => []) {
    this.#sink = sink;
    this.#knownMax = knownMax;
    this.#spellings = spellings;
  }

  get size(): number {
    return this.#byName.size;
  }

  get carried(): readonly Entry[] {
    return this.#carried;
  }

  /** Makes an instrument known or updates it; null when the limit is reached. Scales stay what they were: books and records hold units of them. */
  define(listed: Instrument): Entry | null {
    const known = this.#byName.get(listed.symbol.toUpperCase());
    if (known !== undefined) {
      const updated = withScalesOf(known.instrument, listed);
      if (JSON.stringify(updated) !== JSON.stringify(known.instrument)) {
        known.instrument = updated;
        this.#sink.define(updated);
      }
      return known;
    }
    if (this.#byName.size >= this.#knownMax) {
      this.refused++;
      return null;
    }
    const entry: Entry = {
      index: this.#sink.define(listed), instrument: listed, isCarried: false, channels: 0, upstream: 0, hasBook: false,
      isConfigured: false, isDemanded: false, isReleased: false,
      lastMs: Number.NaN, unsynced: "", isSilent: false, told: "",
      tradeLast: Number.NaN, hasUnnumberedTrades: false,
    };
    this.#byIndex[entry.index] = entry;
    this.#byName.set(listed.symbol.toUpperCase(), entry);
    this.#bySpelling.set(listed.native, entry);
    for (const spelling of this.#spellings(listed.native)) this.#bySpelling.set(spelling, entry);
    return entry;
  }

  /** True when it was not carried before. */
  carry(entry: Entry, channels: ChannelMask = ALL_CHANNELS, hasBook = true): boolean {
    entry.channels = channels;
    entry.hasBook = hasBook;
    if (entry.isCarried) return false;
    entry.isCarried = true;
    entry.isReleased = false;
    this.#carried.push(entry);
    return true;
  }

  /** What arrives of it from now on is not looked at. */
  release(entry: Entry): void {
    if (!entry.isCarried) return;
    entry.isCarried = false;
    entry.isReleased = true;
    entry.channels = 0;
    entry.hasBook = false;
    this.#carried.splice(this.#carried.indexOf(entry), 1);
  }

  /** All known, in the order in which they became so. */
  all(): IterableIterator<Entry> {
    return this.#byName.values();
  }

  /** A symbol, a native spelling or a whole id of this venue, in any case. */
  find(name: string): Entry | undefined {
    const symbol = name.slice(name.indexOf(":") + 1);
    const upper = symbol.toUpperCase();
    return this.#byName.get(upper) ?? this.#bySpelling.get(symbol) ?? this.#bySpelling.get(upper);
  }

  at(index: InstrumentIndex): Entry | undefined {
    return this.#byIndex[index];
  }

  byNative(native: string): Entry | undefined {
    const entry = this.#bySpelling.get(native);
    if (entry === undefined || entry.isCarried || (!entry.isReleased && this.adopt(entry))) return entry;
    return undefined;
  }
}

/** The listed instrument counted in the units that are already in use. */
function withScalesOf(known: Instrument, listed: Instrument): Instrument {
  if (known.priceScale === listed.priceScale && known.sizeScale === listed.sizeScale) return listed;
  const tick = scaledOrNaN(formatScaled(listed.tickSize, listed.priceScale), known.priceScale);
  const lot = scaledOrNaN(formatScaled(listed.lotSize, listed.sizeScale), known.sizeScale);
  return {
    ...listed,
    priceScale: known.priceScale,
    sizeScale: known.sizeScale,
    tickSize: price(tick > 0 ? tick : 1),
    lotSize: quantity(lot > 0 ? lot : 1),
  };
}

/** Decimals for an instrument whose list entry is not to be had: what the venues spell at most. */
const ASSUMED_SCALE = 8;

/** An instrument whose definition the venue did not give (its list is away): usable, with unknown steps. */
export function assumedInstrument(venue: string, symbol: string, native: string): Instrument {
  return {
    id: instrumentId(venue, symbol), venue, symbol, native,
    priceScale: ASSUMED_SCALE, sizeScale: ASSUMED_SCALE, tickSize: price(1), lotSize: quantity(1),
    state: "active", simulated: false, mayCross: false, timeBase: "wall",
  };
}

/** The instrument that stands for the venue itself and has only a status. */
export function venueInstrument(venue: string, timeBase: "wall" | "event", isSimulated = false): Instrument {
  return {
    id: venueId(venue), venue, symbol: "*", native: "*",
    priceScale: 0, sizeScale: 0, tickSize: price(1), lotSize: quantity(1),
    state: "active", simulated: isSimulated, mayCross: false, timeBase,
  };
}
