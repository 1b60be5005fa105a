/**
 * The lagging lane: sessions that read too slowly leave the native topics and get newest values as they read on.
 *
 * Owns: the position of every topic of a lagging session, and nothing for others. Runs on: the thread of its fan-out.
 * Path: nothing per tick; one look at each session's unsent bytes and open ping now and then. Protocol 2.4 and 2.6.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { MetricSample } from "../ports/telemetry.ts";
import type { TopicKey } from "../protocol/topic.ts";
import { CatchUp } from "./catch-up.ts";
import type { Directory } from "./directory.ts";
import type { Dispatch } from "./dispatch.ts";
import type { OpenPings } from "./open-pings.ts";
import type { OrderTopics } from "./order-topics.ts";
import type { FanoutOptions } from "./options.ts";
import type { Outlets } from "./outlet.ts";
import type { Positions } from "./positions.ts";
import type { RecordCache } from "./record-cache.ts";
import type { SampleCatchUp } from "./sample-catch-up.ts";
import type { SamplingChanges } from "./sampling-changes.ts";
import { say, type Session } from "./session.ts";

const SWEEP_MS = 50;
/** Sessions whose unsent bytes are looked at in one sweep; more are visited in turn. */
const VISITS_MAX = 5_000;
/** A live session's unsent bytes are looked at in every tenth sweep: at 10,000 sessions the question alone cost a twentieth of a core. */
const BYTES_TURNS = 10;
/** Topic switches in one turn: one costs 0.3 us. */
const SWITCHES_MAX = 20_000;

export interface LaggingParts {
  readonly clock: Clock;
  readonly epoch: string;
  readonly options: FanoutOptions;
  readonly sessions: readonly Session[];
  readonly pings: OpenPings;
  readonly directory: Directory;
  readonly cache: RecordCache;
  readonly outlets: Outlets;
  readonly positions: Positions;
  readonly changes: SamplingChanges;
  readonly sampleCatchUp: SampleCatchUp;
  readonly dispatch: Dispatch;
  readonly orders: OrderTopics;
}

export class LaggingLane {
  readonly #parts: LaggingParts;
  readonly #catchUp: CatchUp;
  #timer: Timer | null = null;
  #next = 0;
  #turn = 0;
  readonly #lagging = new Set<Session>();
  /** Their ping is overdue, but they are still being started, or lag anyway. */
  readonly #late = new Set<Session>();
  #entered = { bytes: 0, ping: 0, worker: 0 };
  /** Lagging only because of us, and not served yet. */
  readonly #skipped = new Set<Session>();
  #left = 0;
  #folded = 0;
  #lost = 0;

  constructor(parts: LaggingParts) {
    this.#parts = parts;
    this.#catchUp = new CatchUp(parts.directory, parts.cache, parts.sampleCatchUp, parts.epoch);
  }

  start(): void {
    this.#timer = this.#parts.clock.every(SWEEP_MS, () => this.#sweep());
  }

  stop(): void {
    this.#timer?.stop();
  }

  /** The client has read up to the ping: a lagging one is served again, and goes live when it keeps up. */
  pong(session: Session, nowMs: number): void {
    const lag = session.lag;
    const tookMs = session.pingOpenMs === 0 ? 0 : nowMs - session.pingOpenMs;
    session.pingOpenMs = 0;
    if (lag === null || session.phase !== "open") return;
    lag.progressMs = nowMs;
    this.#serve(session, nowMs, lag.served > 0 && tookMs <= this.#parts.options.pingAgeMaxMs);
  }

  /**
   * Takes every live session out of its topics, at the positions of this moment: what comes next does not follow what
   * was sent, because this thread has missed something for `ageMs`.
   */
  enterAll(nowMs: number, ageMs: number): void {
    for (const session of this.#parts.sessions) {
      if (session.phase !== "open" || session.lag !== null) continue;
      this.#entered.worker++;
      this.#enter(session, nowMs, ageMs, session.socket?.getBufferedAmount() ?? 0);
      this.#skipped.add(session);
    }
  }

