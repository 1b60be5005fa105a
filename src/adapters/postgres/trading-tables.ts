/**
 * The tables of trading as Kysely sees them. Whole numbers of 64 bits are text on the way in and out; decimals are text.
 */

export interface TradingTables {
  readonly batches: BatchesTable;
  readonly orders: OrdersTable;
  readonly order_streams: { readonly owner: string; readonly epoch: string; readonly seq: string; readonly pruned: string };
  readonly order_events: OrderEventsTable;
  readonly idempotency_keys: IdempotencyKeysTable;
}

export interface BatchesTable {
  readonly id: string;
  readonly owner: string;
  readonly kind: string;
  readonly mode: string;
  readonly placement: string;
  readonly state: string;
  readonly phase: string;
  readonly reason_code: string | null;
  readonly reason: string | null;
  /** JSON text; of rejected batches only: the others have orders. */
  readonly report: string | null;
  readonly created_at: string;
  readonly deadline_at: string;
  readonly finished_at: string | null;
  readonly request_id: string;
  readonly correlation_id: string;
}

export interface OrdersTable {
  readonly id: string;
  readonly owner: string;
  readonly client_order_id: string;
  readonly broker: string;
  readonly broker_order_id: string | null;
  readonly batch_id: string;
  readonly leg: number;
  readonly symbol: string;
  readonly side: string;
  readonly type: string;
  readonly quantity: string;
  readonly limit_price: string | null;
  readonly stop_price: string | null;
  readonly time_in_force: string;
  readonly state: string;
  readonly filled: string;
  readonly average_price: string | null;
  readonly error_code: string | null;
  readonly error: string | null;
  readonly sent_at: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  readonly version: number;
  readonly request_id: string;
  readonly correlation_id: string;
}

/** One change of an order, written in the statement that made it; whoever passes events on reads from here by `n`. */
export interface OrderEventsTable {
  readonly n: string;
  readonly owner: string;
  readonly seq: string;
  readonly epoch: string;
  readonly order_id: string;
  readonly batch_id: string;
  readonly state: string;
  readonly cause: string;
  /** The order resource as JSON text. */
  readonly payload: string;
  readonly time: string;
  readonly request_id: string;
  readonly correlation_id: string;
}

export interface IdempotencyKeysTable {
  readonly owner: string;
  readonly key: string;
  readonly fingerprint: string;
  readonly batch_id: string;
  /** The stored answer; null while the batch runs. */
  readonly status: number | null;
  readonly content_type: string | null;
  readonly body: string | null;
  readonly created_at: string;
}
