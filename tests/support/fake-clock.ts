/**
 * A clock that only a test moves.
 */
import type { Clock, Timer } from "../../src/core/clock.ts";
import { micros, type Micros } from "../../src/core/time.ts";

interface Entry {
  dueMs: number;
  readonly periodMs: number | null;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  #nowMs = 0;
  readonly #startMicros: number;
  readonly #entries = new Set<Entry>();
  #turn: (() => void)[] = [];

  constructor(startMicros = 1_700_000_000_000_000) {
    this.#startMicros = startMicros;
  }

  nowMicros(): Micros {
    return micros(this.#startMicros + Math.round(this.#nowMs * 1000));
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** The fake loop is never busy: all time that passes is idle. */
  idleMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): Timer {
    return this.#add({ dueMs: this.#nowMs + delayMs, periodMs: null, run });
  }

  every(periodMs: number, run: () => void): Timer {
    return this.#add({ dueMs: this.#nowMs + periodMs, periodMs, run });
  }

  endOfTurn(run: () => void): void {
    this.#turn.push(run);
  }

  /** Runs what waits for the end of the turn. */
  runTurn(): void {
    const due = this.#turn;
    this.#turn = [];
    for (const run of due) run();
  }

  /** Moves time forward and runs what becomes due on the way, in order. */
  advance(ms: number): void {
    const end = this.#nowMs + ms;
    this.runTurn();
    for (;;) {
      let next: Entry | undefined;
      for (const entry of this.#entries) if (entry.dueMs <= end && (!next || entry.dueMs < next.dueMs)) next = entry;
      if (!next) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      if (next.periodMs === null) this.#entries.delete(next);
      else next.dueMs += next.periodMs;
      next.run();
      this.runTurn();
    }
    this.#nowMs = end;
  }

  #add(entry: Entry): Timer {
    this.#entries.add(entry);
    return { stop: () => void this.#entries.delete(entry) };
  }
}
