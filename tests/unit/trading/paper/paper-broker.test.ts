/**
 * How the paper broker trades, by example: what a user sees of orders, cash and positions when book and tape move.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import type { BrokerRequest } from "../../../../src/ports/broker.ts";
import { quantity } from "../../../../src/market/price.ts";
import { micros } from "../../../../src/core/time.ts";
import { KnownIds } from "../../../../src/trading/paper/known-ids.ts";
import type { PaperOptions } from "../../../../src/trading/paper/paper-broker.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { BTC, exact, instrumentOf, NO_LEDGER, paperRig, ScriptedMarket } from "../../../support/paper-market.ts";

const OWNER = "key_1";
let ids = 0;

async function started(options: Partial<PaperOptions> = {}, market = new ScriptedMarket()) {
  const clock = new FakeClock();
  const rig = paperRig({ ledger: NO_LEDGER }, clock, { startBalance: exact("1000", 36), ...options }, market);
  rig.market.book(BTC, [["99", "1"], ["98", "2"]], [["101", "1"], ["102", "2"]]);
  await rig.broker.start();
  onTestFinished(() => rig.broker.stop());
  const last = new Map<string, string>();
  rig.broker.onUpdate(({ clientOrderId, state, filled, averagePrice }) => last.set(clientOrderId, `${state} ${filled} at ${averagePrice}`));
  const request = (more: Partial<BrokerRequest>): BrokerRequest => ({
    clientOrderId: `o${++ids}`, owner: OWNER, symbol: BTC, side: "buy", type: "limit", quantity: "1", limitPrice: "99", stopPrice: null, timeInForce: "gtc", ...more,
  });
  /** In short: `filled 1 at 101`, or the code of the rejection. */
  const place = async (more: Partial<BrokerRequest>) => {
    const asked = request(more);
    const outcome = await rig.broker.place(asked);
    const text = outcome.type === "accepted" ? `${outcome.order.state} ${outcome.order.filled} at ${outcome.order.averagePrice}` : outcome.type === "rejected" ? outcome.code : outcome.type;
    return { text, outcome, id: asked.clientOrderId, now: () => last.get(asked.clientOrderId), asked };
  };
  const market1 = (side: "buy" | "sell", size: string, more: Partial<BrokerRequest> = {}) => place({ side, type: "market", limitPrice: null, quantity: size, ...more });
  /** After what is under way is durable and told. */
  const settled = () => rig.broker.account(OWNER);
  const trade: typeof rig.trade = (...args) => {
    clock.advance(1);
    rig.trade(...args);
  };
  return { ...rig, trade, clock, request, place, market1, settled };
}

describe("a market order", () => {
  it("walks the depth, best price first, and costs what the levels ask", async () => {
    const { market1, broker } = await started();
    expect((await market1("buy", "2.5")).text).toBe("filled 2.5 at 101.6");
    expect((await broker.account(OWNER)).balances).toEqual([{ currency: "USD", total: "746", available: "746" }]);
    expect(await broker.positions(OWNER)).toEqual([{ symbol: BTC, quantity: "2.5", averagePrice: "101.6" }]);
    expect((await market1("sell", "1.5")).text).toBe("filled 1.5 at 98.666667");
    expect((await broker.account(OWNER)).balances).toEqual([{ currency: "USD", total: "894", available: "894" }]);
  });

  it("is cancelled for the rest when the depth is not enough, and cannot take the same depth twice", async () => {
    const { market1, market } = await started();
    const first = await market1("buy", "5");
    expect(first.text).toBe("cancelled 3 at 101.666667");
    expect(first.outcome).toMatchObject({ order: { reason: expect.stringContaining("depth") } });
    expect((await market1("buy", "1")).text).toBe("no_market");
    market.book(BTC, [["99", "1"]], [["101", "1"]]);
    expect((await market1("buy", "1")).text).toBe("filled 1 at 101");
  });

  it("is all or nothing with fok, and rejected without a book", async () => {
    const { market1, market } = await started();
    expect((await market1("buy", "5", { timeInForce: "fok" })).text).toBe("cancelled 0 at null");
    expect((await market1("buy", "3", { timeInForce: "fok" })).text).toBe("filled 3 at 101.666667");
    market.noBook(BTC);
    expect((await market1("buy", "1")).text).toBe("no_market");
  });

  it("counts 0.1 and 0.2 as 0.3, exactly", async () => {
    const { market1, broker } = await started();
    await market1("buy", "0.1");
    await market1("buy", "0.2");
    expect(await broker.positions(OWNER)).toMatchObject([{ quantity: "0.3" }]);
  });
});

