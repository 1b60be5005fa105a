/**
 * What every broker promises to the executor, whatever stands behind it.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import type { Broker, BrokerOrder, BrokerRequest, CancelOutcome, FindOutcome, PlaceOutcome } from "../../src/ports/broker.ts";

/** A broker with a market that the test moves. */
export interface BrokerHarness {
  readonly broker: Broker;
  /** Whose orders; fresh, with funds for the requests below. */
  readonly owner: string;
  /** An instrument that the broker trades. */
  readonly symbol: string;
  /** Of a buy that rests, with more decimals than it needs when the broker allows. */
  readonly limitPrice: string;
  /** Of every order here; `firstFill` and `secondFill` are its two parts, in plain decimal text. */
  readonly quantity: string;
  readonly firstFill: string;
  readonly secondFill: string;
  /** What the broker refuses for a reason of its own: no such instrument, no funds. */
  readonly refused: Partial<BrokerRequest>;
  /** The market fills so much of a resting order; resolves when the broker has taken it in, not when updates are told. */
  fill(order: BrokerOrder, quantity: string): Promise<void>;
  /** Lets updates come that are due: moves the clock of a poller, or waits for the stream. Called until the test sees what it waits for. */
  tick(): Promise<void>;
  stop(): Promise<void>;
}

/** Makes a broker that is started, with an account of its own. */
export type OpenBroker = () => Promise<BrokerHarness>;

type Accepted = Extract<PlaceOutcome, { type: "accepted" }>["order"];

const DEADLINE_MS = 10_000;
let orders = 0;

function requestOf({ owner, symbol, quantity, limitPrice }: BrokerHarness, more: Partial<BrokerRequest> = {}): BrokerRequest {
  return { clientOrderId: `contract-${++orders}`, owner, symbol, side: "buy", type: "limit", quantity, limitPrice, stopPrice: null, timeInForce: "gtc", ...more };
}

function accepted(outcome: PlaceOutcome): Accepted {
  if (outcome.type !== "accepted") throw new Error(`expected an accepted order, found ${JSON.stringify(outcome)}`);
  return outcome.order;
}

function found(outcome: FindOutcome): BrokerOrder {
  if (outcome.type !== "found") throw new Error(`expected the order to be found, found ${JSON.stringify(outcome)}`);
  return outcome.order;
}

function cancelled(outcome: CancelOutcome): BrokerOrder {
  if (outcome.type !== "cancelled") throw new Error(`expected a cancelled order, found ${JSON.stringify(outcome)}`);
  return outcome.order;
}

