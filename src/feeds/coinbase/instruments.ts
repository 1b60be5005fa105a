/**
 * Reads Coinbase's product list into instruments.
 *
 * Source: Coinbase Exchange documentation, GET /products.
 */
import type { Instrument } from "../../market/instrument.ts";
import type { ForeignRecord } from "../foreign.ts";
import { readInstrumentList, type InstrumentList } from "../instrument-list.ts";

/** @throws {FeedError} when the body is no list; entries that cannot be read are skipped and counted. */
export function parseCoinbaseInstruments(body: unknown): InstrumentList {
  return readInstrumentList("coinbase", "/products", body, (entry) => {
    const { id, base_currency: base, quote_currency: quote } = entry;
    if (typeof id !== "string" || typeof base !== "string" || typeof quote !== "string") return null;
    return {
      venue: "coinbase", symbol: `${base}-${quote}`, native: id,
      tick: entry["quote_increment"], lot: entry["base_increment"], state: stateOf(entry),
    };
  });
}

function stateOf(entry: ForeignRecord): Instrument["state"] {
  if (entry["status"] !== "online") return "inactive";
  return entry["trading_disabled"] === true ? "halted" : "active";
}
