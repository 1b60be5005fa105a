/**
 * Channels of an instrument as bits, so that the hot path asks with one operation whether an event is carried.
 */
import type { MarketEventKind } from "../market/market-event.ts";
import type { Channel } from "../protocol/topic.ts";

/** Set of channels; 0: the instrument is not carried. */
export type ChannelMask = number;

export const TRADES_BIT = 1;
export const QUOTES_BIT = 2;
export const BOOK_BIT = 4;
export const TICKER_BIT = 8;
/** Of everything that is carried: its status is always told. */
export const STATUS_BIT = 16;
export const ALL_CHANNELS: ChannelMask = TRADES_BIT | QUOTES_BIT | BOOK_BIT | TICKER_BIT | STATUS_BIT;

/** Bars are built of trades, so each of the two brings the other along. */
const BITS: Readonly<Record<Channel, number>> = {
  trades: TRADES_BIT, bars: TRADES_BIT, quotes: QUOTES_BIT, book: BOOK_BIT, ticker: TICKER_BIT, status: STATUS_BIT,
};

const BIT_OF_KIND: Readonly<Record<MarketEventKind, number>> = {
  trade: TRADES_BIT, bar: TRADES_BIT, quote: QUOTES_BIT, book: BOOK_BIT, ticker: TICKER_BIT, status: STATUS_BIT,
};

export function maskOf(channels: readonly Channel[]): ChannelMask {
  return channels.reduce((mask, channel) => mask | BITS[channel], STATUS_BIT);
}

/** Whether events of this kind belong to one of the channels. Hot. */
export function holdsKind(mask: ChannelMask, kind: MarketEventKind): boolean {
  return (mask & BIT_OF_KIND[kind]) !== 0;
}

/** How many times each channel of one instrument is asked for by subscriptions. */
export class ChannelCounts {
  readonly #counts = [0, 0, 0, 0, 0];

  /** Channels that somebody asks for. */
  get mask(): ChannelMask {
    return this.#counts.reduce((mask, count, bit) => (count > 0 ? mask | (1 << bit) : mask), 0);
  }

  /** Each channel of the mask `by` times more; never below none. */
  add(mask: ChannelMask, by: 1 | -1): void {
    for (const [bit, count] of this.#counts.entries()) if ((mask & (1 << bit)) !== 0) this.#counts[bit] = Math.max(0, count + by);
  }
}
