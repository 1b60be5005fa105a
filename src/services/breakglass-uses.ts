/**
 * Records each use of an emergency key.
 *
 * A database that is away may be the emergency: the use goes on then, is in the log at once and recorded when the database
 * is back. What the use changes has a record of its own, without which it does not happen.
 */
import { messageOf, StoreError } from "../core/errors.ts";
import type { Actor, AuditEntry, AuditLog } from "../ports/audit.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { DeferredAudit } from "./deferred-audit.ts";

export interface BreakglassUsesDeps {
  readonly audit: Pick<AuditLog, "record">;
  readonly deferred: Pick<DeferredAudit, "add">;
  readonly log: Logger;
}

export class BreakglassUses implements MetricSource {
  readonly #deps: BreakglassUsesDeps;
  #uses = 0;
  #deferred = 0;

  constructor(deps: BreakglassUsesDeps) {
    this.#deps = deps;
  }

  /** Resolves when it is recorded, or is going to be. */
  async used(actor: Actor, method: string, path: string, reason: string): Promise<void> {
    const { audit, deferred, log } = this.#deps;
    this.#uses++;
    const entry: AuditEntry = { actor, action: "breakglass.used", target: `${method} ${path.slice(0, 200)}`, before: null, after: null, reason };
    try {
      await audit.record({ entry, charge: null });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#deferred++;
      log.error({ keyId: actor.keyId, address: actor.address, target: entry.target, reason, failure: messageOf(error) }, "a breakglass key is used while the database is away");
      deferred.add(entry);
    }
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      counter("ticker_breakglass_uses_total", "Requests with an emergency key", this.#uses),
      counter("ticker_breakglass_deferred_total", "Of those, the ones recorded later because the database was away", this.#deferred),
    ];
  }
}
