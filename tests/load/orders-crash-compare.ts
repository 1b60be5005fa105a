/**
 * Holds reports of batches against the books of the broker: what is said must have been so, and nothing may be there twice.
 */
import { addDecimals, compareDecimals } from "../../src/adapters/brokers/foreign.ts";
import type { BrokerLedger, LedgerOrder } from "../support/loopback-broker-ledger.ts";
import type { PlannedBatch } from "./orders-crash-plan.ts";

export interface ReportedLeg {
  readonly index: number;
  readonly id: string | null;
  readonly client_order_id: string;
  readonly symbol: string;
  readonly quantity: string;
  readonly state: string;
  readonly filled: string;
  readonly error: { readonly code: string } | null;
}

export interface Report {
  readonly id: string | null;
  readonly state: string;
  readonly mode: string;
  readonly orders: readonly ReportedLeg[];
  readonly residual_exposure: readonly { readonly symbol: string; readonly quantity: string }[];
}

/** The truth. */
export interface Books {
  readonly ledger: BrokerLedger;
  /** What of an order was filled before it was as it is now, the oldest first. */
  readonly filledBefore: ReadonlyMap<LedgerOrder, readonly string[]>;
}

export type FaultKind = "lost" | "twice" | "untrue" | "retry" | "stale";

export interface Fault {
  /** lost: an acknowledged batch is not there; twice: a leg was executed twice; untrue: a report is not as the ledger; retry: the same key has another answer; stale: an order never came to be as the ledger has it. */
  readonly kind: FaultKind;
  readonly what: string;
}

const OPEN_STATES: readonly string[] = ["accepted", "partially_filled", "cancel_pending", "cancel_rejected", "unknown"];
const LATE = "late_arrival";

/** Faults of a final report. */
export function untruths(batch: PlannedBatch, report: Report, books: Books): readonly string[] {
  const faults: string[] = [];
  if (report.mode !== batch.mode || report.orders.length !== batch.legs.length) faults.push(`has mode ${report.mode} and ${report.orders.length} legs instead of ${batch.mode} and ${batch.legs.length}`);
  for (const [i, leg] of report.orders.entries()) {
    const asked = batch.legs[i];
    if (leg.index !== i || leg.client_order_id !== asked?.client_order_id || leg.quantity !== asked.quantity || leg.symbol !== asked.symbol) faults.push(`leg ${i} is not the one that was asked for`);
    const fault = legFault(leg, entryOf(leg, books.ledger), books);
    if (fault !== null) faults.push(`leg ${i} (${leg.id}) ${fault}`);
  }
  return [...faults, ...stateFaults(report, books.ledger), ...residualFaults(batch, report)];
}

function entryOf(leg: ReportedLeg, ledger: BrokerLedger): LedgerOrder | undefined {
  return leg.id === null ? undefined : ledger.byClient(leg.id)[0];
}

/** Null: what is said of the leg is so, or was so while it was open. */
function legFault(leg: ReportedLeg, entry: LedgerOrder | undefined, { filledBefore }: Books): string | null {
  const said = `is reported ${leg.state} with ${leg.filled} filled`;
  if (leg.state === "pending" || leg.state === "sent") return `${said}, which is nothing final`;
  if (entry === undefined) {
    if (compareDecimals(leg.filled, "0") !== 0) return `${said}, the ledger has no such order`;
    return ["rejected", "cancelled", "unknown"].includes(leg.state) ? null : `${said}, the ledger has no such order`;
  }
  const found = `${said}, the ledger has it ${entry.state} with ${entry.filled} filled`;
  if (leg.state === "rejected") return leg.error?.code === LATE ? null : found;
  if (OPEN_STATES.includes(leg.state)) {
    const known = [...(filledBefore.get(entry) ?? []), entry.filled, ...(entry.isLimited ? ["0"] : [])];
    return known.some((filled) => compareDecimals(filled, leg.filled) === 0) ? null : found;
  }
  return leg.state === entry.state && compareDecimals(leg.filled, entry.filled) === 0 ? null : found;
}

function stateFaults(report: Report, ledger: BrokerLedger): readonly string[] {
  const legs = report.orders;
  const hasFill = (leg: ReportedLeg): boolean => compareDecimals(leg.filled, "0") > 0;
  const failed = legs.filter((leg) => leg.state === "rejected" || leg.state === "unknown" || (leg.state === "cancelled" && !hasFill(leg)));
  switch (report.state) {
    case "completed": return failed.length === 0 ? [] : ["is completed with a failed leg"];
    case "partial": return report.mode === "best_effort" && failed.length > 0 ? [] : ["is partial without a failed leg, or all_or_none"];
    case "rolled_back": {
      const left = legs.map((leg) => entryOf(leg, ledger)).filter((entry) => entry !== undefined && (entry.state !== "cancelled" || compareDecimals(entry.filled, "0") > 0));
      return left.length === 0 && report.mode === "all_or_none" ? [] : [`is rolled_back, the ledger has ${left.map((entry) => `${entry?.clientId} ${entry?.state} ${entry?.filled}`).join(", ")}`];
    }
    case "rollback_incomplete": {
      const isIncomplete = legs.some((leg) => OPEN_STATES.includes(leg.state) || hasFill(leg) || leg.error?.code === LATE);
      return isIncomplete && report.mode === "all_or_none" ? [] : ["is rollback_incomplete although nothing is left of it"];
    }
    default: return [`is ${report.state}, which these batches cannot be`];
  }
}

/** The sum of what the legs say; that they say the truth is checked by leg. */
function residualFaults({ legs }: PlannedBatch, { state, orders, residual_exposure: residual }: Report): readonly string[] {
  const sums = new Map<string, string>();
  for (const { index, symbol, filled } of state === "rollback_incomplete" ? orders : []) {
    const isSold = legs[index]?.side === "sell" && compareDecimals(filled, "0") !== 0;
    sums.set(symbol, addDecimals(sums.get(symbol) ?? "0", isSold ? `-${filled}` : filled));
  }
  const expected = [...sums].filter(([, sum]) => compareDecimals(sum, "0") !== 0).map(([symbol, sum]) => `${symbol} ${sum}`).toSorted().join(", ");
  const found = residual.map(({ symbol, quantity }) => `${symbol} ${quantity}`).toSorted().join(", ");
  return expected === found ? [] : [`has the residual exposure [${found}] instead of [${expected}]`];
}

/** Null: the order is by now what the ledger says. Every order of the ledger has ended. */
export function staleness(leg: ReportedLeg, ledger: BrokerLedger): string | null {
  const entry = entryOf(leg, ledger);
  if (entry === undefined) return ["rejected", "cancelled"].includes(leg.state) ? null : `order ${leg.id} is ${leg.state}, the ledger has no such order`;
  const isSame = leg.state === entry.state && compareDecimals(leg.filled, entry.filled) === 0;
  const isKnownLate = leg.error?.code === LATE && compareDecimals(leg.filled, entry.filled) === 0;
  return isSame || isKnownLate ? null : `order ${leg.id} is ${leg.state} with ${leg.filled} filled, the ledger has it ${entry.state} with ${entry.filled}`;
}
