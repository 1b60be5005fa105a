/**
 * The service of one node, whatever backs it: which part is behind which port, and the order of their start.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { FolderLock } from "../adapters/folder-lock.ts";
import { LogSweep } from "../adapters/log-sweep.ts";
import { MetricsRenderer } from "../adapters/telemetry-metrics.ts";
import { type OpenLog, openLog } from "../adapters/telemetry-log.ts";
import { App } from "../app.ts";
import { type Config, VERSION } from "../config.ts";
import { AddressSet } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, ResourceError } from "../core/errors.ts";
import { HttpServer } from "../http/http-server.ts";
import { mountRoutes } from "../http/routes.ts";
import { createHttpApp } from "../http/server.ts";
import { HealthService } from "../services/health-service.ts";
import { TicketService } from "../services/ticket-service.ts";
import { type Administration, administration, breakerDependencies } from "./administration.ts";
import type { Backing, BackingDeps } from "./backing.ts";
import { claimPorts } from "./claim-ports.ts";
import { controlPlane } from "./control-plane.ts";
import { listProbes, settingsProbe } from "./health-probes.ts";
import { createMarket } from "./market.ts";
import { createRegistry, type Registry } from "./registry.ts";
import { createSettings } from "./settings.ts";
import { StreamHost } from "./stream-host.ts";
import { createTrading } from "./trading.ts";

/** What the one who started it needs. */
export interface Service {
  readonly app: App;
  readonly log: OpenLog;
  /** After the start. */
  urls(): { readonly page: string; readonly stream: string };
  /** The text of a key made by this start, to be shown once; null when there was a key already. */
  firstKey(): string | null;
  /** Whether `process.exit` would abort because the stream thread still runs. */
  isThreadAlive(): boolean;
}

export interface ServiceOptions {
  readonly config: Config;
  readonly clock: Clock;
  /** Where console lines go. */
  readonly console: (line: string) => void;
  /** Module of the stream thread; another one in tests. */
  readonly streamEntry?: URL;
  /** The process cannot go on. */
  readonly onFatal: (reason: string) => void;
  /** An administrator drains the node: stop the process as SIGTERM does. */
  readonly onDrain: () => void;
}

