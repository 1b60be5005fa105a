/**
 * Sampled topics: one encode and one publish per topic, interval and phase when it is due and has moved.
 *
 * Owns: the groups, one per (topic, interval, phase) that somebody wants, and their boundaries. Runs on: the thread of its
 * fan-out. Path: per trade one addition for each group of its topic; per boundary the groups of a set, never the clients.
 * Protocol 2.4; architecture, idea 6.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { Product } from "../market/exact-sum.ts";
import type { MetricSample } from "../ports/telemetry.ts";
import type { Payload } from "../protocol/codec.ts";
import type { EveryMs } from "../protocol/commands.ts";
import { HEADER_WORDS } from "../protocol/record.ts";
import { instrumentOf, meaningOf, sequenceTopic, slotOf, TRADES_SLOT, type TopicKey } from "../protocol/topic.ts";
import type { Directory, Listing } from "./directory.ts";
import type { Outlet, Outlets } from "./outlet.ts";
import type { KeptRecord, RecordCache } from "./record-cache.ts";
import { SampleGroup, sampleId, type SampleId } from "./sample-group.ts";
import { boundariesBetween, nextBoundaryMs, PHASES, SETS, setOf } from "./sampling-grid.ts";
import type { Session } from "./session.ts";
import type { TradeSummary } from "./trade-summary.ts";

export interface SamplerParts {
  readonly clock: Clock;
  readonly epoch: string;
  readonly directory: Directory;
  readonly cache: RecordCache;
  readonly outlets: Outlets;
  /** Identical bytes to every subscriber of a native topic, in the order of the calls. */
  readonly publish: (topic: string, frame: Payload, isBinary: boolean) => void;
}

/** What else happens when sets are due. */
export interface Changes {
  /** Whether sessions of the phase wait for a boundary. */
  isWaiting(phase: number): boolean;
  /** @param due boundaries that have just passed, by set */
  settle(due: Uint32Array): void;
}

export class Sampler {
  readonly #parts: SamplerParts;
  readonly #groups = new Map<SampleId, SampleGroup>();
  readonly #sets: readonly SampleGroup[][] = Array.from({ length: SETS }, () => []);
  readonly #ofTrades = new Map<TopicKey, SampleGroup[]>();
  readonly #due = new Uint32Array(SETS);
  readonly #notional = new Product();
  #changes: Changes | null = null;
  #timer: Timer | null = null;
  #timerMs = 0;
  /** Boundaries up to here have been served. */
  #servedMs = 0;
  #nextPhase = 0;
  /** Turn (milliseconds, whole) of the last publish of a topic. */
  readonly sentMs: number[] = [];
  published = 0;
  /** Messages handed to the library, each counted once per subscriber. */
  delivered = 0;
  #folded = 0;
  #gaps = 0;
  #skipped = 0;

  constructor(parts: SamplerParts) {
    this.#parts = parts;
  }

  /** Who is told of passed boundaries; once, when the fan-out is put together. */
  attach(changes: Changes): void {
    this.#changes = changes;
  }

  stop(): void {
    this.#timer?.stop();
    this.#timer = null;
  }

  /** The phase of a session, the same for all that it samples; given at its first sampled topic, in turn. */
  phaseOf(session: Session): number {
    if (session.samplePhase < 0) session.samplePhase = this.#nextPhase++ % PHASES;
    return session.samplePhase;
  }

