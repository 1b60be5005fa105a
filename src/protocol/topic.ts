/**
 * The topic grammar: channels, their options, and the small numbers that stand for a topic inside.
 *
 * A topic key is `instrument * 16 + slot`. All depths of a book share the sequence of slot BOOK_SLOT.
 */
import { BAR_INTERVALS, BOOK_DEPTHS, type BarInterval, type BookDepth } from "../market/market-event.ts";
import type { InstrumentIndex } from "../market/instrument.ts";

export const CHANNELS = ["trades", "quotes", "book", "bars", "ticker", "status"] as const;
export type Channel = (typeof CHANNELS)[number];

/** Number of a topic, wide enough for every instrument, channel, interval and depth. */
export type TopicKey = number;

/** Place of a channel with its options within an instrument. */
export type Slot = number;

export const SLOTS = 16;
export const TRADES_SLOT = 0;
export const QUOTES_SLOT = 1;
export const TICKER_SLOT = 2;
export const STATUS_SLOT = 3;
export const BARS_SLOT = 4;
export const BOOK_SLOT = 10;
const SLOT_END = BOOK_SLOT + BOOK_DEPTHS.length;

export function topicKey(instrument: InstrumentIndex, slot: Slot): TopicKey {
  return instrument * SLOTS + slot;
}

export function instrumentOf(key: TopicKey): InstrumentIndex {
  return key >>> 4;
}

export function slotOf(key: TopicKey): Slot {
  return key & 15;
}

/** The topic whose sequence this topic shares: itself, but for the depths of a book. */
export function sequenceTopic(key: TopicKey): TopicKey {
  return slotOf(key) >= BOOK_SLOT ? (key & ~15) | BOOK_SLOT : key;
}

/** The slot of a channel with its options; intervals and depths count where the channel has them. */
export function slotFor(channel: Channel, interval: BarInterval, depth: BookDepth): Slot {
  switch (channel) {
    case "trades": return TRADES_SLOT;
    case "quotes": return QUOTES_SLOT;
    case "ticker": return TICKER_SLOT;
    case "status": return STATUS_SLOT;
    case "bars": return barsSlot(interval);
    case "book": return BOOK_SLOT + BOOK_DEPTHS.indexOf(depth);
  }
}

export function barsSlot(interval: BarInterval): Slot {
  return BARS_SLOT + BAR_INTERVALS.indexOf(interval);
}

export interface SlotMeaning {
  readonly channel: Channel;
  readonly interval: BarInterval | null;
  readonly depth: BookDepth | null;
  /** The options as JSON members with a leading comma, e.g. `,"depth":10`. */
  readonly optionsJson: string;
}

const MEANINGS: readonly SlotMeaning[] = [
  meaning("trades"), meaning("quotes"), meaning("ticker"), meaning("status"),
  ...BAR_INTERVALS.map((interval) => meaning("bars", interval)),
  ...BOOK_DEPTHS.map((depth) => meaning("book", null, depth)),
];

/** What a slot stands for. @throws {RangeError} for a number that is no slot. */
export function meaningOf(slot: Slot): SlotMeaning {
  const found = slot < SLOT_END ? MEANINGS[slot] : undefined;
  if (!found) throw new RangeError(`expected a slot from 0 to ${SLOT_END - 1}, found ${slot}`);
  return found;
}

function meaning(channel: Channel, interval: BarInterval | null = null, depth: BookDepth | null = null): SlotMeaning {
  const optionsJson = interval ? `,"interval":"${interval}"` : depth ? `,"depth":${depth}` : "";
  return { channel, interval, depth, optionsJson };
}
