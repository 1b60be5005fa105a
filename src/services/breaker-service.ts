/**
 * All circuit breakers of the node as one registry: those of this thread and those of the stream thread, with operators' orders.
 *
 * Owns: operators' trips of the stream thread's breakers, which outlive that thread. Runs on: main thread.
 */
import type { Clock } from "../core/clock.ts";
import { NotFoundError } from "../core/errors.ts";
import type { Actor, AuditEntry, AuditLog, Charge, Json } from "../ports/audit.ts";
import type { BreakerChange, BreakerListener, BreakerOrder, BreakerReport, Breakers, RemoteBreakers, StandingTrip } from "../ports/breakers.ts";

export interface BreakerServiceDeps {
  /** Of this thread. */
  readonly own: Breakers;
  readonly remote: RemoteBreakers;
  readonly audit: Pick<AuditLog, "record">;
  readonly clock: Clock;
  /** What a change costs. */
  readonly chargeOf: (actor: Actor) => Charge | null;
}

const DATABASE = "database";

export class BreakerService {
  readonly #deps: BreakerServiceDeps;
  /** When each trip of a remote breaker ends, by name; Infinity: when it is reset. */
  readonly #trips = new Map<string, number>();
  readonly #listeners: BreakerListener[] = [];

  constructor(deps: BreakerServiceDeps) {
    this.#deps = deps;
    deps.own.onChange((report, why) => this.#changed(report, why));
  }

  /** By name. */
  list(): readonly BreakerReport[] {
    const { own, remote } = this.#deps;
    return [...own.reports(), ...remote.reports()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * Closes a breaker; costs nothing of a durable budget.
   * @throws {NotFoundError} when there is none of that name. @throws {StoreError} when it cannot be recorded: nothing has changed then
   */
  async reset(name: string, actor: Actor, reason: string | null): Promise<BreakerReport> {
    const before = this.#named(name);
    const entry = entryOf("breaker.reset", before, { state: "closed" }, actor, reason);
    if (name !== DATABASE) {
      await this.#deps.audit.record({ entry, charge: null });
      return this.#order(name, { type: "reset" });
    }
    // The record itself goes through this breaker: it is closed first, and as before when nothing could be recorded.
    const breaker = this.#deps.own.of(DATABASE);
    breaker.reset();
    try {
      await this.#deps.audit.record({ entry, charge: null });
    } catch (error) {
      if (before.isTripped) breaker.trip(before.probeInMs ?? 0);
      throw error;
    }
    return breaker.report();
  }

  /** Opens a breaker for so long, whatever succeeds. @throws {NotFoundError} @throws {StoreError} @throws {RateLimitError} when the budget of the key is used up */
  async trip(name: string, ttlMs: number, actor: Actor, reason: string | null): Promise<BreakerReport> {
    const { audit, chargeOf } = this.#deps;
    const entry = entryOf("breaker.tripped", this.#named(name), { state: "open", ttl_s: ttlMs / 1000 }, actor, reason);
    await audit.record({ entry, charge: chargeOf(actor) });
    return this.#order(name, { type: "trip", ttlMs });
  }

  /** For the audit, and for webhooks: `breaker.opened`, `breaker.closed`. */
  onChange(listener: BreakerListener): void {
    this.#listeners.push(listener);
  }

  /** A breaker of the stream thread changed. */
  remoteChanged(report: BreakerReport, why: BreakerChange): void {
    this.#changed(report, why);
  }

  /** Trips that a stream thread which starts now takes over. */
  standingTrips(): readonly StandingTrip[] {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const [name, endsMs] of this.#trips) if (endsMs <= nowMs) this.#trips.delete(name);
    return [...this.#trips].map(([name, endsMs]) => ({ name, leftMs: Number.isFinite(endsMs) ? endsMs - nowMs : 0 }));
  }

  #named(name: string): BreakerReport {
    const found = this.list().find((report) => report.name === name);
    if (!found) throw new NotFoundError(`there is no circuit breaker ${JSON.stringify(name.slice(0, 100))}: GET /v1/admin/breakers lists them`, "unknown_breaker");
    return found;
  }

  async #order(name: string, order: BreakerOrder): Promise<BreakerReport> {
    const { own, remote } = this.#deps;
    const breaker = own.find(name);
    if (breaker) {
      if (order.type === "reset") breaker.reset();
      else breaker.trip(order.ttlMs);
      return breaker.report();
    }
    if (order.type === "reset") this.#trips.delete(name);
    else this.#trips.set(name, order.ttlMs > 0 ? this.#deps.clock.monotonicMs() + order.ttlMs : Number.POSITIVE_INFINITY);
    const report = await remote.order(name, order);
    if (report === null) throw new NotFoundError(`the circuit breaker ${name} is gone`, "unknown_breaker");
    return report;
  }

  #changed(report: BreakerReport, why: BreakerChange): void {
    for (const tell of this.#listeners) tell(report, why);
  }
}

function entryOf(action: string, before: BreakerReport, after: Json, actor: Actor, reason: string | null): AuditEntry {
  const { name, state, calls, failures, isTripped } = before;
  return { actor, action, target: name, before: { state, calls, failures, tripped: isTripped }, after, reason };
}
