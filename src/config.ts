/**
 * Configuration: read once from the environment, checked whole, frozen, passed on as plain values.
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { StreamOptions } from "./compose/stream-options.ts";
import { type BrokerConfig, brokerOf, faultsOfBroker } from "./config-broker.ts";
import { type BootstrapKey, type FeedName, withoutSpeed } from "./config-readers.ts";
import { metaOf, schema, type SettingName, type Settings } from "./config-schema.ts";
import { tradingOf, type TradingConfig } from "./config-trading.ts";
import { ConfigurationError } from "./core/errors.ts";
import type { BreakerLimits } from "./ports/breakers.ts";

/** Sent in `welcome` and shown by `/health`. */
export const VERSION = "0.1.0";

export interface Config {
  readonly isProduction: boolean;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logFileBytesMax: number;
  readonly logFilesMax: number;
  readonly logKeepMs: number;
  readonly logSweepMs: number;
  /** Absolute. */
  readonly dataDir: string;
  /** Null: embedded. */
  readonly databaseUrl: string | null;
  readonly redisUrl: string | null;
  readonly databaseTimeoutMs: number;
  readonly databaseConnectionsMax: number;
  /** By name; `off`: none. */
  readonly rateLimits: Settings["RATE_LIMITS"];
  readonly breakers: BreakerLimits;
  readonly drainNoticeMs: number;
  readonly healthTimeoutMs: number;
  readonly diskFreeBytesMin: number;
  readonly loopDelayMaxMs: number;
  readonly httpPort: number;
  readonly shutdownMs: number;
  readonly readyWaitMs: number;
  readonly streamStartMs: number;
  readonly streamSilenceMs: number;
  readonly streamRestartsPerMinuteMax: number;
  readonly bootstrapKeys: readonly BootstrapKey[];
  readonly settings: {
    readonly pollMs: number;
    readonly waitingMax: number;
    readonly bannerLengthMax: number;
    readonly isInjectionAllowed: boolean;
  };
  readonly audit: { readonly headMs: number; readonly failuresPerMinuteMax: number };
  readonly keysPollMs: number;
  readonly keyGraceMs: number;
  readonly rateLimitSubjectsMax: number;
  /** Memory of the main thread for kept trades. */
  readonly mainRingBytesMax: number;
  readonly carriedSubscriptionsMax: number;
  readonly bars: {
    readonly pendingMax: number;
    readonly writeMs: number;
    readonly pruneMs: number;
    readonly keepMs: Readonly<Record<"1s" | "1m" | "5m" | "15m" | "1h" | "1d", number>>;
  };
  readonly ticketTtlMs: number;
  readonly ticketsMax: number;
  readonly publicStreamUrl: string | null;
  readonly metricsAllow: readonly string[];
  readonly httpBodyBytesMax: number;
  readonly httpHeadersMs: number;
  readonly httpRequestMs: number;
  readonly httpConnectionsMax: number;
  /** What the stream thread gets, without the keys. */
  readonly stream: Omit<StreamOptions, "keys" | "memory" | "trips" | "settings">;
  /** Where orders go. */
  readonly broker: BrokerConfig;
  readonly trading: TradingConfig;
  /** Of parts to come; checked already. */
  readonly later: Pick<Settings, "WEBHOOK_ALLOWED_HOSTS" | "WEBHOOK_RETRY_SCHEDULE">;
}

