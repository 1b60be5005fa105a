/**
 * Decimals, ids and redaction at the edge to brokers.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { derivedId, idWithin } from "../../../../src/adapters/brokers/derived-id.ts";
import { FollowedOrders } from "../../../../src/adapters/brokers/followed-orders.ts";
import { addDecimals, compareDecimals, decimalText, multiplyDecimals } from "../../../../src/adapters/brokers/foreign.ts";
import { indianDay, kiteTime } from "../../../../src/adapters/brokers/kite-time.ts";
import { Redaction } from "../../../../src/adapters/brokers/redaction.ts";
import { micros, microsFromRfc3339 } from "../../../../src/core/time.ts";
import type { BrokerOrder } from "../../../../src/ports/broker.ts";

describe("a decimal of a broker", () => {
  it.each([
    ["0.00000000", "0"], ["100.50", "100.5"], [109.4, "109.4"], [0.000001, "0.000001"], [1e-7, "0.0000001"], [1.5e21, "1500000000000000000000"],
    ["007", "7"], ["-3", "-3"], ["-0.0", "0"], ["1E+3", "1000"], ["12.", "12"], [99725.05000000002, "99725.05000000002"],
  ])("%o is %s", (value, text) => {
    expect(decimalText(value)).toBe(text);
  });

  it.each([undefined, null, "", "x", "1,5", Number.NaN, Number.POSITIVE_INFINITY, {}, "0x10", "1e9999", true])("is not %o", (value) => {
    expect(decimalText(value)).toBe(null);
  });

  it("is added, multiplied and compared exactly", () => {
    expect(addDecimals("0.1", "0.2")).toBe("0.3");
    expect(multiplyDecimals("0.1", "-0.2")).toBe("-0.02");
    const cents = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n });
    const text = (units: bigint): string => decimalText(`${units < 0n ? "-" : ""}${(units < 0n ? -units : units) / 100n}.${String((units < 0n ? -units : units) % 100n).padStart(2, "0")}`) ?? "";
    fc.assert(fc.property(cents, cents, (a, b) => {
      expect(addDecimals(text(a), text(b))).toBe(text(a + b));
      expect(compareDecimals(text(a), text(b))).toBe(a < b ? -1 : a > b ? 1 : 0);
    }));
  });
});

describe("an id for a broker", () => {
  it("is the same every time, of the length asked for, in lower-case letters and digits", () => {
    fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 48 }), (id, length) => {
      expect(derivedId(id, length)).toMatch(new RegExp(`^[0-9a-z]{${length}}$`));
      expect(derivedId(id, length)).toBe(derivedId(id, length));
    }));
  });

  it("differs for different ids", () => {
    expect(new Set(Array.from({ length: 20_000 }, (_, i) => derivedId(`order-${i}`, 20))).size).toBe(20_000);
  });

  it("is ours where the broker takes it, but never one that could be a derived one", () => {
    const within = (id: string): string => idWithin(id, /^[A-Za-z0-9_-]{1,32}$/, 28);
    expect(within("a-1")).toBe("a-1");
    for (const id of ["a/1", "x".repeat(33), derivedId("a/1", 28)]) expect(within(id)).toBe(derivedId(id, 28));
  });
});

describe("redaction", () => {
  it("takes out credentials, also encoded ones, and signatures, and shortens", () => {
    const clean = new Redaction(["p@ss/word", "", "key-1"]).of(`key-1 p@ss/word ${encodeURIComponent("p@ss/word")} ${btoa("p@ss/word")} a?timestamp=1&signature=abcdef&x=1 ${"z".repeat(1000)}`);
    expect(clean).toMatch(/^\[redacted] \[redacted] \[redacted] \[redacted] a\?timestamp=1&signature=\[redacted]&x=1 z+$/);
    expect(clean.length).toBe(500);
  });
});

describe("times of Kite", () => {
  it("are Indian, and the day there begins at half past six in the evening UTC", () => {
    expect(kiteTime("2021-05-31 15:20:28")).toBe(microsFromRfc3339("2021-05-31T09:50:28Z"));
    expect(kiteTime("15:20:28")).toBe(null);
    expect(indianDay(microsFromRfc3339("2021-05-31T18:29:59Z")) + 1).toBe(indianDay(microsFromRfc3339("2021-05-31T18:30:00Z")));
  });
});

describe("followed orders", () => {
  const order = (more: Partial<BrokerOrder> = {}): BrokerOrder => ({ clientOrderId: "a", brokerOrderId: "1", state: "accepted", filled: "0", averagePrice: null, reason: null, updatedAt: micros(1), ...more });

  it("are told once per change, never back in time, and never after their end", () => {
    const orders = new FollowedOrders(10);
    const partly = order({ state: "partially_filled", filled: "1", averagePrice: "2" });
    expect([order(), order(), partly, order(), partly].map((each) => orders.see("x", each))).toEqual([true, false, true, false, false]);
    const ended = order({ state: "cancelled", filled: "1", averagePrice: "2" });
    expect([ended, partly, order(), ended].map((each) => orders.see("x", each))).toEqual([true, false, false, false]);
    expect(orders.size).toBe(0);
  });

  it("are at most so many: the one looked at least recently is given up and counted", () => {
    const orders = new FollowedOrders(2);
    for (const clientOrderId of ["a", "b"]) orders.see("x", order({ clientOrderId }));
    expect(orders.next(1).map((each) => each.clientOrderId)).toEqual(["a"]);
    expect(orders.dropped).toBe(0);
    orders.see("x", order({ clientOrderId: "c" }));
    expect(orders.next(9).map((each) => each.clientOrderId)).toEqual(["a", "c"]);
    expect(orders.dropped).toBe(1);
  });
});
