/**
 * Records that must not be lost because the database is away just now: they wait, in order and bounded, until it takes them.
 *
 * For what has happened already and what nobody waits for. A change waits for its record instead. Runs on: main thread.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf } from "../core/errors.ts";
import type { AuditEntry, AuditLog } from "../ports/audit.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";

export interface DeferredAuditDeps {
  readonly audit: Pick<AuditLog, "record">;
  readonly clock: Clock;
  readonly log: Logger;
}

const WAITING_MAX = 1_000;
/** How often what waits is tried again. */
const RETRY_MS = 1_000;

export class DeferredAudit implements Component, MetricSource {
  readonly name = "deferred audit";
  readonly #deps: DeferredAuditDeps;
  readonly #waiting: AuditEntry[] = [];
  #timer: Timer | null = null;
  #isFlushing = false;
  #failures = 0;
  #dropped = 0;

  constructor(deps: DeferredAuditDeps) {
    this.#deps = deps;
  }

  start(): Promise<void> {
    this.#timer = this.#deps.clock.every(RETRY_MS, () => void this.#flush());
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#timer?.stop();
    await this.#flush();
    if (this.#waiting.length > 0) this.#deps.log.error({ entries: this.#waiting }, "these could not be recorded before the end");
  }

  /** Recorded soon. Beyond 1,000 that wait it is in the log only, and counted. */
  add(entry: AuditEntry): void {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#dropped++;
      this.#deps.log.error({ entry }, "too much waits for the database: this is not recorded");
      return;
    }
    this.#waiting.push(entry);
    void this.#flush();
  }

  samples(): MetricSample[] {
    const sample = (name: string, help: string, type: "counter" | "gauge", value: number): MetricSample => ({ name, help, type, labels: {}, value });
    return [
      sample("ticker_audit_deferred", "Records that wait for the database", "gauge", this.#waiting.length),
      sample("ticker_audit_deferred_failures_total", "Tries to record them that failed", "counter", this.#failures),
      sample("ticker_audit_deferred_dropped_total", "Records that are in the log only, because too many waited", "counter", this.#dropped),
    ];
  }

  async #flush(): Promise<void> {
    const { audit, log } = this.#deps;
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      for (let entry = this.#waiting[0]; entry; entry = this.#waiting[0]) {
        await audit.record({ entry, charge: null });
        this.#waiting.shift();
      }
    } catch (error) {
      // It stays first and is tried again.
      this.#failures++;
      log.debug({ reason: messageOf(error), waiting: this.#waiting.length }, "the database takes no record yet");
    } finally {
      this.#isFlushing = false;
    }
  }
}
