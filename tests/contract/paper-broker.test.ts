/**
 * The paper broker: what every broker promises, and what its ledger does, on both databases.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { SqlPaperLedger } from "../../src/adapters/postgres/paper-store.ts";
import { systemClock } from "../../src/core/clock.ts";
import { StoreError } from "../../src/core/errors.ts";
import type { BrokerOrder, BrokerRequest } from "../../src/ports/broker.ts";
import type { PaperLedger } from "../../src/ports/paper.ts";
import type { PaperOptions } from "../../src/trading/paper/paper-broker.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { BTC, exact, paperRig } from "../support/paper-market.ts";
import { brokerContract } from "./broker.contract.ts";

let owners = 0;
const newOwner = (): string => `key_${++owners}`;
let ids = 0;
const buy = (owner: string, more: Partial<BrokerRequest> = {}): BrokerRequest => ({
  clientOrderId: `order-${++ids}`, owner, symbol: BTC, side: "buy", type: "limit", quantity: "0.01", limitPrice: "99.00", stopPrice: null, timeInForce: "gtc", ...more,
});
const BIDS = [["99.00", "1"], ["98.00", "5"]] as const;
const ASKS = [["101.00", "1"], ["102.00", "5"]] as const;

forEachDatabase((name, open) => {
  let opened: OpenDatabase;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());
  beforeEach(() => opened.database.run(async (db) => {
    for (const table of ["paper_fills", "paper_orders", "paper_cash", "paper_positions"] as const) await db.deleteFrom(table).execute();
  }));

  const started = async (options: Partial<PaperOptions> = {}, ledger: PaperLedger = new SqlPaperLedger(opened.database), clock = new FakeClock()) => {
    const rig = paperRig({ ledger }, clock, options);
    rig.market.book(BTC, BIDS, ASKS);
    const updates: BrokerOrder[] = [];
    rig.broker.onUpdate((update) => updates.push(update));
    await rig.broker.start();
    onTestFinished(() => rig.broker.stop());
    return { ...rig, clock, updates, owner: newOwner() };
  };

  brokerContract(`paper on ${name}`, async () => {
    const { broker, trade } = paperRig({ database: opened.database }, systemClock);
    await broker.start();
    return {
      broker, owner: newOwner(), symbol: BTC, limitPrice: "100.00", quantity: "0.3000", firstFill: "0.1", secondFill: "0.2",
      refused: { quantity: "20000" },
      fill: async (_order, quantity) => trade("100.00", quantity, "sell"),
      tick: () => new Promise((resolve) => setImmediate(resolve)),
      stop: () => broker.stop(),
    };
  });

  describe("its ledger", () => {
    it("is what a broker after a kill finds: orders rest where they were, balances and positions are the same", async () => {
      const first = await started({ makerRate: 1000n, takerRate: 2000n });
      const { owner } = first;
      await first.broker.place(buy(owner, { type: "market", limitPrice: null, quantity: "2" }));
      const resting = buy(owner, { quantity: "0.5" });
      const partly = buy(owner, { quantity: "0.5", limitPrice: "100.00" });
      const stop = buy(owner, { side: "sell", type: "stop", limitPrice: null, stopPrice: "90.00", quantity: "1" });
      for (const request of [resting, partly, stop]) await first.broker.place(request);
      first.trade("100.00", "0.2", "sell");
      const before = { account: await first.broker.account(owner), positions: await first.broker.positions(owner) };
      // No stop: the process is gone.
      const second = await started();
      expect({ account: await second.broker.account(owner), positions: await second.broker.positions(owner) }).toEqual(before);
      expect(before.positions).toEqual([{ symbol: BTC, quantity: "2.2", averagePrice: "101.363636" }]);
      expect(await second.broker.find(partly)).toMatchObject({ order: { state: "partially_filled", filled: "0.2", averagePrice: "100" } });
      second.trade("98.50", "5", "sell");
      for (const request of [partly, resting]) await expect.poll(async () => second.broker.find(request)).toMatchObject({ order: { state: "filled", filled: "0.5" } });
      second.trade("90.00", "1", "sell");
      await expect.poll(async () => second.broker.find(stop)).toMatchObject({ order: { state: "filled", averagePrice: "99" } });
    });

    it("keeps client order ids for ever: after a restart the first order answers", async () => {
      const first = await started();
      const request = buy(first.owner);
      const placed = await first.broker.place(request);
      await first.broker.cancel(request);
      const second = await started();
      expect(placed).toMatchObject({ type: "accepted" });
      expect(await second.broker.place({ ...request, quantity: "0.7" })).toMatchObject({ type: "accepted", order: { state: "cancelled" } });
      expect(await second.broker.place({ ...request, owner: newOwner() })).toMatchObject({ type: "accepted", order: { state: "accepted" } });
    });

    it("belongs to the last process that opened it: the one before can commit nothing any more", async () => {
      const first = await started();
      await started();
      const request = buy(first.owner);
      expect(await first.broker.place(request)).toMatchObject({ type: "unknown" });
      expect(await first.broker.place(buy(first.owner))).toMatchObject({ type: "rejected", code: "broker_unavailable" });
      expect(await new SqlPaperLedger(opened.database).find(request)).toBeNull();
    });

    it("costs one transaction an order, and one for many at once", async () => {
      const { broker, owner } = await started();
      const commits = (): number => broker.samples().find(({ name }) => name === "ticker_paper_commits_total")?.value ?? 0;
      await broker.place(buy(owner, { type: "market", limitPrice: null }));
      expect(commits()).toBe(1);
      await Promise.all(Array.from({ length: 50 }, () => broker.place(buy(owner))));
      expect(commits()).toBe(2);
      expect(broker.samples().find(({ name }) => name === "ticker_paper_id_lookups_total")?.value).toBe(0);
    });

    it("says unknown when a commit fails, tells nobody, takes nothing new, and goes on once the ledger does", async () => {
      const real = new SqlPaperLedger(opened.database);
      let isAway = false;
      let isLate = false;
      const away = async (): Promise<never> => {
        throw new StoreError("away");
      };
      const ledger: PaperLedger = {
        open: (writer) => real.open(writer), eachKey: (take) => real.eachKey(take), find: (key) => (isAway ? away() : real.find(key)),
        commit: async (writer, changes) => {
          if (isAway && !isLate) return away();
          await real.commit(writer, changes);
          if (isAway) await away();
        },
      };
      const { broker, trade, owner, clock, updates } = await started({}, ledger);
      const known = buy(owner, { limitPrice: "100.00" });
      await broker.place(known);
      updates.length = 0;
      isAway = true;
      const request = buy(owner);
      expect(await broker.place(request)).toMatchObject({ type: "unknown", waitMs: 500 });
      expect(await broker.place(buy(owner))).toMatchObject({ type: "rejected", code: "broker_unavailable" });
      trade("99.50", "1", "sell");
      expect(broker.samples().find(({ name }) => name === "ticker_paper_trades_passed_over_total")?.value).toBe(1);
      expect(updates).toEqual([]);
      isLate = true;
      clock.advance(500);
      await expect.poll(() => real.find(request)).toMatchObject({ state: "accepted" });
      isAway = false;
      clock.advance(500);
      expect(await broker.find(request)).toMatchObject({ type: "found", order: { state: "accepted" } });
      clock.advance(500);
      await expect.poll(async () => broker.find(request)).toMatchObject({ type: "found", order: { state: "accepted" } });
      expect(updates.map(({ clientOrderId, state }) => [clientOrderId, state])).toEqual([[request.clientOrderId, "accepted"]]);
      expect(await broker.place(request)).toMatchObject({ type: "accepted" });
      trade("99.50", "1", "sell");
      await expect.poll(async () => broker.find(known)).toMatchObject({ order: { state: "filled" } });
    });

    it("ends day orders with the UTC day, also those whose day ended while nobody ran", async () => {
      const clock = new FakeClock(1_700_000_000_000_000);
      const first = await started({}, undefined, clock);
      const leftMs = 86_400_000 - (1_700_000_000_000 % 86_400_000);
      const order = buy(first.owner, { timeInForce: "day" });
      const lasting = buy(first.owner);
      await first.broker.place(order);
      await first.broker.place(lasting);
      clock.advance(leftMs - 1);
      expect(await first.broker.find(order)).toMatchObject({ order: { state: "accepted" } });
      const second = await started({}, undefined, new FakeClock(1_700_000_000_000_000 + leftMs * 1000));
      await expect.poll(async () => second.broker.find(order)).toMatchObject({ order: { state: "cancelled", reason: "the day of the order has ended" } });
      expect(await second.broker.find(lasting)).toMatchObject({ order: { state: "accepted" } });
      expect((await second.broker.account(first.owner)).balances).toEqual([{ currency: "USD", total: "1000000", available: "999999.01" }]);
    });

    it("lets another start balance take nothing away from who has begun", async () => {
      const first = await started();
      await first.broker.place(buy(first.owner, { quantity: "5000" }));
      const second = await started({ startBalance: exact("10", 36) });
      expect((await second.broker.account(first.owner)).balances).toEqual([{ currency: "USD", total: "1000000", available: "505000" }]);
      expect((await second.broker.account(newOwner())).balances).toEqual([{ currency: "USD", total: "10", available: "10" }]);
    });
  });
});
