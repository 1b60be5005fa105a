/**
 * Takes in what brokers tell of orders by themselves, newest news per order, and looks after orders whose state is not known.
 *
 * Owns: the news that wait. Orders of a batch that runs belong to its run: news of them go there.
 */
import { type Clock, type Timer, wait } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { type Micros, micros } from "../core/time.ts";
import type { Order, OrderState, OrderStore } from "../ports/orders.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import type { TradingLimits } from "./limits.ts";
import { ABSENT_ANSWERS, isAbsenceSettled, NOT_AT_BROKER } from "./look-up.ts";
import { LATE_ARRIVAL, newsOf, type OrderInput, step } from "./order-machine.ts";

export interface OrderUpdatesDeps {
  readonly orders: OrderStore;
  readonly callsOf: (order: Order) => BrokerCalls | null;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: Pick<TradingLimits, "reconcileMs" | "absentSettleMs">;
  /** Hands news to the run of the order's batch; false: there is none. */
  readonly offer: (orderId: string, input: OrderInput) => boolean;
  readonly isRunning: (orderId: string) => boolean;
}

/** News that one statement writes. */
const SLICE = 200;
/** Orders with news that wait; beyond it news are dropped, counted, and all open orders are looked up. */
const WAITING_MAX = 50_000;
const RETRY_MS = 1000;
const PAGE = 200;
/** Requests to cancel an order that arrived late. */
const LATE_CANCELS = 3;
/** Look-ups at a time. */
const LOOK_UPS = 4;
/** Beyond it all open orders are looked up again. */
const UNSEEN_MAX = 50_000;
const UNSURE: readonly OrderState[] = ["sent", "unknown", "cancel_pending"];
/** What adapters watch by themselves, once they have seen it. */
const FOLLOWED: readonly OrderState[] = ["accepted", "partially_filled", "cancel_rejected"];
const OPEN: readonly OrderState[] = [...UNSURE, ...FOLLOWED];

export class OrderUpdates implements MetricSource {
  readonly #deps: OrderUpdatesDeps;
  readonly #waiting = new Map<string, OrderInput>();
  readonly #absent = new Map<string, number>();
  /** Open orders that the broker has not told of since the start: an adapter follows only those that it was asked about. */
  readonly #unseen = new Set<string>();
  #working: Promise<void> | null = null;
  #sweeping: Promise<void> | null = null;
  #retry: Timer | null = null;
  #sweeps: Timer | null = null;
  readonly #startedAt: Micros;
  #isStopped = false;
  #isSweepOfAllDue = true;
  #taken = 0;
  #dropped = 0;
  #late = 0;
  #failures = 0;

  constructor(deps: OrderUpdatesDeps) {
    this.#deps = deps;
    this.#startedAt = deps.clock.nowMicros();
  }

  /** Looks up every open order, then from time to time those whose state is not known or of which the broker has not told yet. */
  start(): void {
    this.#sweeps = this.#deps.clock.every(this.#deps.limits.reconcileMs, () => this.#sweep());
    this.#sweep();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#sweeps?.stop();
    this.#retry?.stop();
    await this.#working;
    await this.#sweeping;
  }

