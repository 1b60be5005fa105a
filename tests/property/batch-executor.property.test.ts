/**
 * The batch executor against a broker with a ledger of its own: whatever the broker does and wherever the process dies, every leg
 * is sent at most once and the final report says what the ledger says.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BrokerRequest } from "../../src/ports/broker.ts";
import { type BatchMode, type Order, ORDER_STATES, type Placement } from "../../src/ports/orders.ts";
import type { Trader } from "../../src/ports/trading.ts";
import { isTerminal, TRANSITIONS } from "../../src/trading/order-machine.ts";
import { CrashPoint } from "../support/crash-point.ts";
import type { Database } from "../../src/adapters/postgres/database.ts";
import { forEachDatabase, type OpenDatabase } from "../support/databases.ts";
import { CANCEL_SCRIPTS, LedgerBroker, PLACE_SCRIPTS, type Script } from "../support/ledger-broker.ts";
import { INSTRUMENT, newTrader, type TradingRig, tradingRig, until } from "../support/trading-rig.ts";

interface Plan {
  readonly mode: BatchMode;
  readonly placement: Placement;
  readonly legs: readonly (Script & { readonly side: "buy" | "sell" })[];
  /** Writes and sendings until the first and, counted from its restart, the second death. */
  readonly deaths: readonly { readonly at: number; readonly isAfter: boolean }[];
}

const anyLeg = fc.record({
  side: fc.constantFrom("buy", "sell"),
  place: fc.oneof({ weight: 3, arbitrary: fc.constant("accept" as const) }, { weight: 3, arbitrary: fc.constantFrom(...PLACE_SCRIPTS) }),
  cancels: fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant("cancel" as const) }, { weight: 2, arbitrary: fc.constantFrom(...CANCEL_SCRIPTS) }), { minLength: 1, maxLength: 4 }),
  lostFinds: fc.nat(3),
});
const anyPlan: fc.Arbitrary<Plan> = fc.record({
  mode: fc.oneof({ weight: 2, arbitrary: fc.constant("all_or_none" as const) }, fc.constant("best_effort" as const)),
  placement: fc.constantFrom("sequential", "parallel"),
  legs: fc.array(anyLeg, { minLength: 1, maxLength: 5 }),
  deaths: fc.array(fc.record({ at: fc.integer({ min: 1, max: 24 }), isAfter: fc.boolean() }), { maxLength: 2 }),
});

/** The leg of a request: quantities tell them apart. */
const legOf = (plan: Plan, { quantity }: BrokerRequest) => plan.legs[Number(quantity) - 1];
const bodyOf = (plan: Plan): object => ({
  mode: plan.mode, placement: plan.placement,
  orders: plan.legs.map(({ side }, i) => ({ symbol: INSTRUMENT.id, side, type: "limit", quantity: String(i + 1), limit_price: "100.00" })),
});
const PLAIN: Script = { place: "accept", cancels: ["cancel"], lostFinds: 0 };
const KEY = "a-key-of-eight";

interface Life {
  readonly rig: TradingRig;
  readonly broker: LedgerBroker;
  readonly trader: Trader;
  /** Final answers, before the deaths and after. */
  readonly answers: readonly string[];
  /** Where the process died: `after write`. */
  readonly deaths: readonly string[];
}

forEachDatabase((name, open) => {
  let opened: OpenDatabase;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());

  const runs = name === "embedded" ? 150 : 60;
  describe("whatever the broker does and wherever the process dies", () => {
    it(`sends each leg at most once and reports what the ledger says (${runs} batches)`, async () => {
      const seen = new Map<string, number>();
      await fc.assert(fc.asyncProperty(anyPlan, async (plan) => {
        const life = await lived(plan, opened.database);
        const state = await judge(plan, life, opened.database);
        for (const what of [state, ...life.deaths]) seen.set(what, (seen.get(what) ?? 0) + 1);
      }), { numRuns: runs, endOnFailure: process.env["FC_SHRINK"] === undefined });
      expect([...seen.keys()]).toEqual(expect.arrayContaining(["completed", "partial", "rolled_back", "rollback_incomplete", "before place", "after place", "after write", "before write"]));
    }, 300_000);
  });
});

/** Posts once, dying and starting again as planned, until the batch is final; answers what a client that asks again gets. */
async function lived(plan: Plan, database: Database): Promise<Life> {
  const broker = new LedgerBroker((request) => legOf(plan, request) ?? PLAIN);
  const trader = newTrader();
  const body = bodyOf(plan);
  const answers: string[] = [];
  const deaths: string[] = [];
  for (const death of [...plan.deaths, { at: Number.POSITIVE_INFINITY, isAfter: true }]) {
    const crash = new CrashPoint(death.at, death.isAfter);
    const rig = tradingRig({ database, broker, crash });
    await rig.executor.start();
    const post = async (): Promise<void> => {
      const answer = await rig.desk.postBatch({ body, key: KEY, isFollower: false }, trader).catch((error: unknown) => error);
      const goesOn = /"code":"(still_running|running)"/;
      if (isAnswer(answer) && !goesOn.test(answer.body)) answers.push(answer.body);
    };
    await Promise.race([post(), until("the death", () => crash.isDead)]);
    if (!crash.isDead) await until("an answer", async () => (answers.length === 0 && !crash.isDead ? post() : Promise.resolve()).then(() => crash.isDead || answers.length > 0));
    if (crash.isDead) {
      deaths.push(crash.where);
      await rig.executor.stop();
      continue;
    }
    await broker.quiet();
    await rig.executor.updates.settled();
    await post();
    await rig.executor.stop();
    return { rig, broker, trader, answers, deaths };
  }
  throw new Error("no life without a death");
}

