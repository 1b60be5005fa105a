/**
 * The ccxt broker against its loopback broker: the contract of all brokers, what it makes of faults, and what ccxt alone needs.
 */
import { expect, it, onTestFinished } from "vitest";
import { CcxtWire } from "../../src/adapters/brokers/ccxt.ts";
import { openContractHarness } from "../support/broker-harness.ts";
import { BINANCE_KEY, BINANCE_SECRET } from "../support/loopback-broker-binance.ts";
import { CCXT, LIMITS, openRig, type RemoteRig, type Vendor } from "../support/remote-rig.ts";
import { brokerContract } from "./broker.contract.ts";
import { remoteBrokerContract } from "./remote-broker.contract.ts";

brokerContract("ccxt", () => openContractHarness(CCXT));
remoteBrokerContract(CCXT);

async function opened(vendor: Vendor = CCXT): Promise<RemoteRig> {
  const rig = await openRig(vendor);
  onTestFinished(() => rig.stop());
  return rig;
}

it("ccxt: an order that reaches the exchange after its time is refused there, so that absent stays true", async () => {
  const wire: Vendor["wire"] = (url, clock) => new CcxtWire({ exchange: "binance", venues: ["binance"], url, isTest: true, apiKey: BINANCE_KEY, secret: BINANCE_SECRET, password: "", clock, validMs: 100 });
  const rig = await opened({ ...CCXT, wire });
  rig.loopback.lateMs = 200;
  rig.loopback.faults.place.push("late");
  expect(await rig.broker.place(rig.request())).toMatchObject({ type: "unknown" });
  await rig.loopback.settled();
  expect(rig.loopback.ledger.orders).toEqual([]);
});

it("ccxt: sends exactly the decimals that were asked for, or nothing", async () => {
  const rig = await opened();
  for (const quantity of ["0.30000000", "0.00012", "9.87654"]) {
    const request = rig.request({ quantity, limitPrice: "50000.10" });
    expect(await rig.broker.place(request)).toMatchObject({ type: "accepted" });
    expect(Number(rig.loopback.ledger.byClient(rig.idOf(request.clientOrderId))[0]?.quantity)).toBe(Number(quantity));
  }
  const held = rig.loopback.ledger.orders.length;
  for (const wrong of [{ quantity: "0.000001" }, { quantity: "0.300000000000000001" }, { limitPrice: "90.505" }, { quantity: "9000.00001" }, { quantity: "0.01" }, { timeInForce: "day" }] as const) {
    const request = rig.request(wrong);
    expect((await rig.broker.check([request])).length).toBeGreaterThan(0);
    expect(await rig.broker.place(request)).toMatchObject({ type: "rejected", code: "invalid_order" });
  }
  expect(rig.loopback.ledger.orders).toHaveLength(held);
});

it("ccxt: says which order of a batch is the first that the balance does not cover", async () => {
  const rig = await opened();
  const request = (): ReturnType<RemoteRig["request"]> => rig.request({ quantity: "2000", limitPrice: "100.00" });
  expect(await rig.broker.check([request(), request()])).toEqual([]);
  expect(await rig.broker.check([request(), request(), request()])).toMatchObject([{ index: 2, path: "quantity" }]);
});

it("ccxt: market, ioc and stop orders are sent as the exchange knows them", async () => {
  const rig = await opened();
  expect(await rig.broker.place(rig.request({ type: "market", limitPrice: null }))).toMatchObject({ type: "accepted", order: { state: "filled", filled: "0.3", averagePrice: "100" } });
  expect(await rig.broker.place(rig.request({ timeInForce: "ioc" }))).toMatchObject({ type: "accepted", order: { state: "cancelled", filled: "0" } });
  expect(await rig.broker.place(rig.request({ type: "stop_limit", stopPrice: "95.00" }))).toMatchObject({ type: "accepted", order: { state: "accepted" } });
  expect(await rig.broker.place(rig.request({ type: "stop", limitPrice: null, stopPrice: "95.00" }))).toMatchObject({ type: "accepted", order: { state: "accepted" } });
  expect(rig.loopback.ledger.orders.map(({ isStop, isLimited }) => [isStop, isLimited])).toEqual([[false, false], [false, true], [true, true], [true, false]]);
});

it("ccxt: sends no more at a time than allowed, and says that the rest was not sent", async () => {
  const rig = await openRig(CCXT, { limits: { callsMax: 2, deadlineMs: LIMITS.deadlineMs * 4 } });
  onTestFinished(() => rig.stop());
  await rig.broker.account("owner-1");
  rig.loopback.slowMs = 100;
  rig.loopback.faults.read.push("slow", "slow");
  const outcomes = await Promise.all([1, 2, 3].map(() => rig.broker.place(rig.request())));
  expect(outcomes.map(({ type }) => type)).toEqual(["accepted", "accepted", "rejected"]);
  expect(rig.loopback.ledger.orders).toHaveLength(2);
});
