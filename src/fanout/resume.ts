/**
 * What a client that comes back is told and sent: its position judged by what is kept, gaps said, events replayed.
 *
 * Protocol section 2.5. Owns: counts of outcomes. Runs on: the thread of its fan-out. Path: per resumed topic.
 */
import { BAR_INTERVALS, BOOK_DEPTHS } from "../market/market-event.ts";
import type { MetricSample } from "../ports/telemetry.ts";
import type { Payload } from "../protocol/codec.ts";
import type { ResumeEntry } from "../protocol/commands.ts";
import { BARS_SLOT, BOOK_SLOT, instrumentOf, meaningOf, sequenceTopic, slotOf, topicKey, TRADES_SLOT, type Slot, type TopicKey } from "../protocol/topic.ts";
import type { Directory, Listing } from "./directory.ts";
import type { KeptRecord, RecordCache } from "./record-cache.ts";
import type { Session } from "./session.ts";

/** Messages of one array frame of replayed events. */
const FRAME_MESSAGES = 256;

/** The last event of a topic that a client says it has. */
export type Position = Pick<ResumeEntry, "epoch" | "sequence">;

/** What is kept of a topic: of trades and bars single events, of all others the newest value. */
export type Keeping = "trades" | "bars" | "newest";

/** What is kept of one topic, as numbers. */
export interface Kept {
  /** Sequence of the newest event; 0: there was none. */
  readonly newest: number;
  /** Every trade or closed bar after this sequence is kept. */
  readonly after: number;
  /** Kept events after the position in question, the newest value among them. */
  readonly count: number;
}

export const RESUME_OUTCOMES = ["exact", "snapshot", "expired", "restart"] as const;
export type ResumeOutcome = (typeof RESUME_OUTCOMES)[number];

/** What the answer says. */
export const RESUMED = { exact: "exact", snapshot: "snapshot", expired: "gap", restart: "gap" } as const;

export interface Verdict {
  readonly outcome: ResumeOutcome;
  /** `seq` of the answer: where counting begins. */
  readonly sequence: number;
  /** Events after this one follow as ordinary messages; null: none do. */
  readonly replayAfter: number | null;
  /** What is kept after this is sent as a snapshot; null: nothing is. */
  readonly snapshotAfter: number | null;
}

/**
 * Pure: the answer to a position.
 *
 * Running bars are folded where they are not kept, and a fold is no loss: where every closed bar is kept, bars come as a
 * snapshot of those after the position; where one is not, as a gap. A state is exact only if nothing happened since.
 */
export function judge(keeping: Keeping, position: Position, epoch: string, kept: Kept): Verdict {
  const { newest, after, count } = kept;
  const { sequence } = position;
  if (position.epoch !== epoch || sequence > newest) {
    return keeping === "trades"
      ? { outcome: "restart", sequence: after, replayAfter: after, snapshotAfter: null }
      : { outcome: "restart", sequence: newest, replayAfter: null, snapshotAfter: newest - 1 };
  }
  if (sequence === newest) return { outcome: "exact", sequence, replayAfter: null, snapshotAfter: null };
  if (keeping === "newest") return { outcome: "snapshot", sequence: newest, replayAfter: null, snapshotAfter: newest - 1 };
  if (count === newest - sequence) return { outcome: "exact", sequence, replayAfter: sequence, snapshotAfter: null };
  if (sequence < after) return { outcome: "expired", sequence, replayAfter: after, snapshotAfter: null };
  return { outcome: "snapshot", sequence: newest, replayAfter: null, snapshotAfter: sequence };
}

/** Frames that follow an acknowledgement, and how far they lead. */
export interface Replayed {
  readonly frames: Payload[];
  readonly chars: number;
  /** Position after the frames; less than the newest when the rest must wait. */
  readonly sequence: number;
  readonly isWhole: boolean;
}

export class Resumes {
  readonly #directory: Directory;
  readonly #cache: RecordCache;
  readonly #epoch: string;
  readonly #outcomes: Record<ResumeOutcome, number> = { exact: 0, snapshot: 0, expired: 0, restart: 0 };
  #unmatched = 0;
  #events = 0;
  #lost = 0;

  constructor(parts: { readonly directory: Directory; readonly cache: RecordCache }, epoch: string) {
    this.#directory = parts.directory;
    this.#cache = parts.cache;
    this.#epoch = epoch;
  }

  /**
   * The positions of a command by topic; of several for one topic the last counts.
   * @param beginning the topics that begin with the command: a position of another means nothing
   */
  positionsOf(entries: readonly ResumeEntry[], slot: Slot, beginning: ReadonlySet<TopicKey>): Map<TopicKey, ResumeEntry> {
    const positions = new Map<TopicKey, ResumeEntry>();
    for (const entry of entries) {
      const listing = this.#directory.find(entry.symbol);
      const key = listing ? topicKey(listing.index, slot) : -1;
      if (beginning.has(key)) positions.set(key, entry);
      else this.#unmatched++;
    }
    return positions;
  }

