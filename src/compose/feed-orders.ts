/**
 * The stream thread's side of what main asks of the feeds: carry, release, refresh.
 */
import { unreachable } from "../core/types.ts";
import type { FeedSupervisor } from "../feeds/feed-supervisor.ts";
import type { CarryRefusal, FeedMemory, FeedNotice, FeedOrder } from "../ports/feed-control.ts";
import type { Logger } from "../ports/telemetry.ts";
import type { Channel } from "../protocol/topic.ts";

export class FeedOrders {
  readonly #feeds: FeedSupervisor;
  readonly #say: (notice: FeedNotice) => void;

  /** Begins with what subscriptions ask for; the feeds carry it when they start. */
  constructor(feeds: FeedSupervisor, { carried }: FeedMemory, log: Logger, say: (notice: FeedNotice) => void) {
    this.#feeds = feeds;
    this.#say = say;
    for (const { symbols, channels } of carried) {
      const refused = symbols.flatMap((symbol) => this.#refusalOf(symbol, channels) ?? []);
      if (refused.length > 0) log.info({ refused: refused.slice(0, 20), count: refused.length }, "no feed knows these instruments of a subscription (yet)");
    }
  }

  obey(order: FeedOrder): void {
    switch (order.type) {
      case "carry": return this.#say({ type: "carried", call: order.call, refusals: this.#carry(order.symbols, order.channels) });
      case "release": return this.#release(order.symbols, order.channels);
      case "refresh":
        void this.#feeds.refresh().then((outcomes) => this.#say({
          type: "refreshed", call: order.call, venues: outcomes.map((outcome) => ({ venue: outcome.venue, failure: outcome.kind === "failed" ? outcome.failure : null })),
        }));
        return;
      default: return unreachable(order);
    }
  }

  /** All or none. */
  #carry(symbols: readonly string[], channels: readonly Channel[]): CarryRefusal[] {
    const taken: string[] = [];
    const refusals: CarryRefusal[] = [];
    for (const symbol of symbols) {
      const refusal = this.#refusalOf(symbol, channels);
      if (refusal === null) taken.push(symbol);
      else refusals.push(refusal);
    }
    if (refusals.length > 0) this.#release(taken, channels);
    return refusals;
  }

  #refusalOf(symbol: string, channels: readonly Channel[]): CarryRefusal | null {
    const outcome = this.#feeds.carry(symbol, channels);
    return outcome === "full" || outcome === "foreign" ? { symbol, why: outcome } : null;
  }

  #release(symbols: readonly string[], channels: readonly Channel[]): void {
    for (const symbol of symbols) this.#feeds.release(symbol, channels);
  }
}
