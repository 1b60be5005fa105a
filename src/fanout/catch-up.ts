/**
 * What a client that was left behind is sent: newest values of what moved, kept trades and closed bars, gaps for the rest.
 *
 * Pure over the record cache: reads positions, sends frames, moves the positions. Path: per lagging session and pong.
 */
import { BAR_INTERVALS, BOOK_DEPTHS } from "../market/market-event.ts";
import type { Codec } from "../protocol/codec.ts";
import { BARS_SLOT, BOOK_SLOT, instrumentOf, meaningOf, sequenceTopic, slotOf, TRADES_SLOT, type TopicKey } from "../protocol/topic.ts";
import type { Directory, Listing } from "./directory.ts";
import type { KeptRecord, RecordCache } from "./record-cache.ts";
import type { SampleCatchUp } from "./sample-catch-up.ts";
import { type Lag, say, type Session } from "./session.ts";

/** Messages of one array frame of kept trades. */
const FRAME_MESSAGES = 256;

export class CatchUp {
  readonly #directory: Directory;
  readonly #cache: RecordCache;
  readonly #samples: SampleCatchUp;
  readonly #epoch: string;

  constructor(directory: Directory, cache: RecordCache, samples: SampleCatchUp, epoch: string) {
    this.#samples = samples;
    this.#epoch = epoch;
    this.#directory = directory;
    this.#cache = cache;
  }

  /**
   * Sends every topic of `keys` that moved since its position in `lag`, and moves the positions.
   * @param bytesMax stops after about so many bytes, to be gone on with at the next pong
   * @returns whether everything was sent
   */
  send(session: Session, lag: Lag, keys: readonly TopicKey[], bytesMax: number): boolean {
    let bytes = 0;
    for (const key of keys) {
      const position = lag.seqs.get(key) ?? 0;
      const newest = this.#cache.sequenceOf(sequenceTopic(key));
      if (newest <= position) continue;
      if (bytes > bytesMax) return false;
      const listing = this.#directory.at(instrumentOf(key));
      if (!listing) continue;
      const sent = session.samples?.has(key) && slotOf(key) === TRADES_SLOT ? this.#sendSummary(session, lag, key, position) : isKept(key) ? this.#sendKept(session, lag, key, position, newest, listing, bytesMax - bytes) : this.#sendNewest(session, lag, key, position, newest, listing);
      bytes += sent.bytes;
      if (!sent.isWhole) return false;
    }
    return true;
  }

  #sendSummary(session: Session, lag: Lag, key: TopicKey, position: number): Sent {
    const { sequence, messages, lost, bytes } = this.#samples.trades(session, key, position);
    lag.lost += lost;
    lag.condensed += sequence - position - lost - messages;
    lag.seqs.set(key, sequence);
    return { bytes, isWhole: true };
  }

  #sendNewest(session: Session, lag: Lag, key: TopicKey, position: number, newest: number, listing: Listing): Sent {
    const kept = this.#cache.newest(sequenceTopic(key));
    if (!kept) return NOTHING;
    const depth = slotOf(key) >= BOOK_SLOT ? BOOK_DEPTHS[slotOf(key) - BOOK_SLOT] ?? 0 : 0;
    lag.folded += newest - position - 1;
    lag.seqs.set(key, newest);
    return { bytes: frame(session, [kept], listing, depth), isWhole: true };
  }

  /** Trades one by one, closed bars one by one and then the newest update; what is not kept any more is a gap. */
  #sendKept(session: Session, lag: Lag, key: TopicKey, position: number, newest: number, listing: Listing, bytesMax: number): Sent {
    const isBars = slotOf(key) !== TRADES_SLOT;
    const { records, isComplete } = this.#cache.since(key, position);
    const newestKept = this.#cache.newest(key);
    if (isBars && newestKept && sequence(records.at(-1)) !== newest) records.push(newestKept);
    let at = position;
    const first = records.length > 0 ? sequence(records[0]) : newest + 1;
    if (!isComplete && first > at + 1) {
      const options = meaningOf(slotOf(key));
      say(session, `{"type":"gap","channel":"${options.channel}","symbol":${JSON.stringify(listing.instrument.id)}${options.optionsJson},"epoch":"${this.#epoch}","from":${at + 1},"to":${first - 1},"reason":"slow"}`);
      lag.lost += first - 1 - at;
      at = first - 1;
    }
    let bytes = 0;
    for (let i = 0; i < records.length; i += FRAME_MESSAGES) {
      const some = records.slice(i, i + FRAME_MESSAGES);
      if (bytes > bytesMax) {
        lag.seqs.set(key, at);
        return { bytes, isWhole: false };
      }
      bytes += frame(session, some, listing, 0);
      const last = sequence(some.at(-1));
      lag.folded += last - at - some.length;
      at = last;
    }
    lag.seqs.set(key, at);
    return { bytes, isWhole: true };
  }
}

interface Sent {
  readonly bytes: number;
  readonly isWhole: boolean;
}

const NOTHING: Sent = { bytes: 0, isWhole: true };

/** Whether single events of the topic are kept: trades, and closed bars. */
function isKept(key: TopicKey): boolean {
  const slot = slotOf(key);
  return slot === TRADES_SLOT || (slot >= BARS_SLOT && slot < BARS_SLOT + BAR_INTERVALS.length);
}

function sequence(record: KeptRecord | undefined): number {
  return record?.words[record.at + 2] ?? 0;
}

/** One array frame; answers its size in bytes (JSON: characters). */
function frame(session: Session, records: readonly KeptRecord[], listing: Listing, depth: number): number {
  const codec: Codec = session.codec;
  const messages = records.map((record) => codec.event(record.words, record.bytes, record.at, listing.codec, depth, false));
  const payload = codec.frame(messages.reduce((joined, message) => codec.join(joined, message)), messages.length);
  session.socket?.send(payload, codec.isBinary);
  return payload.length;
}
