/**
 * An owner's events in the database, as the channel `orders` reads them: exact after a position, or a gap that says what is gone.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { SqlBatchStore } from "../../src/adapters/postgres/batch-store.ts";
import { SqlOrderStore } from "../../src/adapters/postgres/order-store.ts";
import { systemClock } from "../../src/core/clock.ts";
import { micros } from "../../src/core/time.ts";
import type { Order, OrderEvent, OrderEvents } from "../../src/ports/orders.ts";
import { newId } from "../../src/trading/ids.ts";
import { resourceOf } from "../../src/trading/report.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { newTrader } from "../support/trading-rig.ts";

const NOW = 1_700_000_000_000_000;

/** An order with its event, and one event more for each further time; microseconds after NOW. */
async function tradeWith(orders: SqlOrderStore, batches: SqlBatchStore, owner: string, times: readonly number[]): Promise<void> {
  const trace = { requestId: "r", correlationId: "c" };
  const at = micros(NOW + (times[0] ?? 0));
  const id = newId("b", at);
  const order: Order = {
    id: newId("o", at), owner, clientOrderId: newId("o", at), broker: "ledger", batchId: id, index: 0, trace, symbol: "sim:BTC-USD", side: "buy", type: "limit", quantity: "1", limitPrice: "1", stopPrice: null,
    timeInForce: "gtc", brokerOrderId: null, state: "pending", filled: "0", averagePrice: null, error: null, sentAt: null, createdAt: at, updatedAt: at, version: 0,
  };
  await batches.begin({ id, owner, kind: "single", mode: "best_effort", placement: "sequential", state: "running", phase: "placing", reason: null, createdAt: at, deadlineAt: at, trace }, [order], null, 0);
  for (const [version, time] of times.slice(1).entries()) {
    await orders.write([{ order: { ...order, version, state: "sent", updatedAt: micros(NOW + time) }, cause: "test" }]);
  }
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

  const trade = (owner: string, times: readonly number[]): Promise<void> => tradeWith(orders, batches, owner, times);
  const seqs = (answer: OrderEvents): readonly number[] | string => (answer.type === "events" ? answer.events.map(({ seq }) => seq) : answer.reason);

  it("are read from after a position, at most so many, as they were told", async () => {
    const { owner } = newTrader();
    await trade(owner, [1, 2, 3]);
    await Promise.all([trade(owner, [4, 5]), trade(owner, [4, 5]), trade(newTrader().owner, [4])]);
    const { epoch, seq } = await orders.position(owner);
    expect(seq).toBe(7);
    const all = await orders.since(owner, epoch, 0, 100);
    expect(seqs(all)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(all).toMatchObject({ position: { epoch, seq: 7 }, events: told.filter((event) => event.owner === owner).toSorted((a, b) => a.seq - b.seq) });
    expect(seqs(await orders.since(owner, epoch, 2, 3))).toEqual([3, 4, 5]);
    expect(seqs(await orders.since(owner, epoch, 7, 3))).toEqual([]);
  });

  it("begin anew for another epoch and for a position from the future", async () => {
    const { owner } = newTrader();
    await trade(owner, [1, 2]);
    const { epoch } = await orders.position(owner);
    expect(await orders.since(owner, "another", 1, 10)).toEqual({ type: "gap", reason: "restart", position: { epoch, seq: 2 } });
    expect(await orders.since(owner, epoch, 3, 10)).toEqual({ type: "gap", reason: "restart", position: { epoch, seq: 2 } });
  });

  it("are expired up to the last that was removed, whatever the order of their times", async () => {
    const { owner } = newTrader();
    await trade(owner, [10, 11, 5, 12, 13]);
    const { epoch } = await orders.position(owner);
    await orders.pruneEvents(NOW + 12);
    expect(await orders.since(owner, epoch, 0, 10)).toEqual({ type: "gap", reason: "expired", position: { epoch, seq: 5 }, pruned: 3 });
    expect(seqs(await orders.since(owner, epoch, 3, 10))).toEqual([4, 5]);
    await orders.pruneEvents(NOW + 100);
    expect(await orders.since(owner, epoch, 4, 10)).toMatchObject({ reason: "expired", pruned: 5 });
    expect(seqs(await orders.since(owner, epoch, 5, 10))).toEqual([]);
  });

  it("keep their epoch for an owner without any", async () => {
    const { owner } = newTrader();
    const first = await orders.position(owner);
    expect(first.seq).toBe(0);
    await trade(owner, [1]);
    expect(await orders.position(owner)).toEqual({ epoch: first.epoch, seq: 1 });
  });
});
