/**
 * Changes of mode and interval of held topics, and topics that join their group later: each at the next common boundary.
 *
 * At a boundary of both sides every group stands at the newest sequence, so what changes hands there has no hole and no
 * double. Owns: which sessions wait. Runs on: the thread of its fan-out. Path: per change, nothing per tick for others.
 */
import type { MetricSample } from "../ports/telemetry.ts";
import { EVERY_MS, type Sampling } from "../protocol/commands.ts";
import type { TopicKey } from "../protocol/topic.ts";
import type { Outlets } from "./outlet.ts";
import type { Positions } from "./positions.ts";
import type { SampleCatchUp } from "./sample-catch-up.ts";
import type { Changes, Sampler } from "./sampler.ts";
import { PHASES, setOf } from "./sampling-grid.ts";
import type { Session } from "./session.ts";

export class SamplingChanges implements Changes {
  readonly #sampler: Sampler;
  readonly #outlets: Outlets;
  readonly #positions: Positions;
  readonly #catchUp: SampleCatchUp;
  readonly #waiting: readonly Set<Session>[] = Array.from({ length: PHASES }, () => new Set<Session>());
  #changed = 0;
  #joined = 0;

  constructor(parts: { readonly sampler: Sampler; readonly outlets: Outlets; readonly positions: Positions; readonly catchUp: SampleCatchUp }) {
    this.#sampler = parts.sampler;
    this.#outlets = parts.outlets;
    this.#positions = parts.positions;
    this.#catchUp = parts.catchUp;
    parts.sampler.attach(this);
  }

  /** A topic that the session holds one by one shall be served in this mode; the old one runs until both are due. */
  want(session: Session, key: TopicKey, mode: Sampling): void {
    if ((session.samples?.get(key) ?? 0) === mode) {
      session.changes?.delete(key);
    } else {
      (session.changes ??= new Map()).set(key, mode);
      this.#wait(session);
    }
  }

  /** A sampled topic of which the session has everything up to `position`, in no group until the next boundary. */
  detach(session: Session, key: TopicKey, position: number): void {
    (session.detached ??= new Map()).set(key, position);
    this.#wait(session);
  }

  isWaiting(phase: number): boolean {
    return (this.#waiting[phase]?.size ?? 0) > 0;
  }

  settle(due: Uint32Array): void {
    for (const [phase, sessions] of this.#waiting.entries()) {
      if (sessions.size === 0 || EVERY_MS.every((everyMs) => due[setOf(everyMs, phase)] === 0)) continue;
      for (const session of sessions) if (this.#settleOne(session, due)) sessions.delete(session);
    }
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      { name: "ticker_stream_sampling_waiting", help: "Sessions with a topic that changes its mode at the next boundary", type: "gauge", labels: {}, value: this.#waiting.reduce((sum, sessions) => sum + sessions.size, 0) },
      counter("ticker_stream_sampling_changes_total", "Changes of mode or interval of held topics", this.#changed),
      counter("ticker_stream_sampling_joins_total", "Sampled topics that joined at a boundary, resumed or caught up", this.#joined),
    ];
  }

  #wait(session: Session): void {
    const phase = this.#sampler.phaseOf(session);
    const sessions = this.#waiting[phase];
    if (!sessions || sessions.has(session)) return;
    sessions.add(session);
    for (const everyMs of EVERY_MS) this.#sampler.wake(setOf(everyMs, phase));
  }

  /** Whether the session waits for nothing more. */
  #settleOne(session: Session, due: Uint32Array): boolean {
    if (session.phase !== "open") return true;
    const isDue = (mode: Sampling): boolean => mode === 0 || (due[setOf(mode, session.samplePhase)] ?? 0) > 0;
    for (const [key, position] of session.detached ?? []) {
      if (isDue(session.samples?.get(key) ?? 0)) this.#join(session, key, position);
    }
    for (const [key, mode] of session.changes ?? []) {
      if (isDue(session.samples?.get(key) ?? 0) && isDue(mode)) this.#switch(session, key, mode);
    }
    if (session.detached?.size === 0) session.detached = null;
    if (session.changes?.size === 0) session.changes = null;
    return session.detached === null && session.changes === null;
  }

  #join(session: Session, key: TopicKey, position: number): void {
    const everyMs = session.samples?.get(key) ?? 0;
    session.detached?.delete(key);
    if (everyMs === 0) return;
    session.messagesBase += this.#catchUp.send(session, key, position).messages;
    this.#sampler.open(session, key, everyMs);
    this.#outlets.subscriptionsOf(session).hold(session, key);
    session.messagesBase -= this.#positions.counterOf(session, key);
    this.#joined++;
  }

  /** While the session lags it holds nothing natively, and its books are kept by sequence in every mode. */
  #switch(session: Session, key: TopicKey, mode: Sampling): void {
    const subscriptions = this.#outlets.subscriptionsOf(session);
    session.changes?.delete(key);
    this.#changed++;
    if (session.lag === null) session.messagesBase += this.#positions.counterOf(session, key);
    subscriptions.release(session, key);
    if (mode === 0) session.samples?.delete(key);
    else (session.samples ??= new Map()).set(key, mode);
    if (session.lag !== null) return;
    if (mode !== 0) this.#sampler.open(session, key, mode);
    subscriptions.hold(session, key);
    session.messagesBase -= this.#positions.counterOf(session, key);
  }
}
