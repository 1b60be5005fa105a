/**
 * The audit chain as services see it: failed authentications put together, the head in the log, one walk at a time.
 *
 * Owns: the counts of failures that are not recorded yet. Runs on: main thread. A flood of wrong keys must fill neither the
 * chain nor memory: the first failure of an address is recorded at once, what follows once a minute with its count, and what
 * goes beyond the budget of records in one record of its own.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf } from "../core/errors.ts";
import type { AuditLog, AuditPage, AuditQuery, ChainVerdict, Json } from "../ports/audit.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";

/** A key that was presented and not accepted. */
export interface FailedAuthentication {
  readonly address: string;
  readonly requestId: string;
  readonly correlationId: string;
  /** At most the first 8 characters; null: no key was sent. */
  readonly keyStart: string | null;
}

export interface AuditServiceDeps {
  readonly store: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** How often number and hash of the newest record are logged. */
  readonly headMs: number;
  /** Records about failed authentications in a minute, the one for all others included. */
  readonly failuresPerMinuteMax: number;
}

/** What an address did since its last record. */
interface Failing {
  count: number;
  recordedAtMs: number;
  last: FailedAuthentication;
}

const MINUTE_MS = 60_000;
/** How often it is looked for addresses whose minute is over. */
const SWEEP_MS = 1_000;
const OTHERS = "others";

export class AuditService implements Component, MetricSource {
  readonly name = "audit";
  readonly #deps: AuditServiceDeps;
  /** Addresses that have a record of their own within the last minute: as many as the budget allows. */
  readonly #failing = new Map<string, Failing>();
  /** When the newest records about failures were written, oldest first. */
  readonly #recordedAtMs: number[] = [];
  #others = 0;
  #othersAtMs = Number.NEGATIVE_INFINITY;
  #writing: Promise<void> = Promise.resolve();
  #walk: Promise<ChainVerdict> | null = null;
  readonly #timers: Timer[] = [];
  #failures = 0;
  #withoutKey = 0;
  #records = 0;
  #lost = 0;

  constructor(deps: AuditServiceDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { clock, headMs } = this.#deps;
    await this.#sayHead();
    this.#timers.push(clock.every(headMs, () => void this.#sayHead()), clock.every(SWEEP_MS, () => this.#sweep()));
  }

  /** Records what is not recorded yet. */
  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) timer.stop();
    for (const failing of this.#failing.values()) this.#others += failing.count;
    this.#failing.clear();
    if (this.#others > 0) this.#recordOthers();
    await this.#writing;
  }

  /** Takes note of a refused key; does not wait. A request without any key is counted only: nobody tried anything. */
  failed(failure: FailedAuthentication): void {
    if (failure.keyStart === null) {
      this.#withoutKey++;
      return;
    }
    this.#failures++;
    const failing = this.#failing.get(failure.address);
    if (failing !== undefined) {
      failing.count++;
      failing.last = failure;
    } else if (this.#mayRecord()) {
      this.#failing.set(failure.address, { count: 0, recordedAtMs: this.#deps.clock.monotonicMs(), last: failure });
      this.#record(failure, 1);
    } else this.#others++;
  }

  /** Newest first. */
  list(query: AuditQuery): Promise<AuditPage> {
    return this.#deps.store.list(query);
  }

  /** Walks the whole chain; whoever asks during a walk gets its result. */
  verify(): Promise<ChainVerdict> {
    this.#walk ??= this.#deps.store.verify().finally(() => {
      this.#walk = null;
    });
    return this.#walk;
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      counter("ticker_auth_failures_total", "Keys that were presented and not accepted", this.#failures),
      counter("ticker_auth_keyless_total", "Requests without a key where one is needed", this.#withoutKey),
      counter("ticker_audit_failure_records_total", "Audit records about failed authentications", this.#records),
      counter("ticker_audit_failure_records_lost_total", "Audit records about failed authentications that could not be written; their counts go into the next one for all others", this.#lost),
      { name: "ticker_audit_failures_pending", help: "Failed authentications that are not recorded yet", type: "gauge", labels: {}, value: this.#others + [...this.#failing.values()].reduce((sum, { count }) => sum + count, 0) },
    ];
  }

  /** Whether the budget has a record left, beside the one for all others. */
  #mayRecord(): boolean {
    const sinceMs = this.#deps.clock.monotonicMs() - MINUTE_MS;
    while ((this.#recordedAtMs[0] ?? Number.POSITIVE_INFINITY) <= sinceMs) this.#recordedAtMs.shift();
    return this.#recordedAtMs.length < this.#deps.failuresPerMinuteMax - 1;
  }

  #sweep(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const [address, failing] of this.#failing) {
      if (nowMs - failing.recordedAtMs < MINUTE_MS) continue;
      this.#failing.delete(address);
      if (failing.count === 0) continue;
      if (this.#mayRecord()) {
        this.#record(failing.last, failing.count);
        this.#failing.set(address, { count: 0, recordedAtMs: nowMs, last: failing.last });
      } else this.#others += failing.count;
    }
    if (this.#others > 0 && nowMs - this.#othersAtMs >= MINUTE_MS) this.#recordOthers();
  }

  #recordOthers(): void {
    const count = this.#others;
    this.#others = 0;
    this.#othersAtMs = this.#deps.clock.monotonicMs();
    this.#write({ address: "", requestId: "", correlationId: "", keyStart: null }, OTHERS, { count }, count);
  }

  #record(failure: FailedAuthentication, count: number): void {
    this.#recordedAtMs.push(this.#deps.clock.monotonicMs());
    this.#deps.log.warn({ ...failure, count }, "keys were not accepted");
    this.#write(failure, failure.address, { count, key_start: failure.keyStart }, count);
  }

  #write({ address, requestId, correlationId }: FailedAuthentication, target: string, after: Json, count: number): void {
    const actor = { keyId: "anonymous", address, requestId, correlationId, isBreakglass: false };
    const entry = { actor, action: "auth.failed", target, before: null, after, reason: null };
    this.#writing = this.#writing.then(() => this.#deps.store.record({ entry, charge: null })).then(() => {
      this.#records++;
    }, (error: unknown) => {
      // The counts are not lost with the record.
      this.#lost++;
      this.#others += count;
      this.#deps.log.error({ reason: messageOf(error) }, "failed authentications could not be recorded");
    });
  }

  async #sayHead(): Promise<void> {
    try {
      const { n, hash } = await this.#deps.store.head();
      this.#deps.log.info({ n, hash }, "head of the audit chain");
    } catch (error) {
      this.#deps.log.error({ reason: messageOf(error) }, "the head of the audit chain cannot be read");
    }
  }
}
