/**
 * Orders and batches as clients see them: the resources of protocol 3.1, and the answers of POST /v1/orders/batch.
 */
import type { Micros } from "../core/time.ts";
import { unreachable } from "../core/types.ts";
import type { BatchState, FinalState, Order, OrderFault, StoredAnswer } from "../ports/orders.ts";
import type { BatchReport, OrderResource } from "../ports/trading.ts";
import { add, decimal, isZero, negated, plain, ZERO } from "./decimal.ts";

/** The members of an order in the order of the protocol, then ours. */
export function resourceOf(order: Order): OrderResource {
  return {
    id: order.id, client_order_id: order.clientOrderId, broker_order_id: order.brokerOrderId, symbol: order.symbol, side: order.side, type: order.type,
    quantity: order.quantity, limit_price: order.limitPrice, stop_price: order.stopPrice, time_in_force: order.timeInForce, state: order.state,
    filled: order.filled, average_price: order.averagePrice, created_at: order.createdAt, updated_at: order.updatedAt, error: order.error,
    owner: order.owner, broker: order.broker, batch_id: order.batchId,
  };
}

/** What the batch filled and nobody took back, per symbol: bought minus sold, zeros left out. Only an incomplete rollback has any. */
export function residualOf(state: BatchState, orders: readonly Order[]): BatchReport["residual_exposure"] {
  if (state !== "rollback_incomplete") return [];
  const sums = new Map<string, ReturnType<typeof decimal>>();
  for (const { symbol, side, filled } of orders) {
    const amount = decimal(filled);
    sums.set(symbol, add(sums.get(symbol) ?? ZERO, side === "buy" ? amount : negated(amount)));
  }
  return [...sums].filter(([, sum]) => !isZero(sum)).map(([symbol, sum]) => ({ symbol, quantity: plain(sum) }));
}

export interface ReportedBatch {
  readonly id: string | null;
  readonly mode: BatchReport["mode"];
  readonly state: BatchReport["state"];
}

/** @param orders in the order of the request */
export function reportOf({ id, mode, state }: ReportedBatch, orders: readonly Order[]): BatchReport {
  return {
    id, state, mode, orders: orders.map((order) => ({ index: order.index, ...resourceOf(order) })),
    residual_exposure: state === "checked" ? [] : residualOf(state, orders),
  };
}

const JSON_TYPE = "application/json";
const PROBLEM_TYPE = "application/problem+json";

/** The answer that a final batch gives, to be kept for all who ask again. */
export function finalAnswer(state: FinalState, report: BatchReport, why: OrderFault | null, requestId: string): StoredAnswer {
  switch (state) {
    case "completed":
    case "partial":
      return { status: 201, contentType: JSON_TYPE, body: JSON.stringify(report) };
    case "rolled_back":
      return problemAnswer(409, "Conflict", state, `nothing was filled and every accepted order is cancelled; the batch failed because: ${why?.message ?? "a leg failed"}`, report, requestId);
    case "rollback_incomplete":
      return problemAnswer(502, "Rollback incomplete", state, `the batch failed (${why?.message ?? "a leg failed"}) and could not be undone wholly: see orders and residual_exposure`, report, requestId);
    default:
      return unreachable(state);
  }
}

/** A problem (RFC 9457) with the members of a report beside its own. */
export function problemAnswer(status: number, title: string, code: string, detail: string, members: object, requestId: string): StoredAnswer {
  return { status, contentType: PROBLEM_TYPE, body: JSON.stringify({ type: "about:blank", title, status, code, detail, ...members, request_id: requestId }) };
}

/** What POST /v1/orders answers, whatever became of the order: its state says it. */
export function singleAnswer(order: Order): StoredAnswer {
  return { status: 201, contentType: JSON_TYPE, body: JSON.stringify(resourceOf(order)) };
}

export interface LegAsked {
  /** As it was sent, where it can be read. */
  readonly client_order_id: string | null;
  readonly symbol: string | null;
  readonly side: string | null;
  readonly type: string | null;
  readonly quantity: string | null;
  readonly limit_price: string | null;
  readonly stop_price: string | null;
  readonly time_in_force: string | null;
}

/** A leg that never became an order. */
export function unsentLeg(leg: LegAsked, index: number, state: "rejected" | "pending", error: OrderFault | null, now: Micros): BatchReport["orders"][number] {
  return {
    index, id: null, client_order_id: leg.client_order_id, broker_order_id: null, symbol: leg.symbol, side: leg.side, type: leg.type, quantity: leg.quantity,
    limit_price: leg.limit_price, stop_price: leg.stop_price, time_in_force: leg.time_in_force, state, filled: "0", average_price: null,
    created_at: now, updated_at: now, error,
  };
}
