/**
 * Orders of the whole service at brokers over the network: what HTTP answers equals the brokers' own books, faults or not.
 */
import { randomUUID } from "node:crypto";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock, wait } from "../../src/core/clock.ts";
import { ALPACA_KEY, ALPACA_SECRET, startLoopbackAlpaca } from "../support/loopback-broker-alpaca.ts";
import { BINANCE_KEY, BINANCE_SECRET, startLoopbackBinance } from "../support/loopback-broker-binance.ts";
import type { LoopbackBroker } from "../support/loopback-broker.ts";
import { startService, type RunningService } from "../support/start-service.ts";
import { list, member } from "../support/venue-data.ts";

const KEY = `tk_${"t".repeat(40)}`;
const COMMON = {
  BOOTSTRAP_API_KEYS: `trade:${KEY}`, RATE_LIMITS: "off", TICKER_BROKER_VENUES: "sim", TICKER_BROKER_DEADLINE_MS: "400", TICKER_BROKER_SETTLE_MS: "300",
  TICKER_ORDER_ABSENT_SETTLE_MS: "300", TICKER_BROKER_POLL_MS: "30", TICKER_BROKER_CONFIRM_MS: "500", TICKER_BROKER_CONFIRM_EVERY_MS: "10",
};

const BROKERS = [
  ["ccxt", startLoopbackBinance, { TICKER_BROKER: "ccxt", TICKER_CCXT_API_KEY: BINANCE_KEY, TICKER_CCXT_SECRET: BINANCE_SECRET }, [BINANCE_KEY, BINANCE_SECRET]],
  ["alpaca", startLoopbackAlpaca, { TICKER_BROKER: "alpaca", TICKER_ALPACA_KEY_ID: ALPACA_KEY, TICKER_ALPACA_SECRET_KEY: ALPACA_SECRET }, [ALPACA_KEY, ALPACA_SECRET]],
] as const;

const leg = (more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({ symbol: "sim:BTC-USD", side: "buy", type: "limit", quantity: "0.3", limit_price: "90.50", time_in_force: "gtc", ...more });

async function asked(service: RunningService, method: string, path: string, body: unknown = null): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${service.page}${path}`, {
    method, headers: { "x-api-key": KEY, "content-type": "application/json", "idempotency-key": randomUUID() }, body: body === null ? null : JSON.stringify(body),
  });
  const parsed: unknown = JSON.parse(await answer.text());
  return { status: answer.status, body: parsed };
}

/** Asks until it is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const ends = performance.now() + 10_000; !(await isSo()); await wait(systemClock, 5)) if (performance.now() > ends) throw new Error("not within 10 s");
}

describe.each(BROKERS)("orders at %s", (_, start, environment, secrets) => {
  const opened = async (): Promise<{ service: RunningService; broker: LoopbackBroker }> => {
    const broker = await start();
    onTestFinished(() => broker.stop());
    const service = await startService({ env: { ...COMMON, ...environment, TICKER_BROKER_URL: broker.url } });
    onTestFinished(() => service.stop().then(() => undefined));
    await until(async () => (await fetch(`${service.page}/health/readiness`)).status === 200);
    return { service, broker };
  };

  it("are completed although an answer was lost, filled as the broker fills them, and each is there once", async () => {
    const { service, broker } = await opened();
    broker.faults.place.push("slow", "drop_after");
    const batch = await asked(service, "POST", "/v1/orders/batch", { mode: "all_or_none", orders: [leg(), leg(), leg()] });
    expect(batch).toMatchObject({ status: 201, body: { state: "completed" } });
    expect(broker.ledger.orders).toHaveLength(3);
    const [first] = broker.ledger.orders;
    if (first !== undefined) broker.ledger.fill(first, "0.3", first.updatedMs);
    const id = String(member(list(member(batch.body, "orders"))[0], "id"));
    await until(async () => member((await asked(service, "GET", `/v1/orders/${id}`)).body, "state") === "filled");
    for (const secret of secrets) expect(service.output()).not.toContain(secret);
  });

  it("are rolled back when a leg is refused, and nothing stays open at the broker", async () => {
    const { service, broker } = await opened();
    broker.faults.place.push("slow", "slow", "refuse");
    const batch = await asked(service, "POST", "/v1/orders/batch", { mode: "all_or_none", orders: [leg(), leg(), leg()] });
    expect(batch).toMatchObject({ status: 409, body: { state: "rolled_back", residual_exposure: [] } });
    expect(broker.ledger.orders.map(({ state }) => state)).toEqual(["cancelled", "cancelled"]);
  });

  it("leave an exact residual exposure when one was filled while it was being cancelled", async () => {
    const { service, broker } = await opened();
    broker.faults.place.push("slow", "refuse");
    broker.faults.cancel.push("fill_first");
    const batch = await asked(service, "POST", "/v1/orders/batch", { mode: "all_or_none", orders: [leg(), leg()] });
    expect(batch).toMatchObject({ status: 502, body: { state: "rollback_incomplete", residual_exposure: [{ symbol: "sim:BTC-USD", quantity: "0.3" }] } });
    expect(broker.ledger.orders.map(({ state }) => state)).toEqual(["filled"]);
  });

  it("are found again by the next process after a kill, and not placed twice", async () => {
    const broker = await start();
    onTestFinished(() => broker.stop());
    const env = { ...COMMON, ...environment, TICKER_BROKER_URL: broker.url };
    const before = await startService({ env });
    await until(async () => (await fetch(`${before.page}/health/readiness`)).status === 200);
    broker.slowMs = 200;
    broker.faults.place.push("slow", "silent_after");
    void asked(before, "POST", "/v1/orders/batch", { mode: "best_effort", orders: [leg(), leg()] }).catch(() => null);
    await until(() => Promise.resolve(broker.asked.some((request) => request.startsWith("POST"))));
    before.signal("SIGKILL");
    await before.exited;
    const after = await startService({ env, dataDir: before.dataDir });
    onTestFinished(async () => {
      await after.stop();
      await before.stop();
    });
    await until(async () => {
      const orders = list(member((await asked(after, "GET", "/v1/orders")).body, "items"));
      return orders.length === 2 && orders.every((order) => ["accepted", "rejected"].includes(String(member(order, "state"))));
    });
    const orders = list(member((await asked(after, "GET", "/v1/orders")).body, "items"));
    expect(orders.filter((order) => member(order, "state") === "accepted")).toHaveLength(broker.ledger.orders.length);
  });
});
