/**
 * The only reader of machine time and the only maker of timers.
 */
import type { Micros } from "./time.ts";

/** A timer that can be stopped; stopping twice is harmless. */
export interface Timer {
  stop(): void;
}

/** Time as an argument: tests move a fake one, production uses `systemClock`. */
export interface Clock {
  /** Wall-clock time; may step when the machine's clock is set. */
  nowMicros(): Micros;
  /** Milliseconds with a fraction since an arbitrary start; never goes back. For durations. */
  monotonicMs(): number;
  /** Milliseconds that this thread's event loop has waited for something to do, in all. */
  idleMs(): number;
  /** Calls `run` once, `delayMs` from now. */
  after(delayMs: number, run: () => void): Timer;
  /** Calls `run` every `periodMs`. */
  every(periodMs: number, run: () => void): Timer;
  /** Calls `run` at the end of the present turn of the event loop, after the input already read. */
  endOfTurn(run: () => void): void;
}

/** Two clocks are compared this often, so that a stepped or slewed wall clock is followed. */
const RESYNC_MS = 100;

class SystemClock implements Clock {
  #originMs = Date.now() - performance.now();
  #nextResyncMs = 0;

  nowMicros(): Micros {
    const elapsedMs = performance.now();
    if (elapsedMs >= this.#nextResyncMs) {
      const driftMs = Date.now() - (this.#originMs + elapsedMs);
      if (driftMs > 2 || driftMs < -1) this.#originMs += driftMs;
      this.#nextResyncMs = elapsedMs + RESYNC_MS;
    }
    return Math.floor((this.#originMs + elapsedMs) * 1000) as Micros;
  }

  monotonicMs(): number {
    return performance.now();
  }

  idleMs(): number {
    return performance.eventLoopUtilization().idle;
  }

  after(delayMs: number, run: () => void): Timer {
    const handle = setTimeout(run, delayMs);
    return { stop: () => clearTimeout(handle) };
  }

  every(periodMs: number, run: () => void): Timer {
    const handle = setInterval(run, periodMs);
    return { stop: () => clearInterval(handle) };
  }

  endOfTurn(run: () => void): void {
    setImmediate(run);
  }
}

export const systemClock: Clock = new SystemClock();

/** Resolves after `delayMs`; for start, stop and back-off, never per tick. */
export function wait(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}
