/**
 * An audit that keeps what is recorded, and can be away.
 */
import { RateLimitError, StoreError } from "../../src/core/errors.ts";
import { micros } from "../../src/core/time.ts";
import type { Audited, AuditRecord } from "../../src/ports/audit.ts";

export class KeepingAudit {
  readonly changes: Audited[] = [];
  isAway = false;
  /** Whether budgets are used up. */
  isSpent = false;

  /** `action target` of each record. */
  get said(): readonly string[] {
    return this.changes.map(({ entry }) => `${entry.action} ${entry.target}`);
  }

  record(change: Audited): Promise<AuditRecord> {
    if (this.isAway) return Promise.reject(new StoreError("the database is away"));
    if (this.isSpent && change.charge !== null) return Promise.reject(new RateLimitError("used up", 60));
    this.changes.push(change);
    const { actor, action, target, before, after, reason } = change.entry;
    return Promise.resolve({
      n: this.changes.length, time: micros(0), actor: actor.keyId, address: actor.address, action, target, before, after, reason,
      request_id: actor.requestId, correlation_id: actor.correlationId, prev_hash: "", hash: "",
    });
  }
}
