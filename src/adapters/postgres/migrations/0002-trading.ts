/**
 * The tables of trading: batches, orders, their events per owner, and idempotency keys.
 */
import { type Kysely, sql } from "kysely";

const STATEMENTS = [
  `create table batches (
     id text collate "C" primary key, owner text not null, kind text not null, mode text not null, placement text not null, state text not null, phase text not null,
     reason_code text, reason text, report text, created_at bigint not null, deadline_at bigint not null, finished_at bigint,
     request_id text not null, correlation_id text not null)`,
  "create index batches_running on batches (id) where state = 'running'",
  `create table orders (
     id text collate "C" primary key, owner text not null, client_order_id text not null, broker text not null, broker_order_id text,
     batch_id text not null references batches (id), leg integer not null, symbol text not null, side text not null, type text not null,
     quantity text not null, limit_price text, stop_price text, time_in_force text not null, state text not null, filled text not null, average_price text,
     error_code text, error text, sent_at bigint, created_at bigint not null, updated_at bigint not null, version integer not null,
     request_id text not null, correlation_id text not null,
     unique (owner, client_order_id), unique (batch_id, leg))`,
  "create index orders_of_owner on orders (owner, id)",
  "create index orders_open on orders (id) where state not in ('filled', 'rejected', 'cancelled')",
  "create index orders_by_correlation on orders (correlation_id)",
  "create table order_streams (owner text primary key, epoch text not null, seq bigint not null, pruned bigint not null)",
  `create table order_events (
     owner text not null, seq bigint not null, epoch text not null, n bigint generated always as identity, order_id text not null, batch_id text not null,
     state text not null, cause text not null, payload text not null, time bigint not null, request_id text not null, correlation_id text not null,
     primary key (owner, seq))`,
  "create unique index order_events_by_n on order_events (n)",
  "create index order_events_of_order on order_events (order_id)",
  "create index order_events_by_time on order_events (time)",
  `create table idempotency_keys (
     owner text not null, key text not null, fingerprint text not null, batch_id text not null references batches (id), status integer, content_type text, body text,
     created_at bigint not null, primary key (owner, key))`,
  "create index idempotency_keys_of_batch on idempotency_keys (batch_id)",
  "create index idempotency_keys_by_time on idempotency_keys (created_at)",
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}
