/**
 * Decides when a lost connection is tried again and when a connected one counts as silent. Pure: time is an argument.
 *
 * Owns: the attempt counter and the times of one connection. Path: `data` is hot, the rest is not.
 */

/** Limits of one upstream connection; all times in milliseconds. */
export interface ConnectionLimits {
  /** Largest possible first delay; doubles with every further attempt. */
  readonly backoffFirstMs: number;
  /** The delay never grows beyond this. */
  readonly backoffMaxMs: number;
  /** No delay is shorter, whatever the dice say. */
  readonly backoffMinMs: number;
  /** The back-off starts anew only after a connection that lived this long and brought data. */
  readonly stableMs: number;
  /** A connection without data for this long is given up. Pings and pongs are not data. */
  readonly silenceMs: number;
  /** TCP, TLS and upgrade together. */
  readonly handshakeMs: number;
  /** A larger message ends the connection. */
  readonly messageBytesMax: number;
  /** A connection is replaced at this age (Binance cuts at 24 h). Infinity: never. */
  readonly ageMaxMs: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  backoffFirstMs: 1_000,
  backoffMaxMs: 30_000,
  backoffMinMs: 100,
  stableMs: 60_000,
  silenceMs: 10_000,
  handshakeMs: 10_000,
  messageBytesMax: 32 * 1024 * 1024,
  ageMaxMs: Number.POSITIVE_INFINITY,
};

/** Doubling stops here, long after every sensible maximum: keeps the power finite. */
const ATTEMPT_MAX = 30;

/** Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog): uniform between the minimum and the doubled ceiling. */
export function backoffMs(limits: Pick<ConnectionLimits, "backoffFirstMs" | "backoffMaxMs" | "backoffMinMs">, attempt: number, random: () => number): number {
  const ceiling = Math.min(limits.backoffMaxMs, limits.backoffFirstMs * 2 ** Math.min(attempt, ATTEMPT_MAX));
  return Math.max(limits.backoffMinMs, random() * ceiling);
}

export class ReconnectPlan {
  readonly #limits: ConnectionLimits;
  readonly #random: () => number;
  #attempt = 0;
  /** NaN while not connected. */
  #openedMs = Number.NaN;
  /** NaN before the first data of this connection. */
  #dataMs = Number.NaN;

  constructor(limits: ConnectionLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  opened(nowMs: number): void {
    this.#openedMs = nowMs;
    this.#dataMs = Number.NaN;
  }

  data(nowMs: number): void {
    this.#dataMs = nowMs;
  }

  /** Attempts since the last stable connection. */
  get attempt(): number {
    return this.#attempt;
  }

  /** The connection ended or never came about. Answers how long to wait before the next attempt. */
  closed(nowMs: number): number {
    const wasStable = nowMs - this.#openedMs >= this.#limits.stableMs && !Number.isNaN(this.#dataMs);
    if (wasStable) this.#attempt = 0;
    const delayMs = backoffMs(this.#limits, this.#attempt, this.#random);
    this.#attempt++;
    this.#openedMs = Number.NaN;
    this.#dataMs = Number.NaN;
    return delayMs;
  }

  /** True when the connection is open and brought no data for `silenceMs`. */
  isSilent(nowMs: number): boolean {
    const since = Number.isNaN(this.#dataMs) ? this.#openedMs : this.#dataMs;
    return nowMs - since >= this.#limits.silenceMs;
  }

  /** True when the connection is open for `ageMaxMs`. */
  isOld(nowMs: number): boolean {
    return nowMs - this.#openedMs >= this.#limits.ageMaxMs;
  }
}
