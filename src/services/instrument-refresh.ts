/**
 * Asks the venues for their lists because an administrator says so, on the record and paid for, and tells what changed.
 */
import type { Actor, AuditLog, Charge } from "../ports/audit.ts";
import type { FeedControl } from "../ports/feed-control.ts";
import type { InstrumentChange } from "../ports/storage.ts";
import type { InstrumentRegistry } from "./instrument-registry.ts";

export interface InstrumentRefreshDeps {
  readonly registry: Pick<InstrumentRegistry, "newestChanges" | "settled" | "status">;
  readonly feeds: Pick<FeedControl, "refresh">;
  readonly audit: Pick<AuditLog, "record">;
  /** What a change costs the one who makes it. */
  readonly chargeOf: (actor: Actor) => Charge | null;
}

export interface VenueRefresh {
  readonly venue: string;
  /** Why the list did not come; the old one stays. Null: it came. */
  readonly failure: string | null;
  readonly count: number;
  readonly changes: readonly InstrumentChange[];
}

export class InstrumentRefresh {
  readonly #deps: InstrumentRefreshDeps;

  constructor(deps: InstrumentRefreshDeps) {
    this.#deps = deps;
  }

  /**
   * Recorded and charged before the venues are asked. Resolves when every venue has answered or failed, and what it said is stored.
   * @throws {RateLimitError} when the budget is used up: nobody was asked
   * @throws {StoreError} when the database is away: nobody was asked
   * @throws {UnavailableError} when the stream thread is away or too slow
   */
  async refresh(actor: Actor, reason: string | null): Promise<readonly VenueRefresh[]> {
    const { registry, feeds, audit, chargeOf } = this.#deps;
    await audit.record({ entry: { actor, action: "instruments.refreshed", target: "instruments", before: null, after: null, reason }, charge: chargeOf(actor) });
    const venues = await feeds.refresh();
    await registry.settled();
    const counts = new Map(registry.status().map(({ venue, count }) => [venue, count]));
    return venues.map(({ venue, failure }) => ({ venue, failure, count: counts.get(venue) ?? 0, changes: failure === null ? registry.newestChanges(venue) : [] }));
  }
}
