/**
 * Reads Binance's exchangeInfo into instruments.
 *
 * Source: Binance spot API documentation, GET /api/v3/exchangeInfo, "Filters" and "Symbol status".
 */
import type { Instrument } from "../../market/instrument.ts";
import { isForeignRecord, type ForeignRecord } from "../foreign.ts";
import { readInstrumentList, type InstrumentList } from "../instrument-list.ts";

/** Books of 2021 and 2024 hold orders finer than the tick and lot size of their day, with up to eight decimals. */
const SPELLED_DECIMALS = 8;

/** @throws {FeedError} when the body has no list of symbols; entries that cannot be read are skipped and counted. */
export function parseBinanceInstruments(body: unknown): InstrumentList {
  const symbols = isForeignRecord(body) ? body["symbols"] : undefined;
  return readInstrumentList("binance", "exchangeInfo \"symbols\"", symbols, (entry) => {
    const { symbol, baseAsset, quoteAsset } = entry;
    if (typeof symbol !== "string" || typeof baseAsset !== "string" || typeof quoteAsset !== "string") return null;
    const prices = filterOf(entry["filters"], "PRICE_FILTER");
    const sizes = filterOf(entry["filters"], "LOT_SIZE");
    return {
      venue: "binance", symbol: `${baseAsset}-${quoteAsset}`, native: symbol,
      tick: prices["tickSize"], lot: sizes["stepSize"], state: stateOf(entry["status"]),
      room: { decimals: SPELLED_DECIMALS, priceMax: prices["maxPrice"], sizeMax: sizes["maxQty"] },
    };
  });
}

function filterOf(filters: unknown, type: string): ForeignRecord {
  if (Array.isArray(filters)) {
    for (const filter of filters) if (isForeignRecord(filter) && filter["filterType"] === type) return filter;
  }
  return {};
}

function stateOf(status: unknown): Instrument["state"] {
  if (status === "TRADING") return "active";
  return status === "HALT" || status === "AUCTION_MATCH" ? "halted" : "inactive";
}
