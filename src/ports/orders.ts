/**
 * Orders and batches as they are kept: every change of an order is one event of its owner, durable together with the change.
 */
import type { Micros } from "../core/time.ts";
import type { OrderSide, OrderType, TimeInForce } from "./broker.ts";

/** Protocol 3.1. Terminal are `filled`, `rejected` and `cancelled`. */
export const ORDER_STATES = [
  "pending", "sent", "accepted", "partially_filled", "filled", "rejected", "unknown", "cancel_pending", "cancelled", "cancel_rejected",
] as const;
export type OrderState = (typeof ORDER_STATES)[number];
export const TERMINAL_STATES: readonly OrderState[] = ["filled", "rejected", "cancelled"];

/** Why an order is where it is, when that is no success. */
export interface OrderFault {
  /** Lower case with underscores: `not_sent`, `not_at_broker`, or what the broker calls it. */
  readonly code: string;
  readonly message: string;
}

/** What a client asked for. Decimals are plain text as they were sent. */
export interface OrderTerms {
  readonly clientOrderId: string;
  /** Instrument id. */
  readonly symbol: string;
  readonly side: OrderSide;
  readonly type: OrderType;
  readonly quantity: string;
  readonly limitPrice: string | null;
  readonly stopPrice: string | null;
  readonly timeInForce: TimeInForce;
}

/** Ids that lead from the request of a client to every row and call that it caused. */
export interface Trace {
  readonly requestId: string;
  readonly correlationId: string;
}

export interface Order extends OrderTerms {
  /** Ours, 20 letters and digits, unique over all owners: the broker knows the order by it. */
  readonly id: string;
  readonly owner: string;
  /** Which broker has it: `paper`, `alpaca`. */
  readonly broker: string;
  readonly batchId: string;
  /** Place in the batch, from 0. */
  readonly index: number;
  readonly trace: Trace;
  readonly brokerOrderId: string | null;
  readonly state: OrderState;
  readonly filled: string;
  readonly averagePrice: string | null;
  readonly error: OrderFault | null;
  /** When it was about to be sent; null: it never was. */
  readonly sentAt: Micros | null;
  readonly createdAt: Micros;
  readonly updatedAt: Micros;
  /** Grows by 1 with every change. */
  readonly version: number;
}

/** An order after a change, with the version from before it. */
export interface OrderChange {
  readonly order: Order;
  /** What brought it about: `broker.place`, `broker.update`, `client.cancel`. */
  readonly cause: string;
}

/** A written change as subscribers of the channel `orders` get it. */
export interface OrderEvent {
  /** For ever and over all owners ascending in the order of writing, with holes: for those who pass events on. */
  readonly n: number;
  readonly owner: string;
  /** Per owner, from 1, without holes. */
  readonly seq: number;
  readonly epoch: string;
  readonly orderId: string;
  readonly state: OrderState;
  /** The order resource of protocol 3.1 as JSON text, as it was then. */
  readonly json: string;
}

/** Where an owner's events stand. */
export interface OrderPosition {
  readonly epoch: string;
  /** 0: nothing happened yet. */
  readonly seq: number;
}

/** What follows a position; `position` is where the events stand. */
export type OrderEvents =
  | { readonly type: "events"; readonly events: readonly OrderEvent[]; readonly position: OrderPosition }
  /** Another epoch, or a position from the future: go on from `position`. */
  | { readonly type: "gap"; readonly reason: "restart"; readonly position: OrderPosition }
  /** Events are not kept any more: go on after `pruned`, the last of them. */
  | { readonly type: "gap"; readonly reason: "expired"; readonly position: OrderPosition; readonly pruned: number };

/** What a fan-out asks: the events of an owner after a position; null: only where they stand. */
export interface OrderQuestion {
  readonly owner: string;
  readonly from: OrderPosition | null;
}

/** Null: the database is away, or too much is asked at once. May cross threads. Who has asked once is told of every event of that owner from then on. */
export type OrderReader = (question: OrderQuestion, done: (answer: OrderEvents | null) => void) => void;

/** The channel `orders` of protocol 2.2: one topic per owner, served from what is kept. */
export interface OrderEventLog {
  position(owner: string): Promise<OrderPosition>;
  /** At most `limit` events after `seq`, ascending. */
  since(owner: string, epoch: string, seq: number, limit: number): Promise<OrderEvents>;
  /** Told after each write, per owner mostly ascending; whoever sees a hole asks {@link since}. Must not throw. */
  onEvents(listener: (events: readonly OrderEvent[]) => void): void;
}

