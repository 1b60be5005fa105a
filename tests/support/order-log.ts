/**
 * The events of orders in memory, between a real order channel and a fan-out, with every fault a hop can have: told late, twice,
 * out of turn or not at all; database away, pruned, begun anew.
 */
import { StoreError } from "../../src/core/errors.ts";
import type { OrderEvent, OrderEventLog, OrderEvents, OrderPosition, OrderReader } from "../../src/ports/orders.ts";
import { OrderChannel } from "../../src/trading/order-channel.ts";
import { KeepingLog } from "./silent-log.ts";

interface Stream {
  epoch: string;
  seq: number;
  pruned: number;
  readonly events: OrderEvent[];
}

export class MemoryOrderLog implements OrderEventLog {
  /** What the store says is told to whoever listens; false: it was written, and nobody is told. */
  isTelling = true;
  isAway = false;
  /** Told, and not passed on yet, while `isHolding`. */
  readonly held: (readonly OrderEvent[])[] = [];
  isHolding = false;
  readonly channel: OrderChannel;
  readonly #streams = new Map<string, Stream>();
  #listener: (events: readonly OrderEvent[]) => void = () => {};
  #sink: (events: readonly OrderEvent[]) => void = () => {};
  #n = 0;

  constructor() {
    this.channel = new OrderChannel({ events: this, tell: (events) => this.#told(events), log: new KeepingLog() });
  }

  /** For the fan-out. */
  readonly read: OrderReader = (question, done) => this.channel.read(question, done);

  /** @param sink the fan-out's side */
  connect(sink: (events: readonly OrderEvent[]) => void): void {
    this.#sink = sink;
  }

  onEvents(listener: (events: readonly OrderEvent[]) => void): void {
    this.#listener = listener;
  }

  /** So many changes of orders in one statement. */
  write(owner: string, count = 1): readonly OrderEvent[] {
    const stream = this.#of(owner);
    const events = Array.from({ length: count }, (): OrderEvent => {
      const seq = ++stream.seq;
      return { n: ++this.#n, owner, seq, epoch: stream.epoch, orderId: `o${seq % 3}`, state: "accepted", json: JSON.stringify({ id: `o${seq % 3}`, state: "accepted", filled: `0.${seq}`, padding: "x".repeat(400) }) };
    });
    stream.events.push(...events);
    if (this.isTelling) this.#listener(events);
    return events;
  }

  /** Passes on what was held, in an order of the caller's. */
  release(order: (held: readonly (readonly OrderEvent[])[]) => readonly (readonly OrderEvent[])[] = (held) => held): void {
    for (const events of order(this.held.splice(0))) this.#sink(events);
  }

  prune(owner: string, seq: number): void {
    const stream = this.#of(owner);
    stream.pruned = Math.max(stream.pruned, Math.min(seq, stream.seq));
    while ((stream.events[0]?.seq ?? Number.POSITIVE_INFINITY) <= stream.pruned) stream.events.shift();
  }

  /** As after a loss of the database. */
  beginAnew(owner: string): void {
    const { epoch } = this.#of(owner);
    this.#streams.set(owner, { epoch: `${epoch}+`, seq: 0, pruned: 0, events: [] });
  }

  async position(owner: string): Promise<OrderPosition> {
    return this.#answered(() => {
      const { epoch, seq } = this.#of(owner);
      return { epoch, seq };
    });
  }

  async since(owner: string, epoch: string, seq: number, limit: number): Promise<OrderEvents> {
    return this.#answered(() => this.#since(owner, epoch, seq, limit));
  }

  #since(owner: string, epoch: string, seq: number, limit: number): OrderEvents {
    const stream = this.#of(owner);
    const position = { epoch: stream.epoch, seq: stream.seq };
    if (epoch !== stream.epoch || seq > stream.seq) return { type: "gap", reason: "restart", position };
    if (seq < stream.pruned) return { type: "gap", reason: "expired", position, pruned: stream.pruned };
    return { type: "events", events: stream.events.filter((event) => event.seq > seq).slice(0, limit), position };
  }

  /** Things happen while a question is on its way, and while its answer is. */
  async #answered<T>(read: () => T): Promise<T> {
    await turn();
    if (this.isAway) throw new StoreError("the database is away");
    const answer = read();
    await turn();
    return answer;
  }

  #of(owner: string): Stream {
    const known = this.#streams.get(owner) ?? { epoch: "e", seq: 0, pruned: 0, events: [] };
    this.#streams.set(owner, known);
    return known;
  }

  #told(events: readonly OrderEvent[]): void {
    if (this.isHolding) this.held.push(events);
    else this.#sink(events);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
