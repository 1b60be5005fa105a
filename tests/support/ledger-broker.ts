/**
 * A broker that does what a script says and keeps its own ledger: what was sent, how often, and what became of it.
 */
import { systemClock, wait } from "../../src/core/clock.ts";
import type { Broker, BrokerAccount, BrokerOrder, BrokerOrderState, BrokerPosition, BrokerRequest, CancelOutcome, FindOutcome, PlaceOutcome } from "../../src/ports/broker.ts";

/**
 * `lose_before`: never arrives, no answer; `lose_after`: arrives, no answer; `hang`: arrives, answers never; `late`: arrives after
 * the answer that nothing is known; `kill`: accepted and cancelled at once; `half`: accepted and half filled.
 */
export const PLACE_SCRIPTS = ["accept", "fill", "half", "reject", "lose_before", "lose_after", "hang", "late", "kill"] as const;
export type PlaceScript = (typeof PLACE_SCRIPTS)[number];

/** `refuse_silently`: without the order; `fill_first`: filled while it is being cancelled; `half_first`: half of it, then cancelled. */
export const CANCEL_SCRIPTS = ["cancel", "refuse", "refuse_silently", "lose_before", "lose_after", "fill_first", "half_first"] as const;
export type CancelScript = (typeof CANCEL_SCRIPTS)[number];

export interface Script {
  readonly place: PlaceScript;
  /** One for each request to cancel; the last one for all further ones. */
  readonly cancels: readonly CancelScript[];
  /** Look-ups that are lost before one is answered. */
  readonly lostFinds: number;
}

export interface LedgerEntry {
  readonly request: BrokerRequest;
  readonly brokerOrderId: string;
  state: BrokerOrderState;
  filled: string;
  /** Requests to place that arrived with this client order id. */
  sendings: number;
  cancels: number;
}

const PLAIN: Script = { place: "accept", cancels: ["cancel"], lostFinds: 0 };
const LATE_MS = 8;
const UNKNOWN = { type: "unknown", reason: "scripted", waitMs: 0 } as const;

export class LedgerBroker implements Broker {
  readonly name = "ledger broker";
  readonly broker = "ledger";
  /** By client order id as the broker knows it. */
  readonly ledger = new Map<string, LedgerEntry>();
  /** Requests in the order of their arrival, by verb. */
  readonly arrivals: string[] = [];
  readonly #scriptOf: (request: BrokerRequest) => Script;
  readonly #finds = new Map<string, number>();
  readonly #listeners: ((update: BrokerOrder) => void)[] = [];
  #numbers = 0;
  /** Acceptances that are still on their way. */
  readonly #late = new Set<Promise<void>>();

