/**
 * Records in, native publishes out: each event is encoded once, all events of a topic in a flush are one array frame.
 *
 * Owns: the texts of the open flush. Runs on: the thread of its fan-out. Path: hot; no loop over clients.
 */
import { BOOK_DEPTHS } from "../market/market-event.ts";
import type { RecordBatch } from "../ports/records.ts";
import { encodeJson } from "../protocol/json-codec.ts";
import { BOOK_SLOT, instrumentOf, slotOf, type TopicKey } from "../protocol/topic.ts";
import type { Directory, Listing } from "./directory.ts";
import type { RecordCache } from "./record-cache.ts";
import { Subscriptions } from "./subscriptions.ts";

/** Native publish: identical bytes to every subscriber of the topic, in the order of the calls. */
export type Publish = (topic: string, frame: string) => void;

/** Texts of the open flush, by number of their topic. */
class Texts {
  readonly keys: number[] = [];
  readonly texts: string[] = [];
  readonly counts: number[] = [];
  #places = new Int32Array(1024).fill(-1);

  add(key: number, text: string): void {
    if (key >= this.#places.length) this.#grow(key);
    const place = this.#places[key] ?? -1;
    if (place < 0) {
      this.#places[key] = this.keys.push(key) - 1;
      this.texts.push(text);
      this.counts.push(1);
    } else {
      this.texts[place] += `,${text}`;
      this.counts[place] = (this.counts[place] ?? 0) + 1;
    }
  }

  clear(): void {
    for (const key of this.keys) this.#places[key] = -1;
    this.keys.length = 0;
    this.texts.length = 0;
    this.counts.length = 0;
  }

  #grow(key: number): void {
    const places = new Int32Array(Math.max(key + 1, this.#places.length * 2)).fill(-1);
    places.set(this.#places);
    this.#places = places;
  }
}

export class Publisher {
  readonly #directory: Directory;
  readonly #cache: RecordCache;
  readonly #subscriptions: Subscriptions;
  readonly #publish: Publish;
  readonly #single = new Texts();
  readonly #wild = new Texts();
  /** Turn (milliseconds, whole) of the last publish, by topic key and by wildcard: tells who was sent data. */
  readonly sentMs: number[] = [];
  readonly wildSentMs: number[] = [];
  /** Turn of the last record of a venue, by venue number. */
  readonly venueMs: number[] = [];
  encoded = 0;
  published = 0;
  /** Messages handed to the library, each counted once per subscriber. */
  delivered = 0;
  records = 0;

  constructor(directory: Directory, cache: RecordCache, subscriptions: Subscriptions, publish: Publish) {
    this.#directory = directory;
    this.#cache = cache;
    this.#subscriptions = subscriptions;
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
    }
    this.#leave(nowMs);
  }

  /** A control frame to all who hold the topic, alone or by a wildcard; after what was published before. */
  notice(key: TopicKey, listing: Listing, frame: string): void {
    const native = Subscriptions.wildcardKey(listing.venue.number, slotOf(key));
    if ((this.#subscriptions.counts[key] ?? 0) > 0) this.#publish(this.#subscriptions.nameOf(key), frame);
    if ((this.#subscriptions.wildcardCounts[native] ?? 0) > 0) this.#publish(this.#subscriptions.wildcardNameOf(native), frame);
  }

  #book(batch: RecordBatch, at: number, topic: TopicKey, listing: Listing): void {
    for (let i = 0; i < BOOK_DEPTHS.length; i++) this.#event(batch, at, topic + i, listing, BOOK_DEPTHS[i] ?? 0);
  }

  #event(batch: RecordBatch, at: number, key: TopicKey, listing: Listing, depth: number): void {
    const native = Subscriptions.wildcardKey(listing.venue.number, slotOf(key));
    const single = (this.#subscriptions.counts[key] ?? 0) > 0;
    const wild = (this.#subscriptions.wildcardCounts[native] ?? 0) > 0;
    if (!single && !wild) return;
    this.encoded++;
    const text = encodeJson(batch.words, batch.bytes, at, listing.codec, depth, false);
    if (single) this.#single.add(key, text);
    if (wild) this.#wild.add(native, text);
  }

  #leave(nowMs: number): void {
    const subscriptions = this.#subscriptions;
    const { keys, texts, counts } = this.#single;
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] ?? 0;
      this.#publish(subscriptions.nameOf(key), `[${texts[i]}]`);
      this.sentMs[key] = nowMs;
      this.delivered += (subscriptions.counts[key] ?? 0) * (counts[i] ?? 0);
    }
    const wild = this.#wild;
    for (let i = 0; i < wild.keys.length; i++) {
      const native = wild.keys[i] ?? 0;
      this.#publish(subscriptions.wildcardNameOf(native), `[${wild.texts[i]}]`);
      this.wildSentMs[native] = nowMs;
      this.delivered += (subscriptions.wildcardCounts[native] ?? 0) * (wild.counts[i] ?? 0);
    }
    this.published += keys.length + wild.keys.length;
    this.#single.clear();
    wild.clear();
  }
}
