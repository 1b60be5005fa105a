/**
 * The main thread's copy of the market: takes in what the stream thread hands over and answers from it.
 *
 * Owns: a record cache and the instruments, anew for each start of the stream thread; until the new one has said
 * something, the old one answers. Runs on: main thread.
 */
import type { Clock } from "../core/clock.ts";
import { unreachable } from "../core/types.ts";
import { Directory, type Listing } from "../fanout/directory.ts";
import { type KeptRecord, RecordCache, type RecordCacheOptions } from "../fanout/record-cache.ts";
import { type Instrument, isVenue } from "../market/instrument.ts";
import { formatScaled } from "../market/price.ts";
import type { MarketNotice } from "../ports/market-notices.ts";
import type { KeptTrades, NewestValue, NewestValues, QuoteValue, RecordListener, TradeQuery, ValueKind } from "../ports/newest-values.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";
import { encodeJson } from "../protocol/json-codec.ts";
import { kindOf } from "../protocol/record.ts";
import { instrumentOf, QUOTES_SLOT, sequenceTopic, slotFor, topicKey, TRADES_SLOT } from "../protocol/topic.ts";

const DEPTH_DEFAULT = 10;
/** Kept trades that are looked at in one go. */
const TRADES_SLICE = 256;

/** The stream since one start of its thread. */
class Term {
  readonly epoch: string;
  readonly acknowledged: Int32Array;
  readonly cache: RecordCache;
  readonly directory = new Directory();
  /** `,"epoch":"..."}`: what follows the members of a message. */
  readonly tail: string;
  #sorted: readonly Instrument[] | null = null;
  readonly #instruments: Instrument[] = [];

  constructor(epoch: string, acknowledged: Int32Array, options: RecordCacheOptions) {
    this.epoch = epoch;
    this.acknowledged = acknowledged;
    this.cache = new RecordCache(options);
    this.tail = `,"epoch":${JSON.stringify(epoch)}}`;
  }

  define(index: number, instrument: Instrument): void {
    this.directory.define(index, instrument);
    this.#instruments[index] = instrument;
    this.#sorted = null;
  }

  /** By id, without the venues themselves. */
  instruments(): readonly Instrument[] {
    this.#sorted ??= this.#instruments.filter((instrument) => !isVenue(instrument)).toSorted((a, b) => (a.id < b.id ? -1 : 1));
    return this.#sorted;
  }

  value(record: KeptRecord, listing: Listing, depth: number): NewestValue {
    const { words, bytes, at } = record;
    const json = encodeJson(words, bytes, at, listing.codec, depth, false);
    return { symbol: listing.instrument.id, epoch: this.epoch, seq: words[at + 2] ?? 0, time: words[at + 3] ?? 0, json: json.slice(0, -1) + this.tail };
  }
}

export class MarketCopy implements NewestValues, MetricSource {
  readonly #clock: Clock;
  readonly #options: RecordCacheOptions;
  #term: Term | null = null;
  /** Of a stream thread that has said nothing but instruments yet. */
  #coming: Term | null = null;
  #heardAtMs = Number.NaN;
  readonly #listeners: RecordListener[][] = [];
  #terms = 0;
  #records = 0;
  #snapshots = 0;
  #lost = 0;

