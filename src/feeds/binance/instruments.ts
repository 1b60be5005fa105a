/**
 * Reads Binance's exchangeInfo into instruments.
 *
 * Source: Binance spot API documentation, GET /api/v3/exchangeInfo, "Filters" and "Symbol status".
 */
import type { Instrument } from "../../market/instrument.ts";
import { isForeignRecord } from "../foreign.ts";
import { readInstrumentList, type InstrumentList } from "../instrument-list.ts";

/** @throws {FeedError} when the body has no list of symbols; entries that cannot be read are skipped and counted. */
export function parseBinanceInstruments(body: unknown): InstrumentList {
  const symbols = isForeignRecord(body) ? body["symbols"] : undefined;
  return readInstrumentList("binance", "exchangeInfo \"symbols\"", symbols, (entry) => {
    const { symbol, baseAsset, quoteAsset } = entry;
    if (typeof symbol !== "string" || typeof baseAsset !== "string" || typeof quoteAsset !== "string") return null;
    return {
      venue: "binance", symbol: `${baseAsset}-${quoteAsset}`, native: symbol,
      tick: filterValue(entry["filters"], "PRICE_FILTER", "tickSize"),
      lot: filterValue(entry["filters"], "LOT_SIZE", "stepSize"),
      state: stateOf(entry["status"]),
    };
  });
}

function filterValue(filters: unknown, type: string, field: string): unknown {
  if (!Array.isArray(filters)) return undefined;
  for (const filter of filters) if (isForeignRecord(filter) && filter["filterType"] === type) return filter[field];
  return undefined;
}

function stateOf(status: unknown): Instrument["state"] {
  if (status === "TRADING") return "active";
  return status === "HALT" || status === "AUCTION_MATCH" ? "halted" : "inactive";
}
