/**
 * Begins the topics of a subscription: acknowledgement, snapshots, then native delivery, chunk by chunk.
 *
 * A topic begins in the turn in which its snapshot is handed to the socket, so nothing lies between the two. Large
 * subscriptions wait for the socket between chunks. Runs on: the thread of its fan-out. Path: per subscription.
 */
import type { Clock } from "../core/clock.ts";
import { BOOK_DEPTHS } from "../market/market-event.ts";
import type { Payload } from "../protocol/codec.ts";
import { idJson } from "../protocol/errors.ts";
import { BOOK_SLOT, instrumentOf, sequenceTopic, slotOf, TRADES_SLOT, type TopicKey } from "../protocol/topic.ts";
import type { Directory } from "./directory.ts";
import type { FanoutOptions } from "./options.ts";
import type { Outlets } from "./outlet.ts";
import type { Positions } from "./positions.ts";
import type { KeptRecord, RecordCache } from "./record-cache.ts";
import type { Resumes } from "./resume.ts";
import type { SampleGroup } from "./sample-group.ts";
import type { Sampler } from "./sampler.ts";
import type { SamplingChanges } from "./sampling-changes.ts";
import { say, covers, dropTopics, type Session, type Socket, type Start, type Wildcard } from "./session.ts";

/** A chunk ends when its snapshots reach this many characters. */
const CHUNK_CHARS = 64 * 1024;
/** Chunks that a session begins in one go, so that one large subscription does not hold up the others. */
const CHUNKS_MAX = 4;

export class Starter {
  readonly #clock: Clock;
  readonly #options: FanoutOptions;
  readonly #directory: Directory;
  readonly #cache: RecordCache;
  readonly #outlets: Outlets;
  readonly #positions: Positions;
  readonly #resumes: Resumes;
  readonly #sampler: Sampler;
  readonly #changes: SamplingChanges;
  /** Called when the session's subscription has wholly begun. */
  readonly #onStarted: (session: Session) => void;
  snapshots = 0;
  paced = 0;
  /** How often a session had to wait for a later turn. */
  deferred = 0;
  /** Sessions whose turn comes later, first come, first served. */
  readonly #queue = new Set<Session>();
  /** When this turn's time is used up; NaN: none was used yet. */
  #turnEndMs = Number.NaN;

  constructor(clock: Clock, options: FanoutOptions, parts: { directory: Directory; cache: RecordCache; outlets: Outlets; positions: Positions; resumes: Resumes; sampler: Sampler; changes: SamplingChanges }, onStarted: (session: Session) => void) {
    this.#clock = clock;
    this.#options = options;
    this.#directory = parts.directory;
    this.#cache = parts.cache;
    this.#outlets = parts.outlets;
    this.#positions = parts.positions;
    this.#resumes = parts.resumes;
    this.#sampler = parts.sampler;
    this.#changes = parts.changes;
    this.#onStarted = onStarted;
  }

  begin(session: Session, start: Start): void {
    session.start = start;
    this.go(session);
  }

  /** Goes on with a session whose socket takes more, or queues it. */
  go(session: Session): void {
    if (this.#queue.size === 0 && this.#hasTime()) this.#run(session);
    else this.#defer(session);
  }

  #defer(session: Session): void {
    this.deferred++;
    this.#queue.add(session);
  }