export interface OrderQuery {
  /** Null: of all owners. */
  readonly owner: string | null;
  readonly clientOrderId: string | null;
  readonly correlationId: string | null;
  /** Empty: any. */
  readonly symbols: readonly string[];
  /** Empty: any. */
  readonly states: readonly OrderState[];
  /** Created at or after; null: any time. */
  readonly from: Micros | null;
  /** Created before. */
  readonly to: Micros | null;
  readonly limit: number;
  /** Id of the last order of the page before: older ones follow. */
  readonly before: string | null;
}

/** Durable. Every method @throws {StoreError} when the database is away; nobody knows then whether a write took place. */
export interface OrderStore extends OrderEventLog {
  /**
   * Writes changes with their events in one statement; those whose order has another version by now are left out.
   * @returns ids of the orders that were written
   */
  write(changes: readonly OrderChange[]): Promise<ReadonlySet<string>>;
  byIds(ids: readonly string[]): Promise<readonly Order[]>;
  ofBatch(batchId: string): Promise<readonly Order[]>;
  /** Newest first. */
  list(query: OrderQuery): Promise<readonly Order[]>;
  /** Orders in one of the states with a larger id, by id; for those who look after them. */
  open(states: readonly OrderState[], after: string, limit: number): Promise<readonly Order[]>;
  /** Which of these the owner has used already. */
  taken(owner: string, clientOrderIds: readonly string[]): Promise<readonly string[]>;
  /** Removes events from before; answers how many. */
  pruneEvents(before: number): Promise<number>;
}

export const BATCH_MODES = ["all_or_none", "best_effort"] as const;
export type BatchMode = (typeof BATCH_MODES)[number];
export const PLACEMENTS = ["sequential", "parallel"] as const;
export type Placement = (typeof PLACEMENTS)[number];
export type BatchState = "running" | "completed" | "partial" | "rejected" | "rolled_back" | "rollback_incomplete";
export type FinalState = Exclude<BatchState, "running" | "rejected">;

export interface Batch {
  readonly id: string;
  readonly owner: string;
  /** `single`: one order by POST /v1/orders, which is a batch of one to the executor and to nobody else. */
  readonly kind: "batch" | "single";
  readonly mode: BatchMode;
  readonly placement: Placement;
  readonly state: BatchState;
  /** `rolling_back`: decided and durable before the first cancel; there is no way back. */
  readonly phase: "placing" | "rolling_back";
  /** Why it is rolled back. */
  readonly reason: OrderFault | null;
  readonly createdAt: Micros;
  /** No leg is sent after it. */
  readonly deadlineAt: Micros;
  readonly trace: Trace;
}

/** The answer to a request, kept for those who ask the same again. */
export interface StoredAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface IdempotencyKey {
  readonly owner: string;
  readonly key: string;
  /** Of route and body. */
  readonly fingerprint: string;
}

/** A key that was used before. */
export interface KnownKey {
  readonly fingerprint: string;
  readonly batchId: string;
  /** Null while it runs. */
  readonly answer: StoredAnswer | null;
}

export type BeginOutcome =
  | { readonly type: "begun" }
  | { readonly type: "known"; readonly known: KnownKey }
  | { readonly type: "taken"; /** Indexes of legs whose client order id the owner has used. */ readonly indexes: readonly number[] };

/** Durable, as {@link OrderStore}. `since` and `before`: microseconds since 1970. */
export interface BatchStore {
  /** Keys used before `since` are forgotten, unless what they began still runs. */
  known(owner: string, key: string, since: number): Promise<KnownKey | null>;
  /** The intent in one transaction: key, batch, orders and their first events; all or nothing. Null key: it has none. */
  begin(batch: Batch, orders: readonly Order[], key: IdempotencyKey | null, since: number): Promise<BeginOutcome>;
  /** A batch of which nothing was sent, with its report as JSON text. Null: kept. */
  reject(batch: Batch, report: string, key: IdempotencyKey, answer: StoredAnswer, since: number): Promise<KnownKey | null>;
  /** From here on it is only rolled back. */
  rollBack(batchId: string, reason: OrderFault): Promise<void>;
  /**
   * Locks the batch and its orders and lets `decide` judge them as they are; null: it is not final.
   * The state and the stored answer are durable together. True: it is final, now or before.
   */
  finish(batchId: string, decide: (orders: readonly Order[]) => { readonly state: FinalState; readonly answer: StoredAnswer } | null): Promise<boolean>;
  /** With the report of a rejected one. */
  load(id: string): Promise<{ readonly batch: Batch; readonly report: string | null } | null>;
  /** Batches that are not final, oldest first. */
  running(limit: number): Promise<readonly Batch[]>;
  /** Forgets keys from before; answers how many. */
  pruneKeys(before: number): Promise<number>;
}
