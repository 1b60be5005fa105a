/**
 * The tables as Kysely sees them. Whole numbers of 64 bits are text on the way in and out (pg gives them so).
 */
import type { PaperTables } from "./paper-tables.ts";
import type { TradingTables } from "./trading-tables.ts";

export interface Tables extends TradingTables, PaperTables {
  readonly audit: AuditTable;
  readonly audit_head: { readonly id: number; readonly n: string; readonly hash: string };
  readonly settings: SettingsTable;
  readonly budgets: { readonly owner: string; readonly name: string; readonly opened_at: string; readonly used: number };
  readonly keys: KeysTable;
  readonly key_secrets: { readonly digest: string; readonly key_id: string; readonly created_at: string; readonly ends_at: string | null };
  /** `definition` is JSON text. */
  readonly instruments: { readonly id: string; readonly venue: string; readonly definition: string; readonly delisted_at: string | null };
  readonly instrument_refreshes: InstrumentRefreshesTable;
  readonly instrument_changes: { readonly id: string; readonly kind: string; readonly members: string; readonly time: string };
  readonly subscriptions: SubscriptionsTable;
  readonly bars: BarsTable;
}

/** `before` and `after` are canonical JSON text (RFC 8785): the hash is over exactly these characters. */
export interface AuditTable {
  readonly n: string;
  readonly time: string;
  readonly actor: string;
  readonly address: string;
  readonly action: string;
  readonly target: string;
  readonly before: string;
  readonly after: string;
  readonly reason: string | null;
  readonly request_id: string;
  readonly correlation_id: string;
  readonly prev_hash: string;
  readonly hash: string;
}

/** `overrides` is JSON text of all values that differ from the defaults. */
export interface SettingsTable {
  readonly revision: number;
  readonly overrides: string;
  readonly updated_by: string;
  readonly updated_at: string;
  /** Its record in the audit chain. */
  readonly audit_n: string;
}

/** `scopes` and `addresses` are separated by commas. */
export interface KeysTable {
  readonly key_id: string;
  readonly name: string;
  readonly scopes: string;
  readonly is_breakglass: boolean;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly addresses: string;
  readonly revoked_at: string | null;
  readonly rotated_at: string | null;
}

export interface InstrumentRefreshesTable {
  readonly venue: string;
  readonly refreshed_at: string | null;
  readonly attempted_at: string;
  readonly failure: string | null;
  readonly count: number;
}

/** `symbols` and `channels` are separated by commas. */
export interface SubscriptionsTable {
  readonly id: string;
  readonly symbols: string;
  readonly channels: string;
  readonly owner: string;
  readonly created_at: string;
}

/** `interval` is kept as its text; prices and sizes as plain decimal text, never rounded. */
export interface BarsTable {
  readonly symbol: string;
  readonly interval: string;
  readonly start: string;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: string;
  readonly vwap: string;
  readonly trades: number;
}
