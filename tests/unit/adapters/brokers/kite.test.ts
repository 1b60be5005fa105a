/**
 * Kite's recorded answers as we read them, and what of its order book proves that an order is absent.
 */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { describe, expect, it, onTestFinished } from "vitest";
import { KiteWire } from "../../../../src/adapters/brokers/kite.ts";
import { kiteOrder } from "../../../../src/adapters/brokers/kite-order.ts";
import { traced } from "../../../../src/adapters/brokers/outgoing.ts";
import type { WireAnswer } from "../../../../src/adapters/brokers/wire.ts";
import { micros, microsFromRfc3339 } from "../../../../src/core/time.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { list, member } from "../../../support/venue-data.ts";

const folder = new URL("../../../../../shared/data/kite/", import.meta.url);
const hasAnswers = existsSync(new URL("orders.json", folder));
if (!hasAnswers) console.log("Kite's recorded answers are absent: tests on them are skipped");

const NOW = microsFromRfc3339("2021-05-31T10:00:00Z");

/** A Kite that answers a path with a text, and a wire that asks it. */
async function kiteOf(answers: Readonly<Record<string, string>>): Promise<KiteWire> {
  const server = createServer((request, response) => {
    const body = answers[`${request.method} ${request.url}`];
    response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" }).end(body ?? "{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  return new KiteWire({ url: `http://127.0.0.1:${port}`, apiKey: "k", accessToken: "t", product: "CNC", clock: new FakeClock(NOW) });
}

const ask = <T>(call: () => Promise<WireAnswer<T>>): Promise<WireAnswer<T>> => traced(new AbortController().signal, call);
const recorded = (name: string): string => readFileSync(new URL(`${name}.json`, folder), "utf8");
const request = { clientOrderId: "a", owner: "o", symbol: "nse:INFY", side: "buy", type: "limit", quantity: "1", limitPrice: "10", stopPrice: null, timeInForce: "day" } as const;

describe.skipIf(!hasAnswers)("Kite's recorded answers", () => {
  it("hold orders that were filled, cancelled and rejected, at Indian times", () => {
    const orders = list(member(JSON.parse(recorded("orders")), "data")).map((each) => kiteOrder(each, NOW));
    expect(orders).not.toContain(null);
    expect(orders[0]).toMatchObject({ state: "cancelled", filled: "0", averagePrice: null, updatedAt: microsFromRfc3339("2021-05-31T03:48:58Z") });
    expect(orders[1]).toMatchObject({ state: "filled", filled: "1", averagePrice: "109.4", isPending: false });
    const states = list(member(JSON.parse(recorded("orders")), "data")).map((each) => member(each, "status"));
    expect(orders.filter((order) => order?.state === "rejected").length).toBe(states.filter((status) => status === "REJECTED").length);
  });

  it("show an order on its way: pending until the exchange has it", () => {
    const way = list(member(JSON.parse(recorded("order_info")), "data")).map((each) => kiteOrder(each, NOW));
    expect(way.slice(0, 4).map((order) => [order?.state, order?.isPending])).toEqual([["accepted", true], ["accepted", true], ["accepted", true], ["accepted", false]]);
  });

  it("are read as the answers to placing, cancelling, and to questions about the account", async () => {
    const wire = await kiteOf({
      "POST /orders/regular": recorded("order_response"), "DELETE /orders/regular/151220000000000": recorded("order_cancel"),
      "GET /user/margins": recorded("margins"), "GET /portfolio/positions": recorded("positions"),
    });
    expect(await ask(() => wire.place(request, "tag1"))).toMatchObject({ type: "ok", value: { id: "tag1", brokerOrderId: "151220000000000", isPending: true } });
    expect(await ask(() => wire.cancel({ id: "tag1", brokerOrderId: "151220000000000", symbol: "nse:INFY", sentAt: null }))).toEqual({ type: "ok", value: null });
    expect(await ask(() => wire.account())).toEqual({ type: "ok", value: { balances: [{ currency: "INR", total: "346093.3", available: "200386.75000000002" }] } });
    expect(await ask(() => wire.positions())).toEqual({ type: "ok", value: [{ symbol: "mcx:LEADMINI17DECFUT", quantity: "1", averagePrice: "161.05" }] });
  });
});

describe("what Kite's order book proves", () => {
  const reference = (sentAt: number | null) => ({ id: "tag1", brokerOrderId: null, symbol: "nse:INFY", sentAt: sentAt === null ? null : micros(sentAt) });
  const order = (id: string, tag: string): unknown => ({ order_id: id, status: "OPEN", filled_quantity: 0, average_price: 0, tag, order_timestamp: "2021-05-31 15:20:28" });
  const book = (...orders: unknown[]): Record<string, string> => ({ "GET /orders": JSON.stringify({ status: "success", data: orders }) });

  it("is that an order sent today is absent; of any other it proves nothing", async () => {
    const wire = await kiteOf(book());
    expect(await ask(() => wire.find(reference(NOW - 3_600_000_000)))).toEqual({ type: "absent" });
    expect(await ask(() => wire.find(reference(NOW - 86_400_000_000)))).toMatchObject({ type: "unknown" });
    expect(await ask(() => wire.find(reference(null)))).toMatchObject({ type: "unknown" });
  });

  it("is nothing at all when two orders carry one tag, or one cannot be read", async () => {
    const twice = await kiteOf(book(order("1", "tag1"), order("2", "tag1")));
    expect(await ask(() => twice.find(reference(NOW)))).toMatchObject({ type: "unknown", reason: "2 orders carry the tag tag1" });
    const broken = await kiteOf(book({ tag: "other" }));
    expect(await ask(() => broken.find(reference(NOW)))).toMatchObject({ type: "unknown" });
  });

  it("is the order with our tag among orders of others", async () => {
    const wire = await kiteOf(book({ order_id: "9", tag: null }, order("1", "tag1"), order("2", "tag2")));
    expect(await ask(() => wire.find(reference(null)))).toMatchObject({ type: "ok", value: { brokerOrderId: "1" } });
  });

  it.each([["gtc", "1", "nse:INFY", "time_in_force"], ["day", "0.5", "nse:INFY", "quantity"], ["day", "0", "nse:INFY", "quantity"], ["day", "1", "sim:BTC-USD", "symbol"]] as const)("cannot begin with an order of %s, %s, %s: %s is refused here", async (timeInForce, quantity, symbol, path) => {
    const wire = await kiteOf({});
    expect(wire.faultsOf({ ...request, timeInForce, quantity, symbol }).map((fault) => fault.path)).toEqual([path]);
    expect(wire.faultsOf({ ...request, quantity: "1.0" })).toEqual([]);
  });
});
