/**
 * What a session that stood outside a group is sent before it joins: one summary of the trades since, or the newest values.
 *
 * Runs on: the thread of its fan-out. Path: per sampled topic that is resumed or caught up.
 */
import { Product } from "../market/exact-sum.ts";
import { HEADER_WORDS } from "../protocol/record.ts";
import { instrumentOf, slotOf, TRADES_SLOT, type TopicKey } from "../protocol/topic.ts";
import type { Directory } from "./directory.ts";
import type { RecordCache } from "./record-cache.ts";
import type { Resumes } from "./resume.ts";
import { say, type Session } from "./session.ts";
import { TradeSummary } from "./trade-summary.ts";

/** How far the session came, in how many messages, and how many events were told as a gap. */
export interface CaughtUp {
  readonly sequence: number;
  readonly messages: number;
  readonly lost: number;
  readonly bytes: number;
}

export class SampleCatchUp {
  readonly #directory: Directory;
  readonly #cache: RecordCache;
  readonly #resumes: Resumes;
  readonly #epoch: string;
  readonly #summary = new TradeSummary();
  readonly #notional = new Product();

  constructor(parts: { readonly directory: Directory; readonly cache: RecordCache; readonly resumes: Resumes }, epoch: string) {
    this.#directory = parts.directory;
    this.#cache = parts.cache;
    this.#resumes = parts.resumes;
    this.#epoch = epoch;
  }

  /** Sends what has happened after `position`; nothing where nothing has. */
  send(session: Session, key: TopicKey, position: number): CaughtUp {
    if (slotOf(key) === TRADES_SLOT) return this.trades(session, key, position);
    const base = session.messagesBase;
    const { frames, chars, sequence } = this.#resumes.goOn(session, key, position, Number.POSITIVE_INFINITY);
    for (const frame of frames) session.socket?.send(frame, session.codec.isBinary);
    const messages = session.messagesBase - base;
    session.messagesBase = base;
    return { sequence, messages, lost: 0, bytes: chars };
  }

  /** One `trade_summary` from position + 1 over what is kept, after a gap for what is not. */
  trades(session: Session, key: TopicKey, position: number): CaughtUp {
    const listing = this.#directory.at(instrumentOf(key));
    const { records, isComplete } = this.#cache.since(key, position);
    const [oldest] = records;
    if (!listing || !oldest) return { sequence: position, messages: 0, lost: 0, bytes: 0 };
    const first = oldest.words[oldest.at + 2] ?? 0;
    const lost = isComplete ? 0 : first - 1 - position;
    if (lost > 0) {
      say(session, `{"type":"gap","channel":"trades","symbol":${JSON.stringify(listing.instrument.id)},"epoch":"${this.#epoch}","from":${position + 1},"to":${first - 1},"reason":"slow"}`);
    }
    this.#summary.clear();
    for (const { words, at } of records) {
      this.#notional.set(words[at + HEADER_WORDS] ?? 0, words[at + HEADER_WORDS + 1] ?? 0);
      this.#summary.add(words, at, this.#notional);
    }
    const { codec } = session;
    const frame = codec.frame(this.#summary.json(listing), 1);
    session.socket?.send(frame, codec.isBinary);
    return { sequence: this.#summary.last, messages: 1, lost, bytes: frame.length };
  }
}
