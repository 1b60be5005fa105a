/**
 * The Alpaca broker against its loopback broker: the contract of all brokers, what it makes of faults, and Alpaca's own answers.
 */
import { expect, it, onTestFinished } from "vitest";
import { openContractHarness } from "../support/broker-harness.ts";
import { ALPACA, openRig, type RemoteRig } from "../support/remote-rig.ts";
import { brokerContract } from "./broker.contract.ts";
import { remoteBrokerContract } from "./remote-broker.contract.ts";

brokerContract("alpaca", () => openContractHarness(ALPACA));
remoteBrokerContract(ALPACA);

async function opened(): Promise<RemoteRig> {
  const rig = await openRig(ALPACA);
  onTestFinished(() => rig.stop());
  return rig;
}

it("alpaca: sends decimals as they are, one request an order", async () => {
  const rig = await opened();
  const request = rig.request({ quantity: "0.300000000000000001", limitPrice: "100.10" });
  expect(await rig.broker.place(request)).toMatchObject({ type: "accepted" });
  expect(rig.loopback.ledger.orders).toMatchObject([{ quantity: "0.300000000000000001", price: "100.10", symbol: "AAPL" }]);
  expect(rig.loopback.asked).toEqual(["POST /v2/orders"]);
});

it("alpaca: shows positions under our instruments, and the account", async () => {
  const rig = await opened();
  expect(await rig.broker.positions("owner-1")).toEqual([{ symbol: "nasdaq:AAPL", quantity: "5", averagePrice: "100" }]);
  expect(await rig.broker.account("owner-1")).toEqual({ balances: [{ currency: "USD", total: "500000.25", available: "499999.75" }] });
});

it("alpaca: says which order of a batch is the first that the buying power does not cover", async () => {
  const rig = await opened();
  const request = (): ReturnType<RemoteRig["request"]> => rig.request({ quantity: "5000", limitPrice: "100.00" });
  expect(await rig.broker.check([request(), request()])).toEqual([]);
  expect(await rig.broker.check([request(), request(), request()])).toMatchObject([{ index: 2, path: "quantity" }]);
});

it("alpaca: takes crypto with gtc and ioc only", async () => {
  const rig = await opened();
  const crypto = { symbol: "alpaca:BTC-USD" };
  expect(await rig.broker.check([rig.request(crypto), rig.request({ ...crypto, timeInForce: "day" })])).toMatchObject([{ index: 1, path: "time_in_force" }]);
  expect(await rig.broker.place(rig.request(crypto))).toMatchObject({ type: "accepted" });
  expect(rig.loopback.ledger.orders).toMatchObject([{ symbol: "BTC/USD" }]);
});