  constructor(clock: Clock, options: RecordCacheOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** Told of each record of that kind (KIND_... of protocol/record.ts) from now on, in order; must not throw or keep the words. */
  listen(kind: number, listener: RecordListener): void {
    const listeners = this.#listeners[kind];
    if (listeners) listeners.push(listener);
    else this.#listeners[kind] = [listener];
  }

  /** Takes in what the stream thread says. */
  hear(notice: MarketNotice): void {
    this.#heardAtMs = this.#clock.monotonicMs();
    switch (notice.type) {
      case "begin":
        this.#terms++;
        this.#coming = new Term(notice.epoch, new Int32Array(notice.acknowledged), this.#options);
        return;
      case "define": return (this.#coming ?? this.#term)?.define(notice.index, notice.instrument);
      case "lost":
        this.#lost += notice.missed ?? 1;
        return;
      case "batch": return this.#batch(this.#present(), notice);
      case "snapshot": {
        const term = this.#present();
        term.cache.restore(notice.records);
        this.#snapshots++;
        return this.#tell(term, notice.records);
      }
      default: return unreachable(notice);
    }
  }

  epoch(): string | null {
    return this.#term?.epoch ?? null;
  }

  ageMs(): number | null {
    return Number.isNaN(this.#heardAtMs) ? null : this.#clock.monotonicMs() - this.#heardAtMs;
  }

  instruments(): readonly Instrument[] {
    return this.#term?.instruments() ?? [];
  }

  find(spelling: string): Instrument | null {
    return this.#term?.directory.find(spelling)?.instrument ?? null;
  }

  suggest(spelling: string): readonly string[] {
    return this.#term?.directory.suggest(spelling) ?? [];
  }

  newest(symbol: string, { channel, interval = "1m", depth = DEPTH_DEFAULT }: ValueKind): NewestValue | null {
    const term = this.#term;
    const listing = term?.directory.find(symbol);
    if (!term || !listing) return null;
    const record = term.cache.newest(sequenceTopic(topicKey(listing.index, slotFor(channel, interval, depth))));
    return record === null ? null : term.value(record, listing, depth);
  }

  quote(symbol: string): QuoteValue | null {
    const term = this.#term;
    const listing = term?.directory.find(symbol);
    const words = listing && term?.cache.newest(topicKey(listing.index, QUOTES_SLOT))?.words;
    if (!term || !words) return null;
    const { id, priceScale, sizeScale } = listing.instrument;
    return {
      symbol: id, epoch: term.epoch, seq: words[2] ?? 0, time: words[3] ?? 0, received: words[4] ?? 0,
      bid: formatScaled(words[5] ?? 0, priceScale), bidSize: formatScaled(words[6] ?? 0, sizeScale),
      ask: formatScaled(words[7] ?? 0, priceScale), askSize: formatScaled(words[8] ?? 0, sizeScale),
    };
  }

  trades({ symbol, after, from, to, max }: TradeQuery): KeptTrades {
    const term = this.#term;
    const listing = term?.directory.find(symbol);
    if (!term || !listing) return { trades: [], first: null };
    const topic = topicKey(listing.index, TRADES_SLOT);
    const [oldest] = term.cache.since(topic, 0, 1).records;
    const trades: NewestValue[] = [];
    for (let position = after, isMore = max > 0; isMore;) {
      const { records } = term.cache.since(topic, position, TRADES_SLICE);
      isMore = records.length === TRADES_SLICE;
      for (const record of records) {
        position = record.words[record.at + 2] ?? 0;
        const time = record.words[record.at + 3] ?? 0;
        if ((from !== null && time < from) || (to !== null && time >= to)) continue;
        trades.push(term.value(record, listing, 0));
        if (trades.length < max) continue;
        isMore = false;
        break;
      }
    }
    return { trades, first: oldest ? { seq: oldest.words[oldest.at + 2] ?? 0, time: oldest.words[oldest.at + 3] ?? 0 } : null };
  }

  eventsByVenue(): ReadonlyMap<string, number> {
    const events = new Map<string, number>();
    const term = this.#term;
    for (const venue of term?.directory.venues() ?? []) events.set(venue.name, 0);
    for (const topic of term?.cache.topics() ?? []) {
      const venue = term?.directory.at(instrumentOf(topic))?.venue.name;
      if (venue !== undefined) events.set(venue, (events.get(venue) ?? 0) + (term?.cache.sequenceOf(topic) ?? 0));
    }
    return events;
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    const gauge = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "gauge", labels: {}, value });
    return [
      counter("ticker_main_terms_total", "Starts of the stream thread that the main thread heard of", this.#terms),
      counter("ticker_main_records_total", "Records that the main thread has taken in", this.#records),
      counter("ticker_main_snapshots_taken_total", "Snapshots that the main thread has taken in instead of what it had missed", this.#snapshots),
      counter("ticker_main_trades_lost_total", "Trades that venues lost, as the main thread heard", this.#lost),
      gauge("ticker_main_ring_bytes", "Memory of the main thread for kept trades and closed bars", this.#term?.cache.ringBytes ?? 0),
      gauge("ticker_main_age_seconds", "Time since the stream thread was last heard of", (this.ageMs() ?? 0) / 1000),
    ];
  }

  #present(): Term {
    if (this.#coming) {
      this.#term = this.#coming;
      this.#coming = null;
    }
    if (!this.#term) throw new Error("expected the stream thread to begin before it hands over records");
    return this.#term;
  }

  #batch(term: Term, { count, words, offsets }: Extract<MarketNotice, { type: "batch" }>): void {
    for (let i = 0; i < count; i++) term.cache.put(words, offsets[i] ?? 0, offsets[i + 1] ?? 0);
    this.#tell(term, { count, words, offsets });
  }

  /** Tells the listeners, then the stream thread that this has been taken in. */
  #tell(term: Term, { count, words, offsets }: { readonly count: number; readonly words: Float64Array; readonly offsets: Uint32Array }): void {
    this.#records += count;
    const bytes = new Uint8Array(words.buffer);
    for (let i = 0; i < count; i++) {
      const at = offsets[i] ?? 0;
      const listeners = this.#listeners[kindOf(words[at + 1] ?? 0)];
      const instrument = listeners && term.directory.at(instrumentOf(words[at] ?? 0))?.instrument;
      if (instrument) for (const listener of listeners) listener(words, bytes, at, instrument);
    }
    Atomics.add(term.acknowledged, 0, 1);
  }
}
