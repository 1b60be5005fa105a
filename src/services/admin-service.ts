/**
 * What an operator does to a running node: looks at and ends sessions, drains it, raises the log level for a while.
 *
 * Owns: the temporary log level. Runs on: main thread.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { ConflictError, NotFoundError } from "../core/errors.ts";
import type { Actor, AuditLog, Charge } from "../ports/audit.ts";
import type { ConnectionControl, ConnectionList, ConnectionQuery } from "../ports/connections.ts";
import type { Logger } from "../ports/telemetry.ts";
import { SYSTEM } from "./admin-charge.ts";
import type { DeferredAudit } from "./deferred-audit.ts";
import type { HealthService } from "./health-service.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface AdminServiceDeps {
  readonly connections: ConnectionControl;
  readonly health: Pick<HealthService, "draining" | "phase">;
  readonly audit: Pick<AuditLog, "record">;
  /** For what happens by itself. */
  readonly deferred: Pick<DeferredAudit, "add">;
  readonly clock: Clock;
  readonly log: Logger;
  /** What a change costs. */
  readonly chargeOf: (actor: Actor) => Charge | null;
  /** The level as it is set, without the temporary one. */
  readonly logLevel: () => LogLevel;
  readonly setLogLevel: (level: LogLevel) => void;
  /** Milliseconds from not ready to the first goodbye, for load balancers to notice. */
  readonly drainNoticeMs: number;
  /** Stops the process as SIGTERM does. */
  readonly stopProcess: () => void;
}

export class AdminService implements Component {
  readonly name = "admin";
  readonly #deps: AdminServiceDeps;
  #levelTimer: Timer | null = null;
  #drainTimer: Timer | null = null;

  constructor(deps: AdminServiceDeps) {
    this.#deps = deps;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#levelTimer?.stop();
    this.#drainTimer?.stop();
    return Promise.resolve();
  }

  /** @throws {UnavailableError} when the stream thread does not answer */
  connections(query: ConnectionQuery): Promise<ConnectionList> {
    return this.#deps.connections.list(query);
  }

  /** Says goodbye to a session and closes it. @throws {NotFoundError} when there is none @throws {StoreError} @throws {RateLimitError} */
  async disconnect(id: string, actor: Actor, reason: string | null): Promise<void> {
    const { connections, audit, chargeOf } = this.#deps;
    const unknown = (): NotFoundError => new NotFoundError("there is no such session, or no longer: GET /v1/admin/connections lists them", "unknown_connection");
    const found = await connections.one(id, false);
    if (found === null) throw unknown();
    const before = { key_id: found.keyId, address: found.address, lane: found.lane, topics: found.topics };
    await audit.record({ entry: { actor, action: "connection.closed", target: id, before, after: null, reason }, charge: chargeOf(actor) });
    if (await connections.one(id, true) === null) throw unknown();
  }

  /**
   * Not ready from the moment it resolves; the process stops a while later. Costs nothing.
   * @throws {ConflictError} when it drains already @throws {StoreError} when it cannot be recorded: SIGTERM needs no database
   */
  async drain(actor: Actor, reason: string | null): Promise<void> {
    const { health, audit, clock, log, drainNoticeMs, stopProcess } = this.#deps;
    if (health.phase() === "draining") throw new ConflictError("the node drains already", "draining");
    await audit.record({ entry: { actor, action: "node.drained", target: "node", before: null, after: null, reason }, charge: null });
    health.draining();
    log.warn({ keyId: actor.keyId, reason, inMs: drainNoticeMs }, "an administrator drains the node");
    this.#drainTimer ??= clock.after(drainNoticeMs, stopProcess);
  }

  /** A level for a while; then the one that is set. A later one takes its place. @throws {StoreError} @throws {RateLimitError} */
  async raiseLogLevel(level: LogLevel, ttlMs: number, actor: Actor, reason: string | null): Promise<void> {
    const { audit, clock, log, chargeOf, logLevel, setLogLevel } = this.#deps;
    await audit.record({
      entry: { actor, action: "log_level.changed", target: "log.level", before: logLevel(), after: { level, ttl_s: ttlMs / 1000 }, reason }, charge: chargeOf(actor),
    });
    setLogLevel(level);
    log.warn({ newLevel: level, ttlMs, keyId: actor.keyId }, "the log level is changed for a while");
    this.#levelTimer?.stop();
    this.#levelTimer = clock.after(ttlMs, () => this.#restoreLogLevel(level));
  }

  #restoreLogLevel(from: LogLevel): void {
    const { deferred, log, logLevel, setLogLevel } = this.#deps;
    const level = logLevel();
    setLogLevel(level);
    this.#levelTimer = null;
    log.warn({ newLevel: level }, "the log level is as it is set again");
    deferred.add({ actor: SYSTEM, action: "log_level.restored", target: "log.level", before: from, after: level, reason: null });
  }
}
