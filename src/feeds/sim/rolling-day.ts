/**
 * High, low, open and volume of the last 24 hours, kept by the hour.
 *
 * Owns: 24 hourly buckets of one instrument. Path: hot, two comparisons and a sum per trade.
 */
import type { Random } from "./random.ts";

const HOURS = 24;
const HOUR_MICROS = 3600e6;

export class RollingDay {
  high = 0;
  low = 0;
  /** Size units. */
  volume = 0;
  readonly #opens = new Float64Array(HOURS);
  readonly #highs = new Float64Array(HOURS);
  readonly #lows = new Float64Array(HOURS);
  readonly #volumes = new Float64Array(HOURS);
  #hour: number;
  #hourEnd: number;

  /** Begins with a day that ends at `price`, on the grid of `tick`. */
  constructor(now: number, price: number, tick: number, hourVolume: number, random: Random) {
    this.#hour = Math.floor(now / HOUR_MICROS);
    this.#hourEnd = (this.#hour + 1) * HOUR_MICROS;
    let close = price;
    for (let back = 0; back < HOURS; back++) {
      const at = (this.#hour - back + HOURS) % HOURS;
      const open = onGrid(close * (1 + 0.003 * random.normal()), tick);
      this.#opens[at] = open;
      this.#highs[at] = onGrid(Math.max(open, close) * (1 + 0.001 * random.unit()), tick);
      this.#lows[at] = onGrid(Math.min(open, close) * (1 - 0.001 * random.unit()), tick);
      this.#volumes[at] = Math.round(hourVolume * (0.5 + random.unit()));
      close = open;
    }
    this.#sumUp();
    this.high = Math.max(this.high, price);
    this.low = Math.min(this.low, price);
  }

  /** Price units, of the oldest hour. */
  get open(): number {
    return this.#opens[(this.#hour + 1) % HOURS] ?? 0;
  }

  trade(time: number, price: number, size: number): void {
    if (time >= this.#hourEnd) this.#turn(Math.floor(time / HOUR_MICROS), price);
    const at = this.#hour % HOURS;
    this.#volumes[at] = (this.#volumes[at] ?? 0) + size;
    this.volume += size;
    if (price > (this.#highs[at] ?? 0)) this.#highs[at] = price;
    if (price < (this.#lows[at] ?? 0)) this.#lows[at] = price;
    if (price > this.high) this.high = price;
    if (price < this.low) this.low = price;
  }

  #turn(hour: number, price: number): void {
    for (let next = Math.max(this.#hour + 1, hour - HOURS + 1); next <= hour; next++) {
      const at = next % HOURS;
      this.#opens[at] = price;
      this.#highs[at] = price;
      this.#lows[at] = price;
      this.#volumes[at] = 0;
    }
    this.#hour = hour;
    this.#hourEnd = (hour + 1) * HOUR_MICROS;
    this.#sumUp();
  }

  #sumUp(): void {
    this.high = Math.max(...this.#highs);
    this.low = Math.min(...this.#lows);
    this.volume = this.#volumes.reduce((sum, volume) => sum + volume, 0);
  }
}

function onGrid(units: number, tick: number): number {
  return Math.max(tick, Math.round(units / tick) * tick);
}
