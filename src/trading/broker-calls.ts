/**
 * Calls to a broker: each within its time, counted by the breaker, logged with the ids of the request behind it, and never thrown.
 *
 * What is not known stays `unknown`. Placements respect the breaker; cancellations and look-ups go through an open one, because
 * they undo and find out what was sent before it opened.
 */
import type { Clock } from "../core/clock.ts";
import { AppError, BrokerError, messageOf, UnavailableError } from "../core/errors.ts";
import type { Breaker } from "../ports/breakers.ts";
import type { Broker, BrokerOrder, BrokerRequest, CancelOutcome, FindOutcome, PlaceOutcome } from "../ports/broker.ts";
import type { Order, OrderFault } from "../ports/orders.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { TradingLimits } from "./limits.ts";

export interface BrokerCallsDeps {
  readonly broker: Broker;
  /** `broker.<name>`. */
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: Pick<TradingLimits, "placeTimeoutMs" | "cancelTimeoutMs" | "findTimeoutMs">;
}

type Unknown = { readonly type: "unknown"; readonly reason: string; readonly waitMs: number };
type Verb = "place" | "cancel" | "find";

const CHECK_RETRY_S = 2;

/** Carries an unknown outcome through the breaker, which counts it as a failure. */
class UnknownOutcome extends BrokerError {
  readonly outcome: Unknown;

  constructor(outcome: Unknown) {
    super(outcome.reason);
    this.outcome = outcome;
  }
}

/** What the broker is asked to do for an order. It knows the order by our id, which is unique over all owners. */
export function requestOf(order: Order): BrokerRequest {
  const { id, owner, symbol, side, type, quantity, limitPrice, stopPrice, timeInForce } = order;
  return { clientOrderId: id, owner, symbol, side, type, quantity, limitPrice, stopPrice, timeInForce };
}

export class BrokerCalls implements MetricSource {
  readonly #deps: BrokerCallsDeps;
  readonly #outcomes = new Map<string, number>();
  #late = 0;

  constructor(deps: BrokerCallsDeps) {
    this.#deps = deps;
  }

  get broker(): Broker {
    return this.#deps.broker;
  }

  /** Why nothing may be placed now, with the seconds to wait; null: it may. */
  refusal(): (OrderFault & { readonly retryAfterS: number }) | null {
    const { state, probeInMs, name } = this.#deps.breaker.report();
    if (state !== "open") return null;
    const retryAfterS = Math.max(1, Math.ceil((probeInMs ?? 60_000) / 1000));
    return { code: "breaker_open", message: `the circuit breaker ${name} is open; try again in ${retryAfterS} s`, retryAfterS };
  }

  /**
   * Hands the order over. An answer that comes after its time goes to `onLate`.
   * @param leftMs of the batch
   */
  async place(order: Order, leftMs: number, onLate: (outcome: PlaceOutcome) => void): Promise<PlaceOutcome> {
    const { broker, breaker, limits } = this.#deps;
    const call = () => this.#timed("place", order, Math.min(limits.placeTimeoutMs, leftMs), () => broker.place(requestOf(order)), onLate);
    try {
      return await breaker.run(() => unknownThrown(call));
    } catch (error) {
      if (error instanceof UnknownOutcome) return error.outcome;
      // The breaker refused it without calling: nothing was sent.
      if (error instanceof AppError && error.code === "breaker_open") return { type: "rejected", code: error.code, reason: error.message };
      throw error;
    }
  }

  /** What is known against the requests, without sending. @throws {UnavailableError} when the broker does not say */
  async check(requests: readonly BrokerRequest[]): ReturnType<Broker["check"]> {
    const { broker, clock, limits } = this.#deps;
    try {
      return await new Promise<Awaited<ReturnType<Broker["check"]>>>((resolve, reject) => {
        const timer = clock.after(limits.findTimeoutMs, () => reject(new BrokerError(`no answer within ${limits.findTimeoutMs} ms`)));
        called(() => broker.check(requests)).then(resolve, reject).finally(() => timer.stop());
      });
    } catch (error) {
      throw new UnavailableError(`the broker ${broker.broker} cannot check orders now: ${messageOf(error)}`, "broker_unavailable", CHECK_RETRY_S, { cause: error });
    }
  }

