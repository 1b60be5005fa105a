/**
 * The orders that are still open at a broker, and what was last said of each, so that only news is told and none goes back in time.
 *
 * Owns: last state per order. Bounded by `max`; the one that was looked at least recently goes, and is counted.
 */
import type { BrokerOrder, BrokerOrderState } from "../../ports/broker.ts";
import { compareDecimals } from "./foreign.ts";

export interface Followed {
  readonly clientOrderId: string;
  readonly symbol: string;
  readonly order: BrokerOrder;
}

export function isFinal(state: BrokerOrderState): boolean {
  return state === "filled" || state === "cancelled" || state === "rejected";
}

export class FollowedOrders {
  readonly #max: number;
  /** Those looked at least recently come first. */
  readonly #open = new Map<string, Followed>();
  /** Ended ones, so that a late answer does not bring them back. */
  readonly #ended = new Map<string, BrokerOrder>();
  dropped = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Whether the order is news; then it is what is known from now on. */
  see(symbol: string, order: BrokerOrder): boolean {
    const { clientOrderId } = order;
    const known = this.#ended.get(clientOrderId) ?? this.#open.get(clientOrderId)?.order;
    if (known !== undefined && !isNews(known, order)) return false;
    this.#open.delete(clientOrderId);
    if (isFinal(order.state)) {
      put(this.#ended, clientOrderId, order, this.#max);
      return true;
    }
    if (put(this.#open, clientOrderId, { clientOrderId, symbol, order }, this.#max)) this.dropped++;
    return true;
  }

  /** At most so many, those looked at least recently; they are looked at now. */
  next(count: number): readonly Followed[] {
    const due = [...this.#open.values()].slice(0, count);
    for (const followed of due) {
      this.#open.delete(followed.clientOrderId);
      this.#open.set(followed.clientOrderId, followed);
    }
    return due;
  }
}

function isNews(known: BrokerOrder, order: BrokerOrder): boolean {
  const more = compareDecimals(order.filled, known.filled);
  if (isFinal(known.state)) return isFinal(order.state) && more > 0;
  return more > 0 || (more === 0 && (isFinal(order.state) || order.averagePrice !== known.averagePrice));
}

/** @returns whether the oldest had to go */
function put<T>(map: Map<string, T>, key: string, value: T, max: number): boolean {
  map.set(key, value);
  const [oldest] = map.keys();
  return map.size > max && oldest !== undefined && map.delete(oldest);
}