/** The machine as the defaults see it. */
export interface Machine {
  readonly cores: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the whole configuration.
 * @throws {ConfigurationError} with every fault found: name, what was expected and found, what to do.
 */
export function loadConfig(environment: Environment = process.env, machine: Machine = { cores: availableParallelism() }): Config {
  const given = givenIn(environment);
  const parsed = schema.safeParse(given);
  const faults = parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  faults.push(...unknownNames(environment), ...faultsAcross(given), ...(parsed.success ? faultsOfBroker(parsed.data) : []));
  if (!parsed.success || faults.length > 0) throw new ConfigurationError(faults);
  return deepFreeze(configOf(parsed.data, machine));
}

/** What `--print-config` shows: every variable with its value and where it comes from; secrets are masked. */
export function printConfig(environment: Environment = process.env): string {
  const given = givenIn(environment);
  return settingNames().map((name) => {
    const meta = metaOf(schema.shape[name]);
    const value = given[name];
    if (value === undefined) return `${name}=${meta.default}  (default)`;
    return `${name}=${meta.isSecret ? "[set, not shown]" : value}`;
  }).join("\n");
}

/** What `--help` shows: every variable with default, unit and sentence. */
export function helpText(): string {
  const rows = settingNames().map((name) => {
    const meta = metaOf(schema.shape[name]);
    const unit = meta.unit === "" ? "" : ` ${meta.unit}`;
    return `  ${name} [${meta.default === "" ? "empty" : meta.default}${unit}]\n      ${meta.about}`;
  });
  return [
    "ticker-service: self-hosted real-time market data", "",
    "  node src/main.ts                 start", "  node src/main.ts --print-config  show the configuration, secrets masked",
    "  node src/main.ts --help          this page", "", "Environment variables [default unit]:", ...rows,
  ].join("\n");
}

/** Names of all variables, in the order of `--help`. */
export function settingNames(): readonly SettingName[] {
  return schema.keyof().options;
}

/** The variables of the schema that are set to something other than blanks. */
function givenIn(environment: Environment): Partial<Record<SettingName, string>> {
  const given: Partial<Record<SettingName, string>> = {};
  for (const name of settingNames()) {
    const text = environment[name]?.trim();
    if (text !== undefined && text !== "") given[name] = text;
  }
  return given;
}

function unknownNames(environment: Environment): string[] {
  const known = settingNames();
  return Object.keys(environment).filter((name) => name.startsWith("TICKER_") && !known.some((k) => k === name)).map((name) => {
    const nearest = known.map((k) => ({ k, distance: editDistance(name, k) })).toSorted((a, b) => a.distance - b.distance)[0];
    const hint = nearest && nearest.distance <= Math.max(3, name.length / 4) ? `did you mean ${nearest.k}?` : "see node src/main.ts --help";
    return `${name}: unknown variable; ${hint}`;
  });
}

/** Faults that only show when variables are seen together. */
function faultsAcross(given: Partial<Record<SettingName, string>>): string[] {
  const faults: string[] = [];
  if (given.REDIS_URL !== undefined && given.DATABASE_URL === undefined) {
    faults.push("REDIS_URL: Redis alone is no mode of this service; set DATABASE_URL as well, or neither");
  }
  if (given.NODE_ENV === "production" && given.RATE_LIMITS === "off") {
    faults.push("RATE_LIMITS: off is allowed outside production only; give limits by name or unset it");
  }
  const pushes = (given.FEEDS ?? "").split(",").some((name) => name.trim() === "push");
  const ports = [["HTTP_PORT", given.HTTP_PORT ?? "8080"], ["STREAM_PORT", given.STREAM_PORT ?? "8081"], ["PUSH_PORT", pushes ? (given.PUSH_PORT ?? "8082") : "0"]] as const;
  for (const [i, [name, value]] of ports.entries()) {
    const same = ports.slice(0, i).find(([, other]) => other === value && value !== "0");
    if (same) faults.push(`${name}: ${value} is also ${same[0]}; give each its own port`);
  }
  return [...faults, ...faultsOfSizes(given), ...faultsOfFeeds(given)];
}

function faultsOfSizes(given: Partial<Record<SettingName, string>>): string[] {
  const value = (name: SettingName) => Number((given[name] ?? metaOf(schema.shape[name]).default).replaceAll("_", ""));
  const inOrder = [
    ["TICKER_FRAME_BYTES_BEFORE_AUTH_MAX", "TICKER_FRAME_BYTES_MAX"], ["TICKER_FRAME_BYTES_MAX", "TICKER_FRAME_BYTES_DROPPED"],
    ["STREAM_COMMANDS_PER_S", "TICKER_COMMANDS_BURST"], ["TICKER_UNAUTHENTICATED_MAX", "TICKER_SESSIONS_MAX"],
    ["TICKER_RECENT_TRADES_MAX", "TICKER_RING_TRADES_MAX"], ["TICKER_START_PACING_BYTES", "TICKER_NATIVE_BACKPRESSURE_MAX"],
    ["TICKER_PING_IDLE_MS", "TICKER_IDLE_MS"], ["TICKER_SOFT_LIMIT_BYTES", "TICKER_HARD_LIMIT_BYTES"],
    ["TICKER_HARD_LIMIT_BYTES", "TICKER_NATIVE_BACKPRESSURE_MAX"], ["TICKER_HTTP_HEADERS_MS", "TICKER_HTTP_REQUEST_MS"],
  ] as const;
  return inOrder.filter(([low, high]) => value(low) > value(high))
    .map(([low, high]) => `${low}: ${value(low)} is more than ${high} (${value(high)}); lower the one or raise the other`);
}

function faultsOfFeeds(given: Partial<Record<SettingName, string>>): string[] {
  const names = (given.FEEDS ?? "sim").split(",").map((name) => name.trim()).filter((name) => name !== "");
  const feeds = names.map(withoutSpeed);
  const faults = names.filter((_, i) => feeds.indexOf(feeds[i] ?? "") < i).map((name) => `FEEDS: "${name}" is named twice; name it once`);
  if (names.length === 0) faults.push("FEEDS: expected at least one feed, found none; unset it for the simulated exchange");
  return faults;
}

/** Edits (insert, delete, replace) from one text to the other. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[to.length] ?? 0;
}

/** One up to three cores, then all but two, at most eight: the feeds and the kernel need the rest. */
export function defaultWorkers(cores: number): number {
  return cores <= 3 ? 1 : Math.min(8, cores - 2);
}

function configOf(s: Settings, machine: Machine): Config {
  const isProduction = s.NODE_ENV === "production";
  return {
    isProduction,
    logLevel: s.LOG_LEVEL,
    logFileBytesMax: s.TICKER_LOG_FILE_BYTES_MAX,
    logFilesMax: s.TICKER_LOG_FILES_MAX,
    logKeepMs: s.TICKER_LOG_KEEP_DAYS * 86_400_000,
    logSweepMs: s.TICKER_LOG_SWEEP_MS,
    dataDir: resolve(s.DATA_DIR),
    databaseUrl: s.DATABASE_URL,
    redisUrl: s.REDIS_URL,
    databaseTimeoutMs: s.TICKER_DATABASE_TIMEOUT_MS,
    databaseConnectionsMax: s.TICKER_DATABASE_CONNECTIONS_MAX,
    rateLimits: s.RATE_LIMITS,
    breakers: breakersOf(s),
    drainNoticeMs: s.TICKER_DRAIN_NOTICE_MS,
    healthTimeoutMs: s.TICKER_HEALTH_TIMEOUT_MS,
    diskFreeBytesMin: s.TICKER_DISK_FREE_BYTES_MIN,
    loopDelayMaxMs: s.TICKER_LOOP_DELAY_MAX_MS,
    httpPort: s.HTTP_PORT,
    shutdownMs: s.TICKER_SHUTDOWN_MS,
    readyWaitMs: s.TICKER_READY_WAIT_MS,
    streamStartMs: s.TICKER_STREAM_START_MS,
    streamSilenceMs: s.TICKER_STREAM_SILENCE_MS,
    streamRestartsPerMinuteMax: s.TICKER_STREAM_RESTARTS_PER_MINUTE_MAX,
    bootstrapKeys: s.BOOTSTRAP_API_KEYS,
    settings: {
      pollMs: s.TICKER_SETTINGS_POLL_MS, waitingMax: s.TICKER_SETTINGS_WAITING_MAX, bannerLengthMax: s.TICKER_BANNER_LENGTH_MAX,
      isInjectionAllowed: !isProduction || s.TICKER_FAILURE_INJECTION === "on",
    },
    audit: { headMs: s.TICKER_AUDIT_HEAD_MS, failuresPerMinuteMax: s.TICKER_AUDIT_FAILURES_PER_MINUTE_MAX },
    keysPollMs: s.TICKER_KEYS_POLL_MS,
    keyGraceMs: s.TICKER_KEY_GRACE_MS,
    rateLimitSubjectsMax: s.TICKER_RATE_LIMIT_SUBJECTS_MAX,
    mainRingBytesMax: s.TICKER_MAIN_RING_BYTES_MAX,
    bars: barsOf(s),
    ticketTtlMs: s.TICKER_TICKET_TTL_MS,
    ticketsMax: s.TICKER_TICKETS_MAX,
    publicStreamUrl: s.TICKER_PUBLIC_STREAM_URL,
    metricsAllow: s.TICKER_METRICS_ALLOW.length > 0 ? s.TICKER_METRICS_ALLOW : isProduction ? ["127.0.0.0/8", "::1"] : ["0.0.0.0/0", "::/0"],
    httpBodyBytesMax: s.TICKER_HTTP_BODY_BYTES_MAX,
    httpHeadersMs: s.TICKER_HTTP_HEADERS_MS,
    httpRequestMs: s.TICKER_HTTP_REQUEST_MS,
    httpConnectionsMax: s.TICKER_HTTP_CONNECTIONS_MAX,
    carriedSubscriptionsMax: s.TICKER_CARRIED_SUBSCRIPTIONS_MAX,
    stream: streamOf(s, machine),
    broker: brokerOf(s),
    trading: tradingOf(s),
    later: {
      WEBHOOK_ALLOWED_HOSTS: s.WEBHOOK_ALLOWED_HOSTS,
      WEBHOOK_RETRY_SCHEDULE: s.WEBHOOK_RETRY_SCHEDULE,
    },
  };
}

function barsOf(s: Settings): Config["bars"] {
  const hours = {
    "1s": s.TICKER_BARS_KEEP_1S_H, "1m": s.TICKER_BARS_KEEP_1M_H, "5m": s.TICKER_BARS_KEEP_5M_H,
    "15m": s.TICKER_BARS_KEEP_15M_H, "1h": s.TICKER_BARS_KEEP_1H_H, "1d": s.TICKER_BARS_KEEP_1D_H,
  };
  const ms = (count: number): number => count * 3_600_000;
  return {
    pendingMax: s.TICKER_BARS_PENDING_MAX, writeMs: s.TICKER_BARS_WRITE_MS, pruneMs: s.TICKER_BARS_PRUNE_MS,
    keepMs: { "1s": ms(hours["1s"]), "1m": ms(hours["1m"]), "5m": ms(hours["5m"]), "15m": ms(hours["15m"]), "1h": ms(hours["1h"]), "1d": ms(hours["1d"]) },
  };
}

function breakersOf(s: Settings): BreakerLimits {
  return {
    callsMin: s.TICKER_BREAKER_CALLS_MIN, failedPct: s.TICKER_BREAKER_FAILED_PCT, windowMs: s.TICKER_BREAKER_WINDOW_MS,
    probeMs: s.TICKER_BREAKER_PROBE_MS, probeStoresMs: s.TICKER_BREAKER_PROBE_STORES_MS,
  };
}

function streamOf(s: Settings, machine: Machine): Omit<StreamOptions, "keys" | "memory" | "trips" | "settings"> {
  return {
    host: s.HOST,
    streamPort: s.STREAM_PORT,
    workers: s.WORKERS ?? defaultWorkers(machine.cores),
    flushMaxMs: s.STREAM_FLUSH_MAX_MS,
    main: { everyMs: s.TICKER_MAIN_FEED_MS, messagesInFlightMax: s.TICKER_MAIN_MESSAGES_IN_FLIGHT_MAX },
    feeds: s.FEEDS.map((name) => withUrls(name, s)),
    feedInstruments: s.FEED_INSTRUMENTS,
    feedSilenceMs: s.TICKER_FEED_SILENCE_MS,
    feedInstrumentSilenceMs: s.TICKER_FEED_INSTRUMENT_SILENCE_MS,
    feedPulledInMax: s.TICKER_FEED_PULLED_IN_MAX,
    feedListRefreshMs: s.TICKER_INSTRUMENTS_REFRESH_MS,
    sim: { seed: s.SIM_SEED, instruments: s.SIM_INSTRUMENTS, eventsPerS: s.SIM_EVENTS_PER_S },
    push: { host: s.PUSH_HOST, port: s.PUSH_PORT, lineBytesMax: s.TICKER_PUSH_LINE_BYTES_MAX, connectionsMax: s.TICKER_PUSH_CONNECTIONS_MAX },
    instrumentsMax: s.TICKER_INSTRUMENTS_MAX,
    jumpBandPct: s.TICKER_JUMP_BAND_PCT,
    fanout: fanoutOf(s),
    breakers: breakersOf(s),
  };
}

function withUrls(name: FeedName, s: Settings): StreamOptions["feeds"][number] {
  if (name.kind !== "venue") return name;
  const urls = {
    binance: { wsUrl: s.BINANCE_WS_URL, restUrl: s.BINANCE_REST_URL },
    coinbase: { wsUrl: s.COINBASE_WS_URL, restUrl: s.COINBASE_REST_URL },
    kraken: { wsUrl: s.KRAKEN_WS_URL, restUrl: s.KRAKEN_REST_URL },
  }[name.venue];
  return { ...name, ...urls };
}

function fanoutOf(s: Settings): StreamOptions["fanout"] {
  return {
    server: `ticker-service/${VERSION}`,
    authTimeoutMs: s.TICKER_AUTH_TIMEOUT_MS,
    heartbeatMs: s.STREAM_HEARTBEAT_MS,
    pingMs: s.STREAM_PING_MS,
    pingIdleMs: s.TICKER_PING_IDLE_MS,
    pingsPerSMax: s.TICKER_PINGS_PER_S_MAX,
    idleMs: s.TICKER_IDLE_MS,
    topicsPerSessionMax: s.TICKER_TOPICS_PER_SESSION_MAX,
    symbolsPerFrameMax: s.TICKER_SYMBOLS_PER_FRAME_MAX,
    topicsPerAnswerMax: s.TICKER_TOPICS_PER_ANSWER_MAX,
    subscriptionsMax: s.TICKER_SUBSCRIPTIONS_MAX,
    sessionsMax: s.TICKER_SESSIONS_MAX,
    unauthenticatedMax: s.TICKER_UNAUTHENTICATED_MAX,
    sessionsPerKeyMax: s.STREAM_SESSIONS_PER_KEY,
    sessionsPerAddressMax: s.STREAM_SESSIONS_PER_ADDRESS,
    frameBytesMax: s.TICKER_FRAME_BYTES_MAX,
    frameBytesDropped: s.TICKER_FRAME_BYTES_DROPPED,
    frameBytesBeforeAuthMax: s.TICKER_FRAME_BYTES_BEFORE_AUTH_MAX,
    commandsPerS: s.STREAM_COMMANDS_PER_S,
    commandsBurst: s.TICKER_COMMANDS_BURST,
    commandsRefusedMax: s.TICKER_COMMANDS_REFUSED_MAX,
    malformedPerMinuteMax: s.TICKER_MALFORMED_PER_MINUTE_MAX,
    recentTradesMax: s.TICKER_RECENT_TRADES_MAX,
    ringTradesMax: s.TICKER_RING_TRADES_MAX,
    ringBarsMax: s.TICKER_RING_BARS_MAX,
    ringBytesMax: s.TICKER_RING_BYTES_MAX,
    batchesInFlightMax: s.TICKER_BATCHES_IN_FLIGHT_MAX,
    softLimitBytes: s.TICKER_SOFT_LIMIT_BYTES,
    hardLimitBytes: s.TICKER_HARD_LIMIT_BYTES,
    hardLimitMs: s.TICKER_HARD_LIMIT_MS,
    pingAgeMaxMs: s.STREAM_PING_AGE_MAX_MS,
    stuckMs: s.TICKER_STUCK_MS,
    closeWaitMs: s.TICKER_CLOSE_WAIT_MS,
    startTurnMs: s.TICKER_START_TURN_MS,
    startPacingBytes: s.TICKER_START_PACING_BYTES,
    nativeBackpressureMax: s.TICKER_NATIVE_BACKPRESSURE_MAX,
    allowedOrigins: s.ALLOWED_ORIGINS,
    trustedProxies: s.TRUSTED_PROXIES,
  };
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === "object" && member !== null) deepFreeze(member);
  return Object.freeze(value);
}
