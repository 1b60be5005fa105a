/**
 * One encoding of a fan-out: its codec, who wants which topic in it, and the messages of the open flush.
 *
 * Owns: counts and open frames of its encoding. Path: hot while somebody uses the encoding, otherwise not touched.
 */
import type { Codec, Encoding, Payload } from "../protocol/codec.ts";
import { Subscriptions } from "./subscriptions.ts";

/** Messages of the open flush, joined by the number of their topic. */
export class OpenFrames {
  readonly keys: number[] = [];
  readonly messages: Payload[] = [];
  readonly counts: number[] = [];
  readonly #codec: Codec;
  #places = new Int32Array(1024).fill(-1);

  constructor(codec: Codec) {
    this.#codec = codec;
  }

  add(key: number, message: Payload): void {
    if (key >= this.#places.length) this.#grow(key);
    const place = this.#places[key] ?? -1;
    if (place < 0) {
      this.#places[key] = this.keys.push(key) - 1;
      this.messages.push(message);
      this.counts.push(1);
    } else {
      this.messages[place] = this.#codec.join(this.messages[place] ?? "", message);
      this.counts[place] = (this.counts[place] ?? 0) + 1;
    }
  }

  clear(): void {
    for (const key of this.keys) this.#places[key] = -1;
    this.keys.length = 0;
    this.messages.length = 0;
    this.counts.length = 0;
  }

  #grow(key: number): void {
    const places = new Int32Array(Math.max(key + 1, this.#places.length * 2)).fill(-1);
    places.set(this.#places);
    this.#places = places;
  }
}

export class Outlet {
  readonly codec: Codec;
  readonly subscriptions: Subscriptions;
  readonly single: OpenFrames;
  readonly wild: OpenFrames;
  encoded = 0;

  constructor(codec: Codec) {
    this.codec = codec;
    this.subscriptions = new Subscriptions(codec.encoding === "json" ? "" : codec.encoding);
    this.single = new OpenFrames(codec);
    this.wild = new OpenFrames(codec);
  }
}

/** The outlets of a fan-out, one per encoding that it offers. */
export class Outlets {
  readonly all: readonly Outlet[];
  readonly #byEncoding = new Map<Encoding, Outlet>();

  constructor(codecs: readonly Codec[]) {
    this.all = codecs.map((codec) => new Outlet(codec));
    for (const outlet of this.all) this.#byEncoding.set(outlet.codec.encoding, outlet);
  }

  of(encoding: Encoding): Outlet {
    const outlet = this.#byEncoding.get(encoding);
    if (!outlet) throw new Error(`unreachable: no outlet for ${encoding}`);
    return outlet;
  }

  /** The subscriptions of a session's encoding. */
  subscriptionsOf(session: { readonly codec: Codec }): Subscriptions {
    return this.of(session.codec.encoding).subscriptions;
  }

  /** Topics held in all encodings. */
  get total(): number {
    return this.all.reduce((sum, outlet) => sum + outlet.subscriptions.total, 0);
  }

  reserve(keyEnd: number, venueEnd: number): void {
    for (const outlet of this.all) outlet.subscriptions.reserve(keyEnd, venueEnd);
  }
}
