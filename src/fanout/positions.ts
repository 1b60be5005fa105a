/**
 * Where a topic stands, as clients are told in acknowledgements: options, epoch, sequence, whether it is live.
 */
import { STATUS_STATES } from "../market/market-event.ts";
import type { Sampling } from "../protocol/commands.ts";
import { BOOK_SLOT, meaningOf, sequenceTopic, instrumentOf, slotOf, STATUS_SLOT, topicKey, type Slot, type TopicKey } from "../protocol/topic.ts";
import type { Directory, Listing } from "./directory.ts";
import type { RecordCache } from "./record-cache.ts";
import { RESUMED, type Verdict } from "./resume.ts";
import type { Sampler } from "./sampler.ts";
import type { Session } from "./session.ts";

const LIVE = STATUS_STATES.indexOf("live");
const HALTED = STATUS_STATES.indexOf("halted");
/** Slots with a sequence of their own: all but the further depths of a book. */
const VALUE_SLOTS = BOOK_SLOT + 1;

export class Positions {
  readonly #directory: Directory;
  readonly #cache: RecordCache;
  readonly #sampler: Sampler;
  readonly #epoch: string;

  constructor(directory: Directory, cache: RecordCache, sampler: Sampler, epoch: string) {
    this.#directory = directory;
    this.#cache = cache;
    this.#sampler = sampler;
    this.#epoch = epoch;
  }

  sequenceOf(key: TopicKey): number {
    return this.#cache.sequenceOf(sequenceTopic(key));
  }

  /** Instruments' topics of a slot that a wildcard matches; the venue itself has only a status. */
  membersOf(venueName: string | null, slot: Slot): TopicKey[] {
    const keys: TopicKey[] = [];
    for (const venue of this.#directory.venues()) {
      if (venueName !== null && venueName !== venue.name) continue;
      if (slot === STATUS_SLOT && venue.self !== null) keys.push(topicKey(venue.self, slot));
      for (const index of venue.members) keys.push(topicKey(index, slot));
    }
    return keys;
  }

  /** Every topic that the session holds, alone or by an active wildcard. */
  heldBy(session: Session): TopicKey[] {
    const keys = [...session.topics, ...(session.start?.temporary ?? [])];
    for (const wildcard of session.wildcards ?? []) if (wildcard.active && !wildcard.isLoose) keys.push(...this.membersOf(wildcard.venue, wildcard.slot));
    return keys;
  }

  /** Where the session stands in a topic: behind everybody else while it lags, at the last boundary where it is sampled. */
  positionOf(session: Session, key: TopicKey): number {
    return session.lag?.seqs.get(key) ?? session.detached?.get(key) ?? this.#sampler.groupOf(session, key)?.sequence ?? this.sequenceOf(key);
  }

  /** A number that grows by one with every message that a live session is sent of a topic that it holds. */
  counterOf(session: Session, key: TopicKey): number {
    return session.samples?.has(key) ? this.#sampler.groupOf(session, key)?.messages ?? 0 : this.sequenceOf(key);
  }

  /** A number that grows by one with every data message that the session is sent, while it holds the same topics. */
  sumOf(session: Session): number {
    const { lag } = session;
    let sum = 0;
    for (const key of this.heldBy(session)) sum += lag === null ? this.counterOf(session, key) : this.positionOf(session, key);
    return sum - (lag === null ? 0 : lag.folded + lag.lost + lag.condensed);
  }

  /** Whether the feed behind the instrument is delivering. */
  isLive(listing: Listing): boolean {
    const venue = listing.venue.self;
    if (venue !== null && venue !== listing.index && this.#cache.stateOf(topicKey(venue, STATUS_SLOT)) !== LIVE) return false;
    const state = this.#cache.stateOf(topicKey(listing.index, STATUS_SLOT));
    return state < 0 ? this.hasValue(listing) : state === LIVE || state === HALTED;
  }

  /** Whether anything but a status was ever said of the instrument. */
  hasValue(listing: Listing): boolean {
    for (let slot = 0; slot < VALUE_SLOTS; slot++) {
      if (slot !== STATUS_SLOT && this.#cache.sequenceOf(topicKey(listing.index, slot)) > 0) return true;
    }
    return false;
  }

  /**
   * An entry of `topics`.
   * @param recent the option of a trades topic, 0 for none
   * @param session whose position to tell; null: the newest
   * @param resumed where counting begins for a topic that is resumed
   * @param mode how it is received, or will be from the next boundary on
   */
  entryJson(key: TopicKey, recent: number, session: Session | null = null, resumed: Verdict | null = null, mode = modeOf(session, key)): string {
    const listing = this.#directory.at(instrumentOf(key));
    if (!listing) throw new Error(`unreachable: topic ${key} of an unknown instrument`);
    const meaning = meaningOf(slotOf(key));
    return `{"channel":"${meaning.channel}","symbol":${JSON.stringify(listing.instrument.id)}${meaning.optionsJson}${
      mode > 0 ? `,"every_ms":${mode}` : ""}${recent > 0 ? `,"recent":${recent}` : ""},"epoch":"${this.#epoch}","seq":${resumed?.sequence ?? (session ? this.positionOf(session, key) : this.sequenceOf(key))},"live":${this.isLive(listing)}${
      listing.instrument.simulated ? ',"simulated":true' : ""}${resumed ? `,"resumed":"${RESUMED[resumed.outcome]}"` : ""}}`;
  }
}

/** The mode that the session has asked for. */
function modeOf(session: Session | null, key: TopicKey): Sampling {
  return session?.changes?.get(key) ?? session?.samples?.get(key) ?? 0;
}