  /** The group of a topic for a session; when nobody had it, its boundary is now. */
  open(session: Session, key: TopicKey, everyMs: EveryMs): SampleGroup {
    const set = setOf(everyMs, this.phaseOf(session));
    const known = this.#groups.get(sampleId(key, set));
    if (known) return known;
    const topic = sequenceTopic(key);
    const group = new SampleGroup(key, set, this.#parts.cache.sequenceOf(topic));
    const newest = this.#parts.cache.newest(topic);
    if (newest && group.summary === null) group.keep(newest);
    this.#groups.set(group.id, group);
    const list = this.#sets[set];
    if (list) group.place = list.push(group) - 1;
    if (group.summary) {
      const others = this.#ofTrades.get(key);
      if (others) others.push(group);
      else this.#ofTrades.set(key, [group]);
    }
    this.wake(set);
    return group;
  }

  /** The group in which the session holds the topic; undefined in full mode and where it waits to join. */
  groupOf(session: Session, key: TopicKey): SampleGroup | undefined {
    const everyMs = session.samples?.get(key);
    return everyMs === undefined || session.detached?.has(key) ? undefined : this.#groups.get(sampleId(key, setOf(everyMs, session.samplePhase)));
  }

  /** What the snapshot of a group holds: the value of its boundary, or the last trades before it. */
  snapshotOf(group: SampleGroup, recent: number): KeptRecord[] {
    const { cache } = this.#parts;
    if (group.summary === null) return group.record ? [group.record] : [];
    if (recent === 0) return [];
    const since = cache.sequenceOf(group.key) - group.sequence;
    return cache.recent(group.key, recent + since).filter((record) => (record.words[record.at + 2] ?? 0) <= group.sequence);
  }

  /** A trade, after it has come into the cache. */
  trade(words: Float64Array, at: number): void {
    const groups = this.#ofTrades.get(words[at] ?? 0);
    if (groups === undefined) return;
    const sequence = words[at + 2] ?? 0;
    this.#notional.set(words[at + HEADER_WORDS] ?? 0, words[at + HEADER_WORDS + 1] ?? 0);
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i];
      const summary = group?.summary;
      if (!group || !summary) continue;
      const last = summary.count > 0 ? summary.last : group.sequence;
      if (sequence <= last) continue;
      if (sequence > last + 1) this.#skip(group, summary, sequence);
      summary.add(words, at, this.#notional);
    }
  }

