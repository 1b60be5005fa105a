/**
 * Builds the time bars of all intervals from trades, on event time.
 *
 * Owns: the running bars of every instrument. Runs on: stream thread. Path: hot, once per trade (all six intervals) and
 * one comparison per other event. Allocates only when it emits.
 */
import { micros, type Micros } from "../core/time.ts";
import { ExactSum, Product } from "./exact-sum.ts";
import type { Instrument, InstrumentIndex } from "./instrument.ts";
import { type Bar, BAR_INTERVAL_MICROS, BAR_INTERVALS, type BarInterval } from "./market-event.ts";
import { type Price, price as priceOf, type Quantity } from "./price.ts";

const INSTRUMENTS_FIRST = 64;

export interface BarBuilderOptions {
  /** Shortest time between two updates of a running bar, milliseconds; default 250. */
  readonly updateMs?: number;
  /** How long after its end by our clock a bar of a `wall` instrument closes, milliseconds; default 1000. */
  readonly closeAfterMs?: number;
}

/**
 * Emits, for each bar: its first trade, updates at least `updateMs` apart while it changes, exactly one close.
 *
 * An interval closes when an event of the instrument at or after its end has been seen, whether or not it had a trade;
 * a bar of a `wall` instrument also `closeAfterMs` after its end by our clock, at the next `tick`. A trade of a closed
 * interval is late there and still counts in the longer intervals that are open. Open and close are the prices of the
 * earliest and the latest trade by event time, of equal times the first and the last that came.
 */
export class BarBuilder {
  readonly #emit: (bar: Bar) => void;
  readonly #updateMicros: number;
  readonly #closeAfterMicros: number;
  readonly #series: (readonly RunningBar[] | undefined)[] = [];
  /** Newest event time, and earliest end of an open bar, of each instrument. */
  #passed = new Float64Array(INSTRUMENTS_FIRST);
  #nextEnd = new Float64Array(INSTRUMENTS_FIRST).fill(Number.POSITIVE_INFINITY);
  /** Changed bars whose update is not due yet; some of them may have been emitted or closed since. */
  #waiting: RunningBar[] = [];
  readonly #clocked: readonly ClockedBars[] = BAR_INTERVALS.map(() => new ClockedBars());
  readonly #notional = new Product();
  #late = 0;

  constructor(emit: (bar: Bar) => void, options: BarBuilderOptions = {}) {
    this.#emit = emit;
    this.#updateMicros = (options.updateMs ?? 250) * 1000;
    this.#closeAfterMicros = (options.closeAfterMs ?? 1000) * 1000;
  }

  /** Trades that were not applied, counted once per bar interval. */
  get late(): number {
    return this.#late;
  }

