/**
 * Records each use of an emergency key.
 *
 * What only reads goes on when the database is away, because that may be the emergency: the use is then in the log and
 * counted. What changes something does not.
 */
import { messageOf, StoreError } from "../core/errors.ts";
import type { Actor, AuditLog } from "../ports/audit.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";

export interface BreakglassUsesDeps {
  readonly audit: Pick<AuditLog, "record">;
  readonly log: Logger;
}

export class BreakglassUses implements MetricSource {
  readonly #deps: BreakglassUsesDeps;
  #uses = 0;
  #unrecorded = 0;

  constructor(deps: BreakglassUsesDeps) {
    this.#deps = deps;
  }

  /** @throws {StoreError} when a change cannot be recorded */
  async used(actor: Actor, method: string, path: string, reason: string): Promise<void> {
    const { audit, log } = this.#deps;
    this.#uses++;
    const target = `${method} ${path.slice(0, 200)}`;
    try {
      await audit.record({ entry: { actor, action: "breakglass.used", target, before: null, after: null, reason }, charge: null });
    } catch (error) {
      if (!(error instanceof StoreError) || (method !== "GET" && method !== "HEAD")) throw error;
      this.#unrecorded++;
      log.error({ keyId: actor.keyId, address: actor.address, target, reason, failure: messageOf(error) }, "the use of a breakglass key could not be recorded");
    }
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      counter("ticker_breakglass_uses_total", "Requests with an emergency key", this.#uses),
      counter("ticker_breakglass_unrecorded_total", "Of those, reads that went on although the database was away and the use is in the log only", this.#unrecorded),
    ];
  }
}
