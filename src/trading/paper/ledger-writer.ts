/**
 * Brings what the engine did into the ledger: one transaction at a time, each with all that has gathered meanwhile.
 *
 * Owns: what is not durable yet, and the open orders as they are in the ledger. A commit whose outcome is not known is
 * repeated until it is; meanwhile the broker does nothing new. Nothing is told of an order before it is durable.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import { ConflictError, messageOf, StoreError } from "../../core/errors.ts";
import type { PaperCash, PaperChanges, PaperFill, PaperKey, PaperLedger, PaperOrder, PaperPosition } from "../../ports/paper.ts";
import type { Logger } from "../../ports/telemetry.ts";

/** Fills that may wait for the ledger; beyond it the market is passed over until they are written. */
const FILLS_PENDING_MAX = 10_000;

export interface LedgerWriterDeps {
  readonly ledger: PaperLedger;
  readonly clock: Clock;
  readonly log: Logger;
  /** Distinguishes this process from others that may still hold the ledger. */
  readonly writer: string;
  /** From a failed commit to the next try. */
  readonly retryMs: number;
  /** Told of each state of each order once it is durable, in order. */
  readonly onDurable: (order: PaperOrder) => void;
}

/** What goes into one transaction. */
class Gathering {
  readonly orders = new Map<number, PaperOrder>();
  readonly fills: PaperFill[] = [];
  readonly cash = new Map<string, PaperCash>();
  readonly positions = new Map<string, PaperPosition>();
  readonly transitions: PaperOrder[] = [];
  revision = 0;
  readonly done = Promise.withResolvers<void>();

  constructor() {
    // Whoever waits hears of a failure; that nobody waits is no fault.
    this.done.promise.catch(() => undefined);
  }

  get isEmpty(): boolean {
    return this.transitions.length === 0;
  }

  /** Takes in what came later. */
  add(transitions: readonly PaperOrder[], { orders, fills, cash, positions, revision }: PaperChanges): void {
    for (const transition of transitions) this.transitions.push(transition);
    for (const fill of fills) this.fills.push(fill);
    for (const order of orders) this.orders.set(order.number, order);
    for (const row of cash) this.cash.set(`${row.owner}\n${row.currency}`, row);
    for (const row of positions) this.positions.set(`${row.owner}\n${row.symbol}`, row);
    this.revision = Math.max(this.revision, revision);
  }

  changes(): PaperChanges {
    return { orders: [...this.orders.values()], fills: this.fills, cash: [...this.cash.values()], positions: [...this.positions.values()], revision: this.revision };
  }
}

export class LedgerWriter {
  readonly #deps: LedgerWriterDeps;
  readonly #open = new Map<string, PaperOrder>();
  #next = new Gathering();
  /** What the ledger is being given. */
  #leaving: Gathering | null = null;
  #retry: Timer | null = null;
  #failure: Error | null = null;
  #isFenced = false;
  commits = 0;
  failures = 0;

  constructor(deps: LedgerWriterDeps) {
    this.#deps = deps;
  }

  /** Whether the ledger is away, belongs to another, or is too far behind: nothing new may happen. */
  get isBehind(): boolean {
    return this.#failure !== null || this.#next.fills.length >= FILLS_PENDING_MAX;
  }

  restore(orders: readonly PaperOrder[]): void {
    for (const order of orders) this.#open.set(keyText(order), order);
  }

  /** An open order as it is in the ledger. */
  durable(key: PaperKey): PaperOrder | null {
    return this.#open.get(keyText(key)) ?? null;
  }

  add(transitions: readonly PaperOrder[], changes: PaperChanges): void {
    this.#next.add(transitions, changes);
    if (this.#leaving === null && this.#retry === null && !this.#isFenced) void this.#write();
  }

  /** Resolves when all that was added is durable. @throws {StoreError} when the next commit of it fails: it is tried again, and may be durable already */
  async settled(): Promise<void> {
    if (this.#isFenced && this.#failure) throw this.#failure;
    if (!this.#next.isEmpty) return this.#next.done.promise;
    if (this.#leaving) return this.#leaving.done.promise;
  }

  /** Tries at once what waits to be tried again. */
  async stop(): Promise<void> {
    if (this.#noRetry()) void this.#write();
    try {
      await this.settled();
    } catch (error) {
      this.#deps.log.warn({ orders: this.#next.orders.size, error: messageOf(error) }, "changes of the paper account were not written before the stop; nobody was told of them");
    }
    this.#noRetry();
  }

  /** Whether a retry was due and is called off. */
  #noRetry(): boolean {
    const retry = this.#retry;
    retry?.stop();
    this.#retry = null;
    return retry !== null;
  }

  async #write(): Promise<void> {
    // What else happens in this turn goes along.
    this.#leaving = new Gathering();
    await Promise.resolve();
    while (!this.#next.isEmpty) {
      const leaving = this.#next;
      this.#leaving = leaving;
      this.#next = new Gathering();
      try {
        await this.#deps.ledger.commit(this.#deps.writer, leaving.changes());
      } catch (error) {
        this.#failed(leaving, error);
        return;
      }
      this.#written(leaving);
    }
    this.#leaving = null;
  }

  #written({ transitions, orders, done }: Gathering): void {
    this.commits++;
    this.#failure = null;
    for (const order of orders.values()) {
      if (order.state === "accepted" || order.state === "partially_filled") this.#open.set(keyText(order), order);
      else this.#open.delete(keyText(order));
    }
    for (const transition of transitions) this.#deps.onDurable(transition);
    done.resolve();
  }

  #failed(leaving: Gathering, error: unknown): void {
    const { clock, log, retryMs } = this.#deps;
    this.failures++;
    this.#leaving = null;
    this.#isFenced = error instanceof ConflictError;
    const failure = new StoreError(`the ledger of the paper account did not take a change: ${messageOf(error)}`, { cause: error });
    if (this.#failure === null) log.error({ error: messageOf(error), orders: leaving.orders.size }, "the paper broker takes no orders until its ledger takes changes");
    this.#failure = failure;
    const later = this.#next;
    const again = new Gathering();
    for (const part of [leaving, later]) again.add(part.transitions, part.changes());
    this.#next = again;
    for (const part of [leaving, later]) part.done.reject(failure);
    if (this.#isFenced) return;
    this.#retry = clock.after(retryMs, () => {
      this.#retry = null;
      void this.#write();
    });
  }
}

function keyText({ owner, clientOrderId }: PaperKey): string {
  return `${owner}\n${clientOrderId}`;
}
