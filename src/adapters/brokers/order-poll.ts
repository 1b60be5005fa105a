/**
 * Looks at open orders, some of them each round, and stops a round at the first sign that the broker wants less.
 */
import type { WireCalls } from "./wire-calls.ts";
import type { Followed, FollowedOrders } from "./followed-orders.ts";
import type { BrokerWire, WireOrder } from "./wire.ts";

export interface PollParts {
  readonly wire: BrokerWire;
  readonly calls: WireCalls;
  readonly followed: FollowedOrders;
  /** Orders looked at in one round. */
  readonly ordersMax: number;
}

type See = (followed: Followed, found: WireOrder) => void;

export class OrderPoll {
  readonly #parts: PollParts;

  constructor(parts: PollParts) {
    this.#parts = parts;
  }

  /** @returns milliseconds that the broker asks to wait, 0: it said nothing */
  async round(see: See): Promise<number> {
    const { wire, followed, ordersMax } = this.#parts;
    if (followed.size === 0) return 0;
    return wire.findAll === null ? this.#oneByOne(followed.next(ordersMax), see) : this.#allAtOnce(wire.findAll, see);
  }

  async #oneByOne(due: readonly Followed[], see: See): Promise<number> {
    const { wire, calls } = this.#parts;
    for (const each of due) {
      const reference = { id: wire.idOf(each.clientOrderId), brokerOrderId: each.order.brokerOrderId, symbol: each.symbol, sentAt: null };
      const answer = await calls.call("poll", () => wire.find(reference));
      if (answer.type === "ok" && answer.value.id === reference.id) see(each, answer.value);
      if (answer.type === "unknown" || answer.type === "not_sent") return answer.waitMs;
    }
    return 0;
  }

  async #allAtOnce(findAll: NonNullable<BrokerWire["findAll"]>, see: See): Promise<number> {
    const { wire, calls, followed } = this.#parts;
    const answer = await calls.call("poll", () => findAll());
    if (answer.type !== "ok") return "waitMs" in answer ? answer.waitMs : 0;
    const byId = new Map(answer.value.map((order) => [order.id, order]));
    for (const each of followed.next(followed.size)) {
      const found = byId.get(wire.idOf(each.clientOrderId));
      if (found !== undefined) see(each, found);
    }
    return 0;
  }
}