/** Answers the state of the batch. */
async function judge(plan: Plan, { rig, broker, trader, answers }: Life, database: Database): Promise<string> {
  expect(new Set(answers).size, "every answer is the same").toBe(1);
  const batchIds = await database.run((db) => db.selectFrom("batches").select(["id", "state"]).where("owner", "=", trader.owner).execute());
  expect(batchIds, "one key, one batch").toHaveLength(1);
  const [batch] = batchIds;
  const orders = await rig.orders.ofBatch(batch?.id ?? "");
  expect(orders).toHaveLength(plan.legs.length);
  expect(broker.ledger.size, "nothing at the broker that is not ours").toBe(orders.filter(({ id }) => broker.ledger.has(id)).length);
  for (const [id, entry] of broker.ledger) expect(entry.sendings, `order ${id} arrived once`).toBe(1);
  const sent = broker.arrivals.filter((arrival) => arrival.startsWith("place "));
  expect(new Set(sent).size, "each leg is sent at most once").toBe(sent.length);
  for (const order of orders) judgeOrder(order, broker);
  judgeBatch(plan, batch?.state ?? "", orders, broker, answers[0] ?? "");
  await judgeEvents(rig, trader, orders);
  return batch?.state ?? "";
}

async function judgeEvents(rig: TradingRig, trader: Trader, orders: readonly Order[]): Promise<void> {
  const { epoch, seq } = await rig.orders.position(trader.owner);
  const found = await rig.orders.since(trader.owner, epoch, 0, 10_000);
  if (found.type !== "events") throw new Error("expected the events to be there");
  expect(found.events.map((event) => event.seq), "seq has no hole").toEqual(Array.from({ length: seq }, (_, i) => i + 1));
  for (const order of orders) {
    const states = found.events.filter((event) => event.orderId === order.id).map((event) => event.state);
    expect(states[0]).toBe("pending");
    expect(states.at(-1), "the last event is the order").toBe(order.state);
    for (const [i, state] of states.entries()) {
      const before = states[i - 1];
      if (before !== undefined && before !== state) expect(TRANSITIONS[before], `${before} to ${state}`).toContain(state);
    }
  }
}

function isAnswer(value: unknown): value is { readonly body: string } {
  return typeof value === "object" && value !== null && "body" in value && typeof value.body === "string";
}

/** One order against the ledger. */
function judgeOrder(order: Order, broker: LedgerBroker): void {
  const entry = broker.ledger.get(order.id);
  expect(ORDER_STATES).toContain(order.state);
  if (entry === undefined) {
    expect(["rejected", "cancelled"], "an order that the broker does not have has ended").toContain(order.state);
    expect(order.filled).toBe("0");
    return;
  }
  expect(order.filled, "fills are the ledger's").toBe(entry.filled);
  if (isTerminal(order.state)) expect(order.state).toBe(entry.state);
  else expect(["accepted", "partially_filled"], `an order that is ${order.state} is open at the broker`).toContain(entry.state);
  if (order.state === "accepted" || order.state === "partially_filled") expect(order.state).toBe(entry.state);
}

/** The final state and the exposure against the ledger. */
function judgeBatch(plan: Plan, state: string, orders: readonly Order[], broker: LedgerBroker, answer: string): void {
  const entries = orders.map(({ id }) => broker.ledger.get(id));
  const report: unknown = JSON.parse(answer);
  expect(report).toMatchObject({ state, mode: plan.mode, orders: orders.map(({ id, index, state: is, filled }) => ({ id, index, state: is, filled })) });
  const exposure = entries.reduce((sum, entry) => sum + (entry === undefined ? 0 : Number(entry.filled) * (entry.request.side === "buy" ? 1 : -1)), 0);
  const isStanding = (entry: (typeof entries)[number]): boolean => entry !== undefined && (entry.state !== "cancelled" || entry.filled !== "0");
  if (state === "completed") expect(entries.every(isStanding)).toBe(true);
  if (state === "rolled_back") expect(entries.some(isStanding), "nothing is left of it").toBe(false);
  if (state === "rollback_incomplete") expect(entries.some(isStanding), "something is left of it").toBe(true);
  const residual = state === "rollback_incomplete" && exposure !== 0 ? [{ symbol: INSTRUMENT.id, quantity: String(exposure) }] : [];
  expect(report).toMatchObject({ residual_exposure: residual });
  expect(plan.mode === "all_or_none" ? ["completed", "rolled_back", "rollback_incomplete"] : ["completed", "partial"]).toContain(state);
}
