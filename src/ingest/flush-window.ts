/**
 * Decides when accepted events leave: at once while the loop is idle, after a window as long as the last turn under load.
 *
 * The rule of the architecture page, "When bytes leave": after a turn of the loop that took 1 ms or more the next flush
 * waits as long as that turn took, at most `maxMs` - unless the loop has been idle since or a single event has come since,
 * because then it keeps up.
 * Path: hot; one `endOfTurn` a flush, nothing per event.
 */
import type { Clock } from "../core/clock.ts";

/** A turn shorter than this opens no window. */
const TURN_BUSY_MS = 1;
/** A loop that waited longer than this since the last flush had nothing to do. */
const IDLE_MS = 0.02;

export class FlushWindow {
  readonly #clock: Clock;
  readonly #maxMs: number;
  readonly #flush: () => void;
  readonly #onTurnEnd = (): void => this.#turnEnded();
  readonly #onDue = (): void => this.#due();
  #flushedAtMs = 0;
  #measuring = false;
  #openUntilMs = 0;
  #idleAtTurnEndMs = 0;
  #waiting = false;
  /** How often a flush waited for a window; how often it left at once. */
  windows = 0;
  immediate = 0;

  /** @param maxMs longest window, `STREAM_FLUSH_MAX_MS`; 0 never opens one */
  constructor(clock: Clock, maxMs: number, flush: () => void) {
    this.#clock = clock;
    this.#maxMs = maxMs;
    this.#flush = flush;
  }

  /**
   * The end of a read: flush now, or when the window closes.
   * @param more flush at the end of this turn instead of now
   * @param events accepted since the last flush
   */
  endOfRead(more: boolean, events: number): void {
    if (this.#waiting) return;
    const waitMs = this.#openUntilMs === 0 || events <= 1 ? 0 : this.#openUntilMs - this.#clock.monotonicMs();
    if (waitMs > 0 && this.#clock.idleMs() - this.#idleAtTurnEndMs < IDLE_MS) {
      this.#waiting = true;
      this.windows++;
      this.#clock.after(Math.ceil(waitMs), this.#onDue);
    } else if (more) {
      this.#waiting = true;
      this.#clock.endOfTurn(this.#onDue);
    } else {
      this.immediate++;
      this.#run();
    }
  }

  #due(): void {
    this.#waiting = false;
    this.#run();
  }

  #run(): void {
    const atMs = this.#clock.monotonicMs();
    this.#flush();
    if (this.#measuring) return;
    this.#measuring = true;
    this.#flushedAtMs = atMs;
    this.#clock.endOfTurn(this.#onTurnEnd);
  }

  /** The socket library writes at the end of the turn, before this runs: so the time since the flush is what it cost. */
  #turnEnded(): void {
    this.#measuring = false;
    const nowMs = this.#clock.monotonicMs();
    const tookMs = nowMs - this.#flushedAtMs;
    this.#openUntilMs = tookMs >= TURN_BUSY_MS ? nowMs + Math.min(tookMs, this.#maxMs) : 0;
    if (this.#openUntilMs > 0) this.#idleAtTurnEndMs = this.#clock.idleMs();
  }
}
