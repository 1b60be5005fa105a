/**
 * What the stream is told of orders: answers to what it asks, read from what is kept, and every event of owners it has asked about.
 *
 * Owns: whom it has asked about, and the questions that wait. Runs on: main thread. Path: per order event.
 */
import { messageOf, StoreError } from "../core/errors.ts";
import type { OrderEvent, OrderEventLog, OrderEvents, OrderQuestion } from "../ports/orders.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";

/** Events of one answer: about 60 kB. */
const EVENTS_MAX = 100;
/** Questions at the database at a time. */
const READS_MAX = 8;
/** Questions that wait; one more is answered that it cannot be read. */
const WAITING_MAX = 10_000;

export interface OrderChannelDeps {
  readonly events: OrderEventLog;
  /** To the stream thread. */
  readonly tell: (events: readonly OrderEvent[]) => void;
  readonly log: Logger;
}

interface Waiting {
  readonly question: OrderQuestion;
  readonly done: (answer: OrderEvents | null) => void;
}

export class OrderChannel implements MetricSource {
  readonly #deps: OrderChannelDeps;
  /** As many as there are keys that ever asked. */
  readonly #followed = new Set<string>();
  readonly #waiting: Waiting[] = [];
  #reading = 0;
  #reads = 0;
  #failed = 0;
  #refused = 0;
  #told = 0;

  constructor(deps: OrderChannelDeps) {
    this.#deps = deps;
    deps.events.onEvents((events) => this.#heard(events));
  }

  /** Follows the owner from now on, so that no event is between the answer and what is told. */
  read(question: OrderQuestion, done: (answer: OrderEvents | null) => void): void {
    this.#followed.add(question.owner);
    if (this.#waiting.length >= WAITING_MAX) {
      this.#refused++;
      return done(null);
    }
    this.#waiting.push({ question, done });
    if (this.#reading < READS_MAX) void this.#work();
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      counter("ticker_orders_told_total", "Order events told to the stream", this.#told),
      counter("ticker_orders_read_total", "Times the stream had order events read", this.#reads),
      counter("ticker_orders_read_failures_total", "Times they could not be read", this.#failed),
      counter("ticker_orders_read_refused_total", "Times the stream asked for order events while too many questions waited", this.#refused),
      { name: "ticker_orders_reads_waiting", help: "Questions of the stream about order events that wait", type: "gauge", labels: {}, value: this.#waiting.length },
    ];
  }

  #heard(events: readonly OrderEvent[]): void {
    const followed = events.filter(({ owner }) => this.#followed.has(owner));
    if (followed.length === 0) return;
    this.#told += followed.length;
    this.#deps.tell(followed);
  }

  async #work(): Promise<void> {
    this.#reading++;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.done(await this.#answer(next.question));
    this.#reading--;
  }

  /** Null when the database is away: whoever asked asks again. */
  async #answer({ owner, from }: OrderQuestion): Promise<OrderEvents | null> {
    this.#reads++;
    try {
      if (from === null) return { type: "events", events: [], position: await this.#deps.events.position(owner) };
      return await this.#deps.events.since(owner, from.epoch, from.seq, EVENTS_MAX);
    } catch (error) {
      this.#failed++;
      // Others say that the database is away; anything else is a mistake of ours.
      if (!(error instanceof StoreError)) this.#deps.log.error({ reason: messageOf(error) }, "order events could not be read for the stream");
      return null;
    }
  }
}
