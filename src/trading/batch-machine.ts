/**
 * What a batch does next, as a function of what is durable: the same for one that runs and one that a crash interrupted.
 *
 * A leg is handed to the broker at most once, ever. A leg in `sent` that nobody waits for has an unknown outcome: it is looked
 * up before anything is decided.
 */
import type { Batch, FinalState, Order, OrderFault } from "../ports/orders.ts";
import { hasFill, isTerminal, LATE_ARRIVAL } from "./order-machine.ts";

export type Step =
  /** Mark these as sent, then hand them to the broker; several: at once. */
  | { readonly type: "place"; readonly indexes: readonly number[] }
  /** Ask the broker by client order id what became of these. */
  | { readonly type: "look_up"; readonly indexes: readonly number[] }
  /** These will not be sent. */
  | { readonly type: "skip"; readonly indexes: readonly number[]; readonly why: OrderFault }
  | { readonly type: "roll_back"; readonly why: OrderFault }
  | { readonly type: "cancel"; readonly index: number }
  | { readonly type: "finish"; readonly state: FinalState }
  /** The process ends: whoever starts next goes on. */
  | { readonly type: "pause" };

/** What is known beside the batch and its legs. */
export interface Conditions {
  /** Why no further leg may be sent: kill switch, breaker, time is up; null: they may. */
  readonly refusal: OrderFault | null;
  readonly isStopping: boolean;
  /** Legs whose look-ups are used up. */
  readonly lookedUp: ReadonlySet<number>;
  /** Legs whose cancellations are used up. */
  readonly cancelTried: ReadonlySet<number>;
}

const NOT_SENT: OrderFault = { code: "not_sent", message: "another leg of the batch failed before this one was sent" };

/** A leg that is no order and will be none, or of which nobody knows. */
function failureOf(leg: Order, lookedUp: ReadonlySet<number>): OrderFault | null {
  if (leg.state === "rejected" || (leg.state === "cancelled" && !hasFill(leg))) return leg.error ?? { code: leg.state, message: `the order was ${leg.state}` };
  return isUnresolved(leg) && lookedUp.has(leg.index) ? { code: "unknown_outcome", message: "the broker did not say what became of the order" } : null;
}

function isUnresolved({ state }: Order): boolean {
  return state === "sent" || state === "unknown";
}

/** @param legs in the order of the request */
export function nextStep(batch: Pick<Batch, "mode" | "placement" | "phase" | "reason">, legs: readonly Order[], conditions: Conditions): Step {
  if (conditions.isStopping) return { type: "pause" };
  const unresolved = indexesOf(legs, (leg) => isUnresolved(leg) && !conditions.lookedUp.has(leg.index));
  return batch.phase === "placing" ? placing(batch, legs, unresolved, conditions) : rollingBack(batch, legs, unresolved, conditions);
}

function placing({ mode, placement }: Pick<Batch, "mode" | "placement">, legs: readonly Order[], unresolved: readonly number[], { refusal, lookedUp }: Conditions): Step {
  if (unresolved.length > 0) return { type: "look_up", indexes: unresolved };
  const failures = legs.flatMap((leg) => failureOf(leg, lookedUp) ?? []);
  const [failure] = failures;
  if (mode === "all_or_none" && failure !== undefined) return { type: "roll_back", why: failure };
  const pending = indexesOf(legs, ({ state }) => state === "pending");
  if (pending.length === 0) return { type: "finish", state: failures.length === 0 ? "completed" : "partial" };
  if (refusal !== null) return mode === "all_or_none" ? { type: "roll_back", why: refusal } : { type: "skip", indexes: pending, why: refusal };
  return { type: "place", indexes: placement === "parallel" ? pending : pending.slice(0, 1) };
}

function rollingBack({ reason }: Pick<Batch, "reason">, legs: readonly Order[], unresolved: readonly number[], { cancelTried }: Conditions): Step {
  const pending = indexesOf(legs, ({ state }) => state === "pending");
  if (pending.length > 0) return { type: "skip", indexes: pending, why: { ...NOT_SENT, message: `${NOT_SENT.message}${reason === null ? "" : `: ${reason.message}`}` } };
  if (unresolved.length > 0) return { type: "look_up", indexes: unresolved };
  const open = legs.filter((leg) => !isTerminal(leg.state) && !cancelTried.has(leg.index)).at(-1);
  if (open !== undefined) return { type: "cancel", index: open.index };
  const isUndone = legs.every((leg) => isTerminal(leg.state) && !hasFill(leg) && leg.error?.code !== LATE_ARRIVAL);
  return { type: "finish", state: isUndone ? "rolled_back" : "rollback_incomplete" };
}

function indexesOf(legs: readonly Order[], matches: (leg: Order) => boolean): number[] {
  return legs.filter(matches).map(({ index }) => index);
}
