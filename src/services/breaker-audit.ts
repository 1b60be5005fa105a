/**
 * Records in the audit that breakers opened and closed by themselves, bounded in rate.
 *
 * Owns: how many there were in this minute. Runs on: main thread.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { BreakerChange, BreakerReport } from "../ports/breakers.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";
import { SYSTEM } from "./admin-charge.ts";
import type { DeferredAudit } from "./deferred-audit.ts";

/** Records in a minute; what is beyond becomes one record of how many there were. */
const RECORDS_PER_MINUTE_MAX = 30;
const MINUTE_MS = 60_000;

export class BreakerAudit implements Component, MetricSource {
  readonly name = "breaker audit";
  readonly #audit: Pick<DeferredAudit, "add">;
  readonly #clock: Clock;
  #timer: Timer | null = null;
  #thisMinute = 0;
  /** Beyond the rate. */
  #others = 0;
  #othersInAll = 0;

  constructor(audit: Pick<DeferredAudit, "add">, clock: Clock) {
    this.#audit = audit;
    this.#clock = clock;
  }

  start(): Promise<void> {
    this.#timer = this.#clock.every(MINUTE_MS, () => this.#nextMinute());
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#timer?.stop();
    this.#nextMinute();
    return Promise.resolve();
  }

  /** Only changes that no operator ordered: those have records of their own. */
  changed(report: BreakerReport, why: BreakerChange): void {
    if (why === "reset" || why === "tripped" || report.state === "half_open") return;
    if (this.#thisMinute >= RECORDS_PER_MINUTE_MAX) {
      this.#others++;
      this.#othersInAll++;
      return;
    }
    this.#thisMinute++;
    const { name, state, calls, failures, lastFailure } = report;
    this.#audit.add({
      actor: SYSTEM, action: state === "open" ? "breaker.opened" : "breaker.closed", target: name, before: null,
      after: { state, why, calls, failures, last_failure: lastFailure }, reason: null,
    });
  }

  samples(): MetricSample[] {
    return [{ name: "ticker_breaker_audit_others_total", help: "Changes of breakers recorded only as a number", type: "counter", labels: {}, value: this.#othersInAll }];
  }

  #nextMinute(): void {
    this.#thisMinute = 0;
    if (this.#others === 0) return;
    this.#audit.add({ actor: SYSTEM, action: "breaker.changed", target: "others", before: null, after: { count: this.#others }, reason: null });
    this.#others = 0;
  }
}
