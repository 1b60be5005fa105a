/**
 * Orders and batches as rows, and back.
 */
import type { Insertable } from "kysely";
import { type Micros, micros } from "../../core/time.ts";
import { ORDER_SIDES, ORDER_TYPES, TIMES_IN_FORCE } from "../../ports/broker.ts";
import { type Batch, BATCH_MODES, type BatchState, type Order, type OrderFault, ORDER_STATES, PLACEMENTS } from "../../ports/orders.ts";
import type { BatchesTable, OrdersTable } from "./trading-tables.ts";

const BATCH_STATES: readonly BatchState[] = ["running", "completed", "partial", "rejected", "rolled_back", "rollback_incomplete"];
const KINDS = ["batch", "single"] as const;
const PHASES = ["placing", "rolling_back"] as const;

export function orderOf(row: OrdersTable): Order {
  return {
    id: row.id, owner: row.owner, clientOrderId: row.client_order_id, broker: row.broker, brokerOrderId: row.broker_order_id, batchId: row.batch_id, index: row.leg,
    symbol: row.symbol, side: oneOf(ORDER_SIDES, row.side), type: oneOf(ORDER_TYPES, row.type), quantity: row.quantity, limitPrice: row.limit_price, stopPrice: row.stop_price,
    timeInForce: oneOf(TIMES_IN_FORCE, row.time_in_force), state: oneOf(ORDER_STATES, row.state), filled: row.filled, averagePrice: row.average_price,
    error: faultOf(row.error_code, row.error), sentAt: row.sent_at === null ? null : time(row.sent_at), createdAt: time(row.created_at), updatedAt: time(row.updated_at),
    version: row.version, trace: { requestId: row.request_id, correlationId: row.correlation_id },
  };
}

export function orderRow(order: Order): OrdersTable {
  return {
    id: order.id, owner: order.owner, client_order_id: order.clientOrderId, broker: order.broker, broker_order_id: order.brokerOrderId, batch_id: order.batchId, leg: order.index,
    symbol: order.symbol, side: order.side, type: order.type, quantity: order.quantity, limit_price: order.limitPrice, stop_price: order.stopPrice,
    time_in_force: order.timeInForce, state: order.state, filled: order.filled, average_price: order.averagePrice,
    error_code: order.error?.code ?? null, error: order.error?.message ?? null, sent_at: order.sentAt === null ? null : String(order.sentAt),
    created_at: String(order.createdAt), updated_at: String(order.updatedAt), version: order.version,
    request_id: order.trace.requestId, correlation_id: order.trace.correlationId,
  };
}

export function batchOf(row: BatchesTable): Batch {
  return {
    id: row.id, owner: row.owner, kind: oneOf(KINDS, row.kind), mode: oneOf(BATCH_MODES, row.mode), placement: oneOf(PLACEMENTS, row.placement),
    state: oneOf(BATCH_STATES, row.state), phase: oneOf(PHASES, row.phase), reason: faultOf(row.reason_code, row.reason),
    createdAt: time(row.created_at), deadlineAt: time(row.deadline_at), trace: { requestId: row.request_id, correlationId: row.correlation_id },
  };
}

export function batchRow(batch: Batch, report: string | null): Insertable<BatchesTable> {
  return {
    id: batch.id, owner: batch.owner, kind: batch.kind, mode: batch.mode, placement: batch.placement, state: batch.state, phase: batch.phase,
    reason_code: batch.reason?.code ?? null, reason: batch.reason?.message ?? null, report, created_at: String(batch.createdAt), deadline_at: String(batch.deadlineAt),
    finished_at: batch.state === "running" ? null : String(batch.createdAt), request_id: batch.trace.requestId, correlation_id: batch.trace.correlationId,
  };
}

function time(text: string): Micros {
  return micros(Number(text));
}

function faultOf(code: string | null, message: string | null): OrderFault | null {
  return code === null ? null : { code, message: message ?? "" };
}

function oneOf<const T extends string>(words: readonly T[], text: string): T {
  const word = words.find((each) => each === text);
  if (word === undefined) throw new Error(`expected one of ${words.join(", ")} in the database, found "${text}"`);
  return word;
}
