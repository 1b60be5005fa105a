/**
 * A remote broker as the contract suite of all brokers wants to see it.
 */
import { systemClock, wait } from "../../src/core/clock.ts";
import type { Broker } from "../../src/ports/broker.ts";
import type { BrokerHarness } from "../contract/broker.contract.ts";
import { LIMITS, openRig, type Vendor } from "./remote-rig.ts";

/** As an executor uses it: it knows when its orders were sent, and sends what the broker takes. */
function used(broker: Broker, { timeInForce }: Vendor): Broker {
  return {
    name: broker.name, broker: broker.broker,
    start: () => broker.start(), stop: () => broker.stop(),
    check: (requests) => broker.check(requests.map((request) => ({ ...request, timeInForce }))),
    place: (request) => broker.place({ ...request, timeInForce }),
    cancel: (order) => broker.cancel(order),
    find: (order) => broker.find({ ...order, sentAt: systemClock.nowMicros() }),
    positions: (owner) => broker.positions(owner), account: (owner) => broker.account(owner),
    onUpdate: (listener) => broker.onUpdate(listener),
  };
}

export async function openContractHarness(vendor: Vendor): Promise<BrokerHarness> {
  const rig = await openRig(vendor, { limits: { settleMs: 0 } });
  return {
    broker: used(rig.broker, vendor), owner: "owner-1", symbol: vendor.symbol, limitPrice: vendor.limitPrice, quantity: vendor.quantity,
    firstFill: vendor.parts[0], secondFill: vendor.parts[1], refused: vendor.refused,
    fill: (order, quantity) => {
      const [booked] = rig.loopback.ledger.byClient(rig.idOf(order.clientOrderId));
      if (booked === undefined) throw new Error(`expected an order of ${order.clientOrderId} in the books`);
      rig.loopback.ledger.fill(booked, quantity, systemClock.nowMicros() / 1000);
      return Promise.resolve();
    },
    tick: () => wait(systemClock, LIMITS.pollMs),
    stop: () => rig.stop(),
  };
}
