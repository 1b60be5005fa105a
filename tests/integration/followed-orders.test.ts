/**
 * Orders that an earlier process left open: a broker tells of those that it was asked about, so each is asked about until it answers.
 */
import { expect, it, onTestFinished } from "vitest";
import type { Broker } from "../../src/ports/broker.ts";
import { forEachDatabase } from "../support/databases.ts";
import { LedgerBroker } from "../support/ledger-broker.ts";
import { INSTRUMENT, newTrader, tradingRig, until } from "../support/trading-rig.ts";

const leg = { symbol: INSTRUMENT.id, side: "buy", type: "limit", quantity: "1", limit_price: "100.00" };

/** A broker in front of the same ledger after a restart: it has told nothing, and its first answers are lost. */
function restarted(ledger: LedgerBroker): { readonly broker: Broker; readonly asked: Set<string> } {
  const asked = new Set<string>();
  const find: Broker["find"] = (order) => {
    if (asked.has(order.clientOrderId)) return ledger.find(order);
    asked.add(order.clientOrderId);
    return Promise.resolve({ type: "unknown", reason: "lost", waitMs: 0 });
  };
  const broker: Broker = {
    name: ledger.name, broker: ledger.broker, start: () => Promise.resolve(), stop: () => Promise.resolve(), onUpdate: () => undefined, find,
    check: () => ledger.check(), place: (request) => ledger.place(request), cancel: (order) => ledger.cancel(order), positions: () => ledger.positions(), account: () => ledger.account(),
  };
  return { broker, asked };
}

forEachDatabase((_name, open) => {
  it("are looked up again when the first look-up after a start is lost", async () => {
    const opened = await open();
    onTestFinished(() => opened.close());
    const { database } = opened;
    const ledger = new LedgerBroker();
    const trader = newTrader();
    const before = tradingRig({ database, broker: ledger });
    await before.executor.start();
    const { body } = await before.desk.postBatch({ body: { orders: [leg] }, key: "key-of-eight", isFollower: false }, trader);
    const report: { readonly orders: readonly { readonly id: string }[] } = JSON.parse(body);
    const id = report.orders[0]?.id ?? "";
    await before.executor.stop();

    const { broker, asked } = restarted(ledger);
    ledger.fill(id);
    const after = tradingRig({ database, broker, limits: { reconcileMs: 10 } });
    await after.executor.start();
    onTestFinished(() => after.executor.stop());
    await until("the fill", async () => (await after.orders.byIds([id]))[0]?.state === "filled");
    expect(asked).toContain(id);
    expect(after.executor.updates.samples().find(({ name }) => name === "ticker_orders_unseen")?.value).toBe(0);
  });
});