  hear(orderId: string, input: OrderInput): void {
    if (this.#deps.offer(orderId, input)) return;
    if (this.#waiting.size >= WAITING_MAX && !this.#waiting.has(orderId)) {
      this.#dropped++;
      this.#isSweepOfAllDue = true;
      return;
    }
    this.#waiting.set(orderId, newsOf(this.#waiting.get(orderId), input));
    this.#kick();
  }

  /** Resolves when nothing waits; for tests and for a stop. */
  async settled(): Promise<void> {
    while (this.#working !== null) await this.#working;
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      counter("ticker_order_updates_total", "News of orders by brokers that were taken in", this.#taken),
      counter("ticker_order_updates_dropped_total", "News of orders that did not fit; all open orders were looked up instead", this.#dropped),
      counter("ticker_order_updates_failures_total", "Times that news could not be written and waited", this.#failures),
      counter("ticker_orders_late_arrivals_total", "Orders that a broker had after it had said that it had not", this.#late),
      { name: "ticker_order_updates_waiting", help: "Orders with news that wait to be written", type: "gauge", labels: {}, value: this.#waiting.size },
      { name: "ticker_orders_unseen", help: "Open orders of which the broker has not told since the start", type: "gauge", labels: {}, value: this.#unseen.size },
    ];
  }

  #kick(): void {
    if (this.#working !== null || this.#isStopped) return;
    this.#working = this.#work().finally(() => {
      this.#working = null;
      if (this.#waiting.size > 0 && this.#retry === null) this.#kick();
    });
  }

  async #work(): Promise<void> {
    while (this.#waiting.size > 0 && !this.#isStopped) {
      const slice = [...this.#waiting].slice(0, SLICE);
      for (const [id] of slice) this.#waiting.delete(id);
      try {
        await this.#write(slice);
      } catch (error) {
        this.#failures++;
        this.#deps.log.warn({ reason: messageOf(error), orders: slice.length }, "news of orders wait for the database");
        for (const [id, input] of slice) this.#waiting.set(id, newsOf(input, this.#waiting.get(id) ?? input));
        this.#retry = this.#deps.clock.after(RETRY_MS, () => {
          this.#retry = null;
          this.#kick();
        });
        return;
      }
    }
  }

  async #write(slice: readonly (readonly [string, OrderInput])[]): Promise<void> {
    const { orders, clock } = this.#deps;
    const inputs = new Map(slice);
    const known = await orders.byIds([...inputs.keys()]);
    const changes = known.flatMap((order) => {
      const input = inputs.get(order.id);
      if (input === undefined || order.state === "pending") return [];
      const next = step(order, input, clock.nowMicros());
      return next === order ? [] : [{ order: next, cause: "broker.update" }];
    });
    const written = changes.length === 0 ? new Set<string>() : await orders.write(changes);
    this.#taken += slice.length;
    for (const { order } of changes) {
      const input = inputs.get(order.id);
      if (!written.has(order.id) && input !== undefined) this.hear(order.id, input);
      else if (order.error?.code === LATE_ARRIVAL) this.#arrivedLate(order);
    }
  }

  /** Its batch was judged without it: it must not stay at the broker. */
  #arrivedLate(order: Order): void {
    this.#late++;
    this.#deps.log.error({ order: order.id, batch: order.batchId, correlation_id: order.trace.correlationId, broker_order_id: order.brokerOrderId }, "the broker has an order that it said it had not; it is cancelled");
    void this.#cancelLate(order);
  }

  async #cancelLate(order: Order): Promise<void> {
    for (let tries = 0; tries < LATE_CANCELS && !this.#isStopped; tries++) {
      if (tries > 0) await wait(this.#deps.clock, RETRY_MS);
      const outcome = await this.#deps.callsOf(order)?.cancel(order);
      if (outcome === undefined || outcome.type === "unknown") continue;
      if (outcome.order !== null) this.hear(order.id, { type: "report", order: outcome.order });
      return;
    }
  }

  #sweep(): void {
    if (this.#sweeping !== null || this.#isStopped) return;
    const states = this.#isSweepOfAllDue ? OPEN : UNSURE;
    this.#isSweepOfAllDue = false;
    this.#sweeping = this.#lookUpAll(states).catch((error: unknown) => {
      if (states === OPEN) this.#isSweepOfAllDue = true;
      this.#deps.log.warn({ reason: messageOf(error) }, "orders could not be looked up; tried again later");
    }).finally(() => {
      this.#sweeping = null;
    });
  }

  async #lookUpAll(states: readonly OrderState[]): Promise<void> {
    const stillAbsent = new Map<string, number>();
    const unseen = [...this.#unseen];
    for (let after = ""; !this.#isStopped;) {
      const page = await this.#deps.orders.open(states, after, PAGE);
      await this.#lookUpPage(page, stillAbsent);
      after = page.at(-1)?.id ?? "";
      if (page.length < PAGE) break;
    }
    this.#absent.clear();
    for (const [id, count] of stillAbsent) this.#absent.set(id, count);
    for (let i = 0; i < unseen.length && !this.#isStopped; i += PAGE) await this.#lookUpUnseen(unseen.slice(i, i + PAGE));
  }

  async #lookUpUnseen(ids: readonly string[]): Promise<void> {
    const known = await this.#deps.orders.byIds(ids);
    for (const { id, state } of known) if (!FOLLOWED.includes(state)) this.#unseen.delete(id);
    await this.#lookUpPage(known.filter(({ id }) => this.#unseen.has(id)), new Map());
  }

  async #lookUpPage(page: readonly Order[], stillAbsent: Map<string, number>): Promise<void> {
    for (let i = 0; i < page.length && !this.#isStopped; i += LOOK_UPS) {
      await Promise.all(page.slice(i, i + LOOK_UPS).map((order) => this.#lookUp(order, stillAbsent)));
    }
  }

  async #lookUp(order: Order, stillAbsent: Map<string, number>): Promise<void> {
    const { callsOf, clock, limits, isRunning } = this.#deps;
    const calls = callsOf(order);
    if (calls === null) return;
    if (isRunning(order.id)) return this.#notSeen(order);
    const found = await calls.find(order);
    if (found.type === "unknown") this.#notSeen(order);
    else this.#unseen.delete(order.id);
    if (isRunning(order.id)) return;
    if (found.type === "found") this.hear(order.id, { type: "report", order: found.order });
    if (found.type !== "absent" || !isAbsenceSettled(order, micros(Math.max(order.sentAt ?? 0, this.#startedAt)), clock.nowMicros(), limits.absentSettleMs)) return;
    const count = (this.#absent.get(order.id) ?? 0) + 1;
    if (count >= ABSENT_ANSWERS) this.hear(order.id, { type: "refuse", why: NOT_AT_BROKER });
    else stillAbsent.set(order.id, count);
  }

  /** One in another state is looked up again anyway. */
  #notSeen({ id, state }: Order): void {
    if (!FOLLOWED.includes(state)) return;
    if (this.#unseen.size < UNSEEN_MAX) this.#unseen.add(id);
    else this.#isSweepOfAllDue = true;
  }
}
