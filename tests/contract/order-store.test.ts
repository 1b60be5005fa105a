/**
 * Orders, batches and keys in the database: what one write changes, and of what nothing stays.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SqlBatchStore } from "../../src/adapters/postgres/batch-store.ts";
import { SqlOrderStore } from "../../src/adapters/postgres/order-store.ts";
import { systemClock } from "../../src/core/clock.ts";
import { micros } from "../../src/core/time.ts";
import type { Batch, Order, OrderEvent } from "../../src/ports/orders.ts";
import { newId } from "../../src/trading/ids.ts";
import { resourceOf } from "../../src/trading/report.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { newTrader } from "../support/trading-rig.ts";

const NOW = micros(1_700_000_000_000_000);
const ANSWER = { status: 201, contentType: "application/json", body: "{}" };

function drawUp(owner: string, clientOrderIds: readonly string[]): { readonly batch: Batch; readonly orders: readonly Order[] } {
  const trace = { requestId: "r", correlationId: "c" };
  const batch: Batch = { id: newId("b", NOW), owner, kind: "batch", mode: "all_or_none", placement: "sequential", state: "running", phase: "placing", reason: null, createdAt: NOW, deadlineAt: micros(NOW + 1), trace };
  const orders = clientOrderIds.map((clientOrderId, index): Order => ({
    id: newId("o", NOW), owner, clientOrderId, broker: "ledger", batchId: batch.id, index, trace, symbol: "sim:BTC-USD", side: "sell", type: "stop_limit", quantity: "0.10", limitPrice: "1", stopPrice: "2",
    timeInForce: "day", brokerOrderId: null, state: "pending", filled: "0", averagePrice: null, error: null, sentAt: null, createdAt: NOW, updatedAt: NOW, version: 0,
  }));
  return { batch, orders };
}

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  let orders: SqlOrderStore;
  let batches: SqlBatchStore;
  const told: OrderEvent[] = [];
  beforeAll(async () => {
    opened = await open();
    const payloadOf = (order: Order): string => JSON.stringify(resourceOf(order));
    orders = new SqlOrderStore(opened.database, payloadOf);
    batches = new SqlBatchStore({ database: opened.database, clock: systemClock, orders, payloadOf });
    orders.onEvents((events) => told.push(...events));
  });
  afterAll(() => opened.close());
  const counts = async (owner: string): Promise<readonly number[]> => {
    const of = (table: "batches" | "orders" | "order_events" | "idempotency_keys") => opened.database.run((db) => db.selectFrom(table).select("owner").where("owner", "=", owner).execute());
    return Promise.all((["batches", "orders", "order_events", "idempotency_keys"] as const).map(async (table) => (await of(table)).length));
  };
  const key = (owner: string) => ({ owner, key: "a-key-of-eight", fingerprint: "f" });
  const first = ([order]: readonly Order[]): Order => {
    if (order === undefined) throw new Error("expected an order");
    return order;
  };

  describe("a write", () => {
    it("reads back exactly what was written", async () => {
      const { owner } = newTrader();
      const { batch, orders: legs } = drawUp(owner, ["a", "b"]);
      expect(await batches.begin(batch, legs, key(owner), 0)).toEqual({ type: "begun" });
      expect(await orders.ofBatch(batch.id)).toEqual(legs);
      expect(await batches.load(batch.id)).toEqual({ batch, report: null });
      const after: Order = { ...first(legs), state: "partially_filled", filled: "0.05", averagePrice: "1.5", brokerOrderId: "L", error: { code: "x", message: "y" }, sentAt: NOW, updatedAt: micros(NOW + 7) };
      await orders.write([{ order: after, cause: "broker.update" }]);
      expect(await orders.byIds([after.id])).toEqual([{ ...after, version: 1 }]);
      expect(told.at(-1)).toMatchObject({ owner, seq: 3, state: "partially_filled", json: JSON.stringify(resourceOf(after)) });
    });

    it("leaves out a change of an order that somebody else has changed, with its event", async () => {
      const { owner } = newTrader();
      const { batch, orders: legs } = drawUp(owner, ["a", "b"]);
      await batches.begin(batch, legs, null, 0);
      const [a, b] = [first(legs), first(legs.slice(1))];
      expect(await orders.write([{ order: { ...a, state: "sent" }, cause: "one" }])).toEqual(new Set([a.id]));
      expect(await orders.write([{ order: { ...a, state: "cancelled" }, cause: "two" }, { order: { ...b, state: "sent" }, cause: "two" }])).toEqual(new Set([b.id]));
      expect((await orders.ofBatch(batch.id)).map(({ state, version }) => [state, version])).toEqual([["sent", 1], ["sent", 1]]);
      expect(await counts(owner)).toEqual([1, 2, 4, 0]);
    });

    it("lets one of many that change the same order at the same time win", async () => {
      const { owner } = newTrader();
      const { batch, orders: legs } = drawUp(owner, ["a"]);
      await batches.begin(batch, legs, null, 0);
      const written = await Promise.all(Array.from({ length: 20 }, (_, i) => orders.write([{ order: { ...first(legs), state: "sent" }, cause: `${i}` }])));
      expect(written.filter((ids) => ids.size === 1)).toHaveLength(1);
      expect(await orders.position(owner)).toMatchObject({ seq: 2 });
    });

    it("keeps nothing of an intent with a client order id that was used, or a key that is known", async () => {
      const { owner } = newTrader();
      const one = drawUp(owner, ["a", "b"]);
      await batches.begin(one.batch, one.orders, key(owner), 0);
      const before = await counts(owner);
      const two = drawUp(owner, ["c", "b", "a"]);
      expect(await batches.begin(two.batch, two.orders, { ...key(owner), key: "another-key" }, 0)).toEqual({ type: "taken", indexes: [1, 2] });
      const three = drawUp(owner, ["d"]);
      expect(await batches.begin(three.batch, three.orders, key(owner), 0)).toEqual({ type: "known", known: { fingerprint: "f", batchId: one.batch.id, answer: null } });
      expect(await counts(owner)).toEqual(before);
      expect(await orders.position(owner)).toMatchObject({ seq: 2 });
    });

    it("ends a batch once, with the answer for its key", async () => {
      const { owner } = newTrader();
      const { batch, orders: legs } = drawUp(owner, ["a"]);
      await batches.begin(batch, legs, key(owner), 0);
      expect(await batches.finish(batch.id, () => null)).toBe(false);
      expect((await batches.running(1000)).map(({ id }) => id)).toContain(batch.id);
      expect(await batches.finish(batch.id, () => ({ state: "completed", answer: ANSWER }))).toBe(true);
      expect(await batches.finish(batch.id, () => ({ state: "partial", answer: { ...ANSWER, status: 502 } }))).toBe(true);
      await batches.rollBack(batch.id, { code: "late", message: "late" });
      expect((await batches.load(batch.id))?.batch).toMatchObject({ state: "completed", phase: "placing" });
      expect(await batches.known(owner, key(owner).key, 0)).toMatchObject({ answer: ANSWER });
      expect((await batches.running(1000)).map(({ id }) => id)).not.toContain(batch.id);
    });

    it("does not forget the key of a batch that runs", async () => {
      const { owner } = newTrader();
      const { batch, orders: legs } = drawUp(owner, ["a"]);
      await batches.begin(batch, legs, key(owner), 0);
      await batches.pruneKeys(NOW + 1);
      expect(await batches.known(owner, key(owner).key, NOW + 1)).toMatchObject({ batchId: batch.id, answer: null });
    });
  });
});
