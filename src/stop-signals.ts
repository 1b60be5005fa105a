/**
 * What a signal means: the first stops, an echo is ignored, a later Ctrl-C forces.
 *
 * npm and the terminal both deliver the same Ctrl-C, so a second signal within two seconds is the same one.
 */

export const SAME_SIGNAL_MS = 2000;

export type StopSignal = "SIGTERM" | "SIGINT";

export class StopSignals {
  #firstAtMs: number | null = null;

  /** Whether the first signal has come. */
  isStopping(): boolean {
    return this.#firstAtMs !== null;
  }

  /** What to do about a signal at this monotonic time. */
  on(signal: StopSignal, atMs: number): "stop" | "ignore" | "force" {
    if (this.#firstAtMs === null) {
      this.#firstAtMs = atMs;
      return "stop";
    }
    return signal === "SIGINT" && atMs - this.#firstAtMs >= SAME_SIGNAL_MS ? "force" : "ignore";
  }
}