/** Equal in value: brokers may add or cut zeros. */
function plain(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** What every broker promises. */
export function brokerContract(name: string, open: OpenBroker): void {
  const opened = async () => {
    const harness = await open();
    onTestFinished(() => harness.stop());
    const { broker, owner, symbol } = harness;
    const updates: BrokerOrder[] = [];
    broker.onUpdate((update) => updates.push(update));
    const find = (clientOrderId: string): Promise<FindOutcome> => broker.find({ clientOrderId, owner, symbol });
    const cancel = (order: BrokerOrder, brokerOrderId: string | null = order.brokerOrderId): Promise<CancelOutcome> => broker.cancel({ clientOrderId: order.clientOrderId, brokerOrderId, owner, symbol });
    const until = async (what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> => {
      for (const ends = performance.now() + DEADLINE_MS; !(await isTrue());) {
        if (performance.now() > ends) throw new Error(`${what} did not come within ${DEADLINE_MS} ms; updates: ${JSON.stringify(updates)}`);
        await harness.tick();
      }
    };
    const told = (order: BrokerOrder): BrokerOrder[] => updates.filter((update) => update.clientOrderId === order.clientOrderId);
    const request = (more: Partial<BrokerRequest> = {}): BrokerRequest => requestOf(harness, more);
    const place = (asked: BrokerRequest): Promise<PlaceOutcome> => broker.place(asked);
    const rested = async (): Promise<Accepted> => accepted(await place(request()));
    return { harness, broker, request, place, rested, find, cancel, until, told };
  };

  describe(`${name} as a broker`, () => {
    it("accepts an order, finds it by our client order id, and rests it", async () => {
      const { place, request, find } = await opened();
      const asked = request();
      const order = accepted(await place(asked));
      expect(order).toMatchObject({ clientOrderId: asked.clientOrderId, state: "accepted", averagePrice: null, reason: null });
      expect(plain(order.filled)).toBe("0");
      expect(order.brokerOrderId).not.toBe("");
      expect(found(await find(asked.clientOrderId))).toMatchObject({ clientOrderId: asked.clientOrderId, brokerOrderId: order.brokerOrderId, state: "accepted" });
    });

    it("rejects with a code and a reason what it does not take, and holds no open order of it", async () => {
      const { harness, place, request, find } = await opened();
      const asked = request(harness.refused);
      const outcome = await place(asked);
      expect(outcome).toMatchObject({ type: "rejected" });
      if (outcome.type === "rejected") expect([outcome.code, outcome.reason].every((text) => text.length > 0)).toBe(true);
      const after = await find(asked.clientOrderId);
      if (after.type === "found") expect(after.order).toMatchObject({ state: "rejected" });
      else expect(after.type).toBe("absent");
    });

    it("never makes a second order of one client order id, however often and however closely it is placed", async () => {
      const { place, request, find } = await opened();
      const asked = request();
      const outcomes = [...await Promise.all([place(asked), place(asked), place(asked)]), await place(asked)];
      const ids = new Set(outcomes.flatMap((outcome) => (outcome.type === "accepted" ? [outcome.order.brokerOrderId] : [])));
      expect(ids.size).toBe(1);
      expect([...ids]).toEqual([found(await find(asked.clientOrderId)).brokerOrderId]);
    });

    it("says that an order is absent only when it has none", async () => {
      const { find } = await opened();
      expect(await find("contract-never-placed")).toEqual({ type: "absent" });
    });

    it("cancels a resting order, with and without its own id, and finds it cancelled", async () => {
      const { rested, find, cancel } = await opened();
      for (const isNamed of [true, false]) {
        const order = await rested();
        expect(cancelled(await cancel(order, isNamed ? order.brokerOrderId : null))).toMatchObject({ clientOrderId: order.clientOrderId, state: "cancelled" });
        expect(found(await find(order.clientOrderId))).toMatchObject({ state: "cancelled" });
      }
    });

    it("fills in parts: filled grows, the average price is within the limit, updates come in order", async () => {
      const { harness, rested, find, until, told } = await opened();
      const order = await rested();
      await harness.fill(order, harness.firstFill);
      await until("the first fill", () => told(order).some((update) => update.state === "partially_filled"));
      expect(plain(found(await find(order.clientOrderId)).filled)).toBe(plain(harness.firstFill));
      await harness.fill(order, harness.secondFill);
      await until("the last fill", () => told(order).some((update) => update.state === "filled"));
      const last = found(await find(order.clientOrderId));
      expect(last).toMatchObject({ state: "filled" });
      expect(plain(last.filled)).toBe(plain(harness.quantity));
      expect(Number(last.averagePrice)).toBeGreaterThan(0);
      expect(Number(last.averagePrice)).toBeLessThanOrEqual(Number(harness.limitPrice));
      const filled = told(order).map((update) => Number(update.filled));
      expect(filled).toEqual(filled.toSorted((a, b) => a - b));
      expect(told(order).at(-1)).toMatchObject({ state: "filled", brokerOrderId: order.brokerOrderId });
    });

    it("refuses to cancel a filled order and says how it stands", async () => {
      const { harness, rested, cancel, until, find } = await opened();
      const order = await rested();
      await harness.fill(order, harness.quantity);
      await until("the fill", async () => found(await find(order.clientOrderId)).state === "filled");
      const outcome = await cancel(order);
      expect(outcome).toMatchObject({ type: "refused" });
      if (outcome.type === "refused" && outcome.order !== null) expect(outcome.order).toMatchObject({ state: "filled" });
      expect(found(await find(order.clientOrderId))).toMatchObject({ state: "filled" });
    });

    it("keeps what was filled of an order that is cancelled afterwards", async () => {
      const { harness, rested, cancel, until, find } = await opened();
      const order = await rested();
      await harness.fill(order, harness.firstFill);
      await until("the fill", async () => found(await find(order.clientOrderId)).state === "partially_filled");
      expect(plain(cancelled(await cancel(order)).filled)).toBe(plain(harness.firstFill));
      expect(plain(found(await find(order.clientOrderId)).filled)).toBe(plain(harness.firstFill));
    });

    it("refuses to cancel what it never had", async () => {
      const { broker, harness: { owner, symbol } } = await opened();
      expect(await broker.cancel({ clientOrderId: "contract-never-placed", brokerOrderId: null, owner, symbol })).toMatchObject({ type: "refused", order: null });
    });

    it("tells of a cancel as the last update of the order", async () => {
      const { rested, cancel, until, told } = await opened();
      const order = await rested();
      await cancel(order);
      await until("the cancel", () => told(order).some((update) => update.state === "cancelled"));
      expect(told(order).at(-1)).toMatchObject({ state: "cancelled", brokerOrderId: order.brokerOrderId });
    });

    it("shows funds, and finds nothing against an order that they cover", async () => {
      const { harness, broker, request } = await opened();
      const { balances } = await broker.account(harness.owner);
      expect(balances.length).toBeGreaterThan(0);
      for (const { currency, total, available } of balances) {
        expect(currency).not.toBe("");
        for (const amount of [total, available]) expect(amount).toMatch(/^-?\d+(\.\d+)?$/);
      }
      expect(await broker.check([request()])).toEqual([]);
    });
  });
}
