/**
 * The instruments and venues that producers have created.
 *
 * Owns: the map from id to instrument, and how many producers each venue has. Runs on: stream thread.
 */
import { messageOf } from "../../core/errors.ts";
import { type Instrument, type InstrumentIndex, instrumentId, venueId } from "../../market/instrument.ts";
import { price, quantity, SCALE_MAX } from "../../market/price.ts";
import type { EventSink } from "../../ports/records.ts";
import { fault, found, type PushFault } from "./push-fault.ts";

/** Decimals of an instrument whose first event does not say. */
export const SCALE_DEFAULT = 8;

export interface PushVenue {
  readonly kind: "venue";
  readonly name: string;
  /** Of `venue:*`. */
  readonly index: InstrumentIndex;
}

export interface PushInstrument {
  readonly kind: "instrument";
  readonly index: InstrumentIndex;
  readonly instrument: Instrument;
  readonly venue: PushVenue;
  /** Trades whose id we made. */
  tradesNamed: number;
}

export class PushInstruments {
  readonly #sink: EventSink;
  readonly #instrumentsMax: number;
  readonly #venuesTaken: () => ReadonlySet<string>;
  readonly #instruments = new Map<string, PushInstrument>();
  readonly #venues = new Map<string, PushVenue>();

  constructor(sink: EventSink, instrumentsMax: number, venuesTaken: () => ReadonlySet<string>) {
    this.#sink = sink;
    this.#instrumentsMax = instrumentsMax;
    this.#venuesTaken = venuesTaken;
  }

  get count(): number {
    return this.#instruments.size;
  }

  get venues(): readonly string[] {
    return [...this.#venues.keys()];
  }

  find(id: string): PushInstrument | undefined {
    return this.#instruments.get(id);
  }

  /** Whether another feed owns the venue. */
  isTaken(venue: string): boolean {
    return this.#venuesTaken().has(venue);
  }

  /** Defines what an event with `"create":true` describes; the fault when it cannot be. */
  create(id: string, event: Readonly<Record<string, unknown>>): PushInstrument | PushFault {
    const colon = id.indexOf(":");
    const name = id.slice(0, Math.max(colon, 0));
    const symbol = id.slice(colon + 1);
    const priceScale = event["price_scale"] ?? SCALE_DEFAULT;
    const sizeScale = event["size_scale"] ?? SCALE_DEFAULT;
    if (!isScale(priceScale)) return scaleFault("price_scale", priceScale);
    if (!isScale(sizeScale)) return scaleFault("size_scale", sizeScale);
    for (const field of ["simulated", "may_cross"]) {
      const value = event[field];
      if (value !== undefined && typeof value !== "boolean") return fault("malformed", field, `expected true or false, found ${found(value)}; correct it or leave it out`);
    }
    if (this.#instruments.size >= this.#instrumentsMax) {
      return fault("limit", "symbol", `expected at most ${this.#instrumentsMax} pushed instruments; use fewer or raise the limit`);
    }
    if (this.isTaken(name)) return takenFault(name);
    try {
      // Both throw a RangeError that says what is wrong with the name, the second also at the limit of ingest.
      instrumentId(name, symbol);
      const venue = this.#venues.get(name) ?? this.#createVenue(name);
      const instrument: Instrument = {
        id, venue: name, symbol, native: symbol, priceScale, sizeScale, tickSize: price(1), lotSize: quantity(1), state: "active",
        simulated: event["simulated"] === true, mayCross: event["may_cross"] === true, timeBase: "wall",
      };
      const created: PushInstrument = { kind: "instrument", index: this.#sink.define(instrument), instrument, venue, tradesNamed: 0 };
      this.#instruments.set(id, created);
      return created;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return fault("malformed", "symbol", `${messageOf(error)}; send "venue:SYMBOL"`);
    }
  }

  #createVenue(name: string): PushVenue {
    const index = this.#sink.define({
      id: venueId(name), venue: name, symbol: "*", native: "*", priceScale: 0, sizeScale: 0, tickSize: price(1), lotSize: quantity(1),
      state: "active", simulated: false, mayCross: false, timeBase: "wall",
    });
    const venue: PushVenue = { kind: "venue", name, index };
    this.#venues.set(name, venue);
    return venue;
  }
}

export function takenFault(venue: string): PushFault {
  return fault("wrong_venue", "symbol", `expected a venue of your own; another feed owns "${venue}", choose another name`);
}

function isScale(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= SCALE_MAX;
}

function scaleFault(field: string, value: unknown): PushFault {
  return fault("malformed", field, `expected a whole number from 0 to ${SCALE_MAX}, found ${found(value)}; correct it or leave it out for ${SCALE_DEFAULT}`);
}