  #hasTime(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (Number.isNaN(this.#turnEndMs)) {
      this.#turnEndMs = nowMs + this.#options.startTurnMs;
      this.#clock.endOfTurn(() => this.#turn());
    }
    return nowMs < this.#turnEndMs;
  }

  #turn(): void {
    this.#turnEndMs = Number.NaN;
    for (const session of this.#queue) {
      if (!this.#hasTime()) return;
      this.#queue.delete(session);
      this.#run(session);
    }
  }

  #run(session: Session): void {
    const socket = session.socket;
    for (let chunks = 0; session.start !== null && socket !== null && session.phase === "open"; chunks++) {
      if (socket.getBufferedAmount() > this.#options.startPacingBytes) {
        this.paced++;
        return;
      }
      if (chunks === CHUNKS_MAX) return this.#defer(session);
      const start = session.start;
      socket.cork(() => start.replay === null ? this.#chunk(session, socket, start) : this.#replay(session, socket, start, start.replay));
      if (start.done >= start.keys.length && start.replay === null && session.start === start) {
        this.#finish(session, start);
        this.#onStarted(session);
      }
    }
  }

  #chunk(session: Session, socket: Socket, start: Start): void {
    const frames: Payload[] = [];
    const first = start.done;
    let topics = "";
    let chars = 0;
    while (start.done < start.keys.length && start.done - first < this.#options.topicsPerAnswerMax && chars < CHUNK_CHARS && start.replay === null) {
      const key = start.keys[start.done++] ?? 0;
      const isHeld = start.held.has(key);
      const position = isHeld ? undefined : start.resume?.get(key);
      const verdict = position ? this.#resumes.judge(key, position) : null;
      const group = isHeld ? null : this.#sample(session, start, key, verdict !== null);
      topics += `${topics === "" ? "" : ","}${this.#positions.entryJson(key, session.recents?.get(key) ?? 0, isHeld || group ? session : null, verdict, start.everyMs)}`;
      if (isHeld) continue;
      if (verdict) {
        const replayed = start.everyMs === 0 ? this.#resumes.begin(session, key, verdict, CHUNK_CHARS - chars) : this.#resumes.beginSampled(session, key, verdict);
        frames.push(...replayed.frames);
        chars += replayed.chars;
        if (start.everyMs !== 0) session.detached?.set(key, replayed.sequence);
        else if (!replayed.isWhole) start.replay = { key, sequence: replayed.sequence };
        continue;
      }
      const frame = this.#snapshot(session, key, start.recent, group);
      if (frame === null) continue;
      this.snapshots++;
      frames.push(frame);
      chars += frame.length;
    }
    const more = start.done < start.keys.length;
    say(session, `{"type":"subscribed"${idJson(start.id)},"topics":[${topics}]${more ? ',"rejected":[]' : start.remarksJson},"more":${more}}`);
    for (const frame of frames) socket.send(frame, session.codec.isBinary);
    for (let i = first; i < start.done; i++) {
      const key = start.keys[i] ?? 0;
      if (key !== start.replay?.key) this.#deliver(session, start, key);
    }
  }

  /** The topic becomes native in the turn in which its replay reaches the newest event: no hole, no double. */
  #replay(session: Session, socket: Socket, start: Start, replay: { readonly key: TopicKey; readonly sequence: number }): void {
    const { frames, sequence, isWhole } = this.#resumes.goOn(session, replay.key, replay.sequence, CHUNK_CHARS);
    for (const frame of frames) socket.send(frame, session.codec.isBinary);
    start.replay = isWhole ? null : { key: replay.key, sequence };
    if (isWhole) this.#deliver(session, start, replay.key);
  }

  /** Sets the mode of a topic that begins. Null: every event; or sampled, but resumed, and so in no group before the next boundary. */
  #sample(session: Session, start: Start, key: TopicKey, isResumed: boolean): SampleGroup | null {
    if (start.everyMs === 0) return null;
    // A position of an earlier subscription, which lagged and has ended.
    session.lag?.seqs.delete(key);
    (session.samples ??= new Map()).set(key, start.everyMs);
    if (!isResumed) return this.#sampler.open(session, key, start.everyMs);
    this.#changes.detach(session, key, 0);
    return null;
  }

  #deliver(session: Session, start: Start, key: TopicKey): void {
    if (start.held.has(key)) return;
    (this.#wildcardOf(start, key) ? start.temporary : session.topics).push(key);
    this.#hold(session, key);
  }

  #hold(session: Session, key: TopicKey): void {
    session.lag?.seqs.delete(key);
    const position = this.#positions.positionOf(session, key);
    session.messagesBase -= session.lag === null ? this.#positions.counterOf(session, key) : position;
    if (session.lag !== null) session.detached?.delete(key);
    session.lag?.seqs.set(key, position);
    this.#outlets.subscriptionsOf(session).hold(session, key);
  }

  /** An instrument that appeared under a wildcard whose members are held one by one. */
  admit(session: Session, wildcard: Wildcard, key: TopicKey): void {
    if (wildcard.everyMs !== 0) {
      (session.samples ??= new Map()).set(key, wildcard.everyMs);
      this.#sampler.open(session, key, wildcard.everyMs);
    }
    say(session, `{"type":"subscribed"${idJson(wildcard.id)},"topics":[${this.#positions.entryJson(key, 0, session)}],"rejected":[],"more":false}`);
    session.topics.push(key);
    (session.members ??= new Set()).add(key);
    this.#hold(session, key);
  }

  #wildcardOf(start: Start, key: TopicKey): Wildcard | undefined {
    const venue = this.#directory.at(instrumentOf(key))?.venue.name ?? "";
    return start.wildcards.find((wildcard) => covers(wildcard, venue, slotOf(key)));
  }

  /** Everything changes hands in one turn, without a publish in between: no hole, no double. */
  #finish(session: Session, start: Start): void {
    const before = this.#positions.sumOf(session);
    this.#changeHands(session, start);
    session.start = null;
    session.messagesBase += before - this.#positions.sumOf(session);
  }

  #changeHands(session: Session, start: Start): void {
    const subscriptions = this.#outlets.subscriptionsOf(session);
    const gone = new Set<TopicKey>();
    for (const wildcard of start.wildcards) wildcard.isLoose = wildcard.everyMs !== 0 || this.#samplesUnder(session, wildcard);
    for (const wildcard of start.replaced) {
      subscriptions.releaseWildcard(session, wildcard);
      for (const key of wildcard.isLoose ? this.#positions.membersOf(wildcard.venue, wildcard.slot) : []) {
        if (session.members?.delete(key) && !start.held.has(key)) gone.add(key);
      }
      session.wildcards?.splice(session.wildcards.indexOf(wildcard), 1);
    }
    for (const wildcard of start.wildcards) {
      for (const venue of this.#directory.venues()) {
        if (wildcard.venue === null || wildcard.venue === venue.name) subscriptions.holdWildcard(session, wildcard, venue.number);
      }
      wildcard.active = true;
    }
    for (const key of start.temporary) {
      if (this.#wildcardOf(start, key)?.isLoose) session.topics.push(key);
      else subscriptions.release(session, key);
    }
    const single = new Set(session.topics);
    for (const key of start.held) {
      if (this.#wildcardOf(start, key)?.isLoose !== false) {
        if (single.has(key)) continue;
        session.topics.push(key);
        subscriptions.hold(session, key);
      } else if (single.has(key)) {
        gone.add(key);
      }
    }
    for (const key of gone) subscriptions.release(session, key);
    dropTopics(session, gone);
    this.#mark(session, start);
    start.temporary.length = 0;
  }

  /** What is held one by one from now on: for which claim, and in which mode from the next common boundary on. */
  #mark(session: Session, start: Start): void {
    for (const key of start.keys) {
      const wildcard = this.#wildcardOf(start, key);
      if (wildcard?.isLoose) (session.members ??= new Set()).add(key);
      if (start.held.has(key) && wildcard?.isLoose !== false) this.#changes.want(session, key, start.everyMs);
    }
  }

  #samplesUnder(session: Session, wildcard: Wildcard): boolean {
    for (const key of session.samples?.keys() ?? []) {
      if (covers(wildcard, this.#directory.at(instrumentOf(key))?.venue.name ?? "", slotOf(key))) return true;
    }
    return false;
  }

  #snapshot(session: Session, key: TopicKey, recent: number, group: SampleGroup | null): Payload | null {
    const { codec } = session;
    const kept = group ? this.#sampler.snapshotOf(group, recent)
      : slotOf(key) === TRADES_SLOT ? recent > 0 ? this.#cache.recent(key, recent) : []
      : this.#newest(sequenceTopic(key));
    if (kept.length === 0) return null;
    const listing = this.#directory.at(instrumentOf(key));
    if (!listing) return null;
    const depth = slotOf(key) >= BOOK_SLOT ? BOOK_DEPTHS[slotOf(key) - BOOK_SLOT] ?? 0 : 0;
    const messages = kept.map((record) => codec.event(record.words, record.bytes, record.at, listing.codec, depth, true));
    return codec.frame(messages.reduce((joined, message) => codec.join(joined, message)), messages.length);
  }

  #newest(topic: TopicKey): KeptRecord[] {
    const kept = this.#cache.newest(topic);
    return kept ? [kept] : [];
  }
}
