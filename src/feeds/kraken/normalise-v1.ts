/**
 * Reads Kraken WebSocket v1, as recorded, into market events.
 *
 * Owns: the books of one connection. Runs on: stream thread. Path: hot.
 */
import type { Micros } from "../../core/time.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../mapper.ts";

/** Signatures first; the body follows. */
export class KrakenV1Mapper implements Mapper {
  readonly #lookup: InstrumentLookup;
  readonly #out: MapperOutput;

  constructor(lookup: InstrumentLookup, out: MapperOutput) {
    this.#lookup = lookup;
    this.#out = out;
  }

  message(message: unknown, receiveTime: Micros): void {
    void this.#lookup;
    this.#out.control("other", `${typeof message} at ${receiveTime}`);
  }

  reset(): void {
    void this.#lookup;
  }
}
