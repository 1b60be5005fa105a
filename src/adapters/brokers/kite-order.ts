/**
 * An order of Kite's order book as we know orders.
 *
 * Source: Kite Connect 3 documentation, "Orders", table of statuses.
 */
import type { Micros } from "../../core/time.ts";
import type { BrokerOrderState } from "../../ports/broker.ts";
import { decimalOf, textOf } from "./foreign.ts";
import { kiteTime } from "./kite-time.ts";
import type { WireOrder } from "./wire.ts";

/** Before Kite and the exchange have decided whether they take it. */
const PENDING: readonly string[] = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "AMO REQ RECEIVED"];

/** Null when it lacks what every order has. */
export function kiteOrder(value: unknown, now: Micros): WireOrder | null {
  const [brokerOrderId, status, filled] = [textOf(value, "order_id"), textOf(value, "status"), decimalOf(value, "filled_quantity")];
  if (brokerOrderId === null || status === null || filled === null) return null;
  const time = textOf(value, "exchange_update_timestamp") ?? textOf(value, "order_timestamp");
  const state = stateOf(status, filled);
  return {
    id: textOf(value, "tag") ?? "", brokerOrderId, state, filled,
    averagePrice: filled === "0" ? null : decimalOf(value, "average_price"),
    reason: state === "rejected" || state === "cancelled" ? textOf(value, "status_message") : null,
    updatedAt: (time === null ? null : kiteTime(time)) ?? now,
    isPending: PENDING.includes(status),
  };
}

function stateOf(status: string, filled: string): BrokerOrderState {
  if (status === "COMPLETE") return "filled";
  if (status === "REJECTED") return "rejected";
  if (status.startsWith("CANCELLED")) return "cancelled";
  return filled === "0" ? "accepted" : "partially_filled";
}
