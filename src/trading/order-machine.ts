/**
 * The states of an order (protocol 3.1) and every way from one to another. Pure; an event that changes nothing answers the same order.
 *
 * What was filled only grows, and a terminal state stays: late news of a terminal order corrects its numbers, never its state.
 */
import type { Micros } from "../core/time.ts";
import { unreachable } from "../core/types.ts";
import type { BrokerOrder } from "../ports/broker.ts";
import { type Order, type OrderFault, type OrderState, TERMINAL_STATES } from "../ports/orders.ts";
import { compare, decimal } from "./decimal.ts";

export type OrderInput =
  /** It is about to be handed to the broker: durable before that happens. */
  | { readonly type: "send" }
  /** It will not be sent. */
  | { readonly type: "skip"; readonly why: OrderFault }
  /** What the broker says of it, in an answer, a look-up or an update. */
  | { readonly type: "report"; readonly order: BrokerOrder }
  /** The broker refused it: it never was an order there. */
  | { readonly type: "refuse"; readonly why: OrderFault }
  /** Sent or cancelled, and nobody knows what became of it. */
  | { readonly type: "lose"; readonly why: OrderFault }
  /** The broker is going to be asked to cancel it: durable before that happens. */
  | { readonly type: "cancel" }
  /** The broker will not cancel it. */
  | { readonly type: "keep"; readonly why: OrderFault };

/** The broker has it after it was taken for refused: said in its error, counted, and cancelled. */
export const LATE_ARRIVAL = "late_arrival";

/** Where an order may go from each state; terminal states lead nowhere. */
export const TRANSITIONS: Readonly<Record<OrderState, readonly OrderState[]>> = {
  pending: ["sent", "cancelled"],
  sent: ["accepted", "partially_filled", "filled", "cancelled", "rejected", "unknown"],
  accepted: ["partially_filled", "filled", "cancelled", "rejected", "cancel_pending"],
  partially_filled: ["filled", "cancelled", "rejected", "cancel_pending"],
  unknown: ["accepted", "partially_filled", "filled", "cancelled", "rejected", "cancel_pending"],
  cancel_pending: ["filled", "cancelled", "rejected", "unknown", "cancel_rejected"],
  cancel_rejected: ["partially_filled", "filled", "cancelled", "rejected", "cancel_pending"],
  filled: [], rejected: [], cancelled: [],
};

export function isTerminal(state: OrderState): boolean {
  return TERMINAL_STATES.includes(state);
}

/** Whether the broker may have it: sent, and not known to have ended. */
export function isOutstanding(state: OrderState): boolean {
  return state !== "pending" && !isTerminal(state);
}

/** Whether something of it was filled. */
export function hasFill({ filled }: Pick<Order, "filled">): boolean {
  return decimal(filled).units > 0n;
}

/** The order after the input, with its version unchanged; the same object when nothing changes. */
export function step(order: Order, input: OrderInput, now: Micros): Order {
  switch (input.type) {
    case "send": return order.state === "pending" ? { ...order, state: "sent", sentAt: now, updatedAt: now } : order;
    case "skip": return order.state === "pending" ? { ...order, state: "cancelled", error: input.why, updatedAt: now } : order;
    case "refuse": return order.state === "sent" || order.state === "unknown" ? { ...order, state: "rejected", error: input.why, updatedAt: now } : order;
    case "lose": return order.state === "sent" || order.state === "cancel_pending" ? { ...order, state: "unknown", error: input.why, updatedAt: now } : order;
    case "cancel": return isOutstanding(order.state) && order.state !== "sent" && order.state !== "cancel_pending" ? { ...order, state: "cancel_pending", updatedAt: now } : order;
    case "keep": return order.state === "cancel_pending" ? { ...order, state: "cancel_rejected", error: input.why, updatedAt: now } : order;
    case "report": return reported(order, input.order, now);
    default: return unreachable(input);
  }
}

function reported(order: Order, news: BrokerOrder, now: Micros): Order {
  const grown = compare(decimal(news.filled), decimal(order.filled));
  if (order.state === "pending") throw new Error(`expected no news of order ${order.id}, which was never sent`);
  if (isTerminal(order.state)) return corrected(order, news, grown, now);
  const isOver = news.state === "filled" || news.state === "cancelled" || news.state === "rejected";
  if (grown < 0 && !isOver) return order;
  const state = stateAfter(order, news.state, grown > 0);
  const next: Order = {
    ...order, state, brokerOrderId: news.brokerOrderId, error: errorAfter(order, state, news),
    ...(grown > 0 ? { filled: news.filled, averagePrice: news.averagePrice } : {}),
  };
  return isSame(order, next) ? order : { ...next, updatedAt: now };
}

/** An order that is being cancelled stays so until the broker says how it ended; a refusal to cancel is forgotten at the next fill. */
function stateAfter(order: Order, told: BrokerOrder["state"], hasGrown: boolean): OrderState {
  if (told === "filled" || told === "cancelled" || told === "rejected") return told;
  if (order.state === "cancel_pending") return order.state;
  if (order.state === "cancel_rejected") return hasGrown ? "partially_filled" : order.state;
  return hasGrown || hasFill(order) || order.state === "partially_filled" ? "partially_filled" : told;
}

function errorAfter(order: Order, state: OrderState, { reason }: BrokerOrder): OrderFault | null {
  if (state === "rejected" || state === "cancelled") return reason === null ? null : { code: state === "rejected" ? "rejected_by_broker" : "cancelled_by_broker", message: reason };
  return state === order.state ? order.error : null;
}

/** News of an order that has ended: fills that were told late count; one that was taken for refused is said to be there. */
function corrected(order: Order, news: BrokerOrder, grown: number, now: Micros): Order {
  const isLate = order.state === "rejected" && order.error?.code !== LATE_ARRIVAL && news.state !== "rejected";
  if (grown <= 0 && !isLate) return order;
  const error = isLate ? { code: LATE_ARRIVAL, message: `the broker has it after all, as ${news.brokerOrderId}, ${news.state}` } : order.error;
  return { ...order, brokerOrderId: news.brokerOrderId, error, ...(grown > 0 ? { filled: news.filled, averagePrice: news.averagePrice } : {}), updatedAt: now };
}

function isSame(a: Order, b: Order): boolean {
  return a.state === b.state && a.brokerOrderId === b.brokerOrderId && a.filled === b.filled && a.averagePrice === b.averagePrice && a.error?.code === b.error?.code && a.error?.message === b.error?.message;
}

/** The one of two pieces of news that tells more: an order that a broker has is not refused, an end is final, fills only grow. */
export function newsOf(before: OrderInput | undefined, after: OrderInput): OrderInput {
  if (before?.type !== "report") return after;
  if (after.type !== "report") return before;
  const [hadEnded, hasEnded] = [before, after].map(({ order: { state } }) => state === "filled" || state === "cancelled" || state === "rejected");
  if (hadEnded !== hasEnded) return hadEnded === true ? before : after;
  return compare(decimal(before.order.filled), decimal(after.order.filled)) > 0 ? before : after;
}
