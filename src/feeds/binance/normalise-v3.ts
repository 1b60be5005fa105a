/**
 * Reads Binance spot market streams (API v3) into market events.
 *
 * Owns: the books of one connection. Runs on: stream thread. Path: hot.
 */
import type { Micros } from "../../core/time.ts";
import type { InstrumentLookup, Mapper, MapperOutput } from "../mapper.ts";

/** Signatures first; the body follows. */
export class BinanceMapper implements Mapper {
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

  /** Hands over the answer of GET /api/v3/depth for one instrument, called when `resync` asked for it. */
  snapshot(native: string, body: unknown, receiveTime: Micros): void {
    this.#out.control("other", `${native} ${typeof body} ${receiveTime}`);
  }

  /** True when depth updates of this instrument wait for a REST snapshot. */
  resyncing(native: string): boolean {
    return native === "";
  }
}
