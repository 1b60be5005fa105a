/**
 * One batch on its way: does what batch-machine.ts says next until it is final, and writes before it acts.
 *
 * Owns: the legs as this run knows them. What a call to the broker brought is written together with the mark "sent" of the next
 * leg, in one statement, before that leg is handed over. Runs on: main thread, one run per batch.
 */
import type { Clock } from "../core/clock.ts";
import type { Micros } from "../core/time.ts";
import { unreachable } from "../core/types.ts";
import type { CancelOutcome, PlaceOutcome } from "../ports/broker.ts";
import type { Batch, BatchStore, Order, OrderFault, OrderStore, StoredAnswer } from "../ports/orders.ts";
import { type Conditions, nextStep, type Step } from "./batch-machine.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import type { TradingLimits } from "./limits.ts";
import { lookUp } from "./look-up.ts";
import { isTerminal, newsOf, type OrderInput, step } from "./order-machine.ts";
import { finalAnswer, reportOf, singleAnswer } from "./report.ts";

export interface BatchRunDeps {
  readonly orders: OrderStore;
  readonly batches: BatchStore;
  /** Of an order's broker; null: this service does not have it any more. */
  readonly callsOf: (order: Order) => BrokerCalls | null;
  readonly clock: Clock;
  readonly limits: TradingLimits;
  /** The kill switch. */
  readonly isEnabled: () => boolean;
  readonly isStopping: () => boolean;
  /** Resolves after so many milliseconds, or at once when the process ends. */
  readonly pause: (ms: number) => Promise<void>;
  /** An answer that came after its time. */
  readonly onLate: (orderId: string, input: OrderInput) => void;
}

export type RunResult =
  /** Null: it was final already. */
  | { readonly type: "final"; readonly answer: StoredAnswer | null }
  | { readonly type: "paused" };

interface Buffered {
  readonly input: OrderInput;
  readonly cause: string;
}

/** A leg that is sent gets at least so long, even at the end of the batch's time. */
const PLACE_MIN_MS = 1000;
/** Others that change the same order at the same time lose or win; nobody can win so often. */
const CONFLICTS_MAX = 50;
const STEPS_MAX = 10_000;

export class BatchRun {
  readonly #deps: BatchRunDeps;
  #batch: Batch;
  /** By index. While a change waits to be written, the order after it with the version from before it. */
  readonly #legs: Order[];
  readonly #waiting = new Map<number, Buffered>();
  readonly #heard = new Map<string, OrderInput>();
  readonly #lookedUp = new Set<number>();
  readonly #cancelTries = new Map<number, number>();
  readonly #cancelTried = new Set<number>();
  /** Milliseconds that the broker asked to wait, by leg. */
  readonly #asked = new Map<number, number>();
  /** When legs were handed over; those of an earlier process before this run began. */
  readonly #handedAt = new Map<number, Micros>();
  readonly #beganAt: Micros;
  #rollbackBeganMs: number | null = null;
  /** Legs in parallel change one after another. */
  #line: Promise<unknown> = Promise.resolve();

  /** @param legs all of them, by index */
  constructor(batch: Batch, legs: readonly Order[], deps: BatchRunDeps) {
    this.#batch = batch;
    this.#legs = [...legs];
    this.#deps = deps;
    this.#beganAt = deps.clock.nowMicros();
  }

  get orderIds(): readonly string[] {
    return this.#legs.map(({ id }) => id);
  }

  /** News of a leg, taken in before the next step. */
  hear(orderId: string, input: OrderInput): void {
    this.#heard.set(orderId, newsOf(this.#heard.get(orderId), input));
  }

  /** What was heard and not taken in. */
  unheard(): ReadonlyMap<string, OrderInput> {
    return this.#heard;
  }

  /** @throws {StoreError} when the database is away: whoever loads the batch again can go on */
  async run(): Promise<RunResult> {
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      await this.#takeIn();
      const next = nextStep(this.#batch, this.#legs, this.#conditions());
      if (next.type === "pause") {
        await this.#flush();
        return { type: "paused" };
      }
      if (next.type !== "finish") await this.#do(next);
      else {
        const answer = await this.#finish();
        if (answer !== undefined) return { type: "final", answer };
      }
    }
    throw new Error(`batch ${this.#batch.id} came to no end in ${STEPS_MAX} steps`);
  }

  #conditions(): Conditions {
    return { refusal: this.#refusal(), isStopping: this.#deps.isStopping(), lookedUp: this.#lookedUp, cancelTried: this.#cancelTried };
  }

  #refusal(): OrderFault | null {
    const { isEnabled, callsOf } = this.#deps;
    if (!isEnabled()) return { code: "orders_disabled", message: "orders.enabled is off" };
    if (this.#leftMs() <= 0) return { code: "timeout", message: "the time of the batch (timeout_ms) is over" };
    for (const leg of this.#legs) {
      if (leg.state !== "pending") continue;
      const calls = callsOf(leg);
      if (calls === null) return { code: "unknown_broker", message: `this service has no broker ${leg.broker}` };
      const refusal = calls.refusal();
      if (refusal !== null) return { code: refusal.code, message: refusal.message };
    }
    return null;
  }

