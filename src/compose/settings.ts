/**
 * Runtime settings and audit put together: the log they are kept in, and everybody who works by them.
 */
import { SqlAuditLog } from "../adapters/postgres/audit-log.ts";
import type { Database } from "../adapters/postgres/database.ts";
import { SqlSettingsLog } from "../adapters/postgres/settings-log.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { RuntimeStateRoutesDeps, SettingsApplied } from "../http/runtime-state-routes.ts";
import type { AuditLog } from "../ports/audit.ts";
import type { RateLimiter } from "../ports/limits.ts";
import type { StreamApplied, StreamSettings } from "../ports/stream-settings.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { adminCharge } from "../services/admin-charge.ts";
import { AuditService } from "../services/audit-service.ts";
import { RuntimeState, type SettingsSnapshot } from "../state/runtime-state.ts";
import type { LogLevel } from "../state/settings.ts";
import type { FeedSpec } from "./stream-options.ts";

export interface SettingsDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly database: Database;
  readonly limiter: RateLimiter;
}

/** The stream thread, as far as settings go there. */
export interface SettingsReceiver {
  settingsChanged(settings: StreamSettings): void;
  settingsApplied(): StreamApplied | null;
}

export interface Settings extends MetricSource {
  /** After the database, before everybody who works by the settings. */
  readonly parts: readonly Component[];
  readonly state: RuntimeState;
  readonly auditLog: AuditLog;
  readonly audit: AuditService;
  /** What a stream thread that starts now works by. */
  readonly forStream: () => StreamSettings;
  readonly banner: () => string | null;
  /** The level that is set, without a temporary one. */
  readonly logLevel: () => LogLevel;
  /** Another level than the one that is set, until the next change of it. */
  readonly setLogLevel: (level: LogLevel) => void;
  /** Hands changes to the stream thread and the log from now on. */
  spread(stream: SettingsReceiver, setMainLevel: (level: LogLevel) => void): void;
  readonly http: Omit<RuntimeStateRoutesDeps, "settingsApplied"> & { readonly audit: AuditService; readonly settingsApplied: () => SettingsApplied };
}

/** Builds it without starting anything. */
export function createSettings({ config, clock, log, database, limiter }: SettingsDeps): Settings {
  const auditLog = new SqlAuditLog(database, clock);
  const audit = new AuditService({ store: auditLog, clock, log, ...config.audit });
  const chargeOf: RuntimeStateRoutesDeps["chargeOf"] = (actor) => adminCharge(limiter, actor);
  const { softLimitBytes, hardLimitBytes, nativeBackpressureMax, ringBytesMax, sessionsPerKeyMax } = config.stream.fanout;
  const state = new RuntimeState({
    defaults: {
      feeds: config.stream.feeds.map(feedNameOf), softLimitBytes, hardLimitBytes, nativeBackpressureMax, ringBytesMax, sessionsPerKeyMax, logLevel: config.logLevel,
      bannerLengthMax: config.settings.bannerLengthMax, isInjectionAllowed: config.settings.isInjectionAllowed,
    },
    store: new SqlSettingsLog(database, clock), clock, log, pollMs: config.settings.pollMs, waitingMax: config.settings.waitingMax, chargeOf,
  });
  const spread = new Spread(state);
  const logLevel = (): LogLevel => state.current().typed.logLevel;
  return {
    parts: [state, audit], state, auditLog, audit, logLevel,
    forStream: () => spread.forStream(), banner: () => state.current().typed.banner, setLogLevel: (level) => spread.setLogLevel(level),
    spread: (stream, setMainLevel) => spread.to(stream, setMainLevel),
    http: { settings: state, audit, settingsApplied: () => spread.applied(), chargeOf, remaining: (charge) => auditLog.remaining(charge) },
    samples: (): MetricSample[] => [...state.samples(), ...audit.samples(), ...spread.samples()],
  };
}

/** Tells the threads of each change, and knows how far it has come. */
class Spread implements MetricSource {
  readonly #state: RuntimeState;
  #stream: SettingsReceiver | null = null;
  #setMainLevel: (level: LogLevel) => void = () => undefined;
  /** What main works by. */
  #revision = 0;
  /** As it is set. */
  #setLevel: LogLevel;
  /** As it is now. */
  #level: LogLevel;

  constructor(state: RuntimeState) {
    this.#state = state;
    this.#setLevel = this.#level = state.current().typed.logLevel;
    state.onChange((snapshot) => this.#changed(snapshot));
  }

  to(stream: SettingsReceiver, setMainLevel: (level: LogLevel) => void): void {
    this.#stream = stream;
    this.#setMainLevel = setMainLevel;
  }

  setLogLevel(level: LogLevel): void {
    this.#level = level;
    this.#setMainLevel(level);
    this.#stream?.settingsChanged(this.forStream());
  }

  forStream(): StreamSettings {
    const { revision, typed } = this.#state.current();
    const { softLimitBytes, hardLimitBytes, ringBytesMax, sessionsPerKeyMax, banner, feedsEnabled } = typed;
    return { revision, softLimitBytes, hardLimitBytes, ringBytesMax, sessionsPerKeyMax, banner, feedsEnabled, logLevel: this.#level };
  }

  applied(): SettingsApplied {
    const stream = this.#stream?.settingsApplied() ?? null;
    return { main: this.#revision, stream: stream?.stream ?? null, workers: stream?.workers ?? [] };
  }

  samples(): MetricSample[] {
    const { main, stream, workers } = this.applied();
    const sample = (where: string, value: number): MetricSample => ({ name: "ticker_settings_applied_revision", help: "Revision of the runtime settings that a thread works by", type: "gauge", labels: { where }, value });
    return [sample("main", main), ...(stream === null ? [] : [sample("stream", stream)]), ...workers.map((revision, i) => sample(`worker-${i}`, revision))];
  }

  #changed({ revision, typed }: SettingsSnapshot): void {
    if (typed.logLevel !== this.#setLevel) {
      this.#setLevel = this.#level = typed.logLevel;
      this.#setMainLevel(this.#level);
    }
    this.#stream?.settingsChanged(this.forStream());
    this.#revision = revision;
  }
}

/** The name that a feed has for operators; see compose/feeds.ts. */
function feedNameOf(spec: FeedSpec): string {
  switch (spec.kind) {
    case "venue": return spec.venue;
    case "replay": return `replay:${spec.path}`;
    case "sim":
    case "push": return spec.kind;
  }
}
