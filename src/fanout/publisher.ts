/**
 * Records in, native publishes out: each event is encoded once, all events of a topic in a flush are one array frame.
 *
 * Owns: the texts of the open flush. Runs on: the thread of its fan-out. Path: hot; no loop over clients.
 */
import { BOOK_DEPTHS } from "../market/market-event.ts";
import type { RecordBatch } from "../ports/records.ts";
import type { Payload } from "../protocol/codec.ts";
import { BOOK_SLOT, instrumentOf, slotOf, TRADES_SLOT, type TopicKey } from "../protocol/topic.ts";
import type { Directory, Listing } from "./directory.ts";
import type { Outlet, Outlets } from "./outlet.ts";
import type { RecordCache, RecordSnapshot } from "./record-cache.ts";
import type { Sampler } from "./sampler.ts";
import { Subscriptions } from "./subscriptions.ts";

/** Native publish: identical bytes to every subscriber of the topic, in the order of the calls. */
export type Publish = (topic: string, frame: Payload, isBinary: boolean) => void;

export class Publisher {
  readonly #directory: Directory;
  readonly #cache: RecordCache;
  readonly #outlets: Outlets;
  readonly #publish: Publish;
  readonly #sampler: Sampler;
  /** Turn (milliseconds, whole) of the last publish, by topic key and by wildcard: tells who was sent data. */
  readonly sentMs: number[];
  readonly wildSentMs: number[] = [];
  /** Turn of the last record of a venue, by venue number. */
  readonly venueMs: number[] = [];
  published = 0;
  /** Messages handed to the library, each counted once per subscriber. */
  delivered = 0;
  records = 0;

  constructor(directory: Directory, cache: RecordCache, outlets: Outlets, sampler: Sampler, publish: Publish) {
    this.#sampler = sampler;
    this.sentMs = sampler.sentMs;
    this.#directory = directory;
    this.#cache = cache;
    this.#outlets = outlets;
    this.#publish = publish;
  }

  /** @param nowMs this turn, in whole milliseconds of the monotonic clock */
  batch(batch: RecordBatch, nowMs: number): void {
    const { words, offsets, count } = batch;
    this.records += count;
    for (let i = 0; i < count; i++) {
      const at = offsets[i] ?? 0;
      this.#cache.put(words, at, offsets[i + 1] ?? at);
      const topic = words[at] ?? 0;
      const listing = this.#directory.at(instrumentOf(topic));
      if (!listing) continue;
      this.venueMs[listing.venue.number] = nowMs;
      if (slotOf(topic) === BOOK_SLOT) this.#book(batch, at, topic, listing);
      else this.#event(batch, at, topic, listing, 0);
      if (slotOf(topic) === TRADES_SLOT) this.#sampler.trade(words, at);
    }
    for (const outlet of this.#outlets.all) if (outlet.subscriptions.total > 0) this.#leave(outlet, nowMs);
  }

  /** Takes in what this thread was not sent as batches; nothing is published. */
  restore(snapshot: RecordSnapshot, nowMs: number): void {
    const { words, offsets, count } = snapshot;
    this.records += count;
    this.#cache.restore(snapshot);
    for (let i = 0; i < count; i++) {
      const at = offsets[i] ?? 0;
      const topic = words[at] ?? 0;
      const venue = this.#directory.at(instrumentOf(topic))?.venue;
      if (venue) this.venueMs[venue.number] = nowMs;
      if (slotOf(topic) === TRADES_SLOT) this.#sampler.trade(words, at);
    }
  }

  /** A control frame to all who hold the topic, alone or by a wildcard; after what was published before. */
  notice(key: TopicKey, listing: Listing, json: string): void {
    const native = Subscriptions.wildcardKey(listing.venue.number, slotOf(key));
    this.#sampler.notice(key, json);
    for (const { codec, subscriptions } of this.#outlets.all) {
      if ((subscriptions.counts[key] ?? 0) > 0) this.#publish(subscriptions.nameOf(key), codec.control(json), codec.isBinary);
      if ((subscriptions.wildcardCounts[native] ?? 0) > 0) this.#publish(subscriptions.wildcardNameOf(native), codec.control(json), codec.isBinary);
    }
  }

  /** A heartbeat to all authenticated sessions of a phase. */
  beat(phase: number, json: string): void {
    for (const { codec, subscriptions } of this.#outlets.all) this.#publish(subscriptions.beatNameOf(phase), codec.control(json), codec.isBinary);
  }

  #book(batch: RecordBatch, at: number, topic: TopicKey, listing: Listing): void {
    for (let i = 0; i < BOOK_DEPTHS.length; i++) this.#event(batch, at, topic + i, listing, BOOK_DEPTHS[i] ?? 0);
  }

  #event(batch: RecordBatch, at: number, key: TopicKey, listing: Listing, depth: number): void {
    const native = Subscriptions.wildcardKey(listing.venue.number, slotOf(key));
    for (const outlet of this.#outlets.all) {
      const single = (outlet.subscriptions.counts[key] ?? 0) > 0;
      const wild = (outlet.subscriptions.wildcardCounts[native] ?? 0) > 0;
      if (!single && !wild) continue;
      outlet.encoded++;
      const message = outlet.codec.event(batch.words, batch.bytes, at, listing.codec, depth, false);
      if (single) outlet.single.add(key, message);
      if (wild) outlet.wild.add(native, message);
    }
  }

  #leave(outlet: Outlet, nowMs: number): void {
    const { subscriptions, codec, single, wild } = outlet;
    for (let i = 0; i < single.keys.length; i++) {
      const key = single.keys[i] ?? 0;
      const count = single.counts[i] ?? 0;
      this.#publish(subscriptions.nameOf(key), codec.frame(single.messages[i] ?? "", count), codec.isBinary);
      this.sentMs[key] = nowMs;
      this.delivered += (subscriptions.counts[key] ?? 0) * count;
    }
    for (let i = 0; i < wild.keys.length; i++) {
      const native = wild.keys[i] ?? 0;
      const count = wild.counts[i] ?? 0;
      this.#publish(subscriptions.wildcardNameOf(native), codec.frame(wild.messages[i] ?? "", count), codec.isBinary);
      this.wildSentMs[native] = nowMs;
      this.delivered += (subscriptions.wildcardCounts[native] ?? 0) * count;
    }
    this.published += single.keys.length + wild.keys.length;
    single.clear();
    wild.clear();
  }
}