describe("a limit order", () => {
  it("takes what the book offers within its limit and rests with what is left", async () => {
    const { place, broker } = await started();
    expect((await place({ limitPrice: "101", quantity: "3" })).text).toBe("partially_filled 1 at 101");
    expect((await broker.account(OWNER)).balances).toEqual([{ currency: "USD", total: "899", available: "697" }]);
  });

  it("does not rest with ioc and fok", async () => {
    const { place } = await started();
    expect((await place({ limitPrice: "101", quantity: "3", timeInForce: "fok" })).text).toBe("cancelled 0 at null");
    expect((await place({ limitPrice: "101", quantity: "3", timeInForce: "ioc" })).text).toBe("cancelled 1 at 101");
    expect((await place({ limitPrice: "100", timeInForce: "ioc" })).text).toBe("cancelled 0 at null");
  });

  it("waits for the size that was there before it, then fills as the tape goes on", async () => {
    const { place, trade, settled } = await started();
    const order = await place({ limitPrice: "99", quantity: "2" });
    trade("99", "0.6", "sell");
    await settled();
    expect(order.now()).toBe("accepted 0 at null");
    trade("99", "0.9", "sell");
    await settled();
    expect(order.now()).toBe("partially_filled 0.5 at 99");
    trade("99", "9", "sell");
    await settled();
    expect(order.now()).toBe("filled 2 at 99");
  });

  it("fills at its own price when a trade goes through it, whatever was ahead, by at most the size of the trade", async () => {
    const { place, trade, settled } = await started();
    const better = await place({ limitPrice: "99", quantity: "2" });
    const worse = await place({ limitPrice: "98.5", quantity: "2" });
    trade("98", "3");
    await settled();
    expect([better.now(), worse.now()]).toEqual(["filled 2 at 99", "partially_filled 1 at 98.5"]);
  });

  it("is not reached at its price by a trade whose aggressor was on its own side, nor by one from before it rested", async () => {
    const { place, trade, broker, market, settled, clock } = await started();
    const order = await place({ limitPrice: "100" });
    trade("100", "5", "buy");
    broker.trade({ instrument: market.find(BTC) ?? instrumentOf(BTC), price: 9900, size: 50_000, side: "sell", received: micros(clock.nowMicros() - 2000) });
    await settled();
    expect(order.now()).toBe("accepted 0 at null");
    trade("100", "5", "sell");
    await settled();
    expect(order.now()).toBe("filled 1 at 100");
  });

  it("fills by the times of a recording when one is replayed", async () => {
    const replayed = instrumentOf(BTC, { timeBase: "event" });
    const { place, broker, settled } = await started({}, new ScriptedMarket(replayed));
    const order = await place({ limitPrice: "100" });
    broker.trade({ instrument: replayed, price: 9900, size: 50_000, side: "sell", received: micros(1) });
    await settled();
    expect(order.now()).toBe("filled 1 at 100");
  });

  it("rests without any book", async () => {
    const { place, market } = await started();
    market.noBook(BTC);
    expect((await place({ limitPrice: "500" })).text).toBe("accepted 0 at null");
  });
});