  #leftMs(): number {
    return (this.#batch.deadlineAt - this.#deps.clock.nowMicros()) / 1000;
  }

  async #do(next: Exclude<Step, { type: "finish" | "pause" }>): Promise<void> {
    switch (next.type) {
      case "place": return this.#place(next.indexes);
      case "look_up": return this.#lookUp(next.indexes);
      case "cancel": return this.#cancel(next.index);
      case "skip":
        for (const index of next.indexes) await this.#change(index, { type: "skip", why: next.why }, "batch.skip");
        return;
      case "roll_back":
        await this.#flush();
        await this.#deps.batches.rollBack(this.#batch.id, next.why);
        this.#batch = { ...this.#batch, phase: "rolling_back", reason: next.why };
        return;
      default: return unreachable(next);
    }
  }

  async #place(indexes: readonly number[]): Promise<void> {
    for (const index of indexes) await this.#change(index, { type: "send" }, "batch.send");
    const written = await this.#flush();
    await Promise.all(indexes.filter((index) => written.has(index) && this.#leg(index).state === "sent").map((index) => this.#placeOne(index, indexes.length > 1)));
  }

  async #placeOne(index: number, isParallel: boolean): Promise<void> {
    const leg = this.#leg(index);
    this.#handedAt.set(index, this.#deps.clock.nowMicros());
    const outcome = await this.#calls(leg).place(leg, Math.max(this.#leftMs(), PLACE_MIN_MS), (late) => {
      const input = inputOf(late);
      if (input !== null) this.#deps.onLate(leg.id, input);
    });
    if (outcome.type === "unknown") this.#asked.set(index, outcome.waitMs);
    await this.#inLine(async () => {
      await this.#change(index, inputOf(outcome) ?? { type: "lose", why: { code: "unknown_outcome", message: reasonOf(outcome) } }, "broker.place");
      if (isParallel) await this.#flush();
    });
  }

  /** Finds out, all at once, what became of legs; those for which look-ups are used up are remembered. */
  async #lookUp(indexes: readonly number[]): Promise<void> {
    const why = { code: "unknown_outcome", message: "the service did not hear what the broker made of it" };
    for (const index of indexes) await this.#change(index, { type: "lose", why }, "batch.recover");
    await this.#flush();
    await Promise.all(indexes.map(async (index) => {
      const leg = this.#leg(index);
      const input = await lookUp(leg, this.#calls(leg), {
        ...this.#deps, askedMs: this.#asked.get(index) ?? 0, handedAt: this.#handedAt.get(index) ?? this.#beganAt, lookupsMax: this.#isLate() ? 1 : this.#deps.limits.lookupsMax, isHeard: () => this.#heard.has(leg.id),
      });
      if (input === "used_up") this.#lookedUp.add(index);
      else if (input !== null) await this.#inLine(() => this.#change(index, input, "broker.find"));
    }));
    await this.#flush();
  }

  /** One request to cancel; nextStep asks for the next one. */
  async #cancel(index: number): Promise<void> {
    const { limits, clock } = this.#deps;
    this.#rollbackBeganMs ??= clock.monotonicMs();
    const tries = this.#cancelTries.get(index) ?? 0;
    if (tries > 0) await this.#deps.pause(Math.max(limits.cancelDelayMs, this.#asked.get(index) ?? 0));
    if (this.#deps.isStopping()) return;
    await this.#change(index, { type: "cancel" }, "batch.cancel");
    await this.#flush();
    const leg = this.#leg(index);
    if (isTerminal(leg.state)) return;
    const outcome = await this.#calls(leg).cancel(leg);
    this.#cancelTries.set(index, tries + 1);
    if (tries + 1 >= limits.cancelAttemptsMax || this.#isLate()) this.#cancelTried.add(index);
    this.#lookedUp.delete(index);
    if (outcome.type === "unknown") this.#asked.set(index, outcome.waitMs);
    for (const input of await this.#cancelInputs(leg, outcome)) await this.#change(index, input, "broker.cancel");
  }

  /** A refusal without the order is not the whole truth: it may have been filled. */
  async #cancelInputs(leg: Order, outcome: CancelOutcome): Promise<readonly OrderInput[]> {
    const inputs = cancelInputs(outcome);
    if (outcome.type !== "refused" || outcome.order !== null) return inputs;
    const found = await this.#calls(leg).find(leg);
    return found.type === "found" ? [{ type: "report", order: found.order }, ...inputs] : inputs;
  }

  #isLate(): boolean {
    return this.#rollbackBeganMs !== null && this.#deps.clock.monotonicMs() - this.#rollbackBeganMs > this.#deps.limits.rollbackMaxMs;
  }

  /** Undefined: it is not final; the legs are as the database has them. */
  async #finish(): Promise<StoredAnswer | null | undefined> {
    await this.#flush();
    let answer: StoredAnswer | null = null;
    const isFinal = await this.#deps.batches.finish(this.#batch.id, (orders) => {
      for (const order of orders) this.#legs[order.index] = order;
      const next = nextStep(this.#batch, this.#legs, { ...this.#conditions(), isStopping: false });
      if (next.type !== "finish") return null;
      const { id, mode, kind, reason, trace } = this.#batch;
      const [first] = this.#legs;
      answer = kind === "single" && first !== undefined ? singleAnswer(first) : finalAnswer(next.state, reportOf({ id, mode, state: next.state }, this.#legs), reason, trace.requestId);
      return { state: next.state, answer };
    });
    return isFinal ? answer : undefined;
  }

  /** News from the broker. */
  async #takeIn(): Promise<void> {
    for (const [orderId, input] of this.#heard) {
      this.#heard.delete(orderId);
      const leg = this.#legs.find(({ id }) => id === orderId);
      if (leg !== undefined && leg.state !== "pending") await this.#change(leg.index, input, "broker.update");
    }
  }

  /** Changes a leg; it is written with the next flush. */
  async #change(index: number, input: OrderInput, cause: string): Promise<void> {
    if (this.#waiting.has(index)) await this.#flush();
    const leg = this.#leg(index);
    const next = step(leg, input, this.#deps.clock.nowMicros());
    if (next === leg) return;
    this.#legs[index] = next;
    this.#waiting.set(index, { input, cause });
  }

  /** Writes what waits; where somebody else was first, on top of theirs. Answers which legs' inputs were written. */
  async #flush(): Promise<ReadonlySet<number>> {
    const written = new Set<number>();
    for (let conflicts = 0; this.#waiting.size > 0; conflicts++) {
      if (conflicts > CONFLICTS_MAX) throw new Error(`orders of batch ${this.#batch.id} were changed by others ${CONFLICTS_MAX} times in a row`);
      const entries = [...this.#waiting];
      const ids = await this.#deps.orders.write(entries.map(([index, { cause }]) => ({ order: this.#leg(index), cause })));
      for (const [index] of entries) {
        const leg = this.#leg(index);
        if (!ids.has(leg.id)) continue;
        this.#waiting.delete(index);
        this.#legs[index] = { ...leg, version: leg.version + 1 };
        written.add(index);
      }
      if (this.#waiting.size > 0) await this.#reload();
    }
    return written;
  }

  async #reload(): Promise<void> {
    for (const order of await this.#deps.orders.byIds([...this.#waiting.keys()].map((index) => this.#leg(index).id))) {
      const waiting = this.#waiting.get(order.index);
      if (waiting === undefined) continue;
      const next = step(order, waiting.input, this.#deps.clock.nowMicros());
      this.#legs[order.index] = next;
      if (next === order) this.#waiting.delete(order.index);
    }
  }

  #inLine(work: () => Promise<void>): Promise<void> {
    const turn = this.#line.then(work);
    this.#line = turn.catch(() => undefined);
    return turn;
  }

  #leg(index: number): Order {
    const leg = this.#legs[index];
    if (leg === undefined) throw new Error(`batch ${this.#batch.id} has no leg ${index}`);
    return leg;
  }

  #calls(leg: Order): BrokerCalls {
    const calls = this.#deps.callsOf(leg);
    if (calls === null) throw new Error(`order ${leg.id} belongs to the broker ${leg.broker}, which this service does not have; configure it and start again`);
    return calls;
  }
}

/** What an answer to a placement means for the order; null: nothing is known. */
function inputOf(outcome: PlaceOutcome): OrderInput | null {
  switch (outcome.type) {
    case "accepted": return { type: "report", order: outcome.order };
    case "rejected": return { type: "refuse", why: { code: outcome.code, message: outcome.reason } };
    case "unknown": return null;
    default: return unreachable(outcome);
  }
}

function reasonOf(outcome: PlaceOutcome): string {
  return outcome.type === "accepted" ? "" : outcome.reason;
}

/** What an answer to a cancellation means for the order, in turn. */
export function cancelInputs(outcome: CancelOutcome): readonly OrderInput[] {
  switch (outcome.type) {
    case "cancelled": return [{ type: "report", order: outcome.order }];
    case "refused": {
      const keep: OrderInput = { type: "keep", why: { code: "cancel_refused", message: outcome.reason } };
      return outcome.order === null ? [keep] : [{ type: "report", order: outcome.order }, keep];
    }
    case "unknown": return [{ type: "lose", why: { code: "unknown_outcome", message: outcome.reason } }];
    default: return unreachable(outcome);
  }
}