  /** A control frame to all who sample the topic. */
  notice(key: TopicKey, json: string): void {
    for (const group of this.#ofTrades.get(key) ?? []) this.#say(group, json);
  }

  /** The set is wanted: its next boundary will be served. */
  wake(set: number): void {
    const { clock } = this.#parts;
    if (this.#timer === null) this.#servedMs = clock.monotonicMs();
    const atMs = nextBoundaryMs(set, this.#servedMs);
    if (this.#timer !== null && atMs >= this.#timerMs) return;
    this.#timer?.stop();
    this.#timerMs = atMs;
    this.#timer = clock.after(Math.max(0, Math.ceil(atMs - clock.monotonicMs())), () => this.#tick());
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      { name: "ticker_stream_sample_groups", help: "Topics sampled, each counted once per interval and phase", type: "gauge", labels: {}, value: this.#groups.size },
      counter("ticker_stream_sampled_published_total", "Frames of sampled topics published natively", this.published),
      counter("ticker_stream_sampled_folded_total", "Events folded into samples, once per topic, interval and phase", this.#folded),
      counter("ticker_stream_sample_gaps_total", "Gaps told to all who sample a topic", this.#gaps),
      counter("ticker_stream_sample_boundaries_skipped_total", "Boundaries of a sampled topic that passed unserved because the loop was late", this.#skipped),
    ];
  }

  /** Everything due leaves in this turn; changes of mode follow, when both sides stand at the same sequence. */
  #tick(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (let set = 0; set < SETS; set++) {
      const passed = boundariesBetween(set, this.#servedMs, nowMs);
      this.#due[set] = passed;
      const list = this.#sets[set];
      if (passed === 0 || !list) continue;
      this.#skipped += (passed - 1) * list.length;
      // From the end, because a group that nobody holds any more leaves the list.
      for (let i = list.length - 1; i >= 0; i--) {
        const group = list[i];
        if (group) this.#serve(group, Math.floor(nowMs));
      }
    }
    this.#servedMs = nowMs;
    this.#changes?.settle(this.#due);
    this.#arm();
  }

  #arm(): void {
    this.#timer?.stop();
    this.#timer = null;
    let atMs = Number.POSITIVE_INFINITY;
    for (let set = 0; set < SETS; set++) {
      if (this.#sets[set]?.length === 0 && !this.#changes?.isWaiting(set % PHASES)) continue;
      atMs = Math.min(atMs, nextBoundaryMs(set, this.#servedMs));
    }
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#timerMs = atMs;
    this.#timer = this.#parts.clock.after(Math.max(0, Math.ceil(atMs - this.#parts.clock.monotonicMs())), () => this.#tick());
  }

  #serve(group: SampleGroup, nowMs: number): void {
    if (!this.#isHeld(group)) return this.#remove(group);
    const listing = this.#parts.directory.at(instrumentOf(group.key));
    if (!listing) return;
    const sent = group.summary ? this.#serveTrades(group, group.summary, listing) : this.#serveState(group, listing);
    if (sent) this.sentMs[group.key] = nowMs;
  }

  #serveTrades(group: SampleGroup, summary: TradeSummary, listing: Listing): boolean {
    if (summary.count === 0) return false;
    // Every codec takes messages as JSON text until their frame leaves.
    const json = summary.json(listing);
    for (const outlet of this.#parts.outlets.all) {
      const holders = outlet.subscriptions.sampled.get(group.id) ?? 0;
      if (holders > 0) this.#leave(outlet, group, json, 1, holders);
    }
    group.sequence = summary.last;
    group.messages++;
    this.#folded += summary.count - 1;
    summary.clear();
    return true;
  }

  #serveState(group: SampleGroup, listing: Listing): boolean {
    const { cache, outlets } = this.#parts;
    const newest = cache.newest(group.topic);
    const sequence = cache.sequenceOf(group.topic);
    if (!newest || sequence === group.sequence) return false;
    const records = group.isBars ? this.#closedBars(group, listing, sequence) : [];
    const told = sequence - group.sequence;
    records.push(group.keep(newest));
    for (const outlet of outlets.all) {
      const holders = outlet.subscriptions.sampled.get(group.id) ?? 0;
      if (holders === 0) continue;
      let messages: Payload = "";
      for (const [i, { words, bytes, at }] of records.entries()) {
        const message = outlet.codec.event(words, bytes, at, listing.codec, group.depth, false);
        messages = i === 0 ? message : outlet.codec.join(messages, message);
      }
      this.#leave(outlet, group, messages, records.length, holders);
    }
    this.#folded += told - records.length;
    group.sequence = sequence;
    group.messages += records.length;
    return true;
  }

  /** Bars closed since the boundary but the newest event; those that are not kept any more are a gap. */
  #closedBars(group: SampleGroup, listing: Listing, newest: number): KeptRecord[] {
    const { records, isComplete } = this.#parts.cache.since(group.key, group.sequence);
    const first = records[0];
    if (first && !isComplete) {
      const to = (first.words[first.at + 2] ?? 0) - 1;
      this.#say(group, this.#gapJson(group.key, listing, group.sequence + 1, to));
      this.#folded -= to - group.sequence;
      this.#gaps++;
    }
    return records.filter((record) => record.words[record.at + 2] !== newest);
  }

  #leave(outlet: Outlet, group: SampleGroup, messages: Payload, count: number, holders: number): void {
    const { codec, subscriptions } = outlet;
    outlet.encoded += count;
    this.published++;
    this.delivered += holders * count;
    this.#parts.publish(subscriptions.sampledNameOf(group.id), codec.frame(messages, count), codec.isBinary);
  }

  /** Trades are missing between the newest and `sequence`: what has come leaves at once, then the gap is said. */
  #skip(group: SampleGroup, summary: TradeSummary, sequence: number): void {
    const listing = this.#parts.directory.at(instrumentOf(group.key));
    if (!listing) return;
    this.#serveTrades(group, summary, listing);
    this.#say(group, this.#gapJson(group.key, listing, group.sequence + 1, sequence - 1));
    this.#gaps++;
    group.sequence = sequence - 1;
  }

  #say(group: SampleGroup, json: string): void {
    for (const { codec, subscriptions } of this.#parts.outlets.all) {
      if ((subscriptions.sampled.get(group.id) ?? 0) > 0) this.#parts.publish(subscriptions.sampledNameOf(group.id), codec.control(json), codec.isBinary);
    }
  }

  #gapJson(key: TopicKey, listing: Listing, from: number, to: number): string {
    const { channel, optionsJson } = meaningOf(slotOf(key));
    return `{"type":"gap","channel":"${channel}","symbol":${JSON.stringify(listing.instrument.id)}${optionsJson},"epoch":"${this.#parts.epoch}","from":${from},"to":${to},"reason":"slow"}`;
  }

  #isHeld(group: SampleGroup): boolean {
    return this.#parts.outlets.all.some((outlet) => (outlet.subscriptions.sampled.get(group.id) ?? 0) > 0);
  }

  #remove(group: SampleGroup): void {
    this.#groups.delete(group.id);
    const list = this.#sets[group.set] ?? [];
    const last = list.pop();
    if (last && last !== group) {
      list[group.place] = last;
      last.place = group.place;
    }
    if (slotOf(group.key) !== TRADES_SLOT) return;
    const left = (this.#ofTrades.get(group.key) ?? []).filter((other) => other !== group);
    if (left.length > 0) this.#ofTrades.set(group.key, left);
    else this.#ofTrades.delete(group.key);
  }
}
