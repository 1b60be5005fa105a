/**
 * What the feeds were asked to carry, in SQL: one row a subscription, each change with its audit record.
 */
import type { Clock } from "../../core/clock.ts";
import { micros } from "../../core/time.ts";
import type { Audited } from "../../ports/audit.ts";
import type { CarriedSubscription, SubscriptionStore } from "../../ports/storage.ts";
import { type Channel, CHANNELS } from "../../protocol/topic.ts";
import { append } from "./audit-chain.ts";
import type { Database } from "./database.ts";

export class SqlSubscriptionStore implements SubscriptionStore {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async list(): Promise<readonly CarriedSubscription[]> {
    const rows = await this.#database.run((db) => db.selectFrom("subscriptions").selectAll().orderBy("created_at").orderBy("id").execute());
    return rows.map((row) => ({ id: row.id, symbols: row.symbols.split(","), channels: channelsOf(row.channels), owner: row.owner, createdAt: micros(Number(row.created_at)) }));
  }

  async add({ id, symbols, channels, owner, createdAt }: CarriedSubscription, change: Audited): Promise<void> {
    await this.#database.transaction(async (trx) => {
      await append(trx, change, this.#clock.nowMicros());
      await trx.insertInto("subscriptions").values({ id, symbols: symbols.join(","), channels: channels.join(","), owner, created_at: String(createdAt) }).execute();
    });
  }

  remove(id: string, change: Audited): Promise<boolean> {
    return this.#database.transaction(async (trx) => {
      const row = await trx.deleteFrom("subscriptions").where("id", "=", id).returning("id").executeTakeFirst();
      if (row === undefined) return false;
      await append(trx, change, this.#clock.nowMicros());
      return true;
    });
  }
}

function channelsOf(text: string): readonly Channel[] {
  const given = text.split(",");
  return CHANNELS.filter((channel) => given.includes(channel));
}
