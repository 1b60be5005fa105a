/**
 * A broker as the executor sees it: places, cancels and looks up orders by our client order id, and tells what becomes of them.
 *
 * The one rule: an outcome that is not known is `unknown`, never a guess. Whoever gets it asks again by the client order id.
 */
import type { Component } from "../core/component.ts";
import type { Micros } from "../core/time.ts";

export const ORDER_SIDES = ["buy", "sell"] as const;
export type OrderSide = (typeof ORDER_SIDES)[number];
export const ORDER_TYPES = ["market", "limit", "stop", "stop_limit"] as const;
export type OrderType = (typeof ORDER_TYPES)[number];
/** Good till cancelled, immediate or cancel, fill or kill, until the end of the (UTC or exchange) day. */
export const TIMES_IN_FORCE = ["gtc", "ioc", "fok", "day"] as const;
export type TimeInForce = (typeof TIMES_IN_FORCE)[number];

/** What a broker is asked to do. Decimals are plain decimal text, equal in value to what the client sent. */
export interface BrokerRequest {
  /** Unique at the broker for the account, for ever; the broker's own idempotency key where it has one. */
  readonly clientOrderId: string;
  /** Whose paper account; brokers with one account of their own ignore it. */
  readonly owner: string;
  /** Our instrument id, `venue:SYMBOL`. */
  readonly symbol: string;
  readonly side: OrderSide;
  readonly type: OrderType;
  readonly quantity: string;
  /** For limit and stop_limit, otherwise null. */
  readonly limitPrice: string | null;
  /** For stop and stop_limit, otherwise null. */
  readonly stopPrice: string | null;
  readonly timeInForce: TimeInForce;
}

/** An order's state at the broker. */
export type BrokerOrderState = "accepted" | "partially_filled" | "filled" | "cancelled" | "rejected";

export interface BrokerOrder {
  readonly clientOrderId: string;
  readonly brokerOrderId: string;
  readonly state: BrokerOrderState;
  /** Decimal text; "0" before the first fill. */
  readonly filled: string;
  /** Of what is filled; null before the first fill. */
  readonly averagePrice: string | null;
  /** Why it was rejected, or cancelled by the broker; null otherwise. */
  readonly reason: string | null;
  readonly updatedAt: Micros;
}

/** `unknown`: timed out, dropped, 5xx or nonsense; it may have been accepted. */
export type PlaceOutcome =
  | { readonly type: "accepted"; readonly order: BrokerOrder }
  | { readonly type: "rejected"; readonly code: string; readonly reason: string }
  | { readonly type: "unknown"; readonly reason: string; /** Milliseconds that the broker asks to wait, 0: it said nothing. */ readonly waitMs: number };

/** `refused`: the broker says no (filled in the meantime, or not cancellable); the order is as `order` says when it is known. */
export type CancelOutcome =
  | { readonly type: "cancelled"; readonly order: BrokerOrder }
  | { readonly type: "refused"; readonly reason: string; readonly order: BrokerOrder | null }
  | { readonly type: "unknown"; readonly reason: string; readonly waitMs: number };

/** `absent`: the broker answered that it has no such order; never said on a failure. */
export type FindOutcome =
  | { readonly type: "found"; readonly order: BrokerOrder }
  | { readonly type: "absent" }
  | { readonly type: "unknown"; readonly reason: string; readonly waitMs: number };

export interface BrokerPosition {
  readonly symbol: string;
  /** Signed decimal text. */
  readonly quantity: string;
  readonly averagePrice: string | null;
}

export interface BrokerAccount {
  /** By currency: what is there, and what is not bound by open orders. Decimal text. */
  readonly balances: readonly { readonly currency: string; readonly total: string; readonly available: string }[];
}

export interface Broker extends Component {
  /** `paper`, `ccxt.<exchange>`, `alpaca`, `kite`; its breaker is `broker.<name>`. */
  readonly broker: string;
  /**
   * Checks what can be known without sending: instrument, account, buying power. All requests of a batch together.
   * @returns faults by index of the request; empty: nothing is known against them
   */
  check(requests: readonly BrokerRequest[]): Promise<readonly { readonly index: number; readonly path: string; readonly message: string }[]>;
  /** Never throws for what the broker does; at most once per client order id at the broker. */
  place(request: BrokerRequest): Promise<PlaceOutcome>;
  cancel(order: { readonly clientOrderId: string; readonly brokerOrderId: string | null; readonly owner: string; readonly symbol: string }): Promise<CancelOutcome>;
  /** `sentAt`: when it was first sent, where that is known; brokers that forget orders overnight say `absent` only of those sent today. */
  find(order: { readonly clientOrderId: string; readonly owner: string; readonly symbol: string; readonly sentAt?: Micros }): Promise<FindOutcome>;
  positions(owner: string): Promise<readonly BrokerPosition[]>;
  account(owner: string): Promise<BrokerAccount>;
  /** Told of every change of an order, in order per order; may repeat. Brokers without a stream are polled by the adapter. */
  onUpdate(listener: (update: BrokerOrder) => void): void;
}
