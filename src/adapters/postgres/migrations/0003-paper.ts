/**
 * The ledger of the paper broker. Amounts are plain decimal text, exact; `revision` keeps an older row from overwriting a newer.
 */
import { type Kysely, sql } from "kysely";

const STATEMENTS = [
  "create table paper_head (id smallint primary key check (id = 1), writer text not null, revision bigint not null)",
  "insert into paper_head values (1, '', 0)",
  `create table paper_orders (
     number bigint primary key, owner text not null, client_order_id text not null, symbol text not null, side text not null, type text not null,
     time_in_force text not null, quantity text not null, limit_price text, stop_price text, currency text not null, price_scale integer not null,
     maker_rate text not null, taker_rate text not null, state text not null, is_open boolean not null, is_triggered boolean not null,
     priority bigint not null, ahead text not null, rested_at bigint not null, filled text not null, notional text not null, fees text not null,
     fill_count integer not null, code text, reason text, created_at bigint not null, updated_at bigint not null, expires_at bigint,
     revision bigint not null, unique (owner, client_order_id))`,
  "create index paper_orders_open on paper_orders (number) where is_open",
  `create table paper_fills (
     order_number bigint not null references paper_orders (number), n integer not null, price text not null, quantity text not null,
     fee text not null, is_maker boolean not null, time bigint not null, primary key (order_number, n))`,
  "create table paper_cash (owner text not null, currency text not null, total text not null, revision bigint not null, primary key (owner, currency))",
  `create table paper_positions (
     owner text not null, symbol text not null, quantity text not null, cost text not null, revision bigint not null, primary key (owner, symbol))`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}
