/**
 * Reads Kraken's AssetPairs into instruments.
 *
 * Source: Kraken REST documentation, GET /0/public/AssetPairs.
 */
import { FeedError } from "../../core/errors.ts";
import { commonAsset } from "../../market/canonical.ts";
import type { Instrument } from "../../market/instrument.ts";
import { isForeignRecord, shownText } from "../foreign.ts";
import { readInstrumentList, stepOfDecimals, type InstrumentList } from "../instrument-list.ts";

/**
 * `native` is the v1 spelling ("XBT/USD"); our symbol has today's names ("BTC-USD"). Pairs that are not streamed (no
 * `wsname`, the dark pools) count as skipped.
 * @throws {FeedError} when the body has no result; entries that cannot be read are skipped and counted.
 */
export function parseKrakenInstruments(body: unknown): InstrumentList {
  const pairs = isForeignRecord(body) ? body["result"] : undefined;
  if (!isForeignRecord(pairs)) {
    const error = isForeignRecord(body) && Array.isArray(body["error"]) ? body["error"].map(shownText).join(", ") : "";
    throw new FeedError(`kraken: expected "result" with pairs in AssetPairs, found ${error === "" ? typeof pairs : error}`);
  }
  return readInstrumentList("kraken", "AssetPairs", Object.values(pairs), (entry) => {
    const native = entry["wsname"];
    if (typeof native !== "string" || !native.includes("/")) return null;
    return {
      venue: "kraken", symbol: krakenV2Native(native).replace("/", "-"), native,
      tick: stepOfDecimals(entry["pair_decimals"]), lot: stepOfDecimals(entry["lot_decimals"]), state: stateOf(entry["status"]),
    };
  });
}

/** The WebSocket v2 spelling of a v1 one: "XBT/USD" is "BTC/USD", "XDG/EUR" is "DOGE/EUR". Anything else stays. */
export function krakenV2Native(native: string): string {
  return native.split("/").map(commonAsset).join("/");
}

/** Lists of 2021 have no status. A pair that takes only some kinds of orders still has a market. */
function stateOf(status: unknown): Instrument["state"] {
  if (status === "maintenance" || status === "delisted") return "inactive";
  return status === "cancel_only" || status === "work_in_progress" ? "halted" : "active";
}
