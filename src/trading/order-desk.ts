/**
 * Accepts orders: reads and checks them, writes the intent, has it executed, and answers each idempotency key once (protocol 3.1).
 *
 * A request that finds its key in use executes nothing. The database decides between requests that come at the same time.
 */
import type { Clock } from "../core/clock.ts";
import { type InputFault, NotFoundError, UnavailableError, ValidationError } from "../core/errors.ts";
import { micros } from "../core/time.ts";
import type { Batch, BatchMode, BatchStore, BeginOutcome, IdempotencyKey, KnownKey, Order, OrderFault, OrderStore, OrderTerms, Placement, StoredAnswer } from "../ports/orders.ts";
import type { BatchReport, PostedOrders, Trader, TradingAnswer } from "../ports/trading.ts";
import type { BatchExecutor, Execution } from "./batch-executor.ts";
import { readBatch } from "./batch-input.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { newId } from "./ids.ts";
import { type InstrumentLookup, type ReadLeg, readLeg } from "./leg-input.ts";
import type { TradingLimits } from "./limits.ts";
import { problemAnswer, reportOf, unsentLeg } from "./report.ts";

export interface OrderDeskDeps {
  readonly orders: OrderStore;
  readonly batches: BatchStore;
  readonly executor: BatchExecutor;
  readonly instruments: InstrumentLookup;
  /** Which broker trades an instrument; its name is in every order. */
  readonly brokerOf: (symbol: string) => BrokerCalls;
  readonly clock: Clock;
  readonly limits: TradingLimits;
  readonly isEnabled: () => boolean;
}

/** A batch of which every leg can be read. */
interface Intent {
  readonly kind: Batch["kind"];
  readonly mode: BatchMode;
  readonly placement: Placement;
  readonly timeoutMs: number;
  readonly legs: readonly ReadLeg[];
  readonly terms: readonly OrderTerms[];
}

const RUNNING_RETRY_S = 1;
const DISABLED_RETRY_S = 30;
const BUSY_RETRY_S = 1;

export class OrderDesk {
  readonly #deps: OrderDeskDeps;

  constructor(deps: OrderDeskDeps) {
    this.#deps = deps;
  }

  known(owner: string, key: string): Promise<KnownKey | null> {
    return this.#deps.batches.known(owner, key, this.#since());
  }

  async postBatch({ body, key: text, isFollower }: PostedOrders, trader: Trader): Promise<TradingAnswer> {
    const key = { owner: trader.owner, key: text, fingerprint: fingerprintOf("POST /v1/orders/batch", body) };
    const known = await this.known(key.owner, key.key);
    if (known !== null) return this.#again(known, key, trader);
    if (isFollower) return this.#stillRunning(null, trader);
    this.#mayTrade();
    const { limits, instruments, clock } = this.#deps;
    const read = readBatch(body, limits, instruments);
    const terms = read.legs.flatMap((leg) => leg.terms ?? []);
    const intent: Intent = { ...read, kind: "batch", terms };
    const faults = await this.#allFaults(trader.owner, read.legs, read.faults);
    if (faults.length > 0) return this.#rejected(intent, faults, read.isDryRun ? null : key, trader);
    if (!read.isDryRun) return this.#execute(intent, key, trader);
    const legs = read.legs.map(({ asked }, index) => unsentLeg({ ...asked, time_in_force: asked.time_in_force ?? "gtc" }, index, "pending", null, clock.nowMicros()));
    const report: BatchReport = { id: null, state: "checked", mode: read.mode, orders: legs, residual_exposure: [] };
    return fresh({ status: 200, contentType: "application/json", body: JSON.stringify(report) });
  }

  async postOrder({ body, key: text, isFollower }: Omit<PostedOrders, "key"> & { readonly key: string | null }, trader: Trader): Promise<TradingAnswer> {
    const key = text === null ? null : { owner: trader.owner, key: text, fingerprint: fingerprintOf("POST /v1/orders", body) };
    const known = key === null ? null : await this.known(key.owner, key.key);
    if (known !== null && key !== null) return this.#again(known, key, trader);
    if (isFollower) return this.#stillRunning(null, trader);
    this.#mayTrade();
    const leg = readLeg(body, "", this.#deps.instruments);
    const terms = leg.terms === null ? [] : [leg.terms];
    const faults = await this.#allFaults(trader.owner, [leg], leg.faults);
    if (faults.length > 0) throw new ValidationError(faults.map(ofSingle));
    return this.#execute({ kind: "single", mode: "best_effort", placement: "sequential", timeoutMs: this.#deps.limits.timeoutMs, legs: [leg], terms }, key, trader);
  }

  /** @throws {UnavailableError} */
  #mayTrade(): void {
    const { executor, isEnabled } = this.#deps;
    if (executor.isStopping) throw new UnavailableError("the service is stopping; send it again after its restart", "draining");
    if (!isEnabled()) throw new UnavailableError("orders are switched off by an operator (orders.enabled)", "orders_disabled", DISABLED_RETRY_S);
    if (!executor.hasRoom()) throw new UnavailableError(`${this.#deps.limits.runningMax} batches are under way; try again`, "busy", BUSY_RETRY_S);
  }

