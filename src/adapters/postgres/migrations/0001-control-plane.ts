/**
 * The first tables: audit chain, settings log, budgets, keys, instruments, subscriptions and bars.
 */
import { type Kysely, sql } from "kysely";

const STATEMENTS = [
  `create table audit (
     n bigint primary key, time bigint not null, actor text not null, address text not null, action text not null, target text not null,
     before text not null, after text not null, reason text, request_id text not null, correlation_id text not null,
     prev_hash text not null, hash text not null unique)`,
  "create table audit_head (id smallint primary key check (id = 1), n bigint not null, hash text not null)",
  `insert into audit_head values (1, 0, '${"0".repeat(64)}')`,
  `create table settings (
     revision integer primary key check (revision > 0), overrides text not null, updated_by text not null, updated_at bigint not null,
     audit_n bigint not null references audit (n))`,
  "create table budgets (owner text not null, name text not null, opened_at bigint not null, used integer not null, primary key (owner, name))",
  `create table keys (
     key_id text primary key, name text not null, scopes text not null, is_breakglass boolean not null, created_at bigint not null,
     expires_at bigint, addresses text not null, revoked_at bigint, rotated_at bigint)`,
  "create table key_secrets (digest text primary key, key_id text not null references keys (key_id), created_at bigint not null, ends_at bigint)",
  "create index key_secrets_of_key on key_secrets (key_id)",
  "create table instruments (id text primary key, venue text not null, definition text not null, delisted_at bigint)",
  "create index instruments_of_venue on instruments (venue)",
  "create table instrument_refreshes (venue text primary key, refreshed_at bigint, attempted_at bigint not null, failure text, count integer not null)",
  "create table instrument_changes (id text not null, kind text not null, members text not null, time bigint not null, primary key (time, id, kind))",
  "create table subscriptions (id text primary key, symbols text not null, channels text not null, owner text not null, created_at bigint not null)",
  `create table bars (
     symbol text collate "C" not null, interval text not null, start bigint not null, open text not null, high text not null, low text not null,
     close text not null, volume text not null, vwap text not null, trades integer not null, primary key (symbol, interval, start))`,
  "create index bars_by_start on bars (interval, start, symbol)",
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}
