/**
 * Writes closed bars into the database, a batch a second, and removes those that are too old.
 *
 * Owns: the bars that wait. While the database is away they wait up to a limit, then the oldest go first, counted.
 * Runs on: main thread. The stream does not notice any of it.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { AppError, messageOf } from "../core/errors.ts";
import { micros } from "../core/time.ts";
import type { Instrument } from "../market/instrument.ts";
import { BAR_INTERVALS, type BarInterval } from "../market/market-event.ts";
import { formatBig, formatScaled } from "../market/price.ts";
import type { BarStore, StoredBar } from "../ports/storage.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { extraOf, joinLimbs, VWAP_EXTRA_SCALE } from "../protocol/record.ts";
import { BARS_SLOT, slotOf } from "../protocol/topic.ts";

/** Bars of one statement: 50 ms on the embedded database. */
const BATCH_MAX = 2_000;

export interface BarRecorderOptions {
  /** Bars that may wait for the database. */
  readonly pendingMax: number;
  readonly writeMs: number;
  readonly pruneMs: number;
  /** How long bars of each interval are kept, from their start. */
  readonly keepMs: Readonly<Record<BarInterval, number>>;
}

export interface BarRecorderDeps extends BarRecorderOptions {
  readonly store: BarStore;
  readonly clock: Clock;
  readonly log: Logger;
}

export class BarRecorder implements Component, MetricSource {
  readonly name = "bar recorder";
  readonly #deps: BarRecorderDeps;
  #pending: StoredBar[] = [];
  /** Those the database is being given. */
  #leaving: readonly StoredBar[] = [];
  #timers: readonly Timer[] = [];
  /** The write that is under way. */
  #writing: Promise<void> | null = null;
  #isPruning = false;
  #isAway = false;
  #written = 0;
  #dropped = 0;
  #refused = 0;
  #failures = 0;
  #pruned = 0;
  #pruneFailures = 0;

  constructor(deps: BarRecorderDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { clock, writeMs, pruneMs } = this.#deps;
    this.#timers = [clock.every(writeMs, () => void this.write()), clock.every(pruneMs, () => void this.prune())];
    void this.prune();
  }

  /** What waits is written once more; what the database does not take then is counted and gone. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.stop();
    await this.write();
    await this.write();
    if (this.#pending.length > 0) this.#deps.log.warn({ bars: this.#pending.length }, "bars were not written before the stop");
    this.#dropped += this.#pending.length;
    this.#pending = [];
  }

  /** A record of a bar; updates of a running one are not kept. Never waits. */
  readonly record = (words: Float64Array, _bytes: Uint8Array, at: number, instrument: Instrument): void => {
    if (extraOf(words[at + 1] ?? 0) === 1) this.keep(storedBar(words, at, instrument));
  };

  /** A closed bar, to be written with the next batch. */
  keep(bar: StoredBar): void {
    this.#pending.push(bar);
    this.#trim();
  }

  /** Writes what waits, all of it; resolves when it is written or the database refused. Never rejects. */
  write(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  /** Removes what is older than it is kept. Never rejects. */
  async prune(): Promise<void> {
    if (this.#isPruning) return;
    this.#isPruning = true;
    try {
      const now = this.#deps.clock.nowMicros();
      for (const interval of BAR_INTERVALS) {
        this.#pruned += await this.#deps.store.prune(interval, micros(Math.max(0, now - this.#deps.keepMs[interval] * 1000)));
      }
    } catch (error) {
      this.#pruneFailures++;
      this.#deps.log.warn({ reason: messageOf(error) }, "old bars could not be removed; tried again later");
    } finally {
      this.#isPruning = false;
    }
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      counter("ticker_bars_written_total", "Closed bars written to the database", this.#written),
      counter("ticker_bars_dropped_total", "Closed bars that were never written: too many waited, or the process stopped", this.#dropped),
      counter("ticker_bars_refused_total", "Closed bars that the database would not take whatever happened", this.#refused),
      counter("ticker_bars_write_failures_total", "Writes of bars that the database did not answer or refused", this.#failures),
      counter("ticker_bars_pruned_total", "Bars removed because of their age", this.#pruned),
      counter("ticker_bars_prune_failures_total", "Removals of old bars that failed", this.#pruneFailures),
      { name: "ticker_bars_pending", help: "Closed bars that wait for the database", type: "gauge", labels: {}, value: this.#pending.length + this.#leaving.length },
    ];
  }

  async #writeAll(): Promise<void> {
    while (this.#pending.length > 0) {
      this.#leaving = this.#pending.slice(0, BATCH_MAX);
      this.#pending = this.#pending.slice(BATCH_MAX);
      const isTaken = await this.#writeBatch(this.#leaving);
      if (!isTaken) this.#pending = [...this.#leaving, ...this.#pending];
      this.#leaving = [];
      this.#trim();
      if (!isTaken) return;
    }
  }

  /** False when it is worth another try. */
  async #writeBatch(bars: readonly StoredBar[]): Promise<boolean> {
    const { store, log } = this.#deps;
    try {
      await store.put(bars);
    } catch (error) {
      this.#failures++;
      if (error instanceof AppError && error.retryable) {
        if (!this.#isAway) log.warn({ reason: error.message }, "bars wait: the database is away");
        this.#isAway = true;
        return false;
      }
      this.#refused += bars.length;
      log.error({ reason: messageOf(error), bars: bars.length }, "the database will not take these bars; they are lost");
      return true;
    }
    this.#written += bars.length;
    if (this.#isAway) log.info({ waiting: this.#pending.length }, "bars are written again");
    this.#isAway = false;
    return true;
  }

  /** The oldest go first. */
  #trim(): void {
    const over = Math.min(this.#pending.length, this.#pending.length + this.#leaving.length - this.#deps.pendingMax);
    if (over <= 0) return;
    this.#pending.splice(0, over);
    this.#dropped += over;
  }
}

/** The bar of a record, exact: decimals as the stream shows them. */
function storedBar(words: Float64Array, at: number, { id, priceScale, sizeScale }: Instrument): StoredBar {
  return {
    symbol: id, interval: BAR_INTERVALS[slotOf(words[at] ?? 0) - BARS_SLOT] ?? "1m", start: micros(words[at + 5] ?? 0),
    open: formatScaled(words[at + 6] ?? 0, priceScale), high: formatScaled(words[at + 7] ?? 0, priceScale),
    low: formatScaled(words[at + 8] ?? 0, priceScale), close: formatScaled(words[at + 9] ?? 0, priceScale),
    volume: formatBig(joinLimbs(words[at + 11] ?? 0, words[at + 12] ?? 0), sizeScale),
    vwap: formatBig(joinLimbs(words[at + 13] ?? 0, words[at + 14] ?? 0), priceScale + VWAP_EXTRA_SCALE), trades: words[at + 10] ?? 0,
  };
}
