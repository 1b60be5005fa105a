/**
 * The tables of the paper ledger as Kysely sees them. Whole numbers of 64 bits are text; amounts are plain decimal text.
 */

export interface PaperTables {
  readonly paper_head: { readonly id: number; readonly writer: string; readonly revision: string };
  readonly paper_orders: PaperOrdersTable;
  readonly paper_fills: PaperFillsTable;
  readonly paper_cash: { readonly owner: string; readonly currency: string; readonly total: string; readonly revision: string };
  readonly paper_positions: { readonly owner: string; readonly symbol: string; readonly quantity: string; readonly cost: string; readonly revision: string };
}

export interface PaperOrdersTable {
  readonly number: string;
  readonly owner: string;
  readonly client_order_id: string;
  readonly symbol: string;
  readonly side: string;
  readonly type: string;
  readonly time_in_force: string;
  readonly quantity: string;
  readonly limit_price: string | null;
  readonly stop_price: string | null;
  readonly currency: string;
  readonly price_scale: number;
  readonly maker_rate: string;
  readonly taker_rate: string;
  readonly state: string;
  /** Whether the state is one that can change. */
  readonly is_open: boolean;
  readonly is_triggered: boolean;
  readonly priority: string;
  readonly ahead: string;
  readonly rested_at: string;
  readonly filled: string;
  readonly notional: string;
  readonly fees: string;
  readonly fill_count: number;
  readonly code: string | null;
  readonly reason: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  readonly expires_at: string | null;
  readonly revision: string;
}

export interface PaperFillsTable {
  readonly order_number: string;
  readonly n: number;
  readonly price: string;
  readonly quantity: string;
  readonly fee: string;
  readonly is_maker: boolean;
  readonly time: string;
}