  /** Serves whom `enterAll` took out, so many a turn that the thread stays responsive; who gets everything is live in its turn. */
  serveAll(): void {
    const { clock, options } = this.#parts;
    const nowMs = Math.floor(clock.monotonicMs());
    let switches = 0;
    for (const session of this.#skipped) {
      if (switches >= SWITCHES_MAX) return clock.endOfTurn(() => this.serveAll());
      this.#skipped.delete(session);
      if (session.lag === null || session.phase !== "open") continue;
      switches += session.lag.seqs.size + 1;
      if ((session.socket?.getBufferedAmount() ?? 0) > options.softLimitBytes) this.#ping(session, nowMs);
      else this.#serve(session, nowMs, true);
    }
  }

  /** A control frame about a topic, to lagging sessions that hold it: they hear nothing natively. */
  notice(key: TopicKey, json: string): void {
    for (const session of this.#lagging) if (session.lag?.seqs.has(key)) say(session, json);
  }

  closed(session: Session): void {
    this.#skipped.delete(session);
    this.#lagging.delete(session);
    this.#late.delete(session);
    session.lag = null;
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number, labels: Record<string, string> = {}): MetricSample => ({ name, help, type: "counter", labels, value });
    const live = this.#parts.sessions.length - this.#lagging.size;
    return [
      { name: "ticker_stream_lane_sessions", help: "Connections by lane", type: "gauge", labels: { lane: "live" }, value: live },
      { name: "ticker_stream_lane_sessions", help: "Connections by lane", type: "gauge", labels: { lane: "lagging" }, value: this.#lagging.size },
      counter("ticker_stream_lagging_total", "Times a session went to the lagging lane", this.#entered.bytes, { reason: "unsent_bytes" }),
      counter("ticker_stream_lagging_total", "Times a session went to the lagging lane", this.#entered.ping, { reason: "ping_age" }),
      counter("ticker_stream_lagging_total", "Times a session went to the lagging lane", this.#entered.worker, { reason: "worker_behind" }),
      counter("ticker_stream_caught_up_total", "Times a lagging session went live again", this.#left),
      counter("ticker_stream_folded_total", "Events folded for lagging sessions", this.#folded),
      counter("ticker_stream_lost_total", "Events told to lagging sessions as gaps", this.#lost),
    ];
  }

  #sweep(): void {
    const nowMs = Math.floor(this.#parts.clock.monotonicMs());
    const switches = this.#watchPings(nowMs);
    this.#watchBytes(nowMs, switches);
    const turns = Math.ceil(this.#lagging.size / VISITS_MAX);
    this.#turn++;
    for (const session of this.#lagging) {
      if (session.phase === "open" && session.place % turns === this.#turn % turns) this.#judge(session, nowMs);
    }
  }

  /** How many topics were switched. */
  #watchPings(nowMs: number): number {
    const { pings, options } = this.#parts;
    let switches = 0;
    for (const session of [...this.#late]) {
      this.#late.delete(session);
      switches += this.#overdue(session, nowMs);
    }
    while (switches < SWITCHES_MAX) {
      const session = pings.takeOverdue(nowMs - options.pingAgeMaxMs);
      if (session === null) break;
      switches += this.#overdue(session, nowMs);
    }
    return switches;
  }

  #overdue(session: Session, nowMs: number): number {
    if (session.phase !== "open" || session.pingOpenMs === 0) return 0;
    const ageMs = nowMs - session.pingOpenMs;
    // A large subscription that is still beginning fills the socket on purpose, and waits for it: it lags only when that does not help.
    if (session.lag === null && (session.start === null || ageMs > this.#parts.options.stuckMs)) return this.#fallBehind(session, nowMs, "ping");
    this.#late.add(session);
    return 0;
  }

  #watchBytes(nowMs: number, switched: number): void {
    const { options, sessions } = this.#parts;
    let switches = switched;
    for (let visits = Math.min(VISITS_MAX, Math.ceil(sessions.length / BYTES_TURNS)); visits > 0 && switches < SWITCHES_MAX; visits--) {
      if (this.#next >= sessions.length) this.#next = 0;
      const session = sessions[this.#next++];
      if (session === undefined || session.phase !== "open" || session.lag !== null) continue;
      const bytesMax = session.start === null ? options.softLimitBytes : options.hardLimitBytes;
      if ((session.socket?.getBufferedAmount() ?? 0) > bytesMax) switches += this.#fallBehind(session, nowMs, "bytes");
    }
  }

  /** How many topics were switched. */
  #fallBehind(session: Session, nowMs: number, why: "bytes" | "ping"): number {
    this.#entered[why]++;
    const ageMs = session.pingOpenMs === 0 ? 0 : nowMs - session.pingOpenMs;
    const switches = this.#enter(session, nowMs, ageMs, session.socket?.getBufferedAmount() ?? 0);
    this.#ping(session, nowMs);
    return switches;
  }

  /** At this moment the last delivered sequence of every topic is exactly the cache's. */
  #enter(session: Session, nowMs: number, ageMs: number, unsentBytes: number): number {
    const { positions, outlets, clock } = this.#parts;
    const seqs = new Map<TopicKey, number>();
    for (const key of positions.heldBy(session)) seqs.set(key, positions.positionOf(session, key));
    const before = positions.sumOf(session);
    const subscriptions = outlets.subscriptionsOf(session);
    this.#parts.orders.park(session);
    for (const key of session.topics) subscriptions.release(session, key);
    for (const key of session.start?.temporary ?? []) subscriptions.release(session, key);
    for (const wildcard of session.wildcards ?? []) subscriptions.releaseWildcard(session, wildcard);
    session.detached = null;
    session.lag = { seqs, folded: 0, lost: 0, condensed: 0, served: 0, progressMs: nowMs, overHardMs: 0 };
    session.messagesBase += before - positions.sumOf(session);
    this.#lagging.add(session);
    say(session, `{"type":"lagging","since":${clock.nowMicros()},"age_ms":${ageMs},"unsent_bytes":${unsentBytes}}`);
    return seqs.size;
  }

  #judge(session: Session, nowMs: number): void {
    const { options, dispatch } = this.#parts;
    const lag = session.lag;
    if (lag === null) return;
    const unsentBytes = session.socket?.getBufferedAmount() ?? 0;
    if (unsentBytes <= options.hardLimitBytes) lag.overHardMs = 0;
    else if (lag.overHardMs === 0) lag.overHardMs = nowMs;
    if (lag.overHardMs !== 0 && nowMs - lag.overHardMs >= options.hardLimitMs) {
      dispatch.fail(session, 407, `${unsentBytes} bytes wait for you, ${options.hardLimitBytes} are the limit: read faster or subscribe to less`);
    } else if (nowMs - lag.progressMs >= options.stuckMs) {
      dispatch.fail(session, 407, `nothing read for ${options.stuckMs} ms: read faster or subscribe to less`);
    } else if (session.pingOpenMs === 0) {
      this.#ping(session, nowMs);
    }
  }

  /** Sends what has moved, as much as fits; a client that keeps up is live again in this very turn. */
  #serve(session: Session, nowMs: number, keepsUp: boolean): void {
    const { positions, options } = this.#parts;
    const lag = session.lag;
    const socket = session.socket;
    if (lag === null || socket === null) return;
    let isWhole = true;
    socket.cork(() => {
      isWhole = this.#catchUp.send(session, lag, positions.heldBy(session), options.softLimitBytes);
    });
    lag.served++;
    this.#parts.orders.goOn(session);
    if (isWhole && keepsUp && session.start === null) this.#leave(session);
    else this.#ping(session, nowMs);
  }

  #leave(session: Session): void {
    const { outlets, directory, positions, changes } = this.#parts;
    const lag = session.lag;
    if (lag === null) return;
    const before = positions.sumOf(session);
    session.lag = null;
    for (const key of session.samples?.keys() ?? []) changes.detach(session, key, lag.seqs.get(key) ?? 0);
    session.messagesBase += before - positions.sumOf(session);
    this.#lagging.delete(session);
    this.#left++;
    this.#folded += lag.folded;
    this.#lost += lag.lost;
    const subscriptions = outlets.subscriptionsOf(session);
    for (const key of session.topics) subscriptions.hold(session, key);
    for (const wildcard of session.wildcards ?? []) {
      for (const venue of directory.venues()) {
        if (wildcard.active && (wildcard.venue === null || wildcard.venue === venue.name)) subscriptions.holdWildcard(session, wildcard, venue.number);
      }
    }
    say(session, `{"type":"caught_up","folded":${lag.folded},"lost":${lag.lost}}`);
    this.#parts.orders.goOn(session);
  }

  #ping(session: Session, nowMs: number): void {
    if (session.pingOpenMs === 0) this.#parts.pings.sent(session, nowMs);
    session.lastPingMs = nowMs;
    session.socket?.ping();
  }
}