  cancel(order: Order): Promise<CancelOutcome> {
    const { broker, limits } = this.#deps;
    const { id, brokerOrderId, owner, symbol } = order;
    return this.#anyway(() => this.#timed("cancel", order, limits.cancelTimeoutMs, () => broker.cancel({ clientOrderId: id, brokerOrderId, owner, symbol })));
  }

  find(order: Order): Promise<FindOutcome> {
    const { broker, limits } = this.#deps;
    const { id, owner, symbol, sentAt } = order;
    return this.#anyway(() => this.#timed("find", order, limits.findTimeoutMs, () => broker.find({ clientOrderId: id, owner, symbol, ...(sentAt === null ? {} : { sentAt }) })));
  }

  samples(): MetricSample[] {
    const { broker } = this.#deps.broker;
    const counted = [...this.#outcomes].map(([key, value]): MetricSample => {
      const [call = "", outcome = ""] = key.split(" ");
      return { name: "ticker_broker_calls_total", help: "Calls to a broker by what came of them", type: "counter", labels: { broker, call, outcome }, value };
    });
    return [...counted, { name: "ticker_broker_late_answers_total", help: "Placements answered after their time", type: "counter", labels: { broker }, value: this.#late }];
  }

  /** Through the breaker, or past it when it would refuse. */
  async #anyway<T extends { readonly type: string }>(call: () => Promise<T | Unknown>): Promise<T | Unknown> {
    const { breaker } = this.#deps;
    if (breaker.report().state !== "closed") return call();
    try {
      return await breaker.run(() => unknownThrown(call));
    } catch (error) {
      if (error instanceof UnknownOutcome) return error.outcome;
      if (error instanceof AppError && error.code === "breaker_open") return call();
      throw error;
    }
  }

  async #timed<T extends { readonly type: string }>(verb: Verb, order: Order, timeoutMs: number, call: () => Promise<T>, onLate?: (outcome: T) => void): Promise<T | Unknown> {
    const { clock, broker } = this.#deps;
    const beganMs = clock.monotonicMs();
    const outcome = await new Promise<T | Unknown>((resolve) => {
      let isLate = false;
      const timer = clock.after(Math.max(0, timeoutMs), () => {
        isLate = true;
        resolve({ type: "unknown", reason: `the broker ${broker.broker} did not answer within ${Math.round(timeoutMs)} ms`, waitMs: 0 });
      });
      called(call).then((answer) => {
        timer.stop();
        if (!isLate) resolve(answer);
        else this.#answeredLate(order, answer, onLate);
      }, (error: unknown) => {
        timer.stop();
        resolve({ type: "unknown", reason: `the call to the broker failed: ${messageOf(error)}`, waitMs: 0 });
      });
    });
    this.#told(verb, order, outcome, clock.monotonicMs() - beganMs);
    return outcome;
  }

  #answeredLate<T extends { readonly type: string }>(order: Order, answer: T, onLate: ((outcome: T) => void) | undefined): void {
    this.#late++;
    this.#deps.log.warn({ order: order.id, correlation_id: order.trace.correlationId, outcome: answer.type }, "the broker answered after its time");
    onLate?.(answer);
  }

  #told(verb: Verb, order: Order, outcome: { readonly type: string; readonly reason?: string; readonly order?: BrokerOrder | null }, tookMs: number): void {
    const key = `${verb} ${outcome.type}`;
    this.#outcomes.set(key, (this.#outcomes.get(key) ?? 0) + 1);
    this.#deps.log.info({
      broker: this.#deps.broker.broker, call: verb, outcome: outcome.type, took_ms: Math.round(tookMs), order: order.id, batch: order.batchId, owner: order.owner,
      request_id: order.trace.requestId, correlation_id: order.trace.correlationId, broker_order_id: outcome.order?.brokerOrderId, reason: outcome.reason,
    }, "broker called");
  }
}

/** A broker that throws at once is one that rejects. */
async function called<T>(call: () => Promise<T>): Promise<T> {
  return call();
}

async function unknownThrown<T extends { readonly type: string }>(call: () => Promise<T | Unknown>): Promise<T> {
  const outcome = await call();
  if (isUnknown(outcome)) throw new UnknownOutcome(outcome);
  return outcome;
}

function isUnknown(outcome: { readonly type: string }): outcome is Unknown {
  return outcome.type === "unknown";
}
