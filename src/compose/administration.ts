/**
 * What operators see and do: breakers of all threads, sessions, drain, log level, and the health of every dependency.
 */
import { EventLoopDelay } from "../adapters/event-loop-delay.ts";
import { SqlAuditLog } from "../adapters/postgres/audit-log.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { Actor, Charge } from "../ports/audit.ts";
import type { BreakerChange, BreakerReport, Breakers, StandingTrip } from "../ports/breakers.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { adminCharge } from "../services/admin-charge.ts";
import { AdminService, type LogLevel } from "../services/admin-service.ts";
import { BreakerAudit } from "../services/breaker-audit.ts";
import { BreakerService } from "../services/breaker-service.ts";
import { BreakglassUses } from "../services/breakglass-uses.ts";
import { DeferredAudit } from "../services/deferred-audit.ts";
import { DetailedHealth, type HealthProbe } from "../services/health-detail.ts";
import type { Dependency, HealthService } from "../services/health-service.ts";
import type { Backing } from "./backing.ts";
import { healthProbes } from "./health-probes.ts";
import type { StreamHost } from "./stream-host.ts";

export interface AdministrationDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly backing: Pick<Backing, "database" | "limiter" | "pingRedis">;
  readonly breakers: Breakers;
  readonly stream: StreamHost;
  readonly health: HealthService;
  /** As it is set, without a temporary one. */
  readonly logLevel: () => LogLevel;
  readonly setLogLevel: (level: LogLevel) => void;
  /** Stops the process as SIGTERM does. */
  readonly stopProcess: () => void;
  /** Probes of other parts for the detailed health. */
  readonly probes: () => readonly HealthProbe[];
}

export interface Administration extends MetricSource {
  /** In the order of starting, after the database. */
  readonly parts: readonly Component[];
  /** What the HTTP side needs of it. */
  readonly http: { readonly breakers: BreakerService; readonly admin: AdminService; readonly detailed: DetailedHealth; readonly breakglass: BreakglassUses };
  /** A breaker of the stream thread changed. */
  remoteBreakerChanged(report: BreakerReport, why: BreakerChange): void;
  /** For a stream thread that starts now. */
  trips(): readonly StandingTrip[];
}

export function administration(deps: AdministrationDeps): Administration {
  const { config, clock, log, backing, stream, health, logLevel, setLogLevel, stopProcess } = deps;
  const audit = new SqlAuditLog(backing.database, clock);
  const chargeOf = (actor: Actor): Charge | null => adminCharge(backing.limiter, actor);
  const remote = { reports: () => stream.breakers(), order: stream.questions.order.bind(stream.questions) };
  const breakers = new BreakerService({ own: deps.breakers, remote, audit, clock, chargeOf });
  const deferred = new DeferredAudit({ audit, clock, log });
  const breakerAudit = new BreakerAudit(deferred, clock);
  breakers.onChange((report, why) => breakerAudit.changed(report, why));
  const admin = new AdminService({
    connections: stream.questions, health, audit, deferred, clock, log, chargeOf, logLevel, setLogLevel, drainNoticeMs: config.drainNoticeMs, stopProcess,
  });
  const loop = new EventLoopDelay(clock);
  const detailed = new DetailedHealth({
    clock, timeoutMs: config.healthTimeoutMs,
    probes: () => healthProbes({
      pingDatabase: () => backing.database.ping(), pingRedis: backing.pingRedis, stream: () => stream.health(), askStream: () => stream.report(),
      dataDir: config.dataDir, diskFreeBytesMin: config.diskFreeBytesMin, loopDelay: () => loop.read(), loopDelayMaxMs: config.loopDelayMaxMs,
      breakers: () => breakers.list(), more: deps.probes(),
    }),
  });
  const breakglass = new BreakglassUses({ audit, deferred, log });
  return {
    parts: [deferred, breakerAudit, loop, admin], http: { breakers, admin, detailed, breakglass },
    remoteBreakerChanged: (report, why) => breakers.remoteChanged(report, why), trips: () => breakers.standingTrips(),
    samples: (): MetricSample[] => [...deferred.samples(), ...breakerAudit.samples(), ...loop.samples(), ...breakglass.samples(), ...stream.questions.samples()],
  };
}

/** Breakers as dependencies that readiness shows: the stream goes on without what is behind them. */
export function breakerDependencies(reports: readonly BreakerReport[]): Dependency[] {
  return reports.map(({ name, state, lastFailure }) => ({ name, ok: state === "closed", detail: state === "closed" ? "" : `the circuit breaker is ${state}: ${lastFailure === "" ? "tripped" : "calls failed"}` }));
}
