/**
 * A broker over the network: turns single answers into outcomes that can be trusted, whatever failed on the way.
 *
 * What is not proven is `unknown`. An order is looked up before it is sent wherever the broker would take it twice, and
 * after every answer that leaves it open. Owns: orders in doubt, followed orders, the polling timer. Path: cold.
 */
import { wait, type Clock, type Timer } from "../../core/clock.ts";
import { BrokerError, UnavailableError } from "../../core/errors.ts";
import type { Micros } from "../../core/time.ts";
import { unreachable } from "../../core/types.ts";
import type { Breaker } from "../../ports/breakers.ts";
import type { Broker, BrokerAccount, BrokerOrder, BrokerPosition, BrokerRequest, CancelOutcome, FindOutcome, PlaceOutcome } from "../../ports/broker.ts";
import type { Logger, MetricSample, MetricSource } from "../../ports/telemetry.ts";
import { WireCalls, type CallLimits } from "./wire-calls.ts";
import { FollowedOrders, isFinal } from "./followed-orders.ts";
import { OrderQueues } from "./order-queues.ts";
import { OrderPoll } from "./order-poll.ts";
import type { Redaction } from "./redaction.ts";
import { unknown, type BrokerWire, type WireAnswer, type WireOrder } from "./wire.ts";

export interface RemoteLimits extends CallLimits {
  /** How long a cancel, or an order that is still being validated, is asked about before it counts as unknown or accepted. */
  readonly confirmMs: number;
  readonly confirmEveryMs: number;
  /** How long after it was given up an order may still appear: until then `absent` is not believed. */
  readonly settleMs: number;
  /** Open orders are looked at this often, at most `pollOrdersMax` of them each time. */
  readonly pollMs: number;
  readonly pollOrdersMax: number;
  /** Open orders that are followed, and orders in doubt that are remembered. */
  readonly ordersMax: number;
}

export interface RemoteParts {
  readonly wire: BrokerWire;
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: RemoteLimits;
  readonly redaction: Redaction;
}

type Named = { readonly clientOrderId: string; readonly symbol: string };

export class RemoteBroker implements Broker, MetricSource {
  readonly name: string;
  readonly broker: string;
  readonly #parts: RemoteParts;
  readonly #calls: WireCalls;
  readonly #followed: FollowedOrders;
  readonly #queues = new OrderQueues();
  readonly #poll: OrderPoll;
  readonly #listeners: ((update: BrokerOrder) => void)[] = [];
  /** When each order whose outcome is not known was sent, or given up; milliseconds of the monotonic clock. */
  readonly #inDoubt = new Map<string, number>();
  readonly #firstSent = new Map<string, Micros>();
  readonly #madeMs: number;
  #updates = 0;
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(parts: RemoteParts) {
    this.#parts = parts;
    this.broker = parts.wire.broker;
    this.name = `broker ${this.broker}`;
    this.#calls = new WireCalls(parts);
    this.#followed = new FollowedOrders(parts.limits.ordersMax);
    this.#poll = new OrderPoll({ wire: parts.wire, calls: this.#calls, followed: this.#followed, ordersMax: parts.limits.pollOrdersMax });
    this.#madeMs = parts.clock.monotonicMs();
  }

  async start(): Promise<void> {
    await this.#parts.wire.load();
    this.#isStopped = false;
    this.#pollIn(this.#parts.limits.pollMs);
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.stop();
    return Promise.resolve();
  }

  onUpdate(listener: (update: BrokerOrder) => void): void {
    this.#listeners.push(listener);
  }

