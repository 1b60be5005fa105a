/**
 * How long the event loop of this thread keeps timers waiting: the longest and the 99th percentile of the last minute or two.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";

export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** The histogram wakes up this often, and counts that as delay. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 60_000;
const NONE: LoopDelay = { p99Ms: 0, maxMs: 0 };

export class EventLoopDelay implements Component, MetricSource {
  readonly name = "event loop delay";
  readonly #clock: Clock;
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #before: LoopDelay = NONE;
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(): Promise<void> {
    this.#histogram.enable();
    this.#timer = this.#clock.every(WINDOW_MS, () => {
      this.#before = this.#present();
      this.#histogram.reset();
    });
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#timer?.stop();
    this.#histogram.disable();
    return Promise.resolve();
  }

  /** Of this window and the one before. */
  read(): LoopDelay {
    const now = this.#present();
    return { p99Ms: Math.max(now.p99Ms, this.#before.p99Ms), maxMs: Math.max(now.maxMs, this.#before.maxMs) };
  }

  samples(): MetricSample[] {
    const { p99Ms, maxMs } = this.read();
    const gauge = (quantile: string, ms: number): MetricSample => ({
      name: "ticker_main_loop_delay_seconds", help: "How long the main thread's event loop kept timers waiting in the last minute or two", type: "gauge", labels: { quantile }, value: ms / 1000,
    });
    return [gauge("0.99", p99Ms), gauge("1", maxMs)];
  }

  #present(): LoopDelay {
    const { count } = this.#histogram;
    if (count === 0) return NONE;
    return { p99Ms: beyond(this.#histogram.percentile(99)), maxMs: beyond(this.#histogram.max) };
  }
}

/** Nanoseconds of a wake-up, as milliseconds later than it should have been. */
function beyond(ns: number): number {
  return Math.max(0, Math.round((ns / 1e6 - RESOLUTION_MS) * 100) / 100);
}
