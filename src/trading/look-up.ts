/**
 * Finds out by its id what became of an order whose outcome is unknown, within bounds.
 */
import type { Clock } from "../core/clock.ts";
import type { Micros } from "../core/time.ts";
import type { Order, OrderFault } from "../ports/orders.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import type { TradingLimits } from "./limits.ts";
import type { OrderInput } from "./order-machine.ts";

export interface LookUpDeps {
  readonly clock: Clock;
  readonly limits: Pick<TradingLimits, "lookupDelayMs" | "absentSettleMs">;
  readonly lookupsMax: number;
  /** Milliseconds that the broker asked to wait. */
  readonly askedMs: number;
  /** When it was handed over at the latest, as far as this process knows. */
  readonly handedAt: Micros;
  readonly isStopping: () => boolean;
  readonly pause: (ms: number) => Promise<void>;
  /** The broker has told by itself meanwhile. */
  readonly isHeard: () => boolean;
}

/** Answers "no such order" that make it one that never came to be. */
export const ABSENT_ANSWERS = 2;
const DELAY_FACTOR_MAX = 8;

export const NOT_AT_BROKER: OrderFault = { code: "not_at_broker", message: "the broker has no such order: what was sent did not arrive" };

/**
 * Whether a "no such order" counts: not of an order that the broker had, and not while what was sent may be on its way.
 * @param handedAt when it was handed over at the latest; writing the mark "sent" before that takes time too
 */
export function isAbsenceSettled(order: Order, handedAt: Micros, now: Micros, absentSettleMs: number): boolean {
  return order.brokerOrderId === null && now - handedAt >= absentSettleMs * 1000;
}

/** Null: it is not needed any more, or the process ends; `used_up`: still nobody knows. */
export async function lookUp(order: Order, calls: BrokerCalls, deps: LookUpDeps): Promise<OrderInput | "used_up" | null> {
  const { clock, limits, lookupsMax, pause } = deps;
  let absent = 0;
  let delayMs = deps.askedMs;
  for (let i = 0; i < lookupsMax; i++) {
    if (delayMs > 0) await pause(delayMs);
    if (deps.isStopping() || deps.isHeard()) return null;
    const found = await calls.find(order);
    if (found.type === "found") return { type: "report", order: found.order };
    delayMs = limits.lookupDelayMs * Math.min(2 ** i, DELAY_FACTOR_MAX);
    if (found.type === "unknown") {
      delayMs = Math.max(delayMs, found.waitMs);
      continue;
    }
    absent++;
    const now = clock.nowMicros();
    if (absent >= ABSENT_ANSWERS && isAbsenceSettled(order, deps.handedAt, now, limits.absentSettleMs)) return { type: "refuse", why: NOT_AT_BROKER };
    delayMs = Math.max(delayMs, limits.absentSettleMs - (now - deps.handedAt) / 1000);
  }
  return "used_up";
}