  /** Those of the form, and what is known against the legs that can be read. @throws {UnavailableError} when nothing is wrong but a broker cannot be asked */
  async #allFaults(owner: string, legs: readonly ReadLeg[], faults: readonly InputFault[]): Promise<readonly InputFault[]> {
    const taken = new Set(await this.#deps.orders.taken(owner, legs.flatMap(({ asked }) => asked.client_order_id ?? [])));
    const used = legs.flatMap(({ asked }, index): InputFault[] => (asked.client_order_id !== null && taken.has(asked.client_order_id) ? [takenFault(index, asked.client_order_id)] : []));
    const found = [...faults, ...used];
    try {
      return [...found, ...(await this.#brokerFaults(owner, legs))];
    } catch (error) {
      if (found.length > 0 && error instanceof UnavailableError) return found;
      throw error;
    }
  }

  /** What the brokers know against the legs that can be read, all of a broker together. */
  async #brokerFaults(owner: string, legs: readonly ReadLeg[]): Promise<readonly InputFault[]> {
    const groups = new Map<BrokerCalls, { readonly index: number; readonly terms: OrderTerms }[]>();
    for (const [index, { terms }] of legs.entries()) {
      if (terms === null) continue;
      const calls = this.#deps.brokerOf(terms.symbol);
      groups.set(calls, [...(groups.get(calls) ?? []), { index, terms }]);
    }
    const faults: InputFault[] = [];
    for (const [calls, group] of groups) {
      const refusal = calls.refusal();
      if (refusal !== null) throw new UnavailableError(refusal.message, refusal.code, refusal.retryAfterS);
      const found = await calls.check(group.map(({ index, terms }) => ({ ...terms, owner, clientOrderId: `check-${index}` })));
      faults.push(...found.map(({ index, path, message }) => ({ path: [`orders.${group[index]?.index ?? 0}`, path].filter(Boolean).join("."), message })));
    }
    return faults;
  }

  async #execute(intent: Intent, key: IdempotencyKey | null, trader: Trader): Promise<TradingAnswer> {
    const { batches, executor } = this.#deps;
    const { batch, orders } = this.#drawUp(intent, trader);
    const begun = await batches.begin(batch, orders, key, this.#since());
    if (begun.type !== "begun") return this.#notBegun(begun, intent, key, trader);
    const execution = await executor.execute(batch, orders);
    return this.#answerOf(execution, batch, key, trader);
  }

  #drawUp({ kind, mode, placement, timeoutMs, terms }: Intent, trader: Trader): { readonly batch: Batch; readonly orders: readonly Order[] } {
    const now = this.#deps.clock.nowMicros();
    const trace = { requestId: trader.requestId, correlationId: trader.correlationId };
    const batch: Batch = {
      id: newId("b", now), owner: trader.owner, kind, mode, placement, state: "running", phase: "placing", reason: null, createdAt: now,
      deadlineAt: micros(now + timeoutMs * 1000), trace,
    };
    const orders = terms.map((leg, index): Order => {
      const id = newId("o", now);
      return {
        ...leg, clientOrderId: leg.clientOrderId === "" ? id : leg.clientOrderId, id, owner: trader.owner, broker: this.#deps.brokerOf(leg.symbol).broker.broker, batchId: batch.id,
        index, trace, brokerOrderId: null, state: "pending", filled: "0", averagePrice: null, error: null, sentAt: null, createdAt: now, updatedAt: now, version: 0,
      };
    });
    return { batch, orders };
  }

