/**
 * Tells clients the state of a venue and of its carried instruments, each time it changes and never twice.
 *
 * Owns: what was last told. Path: `dataSeen` is hot.
 */
import type { Clock } from "../core/clock.ts";
import type { InstrumentIndex } from "../market/instrument.ts";
import type { StatusState } from "../market/market-event.ts";
import type { FeedState } from "../ports/feeds.ts";
import type { EventSink } from "../ports/records.ts";
import type { Entry, InstrumentSet } from "./instrument-set.ts";

/** Reasons are for people; longer ones are cut. */
const REASON_LENGTH_MAX = 200;

/** What a venue still owes an instrument after a connection opened. */
export const AWAITING_BOOK = "waiting for a snapshot of the book";

/** Nobody asks for it any more. */
const NOT_CARRIED = "no longer carried";

export class FeedStatus {
  readonly #sink: EventSink;
  readonly #clock: Clock;
  readonly #set: InstrumentSet;
  readonly #venue: InstrumentIndex;
  #state: FeedState = "starting";
  #reason = "not connected yet";
  /** Status events handed to the sink. */
  told = 0;

  constructor(sink: EventSink, clock: Clock, set: InstrumentSet, venue: InstrumentIndex) {
    this.#sink = sink;
    this.#clock = clock;
    this.#set = set;
    this.#venue = venue;
  }

  get state(): FeedState {
    return this.#state;
  }

  get reason(): string {
    return this.#reason;
  }

  /** The venue's own state; carried instruments follow it. `starting` is told as `stale`. */
  venue(state: FeedState, reason: string): void {
    const isNews = state !== this.#state || reason !== this.#reason;
    this.#state = state;
    this.#reason = reason;
    if (!isNews) return;
    this.#emit(this.#venue, state === "starting" ? "stale" : state, reason);
    for (const entry of this.#set.carried) this.refresh(entry);
  }

  /** The connection opened or ended: what was known of each instrument no longer counts. */
  forget(): void {
    for (const entry of this.#set.carried) {
      entry.lastMs = Number.NaN;
      entry.isSilent = false;
      entry.unsynced = entry.hasBook ? AWAITING_BOOK : "";
    }
  }

  dataSeen(entry: Entry, nowMs: number): void {
    const wasFirst = Number.isNaN(entry.lastMs);
    entry.lastMs = nowMs;
    if (!wasFirst && !entry.isSilent) return;
    entry.isSilent = false;
    this.refresh(entry);
  }

  /** Instruments without an event for `silenceMs` are stale until the next one. Answers how many became so now. */
  checkSilence(nowMs: number, silenceMs: number): number {
    let silent = 0;
    for (const entry of this.#set.carried) {
      if (entry.isSilent || !(nowMs - entry.lastMs >= silenceMs)) continue;
      entry.isSilent = true;
      silent++;
      this.refresh(entry);
    }
    return silent;
  }

  /** Tells the instrument's state if it is another than was told last. */
  refresh(entry: Entry): void {
    const { state, reason } = this.#stateOf(entry);
    const text = `${state} ${reason}`;
    if (text === entry.told) return;
    entry.told = text;
    this.#emit(entry.index, state, reason);
  }

  #stateOf(entry: Entry): { state: StatusState; reason: string } {
    if (!entry.isCarried) return { state: "stale", reason: NOT_CARRIED };
    if (this.#state === "down") return { state: "down", reason: this.#reason };
    if (entry.instrument.state === "halted") return { state: "halted", reason: "halted by the venue" };
    if (entry.instrument.state === "inactive") return { state: "halted", reason: "not traded at the venue" };
    if (this.#state !== "live") return { state: "stale", reason: this.#reason };
    if (entry.unsynced !== "") return { state: "stale", reason: entry.unsynced };
    if (entry.isSilent) return { state: "stale", reason: "no data for longer than expected" };
    if (Number.isNaN(entry.lastMs)) return { state: "stale", reason: "waiting for data" };
    return { state: "live", reason: "" };
  }

  #emit(instrument: InstrumentIndex, state: StatusState, reason: string): void {
    const now = this.#clock.nowMicros();
    this.told++;
    this.#sink.event({ kind: "status", instrument, eventTime: now, receiveTime: now, state, reason: reason.slice(0, REASON_LENGTH_MAX) });
    this.#sink.endOfRead(true);
  }
}
