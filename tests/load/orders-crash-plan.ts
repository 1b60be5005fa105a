/**
 * What a run of the crash harness is made of, drawn from a seed: batches, faults of the broker, and when the process is killed.
 */
import { Random } from "../../src/feeds/sim/random.ts";
import type { Fault, RequestKind } from "../support/loopback-broker.ts";

export interface PlannedLeg {
  readonly client_order_id: string;
  readonly symbol: string;
  readonly side: "buy" | "sell";
  readonly type: "market" | "limit";
  readonly quantity: string;
  readonly limit_price?: string;
  readonly time_in_force: "gtc" | "ioc";
}

export interface PlannedBatch {
  /** Idempotency key. */
  readonly key: string;
  readonly mode: "all_or_none" | "best_effort";
  readonly legs: readonly PlannedLeg[];
  readonly body: string;
  /** How many send it at the same time. */
  readonly senders: number;
}

/** `request`: so many orders, cancels and look-ups after, and then some milliseconds; `answered`: when all batches are. */
export type KillMoment =
  | { readonly type: "elapsed"; readonly ms: number }
  | { readonly type: "request"; readonly nth: number; readonly thenMs: number }
  | { readonly type: "answered" };

export interface PlannedRun {
  readonly batches: readonly PlannedBatch[];
  readonly faults: Readonly<Record<RequestKind, readonly Fault[]>>;
  /** One for each process that is killed: the first has the batches posted, each further one finds them. */
  readonly kills: readonly KillMoment[];
}

const QUANTITIES = ["0.3", "0.1", "0.25", "1", "0.0007"];
/** Weights. A fault may come several times in a row: brokers fail in stretches. */
const PLACE: readonly (readonly [Fault, number])[] = [
  ["none", 100], ["slow", 8], ["refuse", 6], ["silent_before", 3], ["silent_after", 4], ["late", 3], ["throttle", 1], ["error_before", 3], ["error_after", 4],
  ["drop_before", 4], ["drop_after", 5], ["nonsense_before", 2], ["nonsense_after", 2],
];
const CANCEL: readonly (readonly [Fault, number])[] = [
  ["none", 40], ["slow", 8], ["refuse", 16], ["fill_first", 14], ["silent_before", 3], ["silent_after", 4], ["throttle", 1], ["error_before", 3],
  ["error_after", 4], ["drop_before", 4], ["drop_after", 5], ["nonsense_before", 2], ["nonsense_after", 2],
];
const READ: readonly (readonly [Fault, number])[] = [
  ["none", 150], ["slow", 8], ["silent_before", 2], ["throttle", 1], ["error_before", 4], ["drop_before", 4], ["nonsense_before", 3],
];
const IN_A_ROW_MAX = 3;
const FAULTS_OF_KIND = 40;

/** @param name unique over all runs on the same database */
export function planRun(random: Random, name: string): PlannedRun {
  const batches = Array.from({ length: 1 + whole(random, 4) }, (_, i) => planBatch(random, `${name}-${i}`));
  const kills = [planKill(random)];
  while (kills.length < 3 && random.unit() < 0.3) kills.push(planKill(random));
  return { batches, faults: { place: planFaults(random, PLACE), cancel: planFaults(random, CANCEL), read: planFaults(random, READ) }, kills };
}

function planBatch(random: Random, name: string): PlannedBatch {
  const mode = random.unit() < 0.65 ? "all_or_none" : "best_effort";
  const legs = Array.from({ length: 1 + whole(random, 6) }, (_, i) => planLeg(random, `${name}-${i}`));
  const body = JSON.stringify({ mode, placement: random.unit() < 0.5 ? "parallel" : "sequential", timeout_ms: random.unit() < 0.15 ? 400 : 30_000, orders: legs });
  return { key: `crash-${name}`, mode, legs, body, senders: random.unit() < 0.2 ? 3 : 1 };
}

function planLeg(random: Random, id: string): PlannedLeg {
  const common = {
    client_order_id: id, symbol: random.unit() < 0.5 ? "sim:BTC-USD" : "sim:ETH-USD", side: random.unit() < 0.7 ? "buy" : "sell",
    quantity: QUANTITIES[whole(random, QUANTITIES.length)] ?? "1",
  } as const;
  if (random.unit() < 0.12) return { ...common, quantity: "0.5", type: "market", time_in_force: "ioc" };
  const quantity = common.quantity === "0.0007" ? "0.0607" : common.quantity;
  return { ...common, quantity, type: "limit", limit_price: "90.50", time_in_force: random.unit() < 0.04 ? "ioc" : "gtc" };
}

function planKill(random: Random): KillMoment {
  const kind = random.unit();
  if (kind < 0.35) return { type: "elapsed", ms: Math.floor(random.unit() ** 2 * 1500) };
  if (kind < 0.92) return { type: "request", nth: 1 + whole(random, 30), thenMs: whole(random, 8) };
  return { type: "answered" };
}

function planFaults(random: Random, weights: readonly (readonly [Fault, number])[]): readonly Fault[] {
  const faults: Fault[] = [];
  while (faults.length < FAULTS_OF_KIND) {
    const fault = drawn(random, weights);
    const times = fault === "none" || fault === "throttle" ? 1 : 1 + (random.unit() < 0.3 ? whole(random, IN_A_ROW_MAX) : 0);
    for (let i = 0; i < times; i++) faults.push(fault);
  }
  return faults;
}

function drawn(random: Random, weights: readonly (readonly [Fault, number])[]): Fault {
  let left = random.unit() * weights.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [fault, weight] of weights) {
    left -= weight;
    if (left < 0) return fault;
  }
  return "none";
}

/** From 0 to below `below`. */
export function whole(random: Random, below: number): number {
  return Math.floor(random.unit() * below);
}