  judge(key: TopicKey, position: Position): Verdict {
    const topic = sequenceTopic(key);
    const cache = this.#cache;
    const verdict = judge(keepingOf(key), position, this.#epoch, { newest: cache.sequenceOf(topic), after: cache.keptAfter(topic), count: cache.countAfter(topic, position.sequence) });
    this.#outcomes[verdict.outcome]++;
    return verdict;
  }

  /** What follows the answer: a gap where something is lost, a snapshot or the first events. */
  begin(session: Session, key: TopicKey, verdict: Verdict, charsMax: number): Replayed {
    const { replayAfter, snapshotAfter } = verdict;
    const frames = this.#gaps(session, key, verdict);
    let chars = 0;
    const snapshot = snapshotAfter === null ? [] : this.#after(key, snapshotAfter, Number.POSITIVE_INFINITY);
    if (snapshot.length > 0) frames.push(this.#frame(session, key, snapshot, true));
    for (const frame of frames) chars += frame.length;
    return this.#replay(session, key, replayAfter ?? this.#cache.sequenceOf(sequenceTopic(key)), frames, chars, charsMax);
  }

  /** As `begin`, for a sampled topic: trades are not replayed, because they come in the summary of the next boundary. */
  beginSampled(session: Session, key: TopicKey, verdict: Verdict): Replayed {
    if (keepingOf(key) !== "trades") return this.begin(session, key, verdict, Number.POSITIVE_INFINITY);
    const frames = this.#gaps(session, key, verdict);
    return { frames, chars: frames.reduce((sum, frame) => sum + frame.length, 0), sequence: verdict.replayAfter ?? verdict.sequence, isWhole: true };
  }

  /** More events of a replay that is on its way; what has had to make room meanwhile is a gap. */
  goOn(session: Session, key: TopicKey, position: number, charsMax: number): Replayed {
    const after = this.#cache.keptAfter(key);
    if (after <= position) return this.#replay(session, key, position, [], 0, charsMax);
    this.#lost += after - position;
    return this.#replay(session, key, after, [this.#gap(session, key, `"from":${position + 1},"to":${after},"reason":"slow"`)], 0, charsMax);
  }

  #gaps(session: Session, key: TopicKey, { outcome, sequence, replayAfter }: Verdict): Payload[] {
    if (outcome === "restart") return [this.#gap(session, key, '"reason":"restart"')];
    if (outcome === "expired" && replayAfter !== null) return [this.#gap(session, key, `"from":${sequence + 1},"to":${replayAfter},"reason":"expired"`)];
    return [];
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number, labels: Record<string, string> = {}): MetricSample => ({ name, help, type: "counter", labels, value });
    return [
      ...RESUME_OUTCOMES.map((outcome) => counter("ticker_stream_resumes_total", "Topics resumed", this.#outcomes[outcome], { outcome })),
      counter("ticker_stream_resumes_unmatched_total", "Positions of topics that did not begin with their command", this.#unmatched),
      counter("ticker_stream_replayed_total", "Events replayed", this.#events),
      counter("ticker_stream_replays_lost_total", "Events told as gaps because a client read its replay too slowly", this.#lost),
    ];
  }

  /** Bars go in one piece: between two pieces a running bar would be folded. */
  #replay(session: Session, key: TopicKey, from: number, frames: Payload[], charsBefore: number, charsMax: number): Replayed {
    const newest = this.#cache.sequenceOf(sequenceTopic(key));
    const isTrades = keepingOf(key) === "trades";
    let chars = charsBefore;
    let sequence = from;
    while (sequence < newest && (!isTrades || chars < charsMax || frames.length === 0)) {
      const records = this.#after(key, sequence, isTrades ? FRAME_MESSAGES : Number.POSITIVE_INFINITY);
      const frame = this.#frame(session, key, records, false);
      frames.push(frame);
      chars += frame.length;
      this.#events += records.length;
      session.messagesBase += records.length;
      sequence = sequenceOf(records.at(-1));
    }
    return { frames, chars, sequence, isWhole: sequence >= newest };
  }

  /** Kept records after a position: trades; closed bars and then the newest; the newest value of anything else. */
  #after(key: TopicKey, position: number, max: number): KeptRecord[] {
    const topic = sequenceTopic(key);
    const { records } = this.#cache.since(topic, position, max);
    const newest = this.#cache.newest(topic);
    const isMissing = keepingOf(key) !== "trades" && newest !== null && sequenceOf(newest) > Math.max(position, sequenceOf(records.at(-1)));
    return isMissing ? [...records, newest] : records;
  }

  #frame(session: Session, key: TopicKey, records: readonly KeptRecord[], isSnapshot: boolean): Payload {
    const { codec } = session;
    const of = this.#listing(key).codec;
    const depth = BOOK_DEPTHS[slotOf(key) - BOOK_SLOT] ?? 0;
    const messages = records.map((record) => codec.event(record.words, record.bytes, record.at, of, depth, isSnapshot));
    return codec.frame(messages.reduce((joined, message) => codec.join(joined, message)), messages.length);
  }

  #gap(session: Session, key: TopicKey, rest: string): Payload {
    const { channel, optionsJson } = meaningOf(slotOf(key));
    return session.codec.control(`{"type":"gap","channel":"${channel}","symbol":${JSON.stringify(this.#listing(key).instrument.id)}${optionsJson},"epoch":"${this.#epoch}",${rest}}`);
  }

  #listing(key: TopicKey): Listing {
    const listing = this.#directory.at(instrumentOf(key));
    if (!listing) throw new Error(`unreachable: topic ${key} of an unknown instrument`);
    return listing;
  }
}

function keepingOf(key: TopicKey): Keeping {
  const slot = slotOf(key);
  if (slot === TRADES_SLOT) return "trades";
  return slot >= BARS_SLOT && slot < BARS_SLOT + BAR_INTERVALS.length ? "bars" : "newest";
}

/** 0 for no record. */
function sequenceOf(record: KeptRecord | undefined): number {
  return record?.words[record.at + 2] ?? 0;
}