  /** @throws {UnavailableError} when the breaker is open or the broker does not answer: then nothing is known */
  async check(requests: readonly BrokerRequest[]): Promise<readonly { readonly index: number; readonly path: string; readonly message: string }[]> {
    const { wire } = this.#parts;
    const answer = await this.#calls.call("check", () => {
      const faults = requests.flatMap((request, index) => wire.faultsOf(request).map((fault) => ({ ...fault, index })));
      return faults.length > 0 ? Promise.resolve({ type: "ok", value: faults }) : wire.checkFunds(requests);
    });
    return valueOf(answer, `check at ${this.broker}`).map((fault) => ({ ...fault, message: this.#parts.redaction.of(fault.message) }));
  }

  place(request: BrokerRequest): Promise<PlaceOutcome> {
    return this.#queues.inTurn(request.clientOrderId, () => this.#place(request));
  }

  cancel(order: Named & { readonly brokerOrderId: string | null; readonly owner: string }): Promise<CancelOutcome> {
    return this.#queues.inTurn(order.clientOrderId, () => this.#cancel(order));
  }

  find(order: Named & { readonly owner: string; readonly sentAt?: Micros }): Promise<FindOutcome> {
    return this.#queues.inTurn(order.clientOrderId, () => this.#find(order, null, true));
  }

  async positions(_owner: string): Promise<readonly BrokerPosition[]> {
    return valueOf(await this.#calls.call("positions", () => this.#parts.wire.positions()), `positions at ${this.broker}`);
  }

  async account(_owner: string): Promise<BrokerAccount> {
    return valueOf(await this.#calls.call("account", () => this.#parts.wire.account()), `account at ${this.broker}`);
  }

  samples(): MetricSample[] {
    const labels = { broker: this.broker };
    return [
      ...this.#calls.samples(),
      { name: "ticker_broker_updates_total", help: "Changes of orders that were told", type: "counter", labels, value: this.#updates },
      { name: "ticker_broker_orders_followed", help: "Open orders that are looked at regularly", type: "gauge", labels, value: this.#followed.size },
      { name: "ticker_broker_orders_dropped_total", help: "Open orders given up because too many were followed", type: "counter", labels, value: this.#followed.dropped },
      { name: "ticker_broker_orders_in_doubt", help: "Orders that were sent and whose outcome is not known", type: "gauge", labels, value: this.#inDoubt.size },
    ];
  }

  async #place(request: BrokerRequest): Promise<PlaceOutcome> {
    const { wire } = this.#parts;
    const { clientOrderId } = request;
    if (!wire.isIdempotent || this.#inDoubt.has(clientOrderId)) {
      const sentAt = this.#firstSent.get(clientOrderId) ?? this.#parts.clock.nowMicros();
      const before = await this.#find({ clientOrderId, symbol: request.symbol, sentAt }, null, false);
      if (before.type === "found") return placed(before.order);
      if (before.type === "unknown") return this.#inDoubt.has(clientOrderId) ? before : notSent(before.reason);
    }
    const answer = await this.#calls.call("place", async (): Promise<WireAnswer<WireOrder>> => {
      const [fault] = wire.faultsOf(request);
      if (fault !== undefined) return { type: "refused", code: "invalid_order", reason: `${fault.path}: ${fault.message}` };
      this.#doubt(clientOrderId);
      return about(wire.idOf(clientOrderId), await wire.place(request, wire.idOf(clientOrderId)));
    });
    return this.#judged(request, answer);
  }

  async #judged(request: BrokerRequest, answer: WireAnswer<WireOrder>): Promise<PlaceOutcome> {
    const { clientOrderId } = request;
    switch (answer.type) {
      case "ok": {
        this.#inDoubt.delete(clientOrderId);
        const order = await this.#confirmed(request, answer.value, (found) => !found.isPending);
        return placed(this.#saw(request, order));
      }
      case "refused":
        this.#inDoubt.delete(clientOrderId);
        return { type: "rejected", code: answer.code, reason: answer.reason };
      case "not_sent":
        this.#inDoubt.delete(clientOrderId);
        return { type: "rejected", code: answer.code, reason: answer.reason };
      case "duplicate": {
        const found = await this.#find(request, null, false);
        if (found.type === "found") return placed(found.order);
        return found.type === "unknown" ? found : { type: "unknown", reason: `${answer.reason}, but it does not show the order`, waitMs: 0 };
      }
      case "absent":
      case "unknown": {
        const reason = answer.type === "unknown" ? answer.reason : "nonsense: no such order, in answer to a new one";
        // From now on, not from when it was sent: until now it may have waited on its way.
        this.#doubt(clientOrderId);
        this.#parts.log.warn({ broker: this.broker, clientOrderId, reason }, "outcome of an order unknown");
        return { type: "unknown", reason, waitMs: answer.type === "unknown" ? answer.waitMs : 0 };
      }
      default: return unreachable(answer);
    }
  }

  /** Asks about an order until it is as wanted or `confirmMs` are over; then it is what was last known. */
  async #confirmed(named: Named, first: WireOrder, isDone: (order: WireOrder) => boolean): Promise<WireOrder> {
    const { clock, limits } = this.#parts;
    const endMs = clock.monotonicMs() + limits.confirmMs;
    let newest = first;
    while (!isDone(newest) && clock.monotonicMs() < endMs) {
      await wait(clock, limits.confirmEveryMs);
      const answer = await this.#look(named, newest.brokerOrderId, null);
      if (answer.type === "ok") newest = answer.value;
      else if (answer.type === "not_sent" || (answer.type === "unknown" && answer.isThrottled)) break;
    }
    return newest;
  }

  async #cancel(order: Named & { readonly brokerOrderId: string | null }): Promise<CancelOutcome> {
    const { wire } = this.#parts;
    let { brokerOrderId } = order;
    if (brokerOrderId === null) {
      const known = await this.#find({ ...order, sentAt: this.#parts.clock.nowMicros() }, null, false);
      if (known.type === "unknown") return known;
      if (known.type === "absent") return { type: "refused", reason: `${this.broker} has no such order`, order: null };
      if (isFinal(known.order.state)) return ended(known.order);
      ({ brokerOrderId } = known.order);
    }
    const id = brokerOrderId;
    const answer = await this.#calls.call("cancel", () => wire.cancel({ id: wire.idOf(order.clientOrderId), brokerOrderId: id, symbol: order.symbol, sentAt: null }));
    if (answer.type === "not_sent") return { type: "unknown", reason: `not sent: ${answer.reason}`, waitMs: answer.waitMs };
    const after = await this.#afterCancel(order, id, answer.type === "ok");
    if (after !== null && isFinal(after.state)) return ended(after);
    if (answer.type === "refused" || answer.type === "absent") {
      return { type: "refused", reason: answer.type === "refused" ? answer.reason : `${this.broker} has no such order to cancel`, order: after };
    }
    if (answer.type === "unknown") return { type: "unknown", reason: answer.reason, waitMs: answer.waitMs };
    return { type: "unknown", reason: `the cancel was taken, but the order is ${after === null ? "not to be seen" : "still open"}`, waitMs: 0 };
  }

  /** What the order is after a cancel; asked repeatedly when the cancel was taken. Null: not known. */
  async #afterCancel(order: Named, brokerOrderId: string | null, isTaken: boolean): Promise<BrokerOrder | null> {
    const first = await this.#look(order, brokerOrderId, null);
    if (first.type !== "ok") return null;
    return this.#saw(order, isTaken ? await this.#confirmed(order, first.value, (found) => isFinal(found.state)) : first.value);
  }

  /** @param isCautious whether orders that an earlier process may have sent are waited for */
  async #find(order: Named & { readonly sentAt?: Micros }, brokerOrderId: string | null, isCautious: boolean): Promise<FindOutcome> {
    const answer = await this.#look(order, brokerOrderId, order.sentAt ?? null);
    switch (answer.type) {
      case "ok":
        this.#inDoubt.delete(order.clientOrderId);
        return { type: "found", order: this.#saw(order, answer.value) };
      case "absent": return this.#absent(order.clientOrderId, isCautious);
      case "refused": return { type: "unknown", reason: `${answer.code}: ${answer.reason}`, waitMs: 0 };
      case "duplicate": return { type: "unknown", reason: answer.reason, waitMs: 0 };
      case "not_sent":
      case "unknown": return { type: "unknown", reason: answer.reason, waitMs: answer.waitMs };
      default: return unreachable(answer);
    }
  }

  /** A request that was given up may still be on its way: for `settleMs` nobody can say that it will not arrive. */
  #absent(clientOrderId: string, isCautious: boolean): FindOutcome {
    const { clock, limits } = this.#parts;
    const sentMs = this.#inDoubt.get(clientOrderId) ?? (isCautious && !this.#firstSent.has(clientOrderId) ? this.#madeMs : null);
    const waitMs = sentMs === null ? 0 : Math.ceil(sentMs + limits.settleMs - clock.monotonicMs());
    if (waitMs > 0) return { type: "unknown", reason: `${this.broker} does not have it yet; it may still be on its way`, waitMs };
    this.#inDoubt.delete(clientOrderId);
    return { type: "absent" };
  }

  #look(order: Named, brokerOrderId: string | null, sentAt: Micros | null): Promise<WireAnswer<WireOrder>> {
    const { wire } = this.#parts;
    const firstSent = this.#firstSent.get(order.clientOrderId) ?? null;
    const reference = { id: wire.idOf(order.clientOrderId), brokerOrderId, symbol: order.symbol, sentAt: sentAt ?? firstSent };
    return this.#calls.call("find", async () => about(reference.id, await wire.find(reference)));
  }

  #doubt(clientOrderId: string): void {
    const { clock, limits } = this.#parts;
    this.#inDoubt.set(clientOrderId, clock.monotonicMs());
    if (!this.#firstSent.has(clientOrderId)) this.#firstSent.set(clientOrderId, clock.nowMicros());
    for (const map of [this.#inDoubt, this.#firstSent]) {
      const [oldest] = map.keys();
      if (map.size > limits.ordersMax && oldest !== undefined) map.delete(oldest);
    }
  }

  /** Takes in what the broker said of an order, and tells it when it is news. */
  #saw({ clientOrderId, symbol }: Named, found: WireOrder): BrokerOrder {
    const { brokerOrderId, state, filled, averagePrice, reason, updatedAt } = found;
    const order: BrokerOrder = { clientOrderId, brokerOrderId, state, filled, averagePrice, reason: reason === null ? null : this.#parts.redaction.of(reason), updatedAt };
    if (this.#followed.see(symbol, order)) {
      this.#updates++;
      for (const tell of this.#listeners) tell(order);
    }
    return order;
  }

  #pollIn(delayMs: number): void {
    const { clock, limits, log } = this.#parts;
    if (this.#isStopped) return;
    this.#timer = clock.after(delayMs, () => {
      this.#poll.round((followed, found) => void this.#saw(followed, found)).then(
        (waitMs) => this.#pollIn(Math.max(limits.pollMs, waitMs)),
        (error: unknown) => {
          log.error({ broker: this.broker, error }, "polling of orders failed");
          this.#pollIn(limits.pollMs);
        },
      );
    });
  }
}

/** An answer about another order proves nothing. */
function about(id: string, answer: WireAnswer<WireOrder>): WireAnswer<WireOrder> {
  return answer.type === "ok" && answer.value.id !== id ? unknown(`nonsense: asked for order ${id}, answered about ${answer.value.id}`) : answer;
}

function placed(order: BrokerOrder): PlaceOutcome {
  return order.state === "rejected" ? { type: "rejected", code: "rejected", reason: order.reason ?? "rejected by the broker" } : { type: "accepted", order };
}

function notSent(reason: string): PlaceOutcome {
  return { type: "rejected", code: "not_sent", reason: `not sent: ${reason}` };
}

function ended(order: BrokerOrder): CancelOutcome {
  return order.state === "cancelled" ? { type: "cancelled", order } : { type: "refused", reason: `it is ${order.state}`, order };
}

function valueOf<T>(answer: WireAnswer<T>, what: string): T {
  if (answer.type === "ok") return answer.value;
  if (answer.type === "absent") throw new BrokerError(`${what}: not there`);
  if (answer.type === "not_sent") throw new UnavailableError(answer.reason, answer.code, Math.max(1, Math.ceil(answer.waitMs / 1000)));
  throw new BrokerError(`${what}: ${answer.reason}`);
}
