/**
 * The states of an order, whatever is thrown at them: only ways that the table allows, fills only grow, and an end stays the end.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import type { BrokerOrder } from "../../src/ports/broker.ts";
import { type Order, ORDER_STATES } from "../../src/ports/orders.ts";
import { add, amountFault, compare, decimal, DIGITS_MAX, isMultiple, negated, plain } from "../../src/trading/decimal.ts";
import { isTerminal, LATE_ARRIVAL, newsOf, type OrderInput, step, TRANSITIONS } from "../../src/trading/order-machine.ts";

const NOW = micros(1_700_000_000_000_000);
const ORDER: Order = {
  id: "o1", owner: "key", clientOrderId: "c1", broker: "ledger", batchId: "b1", index: 0, trace: { requestId: "r", correlationId: "c" }, symbol: "sim:BTC-USD", side: "buy", type: "limit",
  quantity: "4", limitPrice: "100", stopPrice: null, timeInForce: "gtc", brokerOrderId: null, state: "pending", filled: "0", averagePrice: null, error: null, sentAt: null, createdAt: NOW, updatedAt: NOW, version: 0,
};
const why = { code: "scripted", message: "scripted" };
const anyReport = fc.record({ state: fc.oneof({ weight: 6, arbitrary: fc.constantFrom("accepted" as const, "partially_filled" as const) }, fc.constantFrom("filled" as const, "cancelled" as const, "rejected" as const)), filled: fc.constantFrom("0", "1", "2.5", "4") }).map(({ state, filled }): OrderInput => {
  const order: BrokerOrder = { clientOrderId: "o1", brokerOrderId: "L1", state, filled, averagePrice: filled === "0" ? null : "100", reason: null, updatedAt: NOW };
  return { type: "report", order };
});
const anyInput: fc.Arbitrary<OrderInput> = fc.oneof(anyReport, { weight: 2, arbitrary: fc.constantFrom<OrderInput>(
  { type: "send" }, { type: "skip", why }, { type: "refuse", why }, { type: "lose", why }, { type: "cancel" }, { type: "keep", why },
) });

describe("an order", () => {
  it("goes only where the table lets it, fills only grow, and an end stays the end", () => {
    const reached = new Set<string>();
    fc.assert(fc.property(fc.array(anyInput, { maxLength: 20, size: "max" }), (inputs) => {
      let order = ORDER;
      for (const input of inputs) {
        if (order.state === "pending" && input.type === "report") continue;
        const next = step(order, input, NOW);
        if (next.state !== order.state) {
          expect(TRANSITIONS[order.state]).toContain(next.state);
          reached.add(`${order.state} ${next.state}`);
        }
        expect(compare(decimal(next.filled), decimal(order.filled))).toBeGreaterThanOrEqual(0);
        expect(next.version).toBe(order.version);
        if (isTerminal(order.state)) expect(next.state).toBe(order.state);
        expect(step(next, input, NOW), "the same news twice change nothing").toBe(next);
        order = next;
      }
    }), { numRuns: 5000 });
    const table = ORDER_STATES.flatMap((from) => TRANSITIONS[from].map((to) => `${from} ${to}`));
    expect([...reached].toSorted(), "every way of the table is gone").toEqual(table.toSorted());
  });

  it("that was taken for refused and is at the broker says so", () => {
    const refused = [{ type: "send" }, { type: "refuse", why }] satisfies OrderInput[];
    const order = refused.reduce((before, input) => step(before, input, NOW), ORDER);
    const news: OrderInput = { type: "report", order: { clientOrderId: "o1", brokerOrderId: "L1", state: "accepted", filled: "0", averagePrice: null, reason: null, updatedAt: NOW } };
    expect(step(order, news, NOW)).toMatchObject({ state: "rejected", brokerOrderId: "L1", error: { code: LATE_ARRIVAL } });
  });

  it("believes the news that tell more, in whichever order they come", () => {
    fc.assert(fc.property(anyReport, anyReport, (a, b) => {
      const [x, y] = [newsOf(a, b), newsOf(b, a)];
      if (x.type !== "report" || y.type !== "report") throw new Error("expected reports");
      const isOver = (state: string): boolean => state === "filled" || state === "cancelled" || state === "rejected";
      expect(isOver(x.order.state)).toBe(isOver(y.order.state));
      if (x.order.state === y.order.state) expect(x.order.filled).toBe(y.order.filled);
    }));
  });
});

describe("decimals", () => {
  const anyDecimal = fc.tuple(fc.bigInt(-(10n ** 24n), 10n ** 24n), fc.nat(12)).map(([units, scale]) => ({ units, scale }));

  it("are added, compared and written exactly", () => {
    expect(plain(add(decimal("0.1"), decimal("0.2")))).toBe("0.3");
    fc.assert(fc.property(anyDecimal, anyDecimal, (a, b) => {
      const sum = add(a, b);
      expect(compare(add(sum, negated(b)), a)).toBe(0);
      expect(compare(decimal(plain(sum)), sum)).toBe(0);
      expect(Math.sign(compare(a, b))).toBe(-Math.sign(compare(b, a)) + 0);
    }));
  });

  it("of an order have at most 15 digits on either side, and are refused beyond, never rounded", () => {
    const nines = "9".repeat(DIGITS_MAX);
    for (const good of ["0.1", "1", "007.50", `${nines}.${nines}`, "0.000000000000001"]) expect(amountFault(good), good).toBeNull();
    for (const bad of ["", "0", "0.000", "-1", "+1", "1e3", ".5", "5.", " 1", "1,5", "NaN", "0x1f", `1${nines}`, `0.${nines}1`, "0.123456789012345678901234567890"]) expect(amountFault(bad), bad).not.toBeNull();
    expect(amountFault("0.123456789012345678901234567890")).toMatch(/found 0 and 29 .*not rounded/);
  });

  it("are multiples of a step or not", () => {
    expect([isMultiple(decimal("1.05"), 5, 2), isMultiple(decimal("1.051"), 5, 2), isMultiple(decimal("1.07"), 5, 2), isMultiple(decimal("2"), 25, 2)]).toEqual([true, false, false, true]);
  });
});
