/**
 * The app: starts the parts in order, stops them in reverse, and keeps readiness truthful meanwhile.
 */
import { type Component, startInOrder, stopInReverse } from "./core/component.ts";
import { messageOf } from "./core/errors.ts";
import type { Logger } from "./ports/telemetry.ts";
import type { HealthService } from "./services/health-service.ts";

export interface AppDeps {
  /** In the order of starting. */
  readonly parts: readonly Component[];
  readonly health: HealthService;
  readonly log: Logger;
}

export class App {
  readonly #deps: AppDeps;

  constructor(deps: AppDeps) {
    this.#deps = deps;
  }

  /** Resolves when all parts run; rejects with the first failure after stopping the parts before it. */
  async start(): Promise<void> {
    await startInOrder(this.#deps.parts);
    this.#deps.health.running();
  }

  /** Not ready from now on; resolves when nothing is held any more. False when a part failed to stop. */
  async stop(): Promise<boolean> {
    const { parts, health, log } = this.#deps;
    health.draining();
    let failures = 0;
    await stopInReverse(parts, (part, error) => {
      failures++;
      log.error({ part, reason: messageOf(error) }, "a part failed to stop");
    });
    return failures === 0;
  }
}
