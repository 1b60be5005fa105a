/**
 * What happens to sessions by time: authentication deadline, idle close, pings within their budget, heartbeats.
 *
 * Runs on: the thread of its fan-out. A slice of the sessions is visited every few milliseconds, all within a period.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { STATUS_STATES } from "../market/market-event.ts";
import { STATUS_SLOT, topicKey } from "../protocol/topic.ts";
import type { FanoutCounters } from "./counters.ts";
import type { Directory, VenueListing } from "./directory.ts";
import type { Dispatch } from "./dispatch.ts";
import type { OpenPings } from "./open-pings.ts";
import type { OrderTopics } from "./order-topics.ts";
import type { FanoutOptions } from "./options.ts";
import type { Publisher } from "./publisher.ts";
import type { RecordCache } from "./record-cache.ts";
import { nextBeatMs, PHASES } from "./sampling-grid.ts";
import type { Session } from "./session.ts";

const SWEEP_MS = 25;

export interface UpkeepParts {
  readonly clock: Clock;
  readonly options: FanoutOptions;
  readonly sessions: readonly Session[];
  readonly pings: OpenPings;
  readonly dispatch: Dispatch;
  readonly directory: Directory;
  readonly cache: RecordCache;
  readonly publisher: Publisher;
  readonly orders: OrderTopics;
  readonly counters: FanoutCounters;
  /** What operators tell every client; null: nothing. */
  readonly banner: () => string | null;
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  #sweepTimer: Timer | null = null;
  #heartbeatTimer: Timer | null = null;
  #next = 0;
  /** Heartbeats up to here have been sent. */
  #beatenMs = 0;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  start(): void {
    const { clock } = this.#parts;
    this.#sweepTimer = clock.every(SWEEP_MS, () => this.#sweep());
    this.#beatenMs = clock.monotonicMs();
    this.#armHeartbeat();
  }

  stop(): void {
    this.#sweepTimer?.stop();
    this.#heartbeatTimer?.stop();
  }

  #sweep(): void {
    const { clock, options, sessions } = this.#parts;
    if (sessions.length === 0) return;
    const nowMs = Math.floor(clock.monotonicMs());
    this.#parts.dispatch.tendClosing(nowMs);
    // Each session four times within its ping period, so that no ping is late by more than a quarter.
    const periodMs = Math.min(1000, options.pingMs / 4, options.authTimeoutMs);
    const visits = Math.min(sessions.length, Math.ceil((sessions.length * SWEEP_MS) / periodMs));
    const pingsMax = Math.ceil((options.pingsPerSMax * SWEEP_MS) / 1000);
    let pings = 0;
    for (let i = 0; i < visits; i++) {
      if (this.#next >= sessions.length) this.#next = 0;
      const session = sessions[this.#next];
      if (session === undefined) return;
      if (pings >= pingsMax && session.phase === "open") return;
      this.#next++;
      if (this.#visit(session, nowMs)) pings++;
    }
  }

  /** Whether a ping was sent. */
  #visit(session: Session, nowMs: number): boolean {
    const { options, dispatch, counters, pings } = this.#parts;
    if (session.phase === "opening" || session.phase === "redeeming") {
      if (nowMs - session.openedMs >= options.authTimeoutMs) dispatch.fail(session, 404, `no \`auth\` within ${options.authTimeoutMs} ms`);
      return false;
    }
    if (nowMs - session.lastByteMs >= options.idleMs) {
      dispatch.fail(session, 419, `no byte from you for ${options.idleMs} ms: answer pings`);
      return false;
    }
    // One unanswered ping is enough to know by, and the lagging lane sends its own.
    if (session.pingOpenMs !== 0 || session.lag !== null || session.phase !== "open") return false;
    const sinceMs = nowMs - session.lastPingMs;
    if (sinceMs < options.pingMs || (sinceMs < options.pingIdleMs && !this.#wasSent(session))) return false;
    session.lastPingMs = nowMs;
    pings.sent(session, nowMs);
    session.socket?.ping();
    counters.pings++;
    return true;
  }

  /** Whether data went to the session since its last ping. */
  #wasSent(session: Session): boolean {
    const { sentMs, wildSentMs } = this.#parts.publisher;
    const sinceMs = session.lastPingMs;
    for (let i = session.topics.length - 1; i >= 0; i--) if ((sentMs[session.topics[i] ?? 0] ?? 0) > sinceMs) return true;
    for (const wildcard of session.wildcards ?? []) {
      for (const native of wildcard.natives) if ((wildSentMs[native] ?? 0) > sinceMs) return true;
    }
    return this.#parts.orders.sentMs(session) > sinceMs;
  }

  #armHeartbeat(): void {
    const { clock, options } = this.#parts;
    let nextMs = Number.POSITIVE_INFINITY;
    for (let phase = 0; phase < PHASES; phase++) nextMs = Math.min(nextMs, nextBeatMs(phase, options.heartbeatMs, this.#beatenMs));
    this.#heartbeatTimer = clock.after(Math.max(0, Math.ceil(nextMs - clock.monotonicMs())), () => this.#heartbeat());
  }

  /** Sessions get theirs by phase: 10,000 in one turn would stall the loop for 60 ms. */
  #heartbeat(): void {
    const { clock, options, directory, publisher } = this.#parts;
    const nowMs = clock.monotonicMs();
    const feeds = directory.venues().map((venue) => this.#feedJson(venue, Math.floor(nowMs))).join(",");
    const text = this.#parts.banner();
    const banner = text === null ? "" : `,"banner":${JSON.stringify(text)}`;
    const json = `{"type":"heartbeat","time":${clock.nowMicros()},"feeds":{${feeds}}${banner}}`;
    for (let phase = 0; phase < PHASES; phase++) {
      if (nextBeatMs(phase, options.heartbeatMs, this.#beatenMs) <= nowMs) publisher.beat(phase, json);
    }
    this.#beatenMs = nowMs;
    this.#armHeartbeat();
  }

  #feedJson(venue: VenueListing, nowMs: number): string {
    const { cache, publisher, directory } = this.#parts;
    const state = venue.self === null ? -1 : cache.stateOf(topicKey(venue.self, STATUS_SLOT));
    const at = publisher.venueMs[venue.number];
    const simulated = venue.self !== null && directory.at(venue.self)?.instrument.simulated;
    return `"${venue.name}":{"state":"${STATUS_STATES[state] ?? "down"}","age_ms":${at === undefined ? null : nowMs - at}${simulated ? ',"simulated":true' : ""}}`;
  }
}
