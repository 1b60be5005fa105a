/**
 * The batch executor on both databases, case by case: order of calls, limits, kill switch, breaker, stop, keys, events.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CircuitBreakers } from "../../src/adapters/breaker.ts";
import { StoreError } from "../../src/core/errors.ts";
import type { Broker, BrokerRequest } from "../../src/ports/broker.ts";
import type { TradingAnswer } from "../../src/ports/trading.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { LedgerBroker, type Script } from "../support/ledger-broker.ts";
import { FAST_LIMITS, INSTRUMENT, newTrader, type RigOptions, type TradingRig, tradingRig, until } from "../support/trading-rig.ts";

const PLAIN: Script = { place: "accept", cancels: ["cancel"], lostFinds: 0 };
const KEY = "a-key-of-eight";
/** Legs by quantity: 1, 2, 3. */
const scripted = (...scripts: readonly Partial<Script>[]) => new LedgerBroker(({ quantity }) => ({ ...PLAIN, ...scripts[Number(quantity) - 1] }));
const bodyOf = (legs: number, more: object = {}) => ({
  mode: "all_or_none", orders: Array.from({ length: legs }, (_, i) => ({ symbol: INSTRUMENT.id, side: "buy", type: "limit", quantity: String(i + 1), limit_price: "100.00" })), ...more,
});

interface Report {
  readonly id: string;
  readonly state: string;
  readonly code?: string;
  readonly orders: readonly { readonly id: string; readonly state: string; readonly quantity: string; readonly filled: string; readonly error: { readonly code: string } | null }[];
  readonly residual_exposure: readonly unknown[];
}
const read = ({ body }: TradingAnswer): Report => JSON.parse(body);
const statesOf = (answer: TradingAnswer): string[] => read(answer).orders.map(({ state }) => state);