  #notBegun(outcome: Exclude<BeginOutcome, { type: "begun" }>, intent: Intent, key: IdempotencyKey | null, trader: Trader): Promise<TradingAnswer> {
    if (outcome.type === "known") {
      if (key === null) throw new Error("a request without a key cannot have a known one");
      return this.#again(outcome.known, key, trader);
    }
    const faults = outcome.indexes.map((index) => takenFault(index, intent.terms[index]?.clientOrderId ?? ""));
    if (intent.kind === "single") throw new ValidationError(faults.map(ofSingle));
    return this.#rejected(intent, faults, key, trader);
  }

  /** 422 with every fault; kept for those who ask again, unless it was a dry run. */
  async #rejected({ mode, placement, timeoutMs, legs }: Intent, faults: readonly InputFault[], key: IdempotencyKey | null, trader: Trader): Promise<TradingAnswer> {
    const now = this.#deps.clock.nowMicros();
    const id = key === null ? null : newId("b", now);
    const report: BatchReport = {
      id, state: "rejected", mode, residual_exposure: [],
      orders: legs.map(({ asked }, index) => unsentLeg(asked, index, "rejected", legFault(faults, index), now)),
    };
    const answer = problemAnswer(422, "Validation failed", "rejected", faults.map(({ path, message }) => `${path}: ${message}`).join("; ").slice(0, 2000), { errors: faults, ...report }, trader.requestId);
    if (key === null || id === null) return fresh(answer);
    const batch: Batch = {
      id, owner: trader.owner, kind: "batch", mode, placement, state: "rejected", phase: "placing", reason: null, createdAt: now, deadlineAt: micros(now + timeoutMs * 1000),
      trace: { requestId: trader.requestId, correlationId: trader.correlationId },
    };
    const known = await this.#deps.batches.reject(batch, JSON.stringify(report), key, answer, this.#since());
    return known === null ? fresh(answer) : this.#again(known, key, trader);
  }

  /** The same key once more. @throws {ValidationError} 422 `idempotency_mismatch` */
  async #again(known: KnownKey, { fingerprint, key }: IdempotencyKey, trader: Trader): Promise<TradingAnswer> {
    if (known.fingerprint !== fingerprint) {
      throw new ValidationError([{ path: "header.Idempotency-Key", message: `the key "${key}" was used with another request; use a new key for a new request` }], "idempotency_mismatch");
    }
    return known.answer === null ? this.#stillRunning(known.batchId, trader) : { ...known.answer, isReplay: true, retryAfterS: null };
  }

  async #stillRunning(batchId: string | null, trader: Trader): Promise<TradingAnswer> {
    const members = batchId === null ? { state: "running" } : await this.#runningReport(batchId);
    const answer = problemAnswer(409, "Conflict", "still_running", "a request with this idempotency key is under way; ask again for its answer", members, trader.requestId);
    return { ...answer, isReplay: false, retryAfterS: RUNNING_RETRY_S };
  }

  async #answerOf(execution: Execution, batch: Batch, key: IdempotencyKey | null, trader: Trader): Promise<TradingAnswer> {
    if (execution.type === "final") {
      const stored = execution.answer ?? (key === null ? null : (await this.known(key.owner, key.key))?.answer) ?? null;
      if (stored !== null) return fresh(stored);
    }
    const members = await this.#runningReport(batch.id).catch((): object => ({ id: batch.id, state: "running", mode: batch.mode }));
    const detail = "the batch is durable and goes on by itself; ask for it by its id, or send the same request again";
    return { ...problemAnswer(503, "Unavailable", "running", detail, members, trader.requestId), isReplay: false, retryAfterS: 5 };
  }

  /** As the batch was while it ran; it may have ended since. */
  async #runningReport(batchId: string): Promise<object> {
    const loaded = await this.#deps.batches.load(batchId);
    if (loaded === null) throw new NotFoundError(`there is no batch ${batchId}`);
    const orders = await this.#deps.orders.ofBatch(batchId);
    return reportOf({ id: batchId, mode: loaded.batch.mode, state: "running" }, orders);
  }

  #since(): number {
    return this.#deps.clock.nowMicros() - this.#deps.limits.keysKeepMs * 1000;
  }
}

function fresh(answer: StoredAnswer): TradingAnswer {
  return { ...answer, isReplay: false, retryAfterS: null };
}

function takenFault(index: number, id: string): InputFault {
  return { path: `orders.${index}.client_order_id`, message: `the id "${id}" was used before; each order has its own, for ever` };
}

/** Paths of a single order have no index. */
function ofSingle({ path, message }: InputFault): InputFault {
  return { path: path.replace(/^orders\.0\.?/, "") || "body", message };
}

/** The first fault of a leg; null when the batch as a whole is at fault. */
function legFault(faults: readonly InputFault[], index: number): OrderFault {
  const own = faults.filter(({ path }) => path === `orders.${index}` || path.startsWith(`orders.${index}.`));
  return own.length === 0 ? { code: "not_sent", message: "the batch was rejected because of another fault" } : { code: "check_failed", message: own.map(({ message }) => message).join("; ") };
}