  /** Price and size are positive. `eventTime` need not grow. */
  trade(instrument: InstrumentIndex, price: Price, size: Quantity, eventTime: Micros, receiveTime: Micros, timeBase: Instrument["timeBase"]): void {
    this.passed(instrument, eventTime, receiveTime);
    const series = this.#series[instrument] ?? this.#newSeries(instrument);
    const passed = this.#passed[instrument] ?? 0;
    this.#notional.set(price, size);
    for (let i = 0; i < series.length; i++) {
      const bar = series[i];
      if (!bar) continue;
      if (bar.isOpen && eventTime >= bar.start && eventTime < bar.end) {
        bar.add(price, size, this.#notional, eventTime, receiveTime);
        this.#update(bar, receiveTime);
        continue;
      }
      const start = eventTime - (eventTime % bar.length);
      if (eventTime < bar.end || start + bar.length <= passed) {
        this.#late++;
        continue;
      }
      bar.open(micros(start), price, eventTime);
      bar.add(price, size, this.#notional, eventTime, receiveTime);
      if (timeBase === "wall") this.#clocked[i]?.add(bar);
      if (bar.end < (this.#nextEnd[instrument] ?? 0)) this.#nextEnd[instrument] = bar.end;
      this.#send(bar, receiveTime, receiveTime, false);
    }
  }

  /** Any event of the instrument: closes the bars whose end it has reached. */
  passed(instrument: InstrumentIndex, eventTime: Micros, receiveTime: Micros): void {
    if (instrument >= this.#passed.length) this.#grow(instrument);
    if (eventTime <= (this.#passed[instrument] ?? 0)) return;
    this.#passed[instrument] = eventTime;
    if (eventTime < (this.#nextEnd[instrument] ?? Number.POSITIVE_INFINITY)) return;
    let nextEnd = Number.POSITIVE_INFINITY;
    for (const bar of this.#series[instrument] ?? []) {
      if (!bar.isOpen) continue;
      if (bar.end <= eventTime) this.#close(bar, receiveTime);
      else if (bar.end < nextEnd) nextEnd = bar.end;
    }
    this.#nextEnd[instrument] = nextEnd;
  }

  /** Emits the updates that have become due and closes what is over by our clock; to be called a few times per `updateMs`. */
  tick(now: Micros): void {
    for (const bars of this.#clocked) {
      const endMax = now - this.#closeAfterMicros;
      if (endMax < bars.nextEnd) continue;
      for (const bar of bars.takeEnded(endMax)) this.#close(bar, now);
    }
    const waiting = this.#waiting;
    let kept = 0;
    for (const bar of waiting) {
      if (bar.isChanged && this.#isDue(bar, now)) this.#send(bar, now, bar.receiveTime, false);
      if (bar.isChanged) waiting[kept++] = bar;
      else bar.isWaiting = false;
    }
    waiting.length = kept;
  }

  #update(bar: RunningBar, now: Micros): void {
    if (this.#isDue(bar, now)) {
      this.#send(bar, now, now, false);
    } else if (!bar.isWaiting) {
      bar.isWaiting = true;
      this.#waiting.push(bar);
    }
  }

  /** A clock that was set back does not hold a bar up. */
  #isDue(bar: RunningBar, now: Micros): boolean {
    const elapsed = now - bar.emittedAt;
    return elapsed >= this.#updateMicros || elapsed < 0;
  }

  #close(bar: RunningBar, now: Micros): void {
    bar.isOpen = false;
    this.#send(bar, now, now, true);
  }

  #send(bar: RunningBar, now: Micros, receiveTime: Micros, closed: boolean): void {
    bar.isChanged = false;
    bar.emittedAt = now;
    this.#emit(bar.toEvent(receiveTime, closed));
  }

  #newSeries(instrument: InstrumentIndex): readonly RunningBar[] {
    const series = BAR_INTERVALS.map((interval) => new RunningBar(instrument, interval));
    this.#series[instrument] = series;
    return series;
  }

  #grow(instrument: InstrumentIndex): void {
    const length = Math.max(instrument + 1, this.#passed.length * 2);
    const passed = new Float64Array(length);
    passed.set(this.#passed);
    this.#passed = passed;
    const nextEnd = new Float64Array(length).fill(Number.POSITIVE_INFINITY);
    nextEnd.set(this.#nextEnd);
    this.#nextEnd = nextEnd;
  }
}

/** The newest bar of one instrument and interval; reused for the next when it has closed. */
class RunningBar {
  readonly instrument: InstrumentIndex;
  readonly interval: BarInterval;
  /** Microseconds. */
  readonly length: number;
  isOpen = false;
  /** Has trades that were not emitted. */
  isChanged = false;
  /** Is in the list of bars whose update is not due yet. */
  isWaiting = false;
  start = micros(0);
  /** First microsecond after the bar; trades before it are late once the bar has closed. */
  end = 0;
  emittedAt = 0;
  receiveTime = micros(0);
  #openTime = micros(0);
  #closeTime = micros(0);
  #open = priceOf(0);
  #high = priceOf(0);
  #low = priceOf(0);
  #close = priceOf(0);
  #trades = 0;
  readonly #volume = new ExactSum();
  readonly #notional = new ExactSum();

  constructor(instrument: InstrumentIndex, interval: BarInterval) {
    this.instrument = instrument;
    this.interval = interval;
    this.length = BAR_INTERVAL_MICROS[interval];
  }

  open(start: Micros, first: Price, eventTime: Micros): void {
    this.isOpen = true;
    this.start = start;
    this.end = start + this.length;
    this.#openTime = eventTime;
    this.#closeTime = eventTime;
    this.#open = first;
    this.#high = first;
    this.#low = first;
    this.#trades = 0;
    this.#volume.clear();
    this.#notional.clear();
  }

  add(price: Price, size: Quantity, notional: Product, eventTime: Micros, receiveTime: Micros): void {
    if (eventTime < this.#openTime) {
      this.#openTime = eventTime;
      this.#open = price;
    }
    if (eventTime >= this.#closeTime) {
      this.#closeTime = eventTime;
      this.#close = price;
    }
    if (price > this.#high) this.#high = price;
    if (price < this.#low) this.#low = price;
    this.#trades++;
    this.#volume.add(size);
    this.#notional.addProduct(notional);
    this.receiveTime = receiveTime;
    this.isChanged = true;
  }

  toEvent(receiveTime: Micros, closed: boolean): Bar {
    return {
      kind: "bar", instrument: this.instrument, interval: this.interval, start: this.start,
      eventTime: this.#closeTime, receiveTime,
      open: this.#open, high: this.#high, low: this.#low, close: this.#close,
      volume: this.#volume.value(), notional: this.#notional.value(), trades: this.#trades, closed,
    };
  }
}

/** Bars of one interval that close by our clock; those that an event closed leave at the next look. */
class ClockedBars {
  /** Nothing ends before it. */
  nextEnd = Number.POSITIVE_INFINITY;
  readonly #bars = new Set<RunningBar>();

  add(bar: RunningBar): void {
    this.#bars.add(bar);
    if (bar.end < this.nextEnd) this.nextEnd = bar.end;
  }

  /** Removes and answers the open bars that end at or before `endMax`. */
  takeEnded(endMax: number): RunningBar[] {
    const ended: RunningBar[] = [];
    this.nextEnd = Number.POSITIVE_INFINITY;
    for (const bar of this.#bars) {
      if (!bar.isOpen) {
        this.#bars.delete(bar);
      } else if (bar.end <= endMax) {
        this.#bars.delete(bar);
        ended.push(bar);
      } else if (bar.end < this.nextEnd) {
        this.nextEnd = bar.end;
      }
    }
    return ended;
  }
}
