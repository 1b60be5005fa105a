/**
 * Paces the requests for fresh book snapshots: the first at once, the next ones with back-off, unanswered ones again.
 *
 * Owns: one small state per instrument whose book was lost. Path: cold.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Entry } from "./instrument-set.ts";
import { backoffMs } from "./reconnect-plan.ts";

export interface ResyncLimits {
  /** Largest possible delay before the second request; doubles from there. */
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  readonly backoffMinMs: number;
  /** A request without a snapshot for this long is repeated. */
  readonly answerMs: number;
  /** A book that was whole for this long starts the back-off anew. */
  readonly stableMs: number;
}

export const RESYNC_LIMITS: ResyncLimits = { backoffFirstMs: 500, backoffMaxMs: 30_000, backoffMinMs: 50, answerMs: 15_000, stableMs: 60_000 };

interface Pending {
  attempt: number;
  isWaiting: boolean;
  timer: Timer | null;
  /** NaN while the book is lost. */
  wholeSinceMs: number;
}

export class ResyncPlan {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #limits: ResyncLimits;
  readonly #ask: (entry: Entry) => void;
  readonly #pending = new Map<Entry, Pending>();
  /** Snapshots asked for. */
  asked = 0;

  constructor(clock: Clock, random: () => number, ask: (entry: Entry) => void, limits: ResyncLimits = RESYNC_LIMITS) {
    this.#clock = clock;
    this.#random = random;
    this.#ask = ask;
    this.#limits = limits;
  }

  /** The book is lost, or the snapshot that came did not make it whole. Ignored while a request already waits its turn. */
  request(entry: Entry): void {
    const pending = this.#of(entry);
    if (pending.isWaiting) return;
    pending.timer?.stop();
    if (this.#clock.monotonicMs() - pending.wholeSinceMs >= this.#limits.stableMs) pending.attempt = 0;
    pending.wholeSinceMs = Number.NaN;
    const delayMs = pending.attempt === 0 ? 0 : backoffMs(this.#limits, pending.attempt - 1, this.#random);
    pending.attempt++;
    if (delayMs === 0) {
      this.#send(entry, pending);
      return;
    }
    pending.isWaiting = true;
    pending.timer = this.#clock.after(delayMs, () => this.#send(entry, pending));
  }

  synced(entry: Entry): void {
    const pending = this.#of(entry);
    pending.timer?.stop();
    pending.timer = null;
    pending.isWaiting = false;
    pending.wholeSinceMs = this.#clock.monotonicMs();
  }

  /** Its book is no longer asked for. */
  drop(entry: Entry): void {
    this.#pending.get(entry)?.timer?.stop();
    this.#pending.delete(entry);
  }

  /** The connection ended: nothing is owed any more. */
  clear(): void {
    for (const pending of this.#pending.values()) pending.timer?.stop();
    this.#pending.clear();
  }

  #send(entry: Entry, pending: Pending): void {
    pending.isWaiting = false;
    this.asked++;
    pending.timer = this.#clock.after(this.#limits.answerMs, () => this.request(entry));
    this.#ask(entry);
  }

  #of(entry: Entry): Pending {
    let pending = this.#pending.get(entry);
    if (pending === undefined) {
      pending = { attempt: 0, isWaiting: false, timer: null, wholeSinceMs: Number.NaN };
      this.#pending.set(entry, pending);
    }
    return pending;
  }
}
