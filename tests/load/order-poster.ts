/**
 * Posts batches of ten orders to a service, at a pace or so many at a time: in a process of its own, so that it does not
 * disturb whoever measures the stream.
 *
 * Market orders, half of them buys and half sells of the same size, so that neither balances nor open orders grow.
 */
import { randomUUID } from "node:crypto";
import { type Measured, serveSide } from "./side-process.ts";

const [PAGE = "", KEY = ""] = process.argv.slice(-2);
const LEGS = 10;
const SYMBOLS = ["sim:BTC-USD", "sim:ETH-USD"] as const;

interface Posted {
  readonly state?: string;
  readonly orders?: readonly { readonly state: string; readonly error: unknown }[];
}

async function send(path: string, body: unknown): Promise<{ readonly status: number; readonly body: Posted }> {
  const answer = await fetch(PAGE + path, { method: "POST", headers: { "x-api-key": KEY, "content-type": "application/json", "idempotency-key": randomUUID() }, body: JSON.stringify(body) });
  const read: Posted = JSON.parse(await answer.text());
  return { status: answer.status, body: read };
}

/** @throws when it is not completed: then figures would be of something else */
async function batch(): Promise<number> {
  const orders = Array.from({ length: LEGS }, (_, i) => ({ symbol: SYMBOLS[Math.floor(i / 2) % SYMBOLS.length], side: i % 2 === 0 ? "buy" : "sell", type: "market", quantity: "0.001", time_in_force: "gtc" }));
  const beganMs = performance.now();
  const { status, body } = await send("/v1/orders/batch", { mode: "all_or_none", orders });
  const tookMs = performance.now() - beganMs;
  if (status !== 201 || body.orders?.some(({ state }) => state !== "filled") !== false) throw new Error(`expected a batch with every leg filled, found ${status} ${JSON.stringify(body)}`);
  return tookMs;
}

/** Something to sell. */
async function stock(): Promise<Measured> {
  for (const symbol of SYMBOLS) await send("/v1/orders", { symbol, side: "buy", type: "market", quantity: "0.5", time_in_force: "gtc" });
  return { cpuSeconds: 0, deliveries: 0, seconds: 0, latencies: [] };
}

async function atOnce([width = 1, seconds = 1]: readonly number[]): Promise<Measured> {
  const beganMs = performance.now();
  const latencies: number[] = [];
  await Promise.all(Array.from({ length: width }, async () => {
    while (performance.now() - beganMs < seconds * 1000) latencies.push(await batch());
  }));
  return { cpuSeconds: 0, deliveries: latencies.length, seconds: (performance.now() - beganMs) / 1000, latencies };
}

/** A batch when it is due, whether or not those before it are answered. */
async function paced([perS = 1, seconds = 1]: readonly number[]): Promise<Measured> {
  const beganMs = performance.now();
  const posting: Promise<number>[] = [];
  for (let i = 0; i < perS * seconds; i++) {
    const waitMs = beganMs + (i * 1000) / perS - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    posting.push(batch());
  }
  const latencies = await Promise.all(posting);
  return { cpuSeconds: 0, deliveries: latencies.length, seconds: (performance.now() - beganMs) / 1000, latencies };
}

serveSide({ stock, atOnce, paced }, () => Promise.resolve());
