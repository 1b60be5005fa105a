/**
 * Health of every dependency: each is asked with a deadline, all at once, and never by two requests at a time.
 *
 * Shows no URL: they may hold credentials. Runs on: main thread.
 */
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";

/** `degraded`: it works, or it is away and the stream goes on; `down`: what depends on it fails. */
export type HealthStatus = "ok" | "degraded" | "down";

export interface ProbeFinding {
  readonly status: HealthStatus;
  /** One sentence; empty when there is nothing to say. */
  readonly detail: string;
  /** What was measured, with the unit last in its name. */
  readonly figures?: Readonly<Record<string, number | string | boolean | null>>;
}

export interface HealthProbe {
  /** `database`, `feed.sim`. */
  readonly name: string;
  /** Whether its latency says something: it asks somebody. */
  readonly isRemote: boolean;
  /** Rejects when it is away. */
  probe(): ProbeFinding | Promise<ProbeFinding>;
}

export interface HealthCheck extends ProbeFinding {
  readonly name: string;
  /** Null where nobody was asked. */
  readonly latencyMs: number | null;
}

export interface DetailedHealthDeps {
  readonly clock: Clock;
  /** Of one probe. */
  readonly timeoutMs: number;
  /** Asked anew each time: feeds come and go. */
  readonly probes: () => readonly HealthProbe[];
}

export class DetailedHealth {
  readonly #deps: DetailedHealthDeps;
  #running: Promise<readonly HealthCheck[]> | null = null;

  constructor(deps: DetailedHealthDeps) {
    this.#deps = deps;
  }

  /** Resolves within the deadline of a probe; those who ask meanwhile get the same answer. */
  checks(): Promise<readonly HealthCheck[]> {
    this.#running ??= Promise.all(this.#deps.probes().map((probe) => this.#run(probe))).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #run(probe: HealthProbe): Promise<HealthCheck> {
    const { clock } = this.#deps;
    const { name, isRemote } = probe;
    const startedMs = clock.monotonicMs();
    const finding = await this.#inTime(async () => probe.probe());
    return { name, latencyMs: isRemote ? Math.round((clock.monotonicMs() - startedMs) * 100) / 100 : null, ...finding };
  }

  #inTime(probe: () => Promise<ProbeFinding>): Promise<ProbeFinding> {
    const { clock, timeoutMs } = this.#deps;
    return new Promise((resolve) => {
      const late = clock.after(timeoutMs, () => resolve({ status: "down", detail: `no answer within ${timeoutMs} ms` }));
      probe().catch((error: unknown): ProbeFinding => ({ status: "down", detail: withoutCredentials(messageOf(error)) })).then((finding) => {
        late.stop();
        resolve(finding);
      }, () => undefined);
    });
  }
}

/** The worst that counts: a dependency that is down leaves the service degraded, for the stream goes on. */
export function overallOf(isReady: boolean, checks: readonly HealthCheck[]): "ok" | "degraded" | "not_ready" {
  if (!isReady) return "not_ready";
  return checks.every(({ status }) => status === "ok") ? "ok" : "degraded";
}

/** Drivers may put a URL into their messages. */
function withoutCredentials(text: string): string {
  return text.replaceAll(/\b[a-z][a-z0-9+.-]*:\/\/\S+/gi, "[address]").slice(0, 300);
}
