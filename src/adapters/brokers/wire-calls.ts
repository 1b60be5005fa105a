/**
 * Calls to a broker: each with a deadline, at most so many at a time, counted by outcome.
 *
 * Questions that nobody else guards go through the breaker here. Orders, cancels and look-ups of orders do not: the executor
 * takes them through the same breaker as whole steps, and lets cancels and look-ups through an open one.
 * Owns: counters. Path: cold.
 */
import type { Clock } from "../../core/clock.ts";
import { BrokerError, messageOf, UnavailableError } from "../../core/errors.ts";
import type { Breaker } from "../../ports/breakers.ts";
import type { MetricSample } from "../../ports/telemetry.ts";
import { traced } from "./outgoing.ts";
import type { Redaction } from "./redaction.ts";
import { unknown, type BrokerWire, type WireAnswer, type WireUnknown } from "./wire.ts";

export type CallName = "open" | "check" | "place" | "cancel" | "find" | "poll" | "positions" | "account";

const GUARDED_BY_CALLER: readonly CallName[] = ["place", "cancel", "find"];

export interface CallLimits {
  /** Milliseconds for one call. */
  readonly deadlineMs: number;
  /** Calls at a time; beyond it they are not sent. */
  readonly callsMax: number;
}

export interface CallParts {
  readonly wire: BrokerWire;
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly limits: CallLimits;
  readonly redaction: Redaction;
}

/** When a call was refused here because too many are under way. */
const BUSY_WAIT_MS = 1000;

/** Shows an unknown outcome to the breaker, and only to it. */
class UnknownOutcome extends BrokerError {
  readonly answer: WireUnknown;

  constructor(answer: WireUnknown) {
    super(answer.reason);
    this.answer = answer;
  }
}

export class WireCalls {
  readonly #parts: CallParts;
  readonly #counts = new Map<string, { readonly call: CallName; readonly outcome: string; count: number }>();
  #underWay = 0;

  constructor(parts: CallParts) {
    this.#parts = parts;
  }

  /** Never throws for what the broker does. The wire is open when `run` is called. */
  async call<T>(name: CallName, run: () => Promise<WireAnswer<T>>): Promise<WireAnswer<T>> {
    const answer = await this.#guarded(name, run);
    const key = `${name} ${answer.type}`;
    const counted = this.#counts.get(key);
    if (counted === undefined) this.#counts.set(key, { call: name, outcome: answer.type, count: 1 });
    else counted.count++;
    return answer;
  }

  samples(): MetricSample[] {
    const { broker } = this.#parts.wire;
    return [...this.#counts.values()].map(({ call, outcome, count }) => ({
      name: "ticker_broker_requests_total", help: "Requests to a broker by what their answers prove", type: "counter", labels: { broker, call, outcome }, value: count,
    }));
  }

  async #guarded<T>(name: CallName, run: () => Promise<WireAnswer<T>>): Promise<WireAnswer<T>> {
    const { breaker, limits, wire } = this.#parts;
    if (this.#underWay >= limits.callsMax) {
      return { type: "not_sent", code: "broker_busy", reason: `${limits.callsMax} calls to ${wire.broker} are under way`, waitMs: BUSY_WAIT_MS };
    }
    this.#underWay++;
    try {
      if (GUARDED_BY_CALLER.includes(name)) return this.#clean(await this.#inTime(name, run));
      return await breaker.run(async () => {
        const answer = this.#clean(await this.#inTime(name, run));
        if (answer.type === "unknown" && !answer.isThrottled) throw new UnknownOutcome(answer);
        return answer;
      });
    } catch (error) {
      if (error instanceof UnknownOutcome) return error.answer;
      if (error instanceof UnavailableError) return { type: "not_sent", code: error.code, reason: error.message, waitMs: error.retryAfterS * 1000 };
      throw error;
    } finally {
      this.#underWay--;
    }
  }

  async #inTime<T>(name: CallName, run: () => Promise<WireAnswer<T>>): Promise<WireAnswer<T>> {
    const { clock, limits, wire } = this.#parts;
    const controller = new AbortController();
    const over = Promise.withResolvers<WireAnswer<T>>();
    const timer = clock.after(limits.deadlineMs, () => {
      controller.abort();
      over.resolve(unknown(`${name}: ${wire.broker} did not answer within ${limits.deadlineMs} ms`));
    });
    const answered = traced(controller.signal, async (trace): Promise<WireAnswer<T>> => {
      try {
        const opened = await wire.open();
        if (opened.type !== "ok") return name === "place" ? notSent(opened) : withoutOrder(opened);
        return await run();
      } catch (error) {
        return unknown(`${name}: ${messageOf(error)}`, trace.waitMs);
      }
    });
    try {
      return await Promise.race([answered, over.promise]);
    } finally {
      timer.stop();
    }
  }

  #clean<T>(answer: WireAnswer<T>): WireAnswer<T> {
    return "reason" in answer ? { ...answer, reason: this.#parts.redaction.of(answer.reason) } : answer;
  }
}

/** What could not be loaded says nothing about any order. */
function withoutOrder<T>(answer: Exclude<WireAnswer<null>, { type: "ok" }>): WireAnswer<T> {
  return answer.type === "absent" ? unknown("the broker does not know what was asked for") : answer;
}

/** An order whose instrument could not be looked up has not left. */
function notSent<T>(answer: Exclude<WireAnswer<null>, { type: "ok" }>): WireAnswer<T> {
  if (answer.type === "not_sent") return answer;
  return { type: "not_sent", code: "broker_unavailable", reason: answer.type === "absent" ? "no instruments" : answer.reason, waitMs: answer.type === "unknown" ? answer.waitMs : 0 };
}
