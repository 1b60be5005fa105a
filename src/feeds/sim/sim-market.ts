/**
 * One simulated instrument: a limit order book that orders, cancellations and trades move.
 *
 * Owns: the book, the hidden value that the price follows, the day's statistics. Runs on: stream thread. Path: hot.
 *
 * Kept for every event: bid below ask; a trade is at the best price of its side, and that price was published before;
 * the quote follows every change of the best levels; a book event's best levels are those of the last quote; event
 * times grow.
 */
import { micros, type Micros } from "../../core/time.ts";
import type { Instrument, InstrumentIndex } from "../../market/instrument.ts";
import { BOOK_DEPTH_MAX, type StatusState } from "../../market/market-event.ts";
import { formatScaled, price, quantity } from "../../market/price.ts";
import type { EventSink } from "../../ports/records.ts";
import type { Random } from "./random.ts";
import { RollingDay } from "./rolling-day.ts";
import type { SimCounts } from "./sim-counts.ts";
import { SIM_VENUE, type SimInstrument } from "./sim-instruments.ts";
import { SimSide } from "./sim-side.ts";
import { TradingHours } from "./trading-hours.ts";

/** Shares of the actions; the rest changes a level below the best. */
const TAKE_SHARE = 0.25;
const TOP_SHARE = 0.6;
/** Chance that a trade or a change of the best level is followed by a book event at once. */
const BOOK_CHANCE = 0.12;
/** A side with fewer levels is filled up; most levels one order takes. */
const LEVELS_MIN = 15;
const LEVELS_TAKEN_MAX = 3;
/** Standard deviation of the hidden value per step of 250 ms: about 1 % a day. */
const VOLATILITY = 1.5e-5;
/** How far the hidden value may run ahead of the price, in usual distances of two levels. */
const AHEAD_GAPS_MAX = 20;

export interface SimMarketContext {
  readonly sink: EventSink;
  readonly random: Random;
  readonly counts: SimCounts;
  /** Begins the ids of trades; differs from one start to the next. */
  readonly idPrefix: string;
}

export class SimMarket {
  readonly #context: SimMarketContext;
  readonly #random: Random;
  readonly #of: SimInstrument;
  readonly #index: InstrumentIndex;
  readonly #bids = new SimSide();
  readonly #asks = new SimSide();
  readonly #hours: TradingHours;
  readonly #day: RollingDay;
  readonly #tick: number;
  readonly #lot: number;
  #value: number;
  #last: number;
  #trades = 0;
  #eventTime = 0;
  #receiveTime: Micros;
  #isChanged = false;
  #tickerAt = 0;

  constructor(of: SimInstrument, now: Micros, context: SimMarketContext) {
    this.#of = of;
    this.#context = context;
    this.#random = context.random;
    this.#tick = of.tickSize;
    this.#lot = of.lotSize;
    this.#value = of.priceFirst;
    this.#last = this.#onGrid(of.priceFirst);
    this.#receiveTime = now;
    this.#hours = new TradingHours(of.hours, of.mayHalt, now, context.random);
    this.#day = new RollingDay(now, this.#last, this.#tick, of.levelLots * of.lotSize * 200, context.random);
    this.#index = context.sink.define(this.#definition());
    this.#makeBook();
  }

  get isOpen(): boolean {
    return this.#hours.state === "open";
  }

  /** Tells everything there is to know: status, quote, book, ticker. */
  introduce(time: number, receiveTime: Micros): void {
    this.#receiveTime = receiveTime;
    this.#status(time);
    this.#quote(time);
    this.#book(time);
    this.#ticker(time);
  }

  /** One order, cancellation or trade, with the one to five events that follow from it. Answers their number. */
  act(time: number, receiveTime: Micros): number {
    this.#receiveTime = receiveTime;
    const choice = this.#random.unit();
    if (choice < TAKE_SHARE) return this.#take(time);
    if (choice < TAKE_SHARE + TOP_SHARE) return this.#changeTop(time);
    return this.#changeDeep(time);
  }

  /** A market order: at least one trade and a quote. Answers the number of events. */
  trade(time: number, receiveTime: Micros): number {
    this.#receiveTime = receiveTime;
    return this.#take(time);
  }

