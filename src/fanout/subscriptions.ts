/**
 * Who wants which topic: counts per topic and per wildcard, and the native topic names behind them.
 *
 * Owns: the counts of one fan-out. Path: the counts are read per record, written per subscription.
 */
import { SLOTS, type Slot, type TopicKey } from "../protocol/topic.ts";
import { type SampleId, sampleId } from "./sample-group.ts";
import { setOf } from "./sampling-grid.ts";
import type { Session, Wildcard } from "./session.ts";

const KEYS_FIRST = 1024;

export class Subscriptions {
  /** Sessions that hold the topic natively, by topic key. */
  counts = new Int32Array(KEYS_FIRST);
  /** Sessions that hold the wildcard of (venue number * 16 + slot). */
  wildcardCounts = new Int32Array(SLOTS * 64);
  /** Sessions that hold a sampled topic natively; no entry: none. */
  readonly sampled = new Map<SampleId, number>();
  /** Sessions that hold the orders of an owner natively; no entry: none. */
  readonly owners = new Map<string, number>();
  /** Sum of all. */
  total = 0;
  readonly #prefix: string;
  readonly #names: string[] = [];
  readonly #wildcardNames: string[] = [];

  /** @param prefix of native topic names, so that encodings do not meet */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Makes room for the topics of one more instrument and venue. */
  reserve(keyEnd: number, venueEnd: number): void {
    if (keyEnd > this.counts.length) this.counts = grown(this.counts, keyEnd);
    if (venueEnd * SLOTS > this.wildcardCounts.length) this.wildcardCounts = grown(this.wildcardCounts, venueEnd * SLOTS);
  }

  /** The native topic of the heartbeats of a phase. */
  beatNameOf(phase: number): string {
    return `${this.#prefix}h${phase}`;
  }

  beatOf(session: Session): string {
    return this.beatNameOf(session.samplePhase);
  }

  nameOf(key: TopicKey): string {
    return (this.#names[key] ??= `${this.#prefix}t${key.toString(36)}`);
  }

  wildcardNameOf(native: number): string {
    return (this.#wildcardNames[native] ??= `${this.#prefix}w${native.toString(36)}`);
  }

  sampledNameOf(id: SampleId): string {
    return `${this.#prefix}s${id.toString(36)}`;
  }

  ownerNameOf(owner: string): string {
    return `${this.#prefix}o${owner}`;
  }

  static wildcardKey(venueNumber: number, slot: Slot): number {
    return venueNumber * SLOTS + slot;
  }

  /**
   * In the mode in which the session receives the topic. While the session lags it is served from the cache instead: it
   * becomes native when it is live again.
   */
  hold(session: Session, key: TopicKey): void {
    if (session.lag !== null || session.detached?.has(key)) return;
    const id = sampleOf(session, key);
    if (id !== null) {
      if (!session.socket?.subscribe(this.sampledNameOf(id))) return;
      this.sampled.set(id, (this.sampled.get(id) ?? 0) + 1);
      this.total++;
    } else if (session.socket?.subscribe(this.nameOf(key))) {
      this.counts[key] = (this.counts[key] ?? 0) + 1;
      this.total++;
    }
  }

  release(session: Session, key: TopicKey): void {
    const id = sampleOf(session, key);
    if (session.socket?.unsubscribe(id === null ? this.nameOf(key) : this.sampledNameOf(id))) this.#lowered(key, id);
  }

  holdWildcard(session: Session, wildcard: Wildcard, venueNumber: number): void {
    if (session.lag !== null || wildcard.isLoose) return;
    const native = Subscriptions.wildcardKey(venueNumber, wildcard.slot);
    wildcard.natives.push(native);
    if (session.socket?.subscribe(this.wildcardNameOf(native))) {
      this.wildcardCounts[native] = (this.wildcardCounts[native] ?? 0) + 1;
      this.total++;
    }
  }

  releaseWildcard(session: Session, wildcard: Wildcard): void {
    for (const native of wildcard.natives) {
      if (session.socket?.unsubscribe(this.wildcardNameOf(native))) this.#wildcardLowered(native);
    }
    wildcard.natives.length = 0;
  }

  /** Whether the session now gets the owner's orders natively. */
  holdOwner(session: Session, owner: string): boolean {
    if (!session.socket?.subscribe(this.ownerNameOf(owner))) return false;
    this.owners.set(owner, (this.owners.get(owner) ?? 0) + 1);
    this.total++;
    return true;
  }

  /** Of a session that holds them natively, whether its socket is still there or not. */
  releaseOwner(session: Session, owner: string): void {
    session.socket?.unsubscribe(this.ownerNameOf(owner));
    this.total--;
    const left = (this.owners.get(owner) ?? 0) - 1;
    if (left > 0) this.owners.set(owner, left);
    else this.owners.delete(owner);
  }

  /** The socket is gone, and with it its native subscriptions: only the counts are left to correct. */
  forget(session: Session): void {
    if (session.lag !== null) return;
    for (const key of session.topics) if (!session.detached?.has(key)) this.#lowered(key, sampleOf(session, key));
    for (const key of session.start?.temporary ?? []) if (!session.detached?.has(key)) this.#lowered(key, sampleOf(session, key));
    for (const wildcard of session.wildcards ?? []) {
      for (const native of wildcard.natives) this.#wildcardLowered(native);
    }
  }

  #lowered(key: TopicKey, id: SampleId | null): void {
    this.total--;
    if (id === null) {
      this.counts[key] = (this.counts[key] ?? 0) - 1;
      return;
    }
    const left = (this.sampled.get(id) ?? 0) - 1;
    if (left > 0) this.sampled.set(id, left);
    else this.sampled.delete(id);
  }

  #wildcardLowered(native: number): void {
    this.wildcardCounts[native] = (this.wildcardCounts[native] ?? 0) - 1;
    this.total--;
  }
}

/** The sampled topic in which the session receives the topic; null in full mode. */
function sampleOf(session: Session, key: TopicKey): SampleId | null {
  const everyMs = session.samples?.get(key);
  return everyMs === undefined ? null : sampleId(key, setOf(everyMs, session.samplePhase));
}

function grown(from: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(Math.max(length, from.length * 2));
  to.set(from);
  return to;
}
