/**
 * Plays a recording to one socket at a pace, with faults on request; knows the books at its present position.
 */
import { systemClock, type Timer } from "../../src/core/clock.ts";

/** Faults strike once each, counted over the life of the loopback venue; all numbers begin at 1. */
export interface LoopbackFaults {
  /** Every connection is accepted and closed at once. */
  acceptThenClose?: boolean;
  /** After this many messages nothing more is sent; pings are still answered. */
  silentAfter?: number;
  /** This book update is not sent. */
  dropUpdate?: number;
  /** This book update is sent twice. */
  repeatUpdate?: number;
  /** This book update is sent after the next one of the same instrument. */
  reorderUpdates?: number;
  /** This message is cut off half-way and the connection dropped. */
  cutFrame?: number;
  /** REST answers this status instead, as many times as said by `restFailures` (default: always). */
  restStatus?: number;
  restFailures?: number;
  /** REST answers this many milliseconds late. */
  restDelayMs?: number;
}

/** One thing that happens in a recording. */
export interface Step {
  /** Epoch milliseconds of the recording. */
  readonly ts: number;
  readonly raw: string;
  readonly message: unknown;
  /** The play waits here until this instrument's depth has been asked for; null for messages. */
  readonly awaitsDepthOf: string | null;
}

/** What a player asks its venue. */
export interface PlayerHost {
  /** The form of the message for this socket; null when it is not to be sent. */
  render(step: Step): string | null;
  /** Position moved past the step: books are brought up to date. */
  passed(step: Step): { readonly native: string | null; readonly isBookUpdate: boolean };
  wants(native: string | null): boolean;
  hasServedDepth(native: string): boolean;
}

export interface PlayerSocket {
  send(text: string): void;
  /** Sends half of the frame and drops the connection. */
  cut(text: string): void;
  readonly bufferedAmount: number;
}

/** Totals over all players of a venue: faults count with them. */
export interface PlayTotals {
  messages: number;
  updates: number;
  dropped: number;
  repeated: number;
  reordered: number;
  cut: number;
}

const UNSENT_BYTES_MAX = 1024 * 1024;
/** Messages per turn of the event loop at full speed. */
const CHUNK = 256;
/** A barrier that nobody asks for is passed after this. */
const BARRIER_MS_MAX = 2_000;
const RETRY_MS = 2;

export class Player {
  position: number;
  readonly #steps: readonly Step[];
  readonly #speed: number;
  readonly #host: PlayerHost;
  readonly #socket: PlayerSocket;
  readonly #faults: LoopbackFaults;
  readonly #totals: PlayTotals;
  #timer: Timer | null = null;
  #isStopped = false;
  #isPlaying = false;
  #startMs = 0;
  #startTs = 0;
  #barrierMs = Number.NaN;
  #held: { text: string; native: string | null } | null = null;

  /** `speed` 0 is as fast as the socket takes it. */
  constructor(steps: readonly Step[], position: number, speed: number, host: PlayerHost, socket: PlayerSocket, faults: LoopbackFaults, totals: PlayTotals) {
    this.#steps = steps;
    this.position = position;
    this.#speed = speed;
    this.#host = host;
    this.#socket = socket;
    this.#faults = faults;
    this.#totals = totals;
  }

  get isAtEnd(): boolean {
    return this.position >= this.#steps.length;
  }

  play(): void {
    if (this.#isPlaying) return;
    this.#isPlaying = true;
    this.#setPace();
    this.#pump();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.stop();
  }

  /** Sends the step at the position at once, e.g. a greeting. */
  sendNext(): void {
    const step = this.#steps[this.position++];
    if (step !== undefined) this.#send(step);
  }

  #setPace(): void {
    this.#startMs = systemClock.monotonicMs();
    this.#startTs = this.#steps[this.position]?.ts ?? 0;
  }

  #pump(): void {
    let sent = 0;
    for (;;) {
      const step = this.#steps[this.position];
      if (this.#isStopped || step === undefined) return;
      if (this.#faults.silentAfter !== undefined && this.#totals.messages >= this.#faults.silentAfter) return;
      const waitMs = this.#waitMs(step);
      if (waitMs > 0) {
        this.#timer = systemClock.after(waitMs, () => this.#pump());
        return;
      }
      if (sent++ >= CHUNK) {
        systemClock.endOfTurn(() => this.#pump());
        return;
      }
      this.position++;
      if (step.awaitsDepthOf === null) this.#send(step);
    }
  }

  #waitMs(step: Step): number {
    const nowMs = systemClock.monotonicMs();
    if (this.#socket.bufferedAmount > UNSENT_BYTES_MAX) return RETRY_MS;
    if (step.awaitsDepthOf !== null && this.#host.wants(step.awaitsDepthOf) && !this.#host.hasServedDepth(step.awaitsDepthOf)) {
      if (Number.isNaN(this.#barrierMs)) this.#barrierMs = nowMs;
      if (nowMs - this.#barrierMs < BARRIER_MS_MAX) return RETRY_MS;
    }
    if (!Number.isNaN(this.#barrierMs)) {
      this.#barrierMs = Number.NaN;
      this.#setPace();
    }
    return this.#speed === 0 ? 0 : this.#startMs + (step.ts - this.#startTs) / this.#speed - nowMs;
  }

  #send(step: Step): void {
    const { native, isBookUpdate } = this.#host.passed(step);
    if (!this.#host.wants(native)) return;
    const text = this.#host.render(step);
    if (text === null) return;
    this.#totals.messages++;
    if (isBookUpdate) this.#totals.updates++;
    if (this.#totals.messages === this.#faults.cutFrame) {
      this.#totals.cut++;
      this.#isStopped = true;
      this.#socket.cut(text);
      return;
    }
    if (isBookUpdate && this.#fault(text, native)) return;
    this.#socket.send(text);
    if (isBookUpdate && this.#held !== null && this.#held.native === native) {
      this.#socket.send(this.#held.text);
      this.#held = null;
    }
  }

  /** True when the update must not be sent now. */
  #fault(text: string, native: string | null): boolean {
    const { updates } = this.#totals;
    if (updates === this.#faults.dropUpdate) {
      this.#totals.dropped++;
      return true;
    }
    if (updates === this.#faults.reorderUpdates) {
      this.#totals.reordered++;
      this.#held = { text, native };
      return true;
    }
    if (updates === this.#faults.repeatUpdate) {
      this.#totals.repeated++;
      this.#socket.send(text);
    }
    return false;
  }
}
