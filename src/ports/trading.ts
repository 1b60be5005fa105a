/**
 * Trading as the HTTP side reaches it: orders, batches, account and positions of an owner.
 */
import type { Micros } from "../core/time.ts";
import type { BrokerAccount, BrokerPosition } from "./broker.ts";
import type { BatchMode, BatchState, OrderFault, OrderPosition, OrderState, StoredAnswer } from "./orders.ts";

/** An order as protocol 3.1 writes it; `owner`, `broker` and `batch_id` are ours. */
export interface OrderResource {
  readonly id: string;
  readonly client_order_id: string;
  readonly broker_order_id: string | null;
  readonly symbol: string;
  readonly side: string;
  readonly type: string;
  readonly quantity: string;
  readonly limit_price: string | null;
  readonly stop_price: string | null;
  readonly time_in_force: string;
  readonly state: OrderState;
  readonly filled: string;
  readonly average_price: string | null;
  readonly created_at: Micros;
  readonly updated_at: Micros;
  readonly error: OrderFault | null;
  readonly owner: string;
  readonly broker: string;
  readonly batch_id: string;
}

type Nullable<T, K extends keyof T> = { readonly [Name in keyof T]: Name extends K ? T[Name] | null : T[Name] };

/** A leg of a report; legs of a rejected or checked batch are no orders: they have no id, and what could not be read is null. */
export type ReportedLeg = { readonly index: number } & Nullable<Omit<OrderResource, "owner" | "broker" | "batch_id">, "id" | "client_order_id" | "symbol" | "side" | "type" | "quantity" | "time_in_force">;

/** The same members in every case (protocol 3.1, step 4). */
export interface BatchReport {
  /** Null for a dry run: nothing is kept of it. */
  readonly id: string | null;
  readonly state: BatchState | "checked";
  readonly mode: BatchMode;
  /** In the order of the request. */
  readonly orders: readonly ReportedLeg[];
  readonly residual_exposure: readonly { readonly symbol: string; readonly quantity: string }[];
}

/** Who asks. */
export interface Trader {
  readonly owner: string;
  /** Sees the orders of all owners. */
  readonly isAdmin: boolean;
  readonly requestId: string;
  readonly correlationId: string;
}

export interface PostedOrders {
  /** The body as JSON gave it. */
  readonly body: unknown;
  readonly key: string;
  /** Another request with this key is under way here: this one executes nothing. */
  readonly isFollower: boolean;
}

export interface TradingAnswer extends StoredAnswer {
  /** The answer of an earlier request with the same key and body. */
  readonly isReplay: boolean;
  /** Seconds after which to try again; null: it is not said. */
  readonly retryAfterS: number | null;
}

export interface OrderListQuery {
  readonly clientOrderId: string | null;
  readonly correlationId: string | null;
  readonly symbols: readonly string[];
  readonly states: readonly OrderState[];
  readonly from: Micros | null;
  readonly to: Micros | null;
  readonly limit: number;
  readonly before: string | null;
}

/** Every method @throws {StoreError} when the database is away. */
export interface Trading {
  /** Whether the owner has used the key within its time. */
  isKnownKey(owner: string, key: string): Promise<boolean>;
  /**
   * Executes a batch once per key and answers when it is final.
   * @throws {ValidationError} 422 `idempotency_mismatch`: the key was used with another body
   * @throws {UnavailableError} 503: kill switch, breaker, too many batches at once, or the process ends
   */
  postBatch(posted: PostedOrders, trader: Trader): Promise<TradingAnswer>;
  /** One order; null key: it has none. */
  postOrder(posted: Omit<PostedOrders, "key"> & { readonly key: string | null }, trader: Trader): Promise<TradingAnswer>;
  /** The report as it is now, a {@link BatchReport} as JSON text. @throws {NotFoundError} */
  batch(id: string, trader: Trader): Promise<string>;
  /** @throws {NotFoundError} */
  order(id: string, trader: Trader): Promise<OrderResource>;
  /** Newest first, with the position of the owner's events from before the list was read. */
  orders(query: OrderListQuery, trader: Trader): Promise<{ readonly items: readonly OrderResource[]; readonly next: string | null; readonly position: OrderPosition }>;
  /**
   * Asks the broker to cancel; the answer says what is known then: it may still be `cancel_pending` or `unknown`.
   * @throws {NotFoundError} {@link ConflictError} it has ended, or the broker refused
   */
  cancel(id: string, trader: Trader): Promise<OrderResource>;
  account(trader: Trader): Promise<{ readonly broker: string; readonly account: BrokerAccount }>;
  positions(trader: Trader): Promise<readonly BrokerPosition[]>;
}