describe("a stop order", () => {
  it("waits for a trade at its price and then takes the book", async () => {
    const { place, market1, trade, settled } = await started();
    await market1("buy", "1");
    const stop = await place({ side: "sell", type: "stop", limitPrice: null, stopPrice: "98.5" });
    const rise = await place({ type: "stop", limitPrice: null, stopPrice: "103", quantity: "2" });
    trade("98.6", "9");
    await settled();
    expect(stop.now()).toBe("accepted 0 at null");
    trade("98.5", "0.1");
    await settled();
    expect([stop.now(), rise.now()]).toEqual(["filled 1 at 99", "accepted 0 at null"]);
    trade("104", "0.1");
    await settled();
    expect(rise.now()).toBe("filled 2 at 102");
  });

  it("with a limit becomes one, behind those who rest already", async () => {
    const { place, trade, settled } = await started();
    const stop = await place({ type: "stop_limit", limitPrice: "100", stopPrice: "103" });
    const first = await place({ limitPrice: "100" });
    trade("103", "1", "buy");
    await settled();
    expect(stop.now()).toBe("accepted 0 at null");
    trade("100", "1.5", "sell");
    await settled();
    expect([first.now(), stop.now()]).toEqual(["filled 1 at 100", "partially_filled 0.5 at 100"]);
  });

  it("is cancelled when the book asks more than the account has, and spends nothing", async () => {
    const { place, market, trade, settled } = await started();
    const stop = await place({ type: "stop", limitPrice: null, stopPrice: "110", quantity: "9" });
    market.book(BTC, [["120", "9"]], [["121", "9"]]);
    trade("110", "1");
    expect((await settled()).balances).toEqual([{ currency: "USD", total: "1000", available: "1000" }]);
    expect(stop.now()).toBe("cancelled 0 at null");
  });
});

describe("the account", () => {
  it("pays a maker's and a taker's fee, exactly", async () => {
    const { place, market1, trade, settled } = await started({ makerRate: 1000n, takerRate: 2500n });
    await market1("buy", "1");
    expect((await settled()).balances[0]?.total).toBe("898.7475");
    await place({ limitPrice: "99.5", quantity: "0.0001" });
    trade("99.5", "2", "sell");
    expect((await settled()).balances[0]?.total).toBe("898.73754005");
  });

  it("binds what open orders may cost, to the last unit, and gives it back", async () => {
    const { place, broker } = await started({ takerRate: 10_000n });
    expect((await place({ limitPrice: "100", quantity: "9.9010" })).text).toBe("insufficient_funds");
    const order = await place({ limitPrice: "100", quantity: "9.9009" });
    expect((await broker.account(OWNER)).balances).toEqual([{ currency: "USD", total: "1000", available: "0.0091" }]);
    expect((await place({ limitPrice: "1", quantity: "0.0091" })).text).toBe("insufficient_funds");
    await broker.cancel(order.asked);
    expect((await broker.account(OWNER)).balances).toEqual([{ currency: "USD", total: "1000", available: "1000" }]);
  });

  it("sells nothing that it does not hold, or that another order sells already", async () => {
    const { place, market1 } = await started();
    expect((await place({ side: "sell", limitPrice: "200", quantity: "0.0001" })).text).toBe("insufficient_position");
    await market1("buy", "1");
    expect((await place({ side: "sell", limitPrice: "200", quantity: "0.6" })).text).toBe("accepted 0 at null");
    expect((await place({ side: "sell", limitPrice: "200", quantity: "0.4001" })).text).toBe("insufficient_position");
    expect((await place({ side: "sell", limitPrice: "200", quantity: "0.4" })).text).toBe("accepted 0 at null");
  });

  it("is the owner's own, one amount per currency of pairs", async () => {
    const { broker, market1 } = await started({}, new ScriptedMarket(instrumentOf(BTC), instrumentOf("sim:ETH-EUR"), instrumentOf("nse:INFY")));
    await market1("buy", "1");
    expect((await broker.account("key_2")).balances).toEqual([{ currency: "EUR", total: "1000", available: "1000" }, { currency: "USD", total: "1000", available: "1000" }]);
    expect(await broker.positions("key_2")).toEqual([]);
  });
});

