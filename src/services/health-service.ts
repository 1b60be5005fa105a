/**
 * Health: judges liveness, readiness and start-up from what the parts last said, and says why.
 *
 * Owns: the phase of the process. Runs on: main thread.
 */
import type { Clock } from "../core/clock.ts";
import type { FeedReport } from "../ports/feeds.ts";
import type { WorkerState } from "../ports/stream-control.ts";

export type Phase = "starting" | "running" | "draining";

export interface StreamHealth {
  readonly isListening: boolean;
  /** Why it is not listening; empty when it is. */
  readonly reason: string;
  readonly feeds: readonly FeedReport[];
  readonly workers: WorkerState;
}

export interface Dependency {
  readonly name: string;
  readonly ok: boolean;
  /** Empty when there is nothing to say. */
  readonly detail: string;
}

export interface Readiness {
  readonly isReady: boolean;
  readonly phase: Phase;
  /** One sentence. */
  readonly reason: string;
  readonly dependencies: readonly Dependency[];
}

export class HealthService {
  readonly #clock: Clock;
  readonly #readyWaitMs: number;
  readonly #startedAtMs: number;
  readonly #stream: () => StreamHealth;
  readonly #more: () => readonly Dependency[];
  #phase: Phase = "starting";

  /**
   * @param deps `stream` is what is known of the stream thread now, `more` of dependencies without which the stream goes on:
   * they are shown and do not decide. Neither may wait.
   */
  constructor(deps: { readonly clock: Clock; readonly readyWaitMs: number; readonly stream: () => StreamHealth; readonly more?: () => readonly Dependency[] }) {
    this.#clock = deps.clock;
    this.#readyWaitMs = deps.readyWaitMs;
    this.#startedAtMs = deps.clock.monotonicMs();
    this.#stream = deps.stream;
    this.#more = deps.more ?? (() => []);
  }

  running(): void {
    if (this.#phase === "starting") this.#phase = "running";
  }

  draining(): void {
    this.#phase = "draining";
  }

  uptimeMs(): number {
    return this.#clock.monotonicMs() - this.#startedAtMs;
  }

  phase(): Phase {
    return this.#phase;
  }

  /** Ready: running, the stream and at least one of its workers listen, and a feed is live or the wait is over. */
  readiness(): Readiness {
    const stream = this.#stream();
    const isLive = stream.feeds.some((feed) => feed.state === "live");
    const isWaitOver = this.uptimeMs() >= this.#readyWaitMs;
    const { listening, wanted } = stream.workers;
    const dependencies: Dependency[] = [
      { name: "stream", ok: stream.isListening, detail: stream.reason },
      { name: "workers", ok: listening > 0 && listening >= wanted, detail: `${listening} of ${wanted} listen` },
      ...stream.feeds.map((feed) => ({ name: `feed.${feed.name}`, ok: feed.state === "live", detail: describe(feed) })),
      ...this.#more(),
    ];
    const judged = (isReady: boolean, reason: string): Readiness => ({ isReady, phase: this.#phase, reason, dependencies });
    if (this.#phase === "draining") return judged(false, "draining: existing clients are being closed");
    if (this.#phase === "starting") return judged(false, "starting");
    if (!stream.isListening) return judged(false, `the stream does not listen: ${stream.reason}`);
    if (listening === 0) return judged(false, `no worker takes connections: 0 of ${wanted} listen`);
    if (isLive) return judged(true, "the stream listens and a feed is live");
    if (isWaitOver) return judged(true, `no feed is live after ${this.#readyWaitMs} ms; serving what there is`);
    return judged(false, "waiting for the first live feed");
  }
}

function describe(feed: FeedReport): string {
  const said = feed.reason === "" ? feed.state : `${feed.state}: ${feed.reason}`;
  return feed.simulated ? `${said} (simulated)` : said;
}
