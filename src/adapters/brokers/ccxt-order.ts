/**
 * Orders and balances of ccxt's unified structures as we know them.
 *
 * Source: docs.ccxt.com, "Order structure", "Balance structure".
 */
import type { Micros } from "../../core/time.ts";
import type { BrokerAccount, BrokerOrderState } from "../../ports/broker.ts";
import { compareDecimals, decimalOf, decimalText, isForeignRecord, memberOf, microsOfMillis, textOf } from "./foreign.ts";
import type { WireOrder } from "./wire.ts";

/** Null when it lacks what every order has. */
export function ccxtOrder(value: unknown, now: Micros): WireOrder | null {
  const [id, brokerOrderId, status] = [textOf(value, "clientOrderId"), textOf(value, "id"), textOf(value, "status")];
  if (id === null || brokerOrderId === null || status === null) return null;
  const filled = decimalOf(value, "filled") ?? "0";
  const state = stateOf(status, filled, decimalOf(value, "amount"));
  if (state === null) return null;
  const millis = memberOf(value, "lastUpdateTimestamp") ?? memberOf(value, "lastTradeTimestamp") ?? memberOf(value, "timestamp");
  return {
    id, brokerOrderId, state, filled, averagePrice: filled === "0" ? null : decimalOf(value, "average"),
    reason: status === "expired" ? "it expired, or could not be filled at once" : null,
    updatedAt: microsOfMillis(millis) ?? now, isPending: false,
  };
}

/** `closed` is filled or not: some exchanges close what they could fill in part only. */
function stateOf(status: string, filled: string, amount: string | null): BrokerOrderState | null {
  switch (status) {
    case "open":
    case "canceling": return filled === "0" ? "accepted" : "partially_filled";
    case "closed": return amount === null || compareDecimals(filled, amount) >= 0 ? "filled" : "cancelled";
    case "canceled":
    case "expired": return "cancelled";
    case "rejected": return "rejected";
    default: return null;
  }
}

export type Balances = BrokerAccount["balances"];

/** Without currencies of which there is nothing; null when it is no balance structure. */
export function ccxtBalances(value: unknown): Balances | null {
  const [total, free] = [memberOf(value, "total"), memberOf(value, "free")];
  if (!isForeignRecord(total)) return null;
  return Object.entries(total).flatMap(([currency, amount]) => {
    const text = decimalText(amount);
    return text === null || text === "0" ? [] : [{ currency, total: text, available: decimalOf(free, currency) ?? "0" }];
  });
}