  /** What depends on the clock: the hidden value, trading hours, halts, the ticker once `tickerMs` have passed. Answers the number of events. */
  look(time: number, receiveTime: Micros, tickerMs: number): number {
    this.#receiveTime = receiveTime;
    const events = this.#hours.advance(receiveTime, this.#random) ? this.#changeState(time) : 0;
    this.#moveValue();
    if (!this.#isChanged || time - this.#tickerAt < tickerMs * 1000) return events;
    return events + this.#ticker(time);
  }

  /** True for a buyer, who is likelier the further the hidden value lies above the price. */
  #isUpward(): boolean {
    const middle = (this.#bids.best + this.#asks.best) / 2;
    const pressure = (this.#value - middle) / (8 * this.#of.gapTicks * this.#tick);
    return this.#random.unit() < 0.5 + Math.max(-0.4, Math.min(0.4, pressure));
  }

  #take(time: number): number {
    const isBuy = this.#isUpward();
    const side = isBuy ? this.#asks : this.#bids;
    let open = this.#size(0.4);
    let events = 0;
    for (let level = 0; level < LEVELS_TAKEN_MAX && open > 0; level++) {
      const size = Math.min(open, side.bestSize);
      open -= size;
      this.#trade(time, side.best, size, isBuy);
      events++;
      if (size === side.bestSize) side.pop();
      else side.resize(side.count - 1, side.bestSize - size);
    }
    const isThin = side.count < LEVELS_MIN;
    if (isThin) this.#fill(side, isBuy ? this.#tick : -this.#tick);
    return events + this.#quote(time) + this.#bookOrNot(time, isThin);
  }

  #changeTop(time: number): number {
    const isUpward = this.#isUpward();
    const spread = Math.round((this.#asks.best - this.#bids.best) / this.#tick);
    const isWide = spread > this.#of.gapTicks / 8 + 1;
    let isForced = false;
    if (spread > 1 && this.#random.unit() < (isWide ? 0.8 : 0.15)) {
      const step = (1 + this.#random.below(Math.min(spread - 1, this.#of.gapTicks))) * this.#tick;
      isForced = isUpward ? this.#bids.push(this.#bids.best + step, this.#size(0.6)) : this.#asks.push(this.#asks.best - step, this.#size(0.6));
    } else if (this.#random.unit() < 0.3) {
      // The side that the value moves towards gives way.
      const side = isUpward ? this.#asks : this.#bids;
      side.pop();
      isForced = side.count < LEVELS_MIN;
      if (isForced) this.#fill(side, isUpward ? this.#tick : -this.#tick);
    } else {
      const side = isUpward ? this.#bids : this.#asks;
      this.#resize(side, side.count - 1);
    }
    return this.#quote(time) + this.#bookOrNot(time, isForced);
  }

  #changeDeep(time: number): number {
    const side = this.#random.unit() < 0.5 ? this.#bids : this.#asks;
    const nearness = this.#random.unit();
    this.#resize(side, Math.max(0, side.count - 2 - Math.floor(nearness * nearness * (side.count - 1))));
    return this.#book(time);
  }

  #resize(side: SimSide, level: number): void {
    const before = side.sizes[level] ?? 0;
    const size = this.#size(1);
    side.resize(level, size === before ? size + this.#lot : size);
  }

  /** Whole lots, exponentially distributed around `share` of a usual level, at least one. */
  #size(share: number): number {
    return (1 + Math.floor(this.#random.exponential() * share * this.#of.levelLots)) * this.#lot;
  }

  /** Adds levels behind the farthest. @param away one tick away from the other side */
  #fill(side: SimSide, away: number): void {
    const added = Math.min(this.#of.levels, BOOK_DEPTH_MAX) - side.count;
    if (added <= 0) return;
    side.extend(added);
    let at = side.prices[added] ?? 0;
    for (let level = added - 1; level >= 0; level--) {
      at += away * (1 + this.#random.below(this.#of.gapTicks * 2));
      side.place(level, at, this.#size(1));
    }
  }

  #makeBook(): void {
    const middle = this.#onGrid(this.#value);
    this.#bids.clear();
    this.#asks.clear();
    this.#bids.push(middle - this.#tick, this.#size(1));
    this.#asks.push(middle + this.#tick, this.#size(1));
    this.#fill(this.#bids, -this.#tick);
    this.#fill(this.#asks, this.#tick);
  }

  #moveValue(): void {
    const { priceFirst, gapTicks } = this.#of;
    const middle = (this.#bids.best + this.#asks.best) / 2;
    const aheadMax = AHEAD_GAPS_MAX * gapTicks * this.#tick;
    const moved = this.#value * (1 + VOLATILITY * this.#random.normal());
    const near = Math.max(middle - aheadMax, Math.min(middle + aheadMax, moved));
    this.#value = Math.max(priceFirst / 2, Math.min(priceFirst * 2, near));
  }

  #changeState(time: number): number {
    this.#context.sink.define(this.#definition());
    if (!this.isOpen) return this.#status(time);
    // What happened meanwhile is in the opening price.
    this.#value = Math.max(this.#of.priceFirst / 2, Math.min(this.#of.priceFirst * 2, this.#value * (1 + 0.001 * this.#random.normal())));
    this.#makeBook();
    return this.#status(time) + this.#quote(time) + this.#book(time);
  }

  #definition(): Instrument {
    const { symbol, priceScale, sizeScale, tickSize, lotSize } = this.#of;
    return {
      id: `${SIM_VENUE}:${symbol}`, venue: SIM_VENUE, symbol, native: symbol, priceScale, sizeScale, tickSize, lotSize,
      state: this.isOpen ? "active" : "halted", simulated: true, mayCross: false, timeBase: "wall",
    };
  }

  #onGrid(units: number): number {
    return Math.round(units / this.#tick) * this.#tick;
  }

  #stamp(time: number): Micros {
    this.#eventTime = Math.max(Math.floor(time), this.#eventTime + 1);
    return micros(this.#eventTime);
  }

  #trade(time: number, at: number, size: number, isBuy: boolean): void {
    this.#last = at;
    this.#isChanged = true;
    const eventTime = this.#stamp(time);
    this.#day.trade(eventTime, at, size);
    this.#context.counts.count("trade", this.#context.sink.event({
      kind: "trade", instrument: this.#index, eventTime, receiveTime: this.#receiveTime, id: `${this.#context.idPrefix}-${++this.#trades}`,
      price: price(at), size: quantity(size), side: isBuy ? "buy" : "sell",
    }));
  }

  #quote(time: number): number {
    this.#isChanged = true;
    this.#context.counts.count("quote", this.#context.sink.event({
      kind: "quote", instrument: this.#index, eventTime: this.#stamp(time), receiveTime: this.#receiveTime,
      bid: price(this.#bids.best), bidSize: quantity(this.#bids.bestSize), ask: price(this.#asks.best), askSize: quantity(this.#asks.bestSize),
    }));
    return 1;
  }

  #bookOrNot(time: number, isForced: boolean): number {
    return isForced || this.#random.unit() < BOOK_CHANCE ? this.#book(time) : 0;
  }

  #book(time: number): number {
    this.#context.counts.count("book", this.#context.sink.event({
      kind: "book", instrument: this.#index, eventTime: this.#stamp(time), receiveTime: this.#receiveTime, bids: this.#bids, asks: this.#asks,
    }));
    return 1;
  }

  #ticker(time: number): number {
    const { priceScale, sizeScale } = this.#of;
    this.#isChanged = false;
    this.#tickerAt = time;
    this.#context.counts.count("ticker", this.#context.sink.event({
      kind: "ticker", instrument: this.#index, eventTime: this.#stamp(time), receiveTime: this.#receiveTime,
      last: formatScaled(this.#last, priceScale), open24h: formatScaled(this.#day.open, priceScale),
      high24h: formatScaled(this.#day.high, priceScale), low24h: formatScaled(this.#day.low, priceScale),
      volume24h: formatScaled(this.#day.volume, sizeScale),
      bid: formatScaled(this.#bids.best, priceScale), ask: formatScaled(this.#asks.best, priceScale),
    }));
    return 1;
  }

  #status(time: number): number {
    const state: StatusState = this.isOpen ? "live" : "halted";
    this.#context.counts.count("status", this.#context.sink.event({
      kind: "status", instrument: this.#index, eventTime: this.#stamp(time), receiveTime: this.#receiveTime, state, reason: this.#hours.reason,
    }));
    return 1;
  }
}