forEachDatabase((_name, open) => {
  let opened: OpenDatabase;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());

  const started = async (broker: Broker, more: Partial<RigOptions> = {}): Promise<TradingRig & { readonly post: (body: object, key?: string) => Promise<TradingAnswer>; readonly trader: ReturnType<typeof newTrader> }> => {
    const rig = tradingRig({ database: opened.database, broker, ...more });
    const trader = newTrader();
    await rig.executor.start();
    return { ...rig, trader, post: (body, key = KEY) => rig.desk.postBatch({ body, key, isFollower: false }, trader) };
  };
  /** Arrivals as `place 1`, by the quantity of the leg. */
  const arrivalsOf = (broker: LedgerBroker, answer: TradingAnswer): string[] => broker.arrivals.map((text) => {
    const [verb = "", id] = text.split(" ");
    return `${verb} ${read(answer).orders.find((order) => order.id === id)?.quantity}`;
  });

  describe("placing", () => {
    it("sends one leg after another, and undoes in reverse when one fails", async () => {
      const broker = scripted({}, {}, { place: "reject" });
      const { executor, post } = await started(broker);
      const answer = await post(bodyOf(4));
      expect([answer.status, read(answer).state, read(answer).residual_exposure]).toEqual([409, "rolled_back", []]);
      expect(arrivalsOf(broker, answer)).toEqual(["place 1", "place 2", "place 3", "cancel 2", "cancel 1"]);
      expect(read(answer).orders.map(({ state, error }) => [state, error?.code])).toEqual([["cancelled", undefined], ["cancelled", undefined], ["rejected", "no_funds"], ["cancelled", "not_sent"]]);
      await executor.stop();
    });

    it("goes on after a failure in best effort", async () => {
      const { executor, post } = await started(scripted({}, { place: "reject" }, { place: "fill" }));
      const answer = await post(bodyOf(3, { mode: "best_effort" }));
      expect([answer.status, read(answer).state, ...statesOf(answer)]).toEqual([201, "partial", "accepted", "rejected", "filled"]);
      await executor.stop();
    });

    it("sends all legs at once in parallel", async () => {
      let [now, most] = [0, 0];
      const broker = new LedgerBroker(() => PLAIN);
      const place = broker.place.bind(broker);
      broker.place = async (request: BrokerRequest) => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setImmediate(resolve));
        now--;
        return place(request);
      };
      const { executor, post } = await started(broker);
      expect(statesOf(await post(bodyOf(5, { placement: "parallel" })))).toEqual(Array.from({ length: 5 }, () => "accepted"));
      expect(most).toBe(5);
      await executor.stop();
    });

    it("looks an order up before it decides, and keeps it when it is there", async () => {
      const broker = scripted({ place: "hang" }, { place: "lose_after", lostFinds: 2 });
      const { executor, post } = await started(broker);
      const answer = await post(bodyOf(2));
      expect([answer.status, ...statesOf(answer)]).toEqual([201, "accepted", "accepted"]);
      await executor.stop();
    });

    it("takes what never arrived for rejected, once it cannot be on its way any more", async () => {
      const { executor, post } = await started(scripted({}, { place: "lose_before" }));
      const answer = await post(bodyOf(2));
      expect([answer.status, ...read(answer).orders.map(({ state, error }) => `${state} ${error?.code}`)]).toEqual([409, "cancelled undefined", "rejected not_at_broker"]);
      await executor.stop();
    });
  });

  describe("a rollback that cannot be whole", () => {
    it("says exactly what was filled", async () => {
      const { executor, post } = await started(scripted({ place: "fill" }, { place: "half", cancels: ["cancel"] }, { place: "accept", cancels: ["fill_first"] }, { place: "reject" }));
      const answer = await post(bodyOf(4));
      expect([answer.status, read(answer).state, read(answer).residual_exposure]).toEqual([502, "rollback_incomplete", [{ symbol: INSTRUMENT.id, quantity: "5" }]]);
      expect(read(answer).orders.map(({ state, filled }) => [state, filled])).toEqual([["filled", "1"], ["cancelled", "1"], ["filled", "3"], ["rejected", "0"]]);
      await executor.stop();
    });

    it("asks to cancel so often and no more", async () => {
      const broker = scripted({ cancels: ["refuse"] }, { place: "reject" });
      const { executor, post } = await started(broker);
      const answer = await post(bodyOf(2));
      expect([answer.status, ...statesOf(answer)]).toEqual([502, "cancel_rejected", "rejected"]);
      expect(broker.arrivals.filter((text) => text.startsWith("cancel"))).toHaveLength(FAST_LIMITS.cancelAttemptsMax);
      await executor.stop();
    });
  });

  describe("between legs", () => {
    it("respects the kill switch", async () => {
      const broker = scripted();
      const { executor, post } = await started(broker, { isEnabled: () => broker.arrivals.length < 1 });
      const answer = await post(bodyOf(3));
      expect([answer.status, read(answer).state]).toEqual([409, "rolled_back"]);
      expect(arrivalsOf(broker, answer)).toEqual(["place 1", "cancel 1"]);
      await executor.stop();
    });

    it("respects the breaker, and cancels in spite of it", async () => {
      const broker = scripted();
      const breakers = new CircuitBreakers({ clock: new FakeClock(), limits: { callsMin: 5, failedPct: 50, windowMs: 60_000, probeMs: 60_000, probeStoresMs: 5000 } });
      const breaker = breakers.of("broker.ledger");
      const place = broker.place.bind(broker);
      broker.place = (request) => {
        if (request.quantity === "2") breaker.trip(0);
        return place(request);
      };
      const { executor, post } = await started(broker, { breaker });
      const answer = await post(bodyOf(3));
      expect([answer.status, read(answer).state]).toEqual([409, "rolled_back"]);
      expect(arrivalsOf(broker, answer)).toEqual(["place 1", "place 2", "cancel 2", "cancel 1"]);
      await expect(post(bodyOf(1), "another-key")).rejects.toMatchObject({ code: "breaker_open", status: 503 });
      await executor.stop();
      await breakers.stop();
    });

    it("respects the time of the batch", async () => {
      const broker = scripted({ place: "hang" });
      const { executor, post } = await started(broker);
      const answer = await post(bodyOf(2, { mode: "best_effort", timeout_ms: 1 }));
      expect([read(answer).state, read(answer).orders[1]]).toMatchObject(["partial", { state: "cancelled", error: { code: "timeout" } }]);
      await executor.stop();
    });
  });

  describe("a stop in the middle", () => {
    it("answers 503 at once, and the next start finishes the batch", async () => {
      const broker = scripted({}, { place: "hang" });
      const first = await started(broker, { limits: { placeTimeoutMs: 60_000 } });
      const answer = first.post(bodyOf(3));
      await until("the second leg", () => broker.arrivals.length === 2);
      const stopped = first.executor.stop();
      const told = await answer;
      expect([told.status, told.retryAfterS, read(told).state, read(told).code]).toEqual([503, 5, "running", "running"]);
      await stopped;
      await expect(first.post(bodyOf(3), "another-key")).rejects.toMatchObject({ code: "draining", status: 503 });
      const second = tradingRig({ database: opened.database, broker });
      await second.executor.start();
      const again = () => second.desk.postBatch({ body: bodyOf(3), key: KEY, isFollower: false }, first.trader);
      await until("the end of the batch", async () => (await again()).status === 201);
      expect([(await again()).isReplay, ...statesOf(await again())]).toEqual([true, "accepted", "accepted", "accepted"]);
      expect(broker.arrivals).toHaveLength(3);
      await second.executor.stop();
    });
  });

  describe("a database that is away", () => {
    it("interrupts the batch, which goes on by itself when it is back", async () => {
      const broker = scripted();
      const rig = await started(broker);
      const write = rig.orders.write.bind(rig.orders);
      let failures = 0;
      rig.orders.write = (changes) => (broker.arrivals.length === 1 && failures++ < 1 ? Promise.reject(new StoreError("away")) : write(changes));
      expect((await rig.post(bodyOf(2))).status).toBe(503);
      await until("the end of the batch", async () => (await rig.post(bodyOf(2))).status === 201);
      expect(broker.arrivals).toHaveLength(2);
      await rig.executor.stop();
    });
  });

  describe("an idempotency key", () => {
    it("has one execution when a hundred begin at the same time", async () => {
      const broker = scripted();
      const { executor, post } = await started(broker);
      const answers = await Promise.all(Array.from({ length: 100 }, () => post(bodyOf(1))));
      expect(broker.ledger.size).toBe(1);
      expect(answers.filter(({ status }) => status === 201).length).toBeGreaterThan(0);
      for (const { status, retryAfterS } of answers) if (status !== 201) expect([status, retryAfterS]).toEqual([409, 1]);
      expect(new Set(answers.filter(({ status }) => status === 201).map(({ body }) => body)).size).toBe(1);
      await executor.stop();
    });

    it("is kept for its time to the millisecond, and free after it", async () => {
      const clock = new FakeClock();
      const broker = scripted();
      const { executor, post, batches } = await started(broker, { clock, limits: { keysKeepMs: 1000 } });
      await post(bodyOf(1));
      clock.advance(1000);
      await batches.pruneKeys(clock.nowMicros() - 1_000_000);
      expect((await post(bodyOf(1))).isReplay).toBe(true);
      clock.advance(1);
      expect((await post(bodyOf(1))).isReplay).toBe(false);
      expect(broker.ledger.size).toBe(2);
      clock.advance(1001);
      await batches.pruneKeys(clock.nowMicros() - 1_000_000);
      expect((await post(bodyOf(1))).isReplay).toBe(false);
      const stopped = executor.stop();
      clock.advance(1000);
      await stopped;
    });
  });

  describe("events", () => {
    it("follow what the broker tells, lead back to the request, and are resumed where one stopped", async () => {
      const broker = scripted();
      const { executor, post, orders, trader } = await started(broker);
      const told: number[] = [];
      orders.onEvents((events) => told.push(...events.filter(({ owner }) => owner === trader.owner).map(({ seq }) => seq)));
      const [order] = read(await post(bodyOf(1))).orders;
      const id = order?.id ?? "";
      const before = await orders.position(trader.owner);
      broker.fill(id);
      await until("the fill", async () => (await orders.byIds([id]))[0]?.state === "filled");
      const after = await orders.since(trader.owner, before.epoch, before.seq, 10);
      expect(after).toMatchObject({ type: "events", events: [{ seq: before.seq + 1, state: "filled", orderId: id }], position: { seq: before.seq + 1 } });
      expect(told).toEqual([1, 2, 3, 4]);
      expect(await orders.since(trader.owner, "another", 0, 10)).toMatchObject({ type: "gap", reason: "restart" });
      expect(await orders.since(trader.owner, before.epoch, 99, 10)).toMatchObject({ type: "gap", reason: "restart" });
      const rows = await opened.database.run((db) => db.selectFrom("order_events").selectAll().where("owner", "=", trader.owner).orderBy("seq").execute());
      expect(rows.map(({ cause, state, correlation_id: c, request_id: r }) => [cause, state, c, r])).toEqual(
        [["intent", "pending"], ["batch.send", "sent"], ["broker.place", "accepted"], ["broker.update", "filled"]].map((row) => [...row, trader.correlationId, trader.requestId]),
      );
      await orders.pruneEvents(Number(rows[1]?.time) + 1);
      expect(await orders.since(trader.owner, before.epoch, 1, 10)).toMatchObject({ type: "gap", reason: "expired" });
      expect(await orders.since(trader.owner, before.epoch, 2, 10)).toMatchObject({ type: "events", events: [{ seq: 3 }, { seq: 4 }] });
      await executor.stop();
    });

    it("say of an order that arrived after all that it did, and it is cancelled", async () => {
      const broker = scripted({ place: "lose_before" });
      const { executor, post, orders, calls } = await started(broker);
      const [order] = read(await post(bodyOf(1, { mode: "best_effort" }))).orders;
      const [stored] = await orders.byIds([order?.id ?? ""]);
      if (stored === undefined) throw new Error("expected the order");
      expect([stored.state, stored.error?.code]).toEqual(["rejected", "not_at_broker"]);
      broker.arriveLate({ clientOrderId: stored.id, owner: stored.owner, symbol: stored.symbol, side: stored.side, type: stored.type, quantity: stored.quantity, limitPrice: stored.limitPrice, stopPrice: null, timeInForce: "gtc" });
      await until("its cancellation", () => broker.ledger.get(stored.id)?.state === "cancelled");
      await executor.updates.settled();
      expect((await orders.byIds([stored.id]))[0]).toMatchObject({ state: "rejected", error: { code: "late_arrival" } });
      expect(executor.samples().find(({ name }) => name === "ticker_orders_late_arrivals_total")?.value).toBe(1);
      expect(calls.refusal()).toBeNull();
      await executor.stop();
    });
  });
});
