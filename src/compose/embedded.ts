/**
 * Embedded mode: one process without external services; the only place that knows which part is behind which port here.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { FolderLock } from "../adapters/folder-lock.ts";
import { KeyFile } from "../adapters/key-file.ts";
import { LogSweep } from "../adapters/log-sweep.ts";
import { MetricsRenderer } from "../adapters/telemetry-metrics.ts";
import { type OpenLog, openLog } from "../adapters/telemetry-log.ts";
import { App } from "../app.ts";
import { type Config, VERSION } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { ConfigurationError, messageOf, ResourceError } from "../core/errors.ts";
import { AddressSet } from "../http/client-address.ts";
import { createHttpApp, HttpServer } from "../http/server.ts";
import { HealthService } from "../services/health-service.ts";
import { KeyService } from "../services/key-service.ts";
import { TicketService } from "../services/ticket-service.ts";
import { claimPorts } from "./claim-ports.ts";
import { StreamHost } from "./stream-host.ts";

/** What the one who started it needs. */
export interface Embedded {
  readonly app: App;
  readonly log: OpenLog;
  /** After the start. */
  urls(): { readonly page: string; readonly stream: string };
  /** The text of a key made by this start, to be shown once; null when there was a key already. */
  firstKey(): string | null;
  /** Whether `process.exit` would abort because the stream thread still runs. */
  isThreadAlive(): boolean;
}

export interface EmbeddedOptions {
  readonly config: Config;
  readonly clock: Clock;
  /** Where console lines go. */
  readonly console: (line: string) => void;
  /** Module of the stream thread; another one in tests. */
  readonly streamEntry?: URL;
  /** The process cannot go on. */
  readonly onFatal: (reason: string) => void;
}

/** Builds the parts without starting them, but for the log. @throws {ResourceError} when the data folder cannot be used. */
export async function embedded(options: EmbeddedOptions): Promise<Embedded> {
  const { config, clock } = options;
  const log = await openDataFolder(options);
  const keys = new KeyService({ store: new KeyFile(config.dataDir, clock), clock, log: log.log, pollMs: config.keysPollMs });
  const tickets = new TicketService({ clock, ttlMs: config.ticketTtlMs, ticketsMax: config.ticketsMax });
  const stream = new StreamHost({
    entry: options.streamEntry ?? new URL("./stream.ts", import.meta.url),
    options: () => ({ ...config.stream, keys: keys.records() }),
    clock, log: log.log, redeem: (ticket) => tickets.redeem(ticket),
    startMs: config.streamStartMs, silenceMs: config.streamSilenceMs, drainMs: Math.floor(config.shutdownMs * 0.6),
    restartsPerMinuteMax: config.streamRestartsPerMinuteMax, onFatal: options.onFatal,
  });
  keys.onChange((change) => {
    tickets.revoked(change.revoked);
    stream.keysChanged(change);
  });
  const health = new HealthService({ clock, readyWaitMs: config.readyWaitMs, stream: () => stream.health() });
  const sweep = new LogSweep({
    folder: logFolder(config), written: log.written, clock, log: log.log, everyMs: config.logSweepMs, keepMs: config.logKeepMs, filesMax: config.logFilesMax,
  });
  const renderer = new MetricsRenderer();
  const metrics = async () => {
    const report = await stream.report();
    return renderer.render([...stream.samples(), ...keys.samples(), ...tickets.samples(), ...sweep.samples(), ...(report?.samples ?? [])]);
  };
  const trustedProxies = new AddressSet(config.stream.fanout.trustedProxies);
  const http = new HttpServer(createHttpApp({
    health, keys, tickets, metrics, trustedProxies, log: log.log, version: VERSION, metricsAllow: new AddressSet(config.metricsAllow),
    isKeylessAllowed: !config.isProduction, streamPort: () => stream.port(), publicStreamUrl: config.publicStreamUrl, bodyBytesMax: config.httpBodyBytesMax,
  }), {
    host: config.stream.host, port: config.httpPort, headersMs: config.httpHeadersMs, requestMs: config.httpRequestMs,
    connectionsMax: config.httpConnectionsMax, clock,
  });
  const first: { key: string | null } = { key: null };
  const parts = [new FolderLock(config.dataDir), sweep, portsFree(config), keys, keysPresent(keys, config, log, (key) => {
    first.key = key;
  }), http, stream];
  return {
    app: new App({ parts, health, log: log.log }), log,
    urls: () => ({ page: `http://${shownHost(config)}:${http.port()}`, stream: `ws://${shownHost(config)}:${stream.port() ?? config.stream.streamPort}/v1/stream` }),
    firstKey: () => first.key,
    isThreadAlive: () => stream.isThreadAlive(),
  };
}

function openDataFolder({ config, console }: EmbeddedOptions): Promise<OpenLog> {
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

/** Creates the bootstrap keys, or outside production the first admin key; refuses a production start without a usable key. */
function keysPresent(keys: KeyService, config: Config, { log }: OpenLog, onFirstKey: (key: string) => void): Component {
  const start = async () => {
    for (const { scope, key } of config.bootstrapKeys) {
      const outcome = await keys.ensure(scope, key);
      if (outcome === "revoked") log.warn({ scope }, "a key of BOOTSTRAP_API_KEYS was revoked and stays revoked; remove it from the list");
    }
    if (keys.records().length > 0) return;
    if (config.isProduction) {
      throw new ConfigurationError([`BOOTSTRAP_API_KEYS: production needs a usable key and ${config.dataDir} has none; set BOOTSTRAP_API_KEYS=admin:tk_... (tk_ and at least 32 of A-Z a-z 0-9 _ -), or run "npm run cli -- keys create --scope admin"`]);
    }
    onFirstKey((await keys.create("admin")).key);
  };
  return { name: "first keys", start, stop: () => Promise.resolve() };
}

/** A host that can be put into a URL on this machine. */
function shownHost({ stream }: Config): string {
  if (stream.host === "0.0.0.0" || stream.host === "::") return "127.0.0.1";
  return stream.host.includes(":") ? `[${stream.host}]` : stream.host;
}