/** Builds the parts without starting them, but for the log. @throws {ResourceError} when the data folder cannot be used. */
export async function buildService(options: ServiceOptions, backingOf: (deps: BackingDeps) => Backing): Promise<Service> {
  const { config, clock } = options;
  const log = await openDataFolder(options);
  const tickets = new TicketService({ clock, ttlMs: config.ticketTtlMs, ticketsMax: config.ticketsMax });
  const control = controlPlane({ config, clock, log: log.log, backingOf });
  const { keys } = control;
  const market = createMarket({ config, clock, log: log.log, database: control.backing.database });
  const settings = createSettings({ config, clock, log: log.log, ...control.backing });
  const trading = createTrading({ config, clock, log: log.log, database: control.backing.database, breakers: control.breakers, market: market.copy, isEnabled: () => settings.state.current().typed.ordersEnabled, tell: (events) => stream.orderEvents(events) });
  const registry: Registry = createRegistry({ config, clock, log: log.log, backing: control.backing, values: market.copy, order: (order) => stream.orderFeeds(order) });
  const stream: StreamHost = new StreamHost({
    entry: options.streamEntry ?? new URL("./stream.ts", import.meta.url),
    options: () => ({ ...config.stream, keys: keys.records(), trips: operators.trips(), settings: settings.forStream(), memory: registry.memory() }),
    clock, log: log.log, redeem: (ticket) => tickets.redeem(ticket), onMarket: (notice) => market.copy.hear(notice),
    onRefusedKey: (refused) => settings.audit.failed({ ...refused, requestId: "", correlationId: "" }),
    onFeeds: (notice) => registry.hear(notice), readOrders: trading.readOrders,
    onBreaker: (report, why) => operators.remoteBreakerChanged(report, why),
    startMs: config.streamStartMs, silenceMs: config.streamSilenceMs, drainMs: Math.floor(config.shutdownMs * 0.6),
    restartsPerMinuteMax: config.streamRestartsPerMinuteMax, onFatal: options.onFatal,
  });
  settings.spread(stream, log.setLevel);
  keys.onChange((change) => {
    tickets.revoked(change.revoked);
    stream.keysChanged(change);
  });
  const health = new HealthService({ clock, readyWaitMs: config.readyWaitMs, stream: () => stream.health(), more: () => breakerDependencies(control.breakers.reports()) });
  const operators: Administration = administration({
    config, clock, log: log.log, backing: control.backing, breakers: control.breakers, stream, health, logLevel: settings.logLevel, setLogLevel: settings.setLogLevel,
    stopProcess: options.onDrain, probes: () => [...listProbes(registry.http.registry.status()), settingsProbe(settings.state.current().revision, settings.http.settingsApplied())],
  });
  const sweep = new LogSweep({
    folder: logFolder(config), written: log.written, clock, log: log.log, everyMs: config.logSweepMs, keepMs: config.logKeepMs, filesMax: config.logFilesMax,
  });
  const renderer = new MetricsRenderer();
  const metrics = async () => {
    const report = await stream.report();
    return renderer.render([...stream.samples(), ...control.samples(), ...settings.samples(), ...operators.samples(), ...market.samples(), ...trading.samples(), ...registry.samples(), ...tickets.samples(), ...sweep.samples(), ...http.samples(), ...(report?.samples ?? [])]);
  };
  const http = new HttpServer(createHttpApp({
    ...control.http, ...operators.http, clock, banner: settings.banner, onRefusedKey: (refused) => settings.audit.failed(refused), allowedOrigins: config.stream.fanout.allowedOrigins, health, tickets, metrics, trustedProxies: new AddressSet(config.stream.fanout.trustedProxies), log: log.log, version: VERSION,
    metricsAllow: new AddressSet(config.metricsAllow), isKeylessAllowed: !config.isProduction, streamPort: () => stream.port(),
    publicStreamUrl: config.publicStreamUrl, bodyBytesMax: config.httpBodyBytesMax,
  }, (api) => mountRoutes(api, { ...control.http, ...settings.http, ...registry.http, ...trading.http, ...operators.http, health, version: VERSION, ...market.http(() => stream.report(), () => health.uptimeMs()), keyGraceMs: config.keyGraceMs })), {
    host: config.stream.host, port: config.httpPort, headersMs: config.httpHeadersMs, requestMs: config.httpRequestMs,
    connectionsMax: config.httpConnectionsMax, clock,
  });
  const parts = [new FolderLock(config.dataDir), sweep, portsFree(config), ...control.parts, ...settings.parts, ...operators.parts, ...market.parts, ...registry.parts, trading.broker, http, stream, trading.executor];
  return {
    app: new App({ parts, health, log: log.log }), log,
    urls: () => ({ page: `http://${shownHost(config)}:${http.port()}`, stream: `ws://${shownHost(config)}:${stream.port() ?? config.stream.streamPort}/v1/stream` }),
    firstKey: () => control.firstKey(),
    isThreadAlive: () => stream.isThreadAlive(),
  };
}

function openDataFolder({ config, console }: ServiceOptions): Promise<OpenLog> {
  try {
    mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ResourceError(`DATA_DIR ${config.dataDir} cannot be made: ${messageOf(error)}; set DATA_DIR to a folder that can be written`, { cause: error });
  }
  return openLog({
    folder: logFolder(config), level: config.logLevel, isProduction: config.isProduction, fileBytesMax: config.logFileBytesMax, console,
  });
}

function logFolder({ dataDir }: Config): string {
  return join(dataDir, "logs");
}

/** Refuses to start on ports that another process has, before anything listens. */
function portsFree({ httpPort, stream }: Config): Component {
  const isPushing = stream.feeds.some((feed) => feed.kind === "push");
  const claims = [
    { variable: "HTTP_PORT", host: stream.host, port: httpPort }, { variable: "STREAM_PORT", host: stream.host, port: stream.streamPort },
    ...(isPushing ? [{ variable: "PUSH_PORT", host: stream.push.host, port: stream.push.port }] : []),
  ];
  return { name: "ports", start: () => claimPorts(claims), stop: () => Promise.resolve() };
}

/** A host that can be put into a URL on this machine. */
function shownHost({ stream }: Config): string {
  if (stream.host === "0.0.0.0" || stream.host === "::") return "127.0.0.1";
  return stream.host.includes(":") ? `[${stream.host}]` : stream.host;
}
