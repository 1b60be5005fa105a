/**
 * Reads the body of POST /v1/orders/batch: every fault by leg, whatever else is wrong.
 */
import type { InputFault } from "../core/errors.ts";
import { BATCH_MODES, type BatchMode, type Placement, PLACEMENTS } from "../ports/orders.ts";
import { type InstrumentLookup, isMembers, kindOf, type Members, type ReadLeg, readLeg } from "./leg-input.ts";

export interface BatchInputLimits {
  readonly legsMax: number;
  /** When the request says nothing. */
  readonly timeoutMs: number;
  readonly timeoutMaxMs: number;
}

export interface ReadBatch {
  readonly mode: BatchMode;
  readonly placement: Placement;
  readonly isDryRun: boolean;
  readonly timeoutMs: number;
  readonly legs: readonly ReadLeg[];
  /** Of the batch and of its legs: `orders.0.quantity`. Duplicate client order ids are among them. */
  readonly faults: readonly InputFault[];
}

const FIELDS = ["mode", "dry_run", "timeout_ms", "placement", "orders"] as const;
const UNKNOWN_NAMED_MAX = 20;

export function readBatch(body: unknown, limits: BatchInputLimits, instruments: InstrumentLookup): ReadBatch {
  const faults: InputFault[] = [];
  const given: Members = isMembers(body) ? body : {};
  if (!isMembers(body)) faults.push({ path: "body", message: `expected an object with ${FIELDS.join(", ")}, found ${kindOf(body)}` });
  const oneOf = <const T extends string>(name: string, words: readonly T[], fallback: T): T => {
    if (given[name] === undefined) return fallback;
    const word = words.find((each) => each === given[name]);
    if (word === undefined) faults.push({ path: name, message: `expected one of ${words.join(", ")}, found ${kindOf(given[name])}` });
    return word ?? fallback;
  };
  const mode = oneOf("mode", BATCH_MODES, "all_or_none");
  const placement = oneOf("placement", PLACEMENTS, "sequential");
  const dryRun = given["dry_run"] ?? false;
  if (typeof dryRun !== "boolean") faults.push({ path: "dry_run", message: `expected true or false, found ${kindOf(dryRun)}` });
  const timeoutMs = readTimeout(given["timeout_ms"], limits, faults);
  const unknown = Object.keys(given).filter((name) => !FIELDS.some((field) => field === name));
  for (const name of unknown.slice(0, UNKNOWN_NAMED_MAX)) faults.push({ path: name.slice(0, 100), message: `unknown field; known are ${FIELDS.join(", ")}` });
  const legs = isMembers(body) ? readLegs(given["orders"], limits, instruments, faults) : [];
  return { mode, placement, isDryRun: dryRun === true, timeoutMs, legs, faults };
}

function readTimeout(given: unknown, { timeoutMs, timeoutMaxMs }: BatchInputLimits, faults: InputFault[]): number {
  if (given === undefined) return timeoutMs;
  if (typeof given === "number" && Number.isInteger(given) && given >= 1 && given <= timeoutMaxMs) return given;
  faults.push({ path: "timeout_ms", message: `expected a whole number from 1 to ${timeoutMaxMs}, found ${kindOf(given)}` });
  return timeoutMs;
}

function readLegs(given: unknown, { legsMax }: BatchInputLimits, instruments: InstrumentLookup, faults: InputFault[]): readonly ReadLeg[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > legsMax) {
    const found = Array.isArray(given) ? `${given.length}` : kindOf(given);
    faults.push({ path: "orders", message: `expected an array of 1 to ${legsMax} orders, found ${found}` });
    return [];
  }
  const legs = given.map((leg: unknown, index) => readLeg(leg, `orders.${index}`, instruments));
  faults.push(...legs.flatMap((leg) => leg.faults), ...duplicates(legs));
  return legs;
}

/** A client order id that an earlier leg has. */
function duplicates(legs: readonly ReadLeg[]): InputFault[] {
  const first = new Map<string, number>();
  return legs.flatMap(({ asked }, index): InputFault[] => {
    const id = asked.client_order_id;
    if (id === null) return [];
    const earlier = first.get(id);
    if (earlier === undefined) first.set(id, index);
    return earlier === undefined ? [] : [{ path: `orders.${index}.client_order_id`, message: `orders.${earlier} has the same id "${id}"; each order has its own` }];
  });
}
