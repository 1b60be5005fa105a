/**
 * Orders and symbols of Alpaca as we know them.
 *
 * Source: docs.alpaca.markets, "Orders at Alpaca", order lifecycle.
 */
import type { Micros } from "../../core/time.ts";
import type { BrokerOrderState } from "../../ports/broker.ts";
import { decimalOf, memberOf, microsOfMillis, textOf } from "./foreign.ts";
import type { WireOrder } from "./wire.ts";

/** From which no further updates come; `replaced` lives on as another order, which we never ask for. */
const CANCELLED: readonly string[] = ["canceled", "expired", "replaced"];
const OPEN: readonly string[] = [
  "new", "partially_filled", "accepted", "pending_new", "accepted_for_bidding", "pending_cancel", "pending_replace", "stopped", "suspended",
  "done_for_day", "calculated", "held",
];

/** Of an order as the SDK reads it; null when it lacks what every order has. */
export function alpacaOrder(value: unknown, now: Micros): WireOrder | null {
  const [id, brokerOrderId, status] = [textOf(value, "clientOrderId"), textOf(value, "id"), textOf(value, "status")];
  const filled = decimalOf(value, "filledQty") ?? "0";
  const state = status === null ? null : stateOf(status, filled);
  if (id === null || brokerOrderId === null || state === null) return null;
  const updated = memberOf(value, "updatedAt");
  return {
    id, brokerOrderId, state, filled, averagePrice: filled === "0" ? null : decimalOf(value, "filledAvgPrice"),
    reason: status === "expired" ? "it expired, or could not be filled at once" : status === "rejected" ? "rejected by the venue" : null,
    updatedAt: microsOfMillis(updated instanceof Date ? updated.getTime() : null) ?? now, isPending: false,
  };
}

function stateOf(status: string, filled: string): BrokerOrderState | null {
  if (status === "filled") return "filled";
  if (status === "rejected") return "rejected";
  if (CANCELLED.includes(status)) return "cancelled";
  if (!OPEN.includes(status)) return null;
  return filled === "0" ? "accepted" : "partially_filled";
}

/** `alpaca:BTC-USD` is `BTC/USD`, `nasdaq:AAPL` is `AAPL`; null when the venue is not Alpaca's. */
export function alpacaSymbol(symbol: string, venues: readonly string[]): string | null {
  const colon = symbol.indexOf(":");
  return venues.includes(symbol.slice(0, colon)) ? symbol.slice(colon + 1).replace("-", "/") : null;
}

/** The venue is the exchange that Alpaca names when it is one of ours, else the first of ours. */
export function ourSymbol(symbol: string, exchange: string, venues: readonly string[]): string {
  const named = exchange.toLowerCase();
  return `${venues.includes(named) ? named : (venues[0] ?? "alpaca")}:${symbol.replace("/", "-")}`;
}
