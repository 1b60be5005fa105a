/**
 * Records in the audit that breakers opened and closed by themselves: bounded in rate, and kept until the database takes it.
 *
 * Owns: what is not recorded yet. Runs on: main thread.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf } from "../core/errors.ts";
import type { AuditEntry, AuditLog } from "../ports/audit.ts";
import type { BreakerChange, BreakerReport } from "../ports/breakers.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { SYSTEM } from "./admin-charge.ts";

export interface BreakerAuditDeps {
  readonly audit: Pick<AuditLog, "record">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Records in a minute; what is beyond becomes one record of how many there were. */
const RECORDS_PER_MINUTE_MAX = 30;
const MINUTE_MS = 60_000;
/** Changes that wait for the database. */
const WAITING_MAX = 200;
/** How often what waits is tried again. */
const RETRY_MS = 1_000;

export class BreakerAudit implements Component, MetricSource {
  readonly name = "breaker audit";
  readonly #deps: BreakerAuditDeps;
  readonly #waiting: AuditEntry[] = [];
  #timer: Timer | null = null;
  #isFlushing = false;
  #minuteEndsMs = 0;
  #thisMinute = 0;
  /** Beyond the rate, not recorded one by one. */
  #others = 0;
  #othersInAll = 0;
  #failures = 0;

  constructor(deps: BreakerAuditDeps) {
    this.#deps = deps;
  }

  start(): Promise<void> {
    this.#timer = this.#deps.clock.every(RETRY_MS, () => void this.#flush());
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#timer?.stop();
    await this.#flush();
  }

  /** Only changes that no operator ordered: those have records of their own. */
  changed(report: BreakerReport, why: BreakerChange): void {
    if (why === "reset" || why === "tripped" || report.state === "half_open") return;
    const { name, state, calls, failures, lastFailure } = report;
    this.#roll();
    if (this.#thisMinute >= RECORDS_PER_MINUTE_MAX || this.#waiting.length >= WAITING_MAX) {
      this.#others++;
      this.#othersInAll++;
      return;
    }
    this.#thisMinute++;
    this.#waiting.push({
      actor: SYSTEM, action: state === "open" ? "breaker.opened" : "breaker.closed", target: name, before: null,
      after: { state, why, calls, failures, last_failure: lastFailure }, reason: null,
    });
    void this.#flush();
  }

  samples(): MetricSample[] {
    const sample = (name: string, help: string, type: "counter" | "gauge", value: number): MetricSample => ({ name, help, type, labels: {}, value });
    return [
      sample("ticker_breaker_audit_waiting", "Changes of breakers that wait for the database to be recorded", "gauge", this.#waiting.length),
      sample("ticker_breaker_audit_others_total", "Changes of breakers recorded only as a number", "counter", this.#othersInAll),
      sample("ticker_breaker_audit_failures_total", "Tries to record a change of a breaker that failed", "counter", this.#failures),
    ];
  }

  /** A new minute begins with the record of those that the last one had no room for. */
  #roll(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs < this.#minuteEndsMs) return;
    this.#minuteEndsMs = nowMs + MINUTE_MS;
    this.#thisMinute = 0;
    if (this.#others === 0 || this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push({ actor: SYSTEM, action: "breaker.changed", target: "others", before: null, after: { count: this.#others }, reason: null });
    this.#others = 0;
  }

  async #flush(): Promise<void> {
    const { audit, log } = this.#deps;
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      this.#roll();
      for (let entry = this.#waiting[0]; entry; entry = this.#waiting[0]) {
        await audit.record({ entry, charge: null });
        this.#waiting.shift();
      }
    } catch (error) {
      // The database may be the very thing that is away: it stays first and is tried again.
      if (this.#failures++ === 0) log.warn({ reason: messageOf(error) }, "a breaker's change could not be recorded yet");
    } finally {
      this.#isFlushing = false;
    }
  }
}