describe("an order is refused", () => {
  const halted = instrumentOf("sim:OLD-USD", { state: "halted" });
  const rough = instrumentOf("sim:LOT-USD", { lotSize: quantity(5) });
  it.each<[what: string, more: Partial<BrokerRequest>, message: RegExp]>([
    ["of an unknown instrument", { symbol: "sim:NONE" }, /^symbol: unknown instrument "sim:NONE"/],
    ["of one that is not traded", { symbol: halted.id }, /^symbol: sim:OLD-USD is halted/],
    ["between ticks", { limitPrice: "99.005" }, /^limit_price: expected a multiple of 0\.01, found "99\.005"/],
    ["between lots", { symbol: rough.id, quantity: "0.0007" }, /^quantity: expected a multiple of 0\.0005/],
    ["with thirty digits", { quantity: "0.123456789012345678901234567890" }, /^quantity: expected a plain decimal above 0 with at most 15 decimals/],
    ["with a quantity of nothing", { quantity: "0" }, /^quantity: expected a plain decimal above 0/],
    ["with words", { quantity: "1e3" }, /^quantity: .*found "1e3"/],
    ["as a limit without a limit", { limitPrice: null }, /^limit_price: a limit order needs it/],
    ["as a market order with one", { type: "market" }, /^limit_price: a market order has none/],
    ["as a stop without a stop", { type: "stop", limitPrice: null }, /^stop_price: a stop order needs it/],
  ])("%s", async (_, more, message) => {
    const { place, broker, request } = await started({}, new ScriptedMarket(instrumentOf(BTC), halted, rough));
    const { outcome, text } = await place(more);
    expect(text).toBe("invalid_order");
    if (outcome.type === "rejected") expect(outcome.reason).toMatch(message);
    const [fault, ...others] = await broker.check([request({}), request(more)]);
    expect(others).toEqual([]);
    expect(`${fault?.path}: ${fault?.message}`).toMatch(message);
    expect(fault?.index).toBe(1);
  });

  it("beyond the open orders of an owner, and beyond those of all", async () => {
    const { place, broker } = await started({ openPerOwnerMax: 2, openMax: 3 });
    const first = await place({ quantity: "0.1" });
    expect((await place({ quantity: "0.1" })).text).toBe("accepted 0 at null");
    expect((await place({ quantity: "0.1" })).text).toBe("too_many_open_orders");
    expect((await place({ quantity: "0.1", owner: "key_2" })).text).toBe("accepted 0 at null");
    expect((await place({ quantity: "0.1", owner: "key_3" })).text).toBe("too_many_open_orders");
    await broker.cancel(first.asked);
    expect((await place({ quantity: "0.1" })).text).toBe("accepted 0 at null");
  });
});

describe("a check", () => {
  it("counts the orders of a batch together, and changes nothing", async () => {
    const { broker, request, market1 } = await started();
    await market1("buy", "1");
    const batch = [request({ limitPrice: "99", quantity: "5" }), request({ limitPrice: "99", quantity: "5" }), request({ side: "sell", limitPrice: "200" }), request({ side: "sell", limitPrice: "200", quantity: "0.0001" })];
    const faults = await broker.check(batch);
    expect(faults.map(({ index, path }) => [index, path])).toEqual([[1, "quantity"], [3, "quantity"]]);
    expect((await broker.account(OWNER)).balances[0]?.available).toBe("899");
    expect(await broker.check([request({ type: "market", limitPrice: null, quantity: "2" }), request({ type: "market", limitPrice: null })])).toMatchObject([{ index: 1, path: "symbol" }]);
  });
});

describe("what it remembers of client order ids", () => {
  it("never misses one that was used, and rarely suspects a new one", () => {
    const known = new KnownIds();
    for (let i = 0; i < 100_000; i++) known.add({ owner: `key_${i % 7}`, clientOrderId: `a-${i}` });
    let suspected = 0;
    for (let i = 0; i < 100_000; i++) {
      if (!known.mayHave({ owner: `key_${i % 7}`, clientOrderId: `a-${i}` })) throw new Error(`a-${i} was forgotten`);
      if (known.mayHave({ owner: `key_${i % 7}`, clientOrderId: `b-${i}` })) suspected++;
    }
    expect(suspected).toBeLessThan(100);
  });
});