  constructor(scriptOf: (request: BrokerRequest) => Script = () => PLAIN) {
    this.#scriptOf = scriptOf;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** Resolves when nothing is on its way any more. */
  async quiet(): Promise<void> {
    await Promise.all(this.#late);
  }

  check(): ReturnType<Broker["check"]> {
    return Promise.resolve([]);
  }

  async place(request: BrokerRequest): Promise<PlaceOutcome> {
    await Promise.resolve();
    this.arrivals.push(`place ${request.clientOrderId}`);
    const { place } = this.#scriptOf(request);
    switch (place) {
      case "reject": return { type: "rejected", code: "no_funds", reason: "scripted" };
      case "lose_before": return UNKNOWN;
      case "late":
        this.#lateAcceptance(request);
        return UNKNOWN;
      case "lose_after":
        this.#accept(request, "accepted", "0");
        return UNKNOWN;
      case "hang":
        this.#accept(request, "accepted", "0");
        return new Promise(() => undefined);
      case "fill": return this.#accept(request, "filled", request.quantity);
      case "half": return this.#accept(request, "partially_filled", half(request.quantity));
      case "kill": return this.#accept(request, "cancelled", "0");
      default: return this.#accept(request, "accepted", "0");
    }
  }

  async cancel({ clientOrderId }: { readonly clientOrderId: string }): Promise<CancelOutcome> {
    await Promise.resolve();
    this.arrivals.push(`cancel ${clientOrderId}`);
    const entry = this.ledger.get(clientOrderId);
    if (entry === undefined) return { type: "refused", reason: "no such order", order: null };
    const { cancels } = this.#scriptOf(entry.request);
    const script = cancels[Math.min(entry.cancels++, cancels.length - 1)] ?? "cancel";
    if (entry.state === "filled" || entry.state === "cancelled") return { type: "refused", reason: `it is ${entry.state}`, order: script === "refuse_silently" ? null : orderOf(entry) };
    switch (script) {
      case "refuse": return { type: "refused", reason: "scripted", order: orderOf(entry) };
      case "refuse_silently": return { type: "refused", reason: "scripted", order: null };
      case "lose_before": return UNKNOWN;
      case "lose_after":
        entry.state = "cancelled";
        return UNKNOWN;
      case "fill_first":
        entry.state = "filled";
        entry.filled = entry.request.quantity;
        return { type: "refused", reason: "it is filled", order: orderOf(entry) };
      case "half_first":
        entry.state = "cancelled";
        entry.filled = half(entry.request.quantity);
        return { type: "cancelled", order: orderOf(entry) };
      default:
        entry.state = "cancelled";
        return { type: "cancelled", order: orderOf(entry) };
    }
  }

  async find({ clientOrderId }: { readonly clientOrderId: string }): Promise<FindOutcome> {
    await Promise.resolve();
    const entry = this.ledger.get(clientOrderId);
    const asked = (this.#finds.get(clientOrderId) ?? 0) + 1;
    this.#finds.set(clientOrderId, asked);
    if (entry === undefined) return { type: "absent" };
    return asked <= this.#scriptOf(entry.request).lostFinds ? UNKNOWN : { type: "found", order: orderOf(entry) };
  }

  positions(): Promise<readonly BrokerPosition[]> {
    return Promise.resolve([]);
  }

  account(): Promise<BrokerAccount> {
    return Promise.resolve({ balances: [{ currency: "USD", total: "1000", available: "900" }] });
  }

  onUpdate(listener: (update: BrokerOrder) => void): void {
    this.#listeners.push(listener);
  }

  /** The market fills an order wholly; everybody is told. */
  fill(clientOrderId: string): void {
    const entry = this.ledger.get(clientOrderId);
    if (entry === undefined) throw new Error(`the ledger has no order ${clientOrderId}`);
    entry.state = "filled";
    entry.filled = entry.request.quantity;
    for (const tell of this.#listeners) tell(orderOf(entry));
  }

  /** What was given up for lost arrives; everybody is told. */
  arriveLate(request: BrokerRequest): void {
    this.#accept(request, "accepted", "0");
  }

  #lateAcceptance(request: BrokerRequest): void {
    const arrival = wait(systemClock, LATE_MS).then(() => void this.#accept(request, "accepted", "0"));
    this.#late.add(arrival);
    void arrival.then(() => this.#late.delete(arrival));
  }

  #accept(request: BrokerRequest, state: BrokerOrderState, filled: string): PlaceOutcome {
    const known = this.ledger.get(request.clientOrderId);
    if (known !== undefined) {
      known.sendings++;
      return { type: "rejected", code: "duplicate", reason: "the client order id was used" };
    }
    const entry: LedgerEntry = { request, brokerOrderId: `L${++this.#numbers}`, state, filled, sendings: 1, cancels: 0 };
    this.ledger.set(request.clientOrderId, entry);
    for (const tell of this.#listeners) tell(orderOf(entry));
    return { type: "accepted", order: orderOf(entry) };
  }
}

function half(quantity: string): string {
  return String(Number(quantity) / 2);
}

function orderOf({ request, brokerOrderId, state, filled }: LedgerEntry): BrokerOrder {
  return {
    clientOrderId: request.clientOrderId, brokerOrderId, state, filled, averagePrice: filled === "0" ? null : "100", reason: null, updatedAt: systemClock.nowMicros(),
  };
}
