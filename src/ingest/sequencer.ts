/**
 * Numbers the events of every topic so that each receiver can see a gap, and judges whether an event is acceptable.
 *
 * Owns: last sequence, last venue sequence, last time and last price per topic. Runs on: stream thread. Path: hot.
 */
import { unreachable } from "../core/types.ts";
import type { Instrument } from "../market/instrument.ts";
import type { Book, MarketEvent, Quote, Trade } from "../market/market-event.ts";
import type { RejectReason } from "../ports/records.ts";
import { isPlainText, TRADE_ID_MAX } from "../protocol/record.ts";
import { barsSlot, BOOK_SLOT, QUOTES_SLOT, STATUS_SLOT, TICKER_SLOT, topicKey, TRADES_SLOT, type TopicKey } from "../protocol/topic.ts";

const TOPICS_FIRST = 1024;
/** Microseconds that a venue's clock may be ahead of ours: a time further off would make everything after it stale. */
const AHEAD_MAX_MICROS = 60_000_000;

export class Sequencer {
  /** Whether the last accepted event left the price band. */
  jumped = false;
  readonly #jumpBand: number;
  #sequences = new Float64Array(TOPICS_FIRST);
  #sourceSequences = new Float64Array(TOPICS_FIRST).fill(-1);
  #times = new Float64Array(TOPICS_FIRST);
  #prices = new Float64Array(TOPICS_FIRST);

  /** @param jumpBandPct a price further than this many percent from the last of its topic is flagged */
  constructor(jumpBandPct: number) {
    this.#jumpBand = jumpBandPct / 100;
  }

  topicOf(event: MarketEvent): TopicKey {
    switch (event.kind) {
      case "trade": return topicKey(event.instrument, TRADES_SLOT);
      case "quote": return topicKey(event.instrument, QUOTES_SLOT);
      case "book": return topicKey(event.instrument, BOOK_SLOT);
      case "ticker": return topicKey(event.instrument, TICKER_SLOT);
      case "status": return topicKey(event.instrument, STATUS_SLOT);
      case "bar": return topicKey(event.instrument, barsSlot(event.interval));
      default: return unreachable(event);
    }
  }

  /** Why the event is not acceptable, or null; on null it is remembered as the newest of its topic. */
  judge(event: MarketEvent, topic: TopicKey, instrument: Instrument): RejectReason | null {
    if (topic >= this.#sequences.length) this.#grow(topic);
    this.jumped = false;
    if (!(event.eventTime >= 0) || !(event.receiveTime >= 0)) return "malformed";
    if (event.eventTime > event.receiveTime + AHEAD_MAX_MICROS) return "future";
    const fault = this.#faultOf(event, instrument);
    if (fault) return fault;
    if (this.#isStale(event, topic)) return "stale";
    if (event.kind === "trade") this.#watchJump(topic, event.price);
    else if (event.kind === "quote") this.#watchJump(topic, event.bid);
    return null;
  }

  /** The next number of the topic: 1, 2, 3 ... without a hole. */
  next(topic: TopicKey): number {
    const sequence = (this.#sequences[topic] ?? 0) + 1;
    this.#sequences[topic] = sequence;
    return sequence;
  }

  #faultOf(event: MarketEvent, instrument: Instrument): RejectReason | null {
    switch (event.kind) {
      case "trade": return tradeFault(event);
      case "quote": return quoteFault(event, instrument.mayCross);
      case "book": return bookFault(event, instrument.mayCross);
      case "ticker":
      case "bar":
      case "status": return null;
      default: return unreachable(event);
    }
  }

  /**
   * A venue's own number must grow; without one, a state that is older than the newest is stale. Trades come as they come,
   * and so does what has only our time: a snapshot without a time must not outdate the venue's updates that follow it.
   */
  #isStale(event: MarketEvent, topic: TopicKey): boolean {
    const sourceSequence = event.sourceSequence;
    if (sourceSequence !== undefined) {
      if (sourceSequence <= (this.#sourceSequences[topic] ?? -1)) return true;
      this.#sourceSequences[topic] = sourceSequence;
      return false;
    }
    if (event.kind === "trade" || event.kind === "bar" || event.kind === "status") return false;
    if (event.eventTime === event.receiveTime) return false;
    if (event.eventTime < (this.#times[topic] ?? 0)) return true;
    this.#times[topic] = event.eventTime;
    return false;
  }

  #watchJump(topic: TopicKey, price: number): void {
    const last = this.#prices[topic] ?? 0;
    this.jumped = last > 0 && Math.abs(price - last) > last * this.#jumpBand;
    this.#prices[topic] = price;
  }

  #grow(topic: TopicKey): void {
    let length = this.#sequences.length;
    while (length <= topic) length *= 2;
    const grown = (from: Float64Array, fill: number): Float64Array<ArrayBuffer> => {
      const to = new Float64Array(length).fill(fill);
      to.set(from);
      return to;
    };
    this.#sequences = grown(this.#sequences, 0);
    this.#sourceSequences = grown(this.#sourceSequences, -1);
    this.#times = grown(this.#times, 0);
    this.#prices = grown(this.#prices, 0);
  }
}

function tradeFault(event: Trade): RejectReason | null {
  if (!(event.price > 0) || !(event.size > 0)) return Number.isNaN(event.price + event.size) ? "malformed" : "non_positive";
  if (event.price > Number.MAX_SAFE_INTEGER || event.size > Number.MAX_SAFE_INTEGER) return "malformed";
  return isPlainText(event.id, TRADE_ID_MAX) ? null : "malformed";
}

function quoteFault(event: Quote, mayCross: boolean): RejectReason | null {
  const { bid, ask, bidSize, askSize } = event;
  if (!(bid > 0) || !(ask > 0) || !(bidSize >= 0) || !(askSize >= 0)) {
    return Number.isNaN(bid + ask + bidSize + askSize) ? "malformed" : "non_positive";
  }
  if (!(bid + ask + bidSize + askSize < Number.POSITIVE_INFINITY)) return "malformed";
  return bid > ask && !mayCross ? "crossed" : null;
}

function bookFault(event: Book, mayCross: boolean): RejectReason | null {
  const { bids, asks } = event;
  const bid = bids.count > 0 ? bids.prices[bids.count - 1] : undefined;
  const ask = asks.count > 0 ? asks.prices[asks.count - 1] : undefined;
  if ((bid !== undefined && !(bid > 0)) || (ask !== undefined && !(ask > 0))) return "non_positive";
  return bid !== undefined && ask !== undefined && bid > ask && !mayCross ? "crossed" : null;
}
