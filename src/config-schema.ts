/**
 * The one schema of the configuration: every variable with its default, unit, limits and a sentence.
 */
import { z } from "zod";
import * as read from "./config-readers.ts";

/** What `--help` says of a variable. */
export interface SettingMeta {
  readonly default: string;
  readonly unit: string;
  readonly about: string;
  readonly isSecret: boolean;
}

const metas = new WeakMap<z.ZodType, SettingMeta>();

/** Default, unit and sentence of a schema entry. */
export function metaOf(schema: z.ZodType): SettingMeta {
  const meta = metas.get(schema);
  if (!meta) throw new Error("a configuration variable without its description");
  return meta;
}

function setting<T>(defaultText: string, unit: string, reader: read.Reader<T>, about: string, isSecret = false) {
  const schema = z.string().default(defaultText).transform((text, context): T => {
    try {
      return reader(text);
    } catch (error) {
      if (!(error instanceof read.SettingFault)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
  metas.set(schema, { default: defaultText, unit, about, isSecret });
  return schema;
}

const count = (fallback: number, min: number, max: number, about: string, unit = "count") =>
  setting(String(fallback), unit, read.wholeNumber(min, max), about);
const millis = (fallback: number, min: number, max: number, about: string) => count(fallback, min, max, about, "ms");
const bytes = (fallback: number, min: number, max: number, about: string) => count(fallback, min, max, about, "bytes");
const port = (fallback: number, about: string) => count(fallback, 0, 65_535, about, "port");
const venueUrl = (protocols: readonly string[], about: string) => setting("", "URL", read.optional(read.url(protocols)), about);

const KIB = 1024;
const MIB = 1024 * KIB;
const LATER = "Checked now, used by a later part.";

/** Process and network. */
const processSettings = {
  NODE_ENV: setting("development", "", read.oneOf(["development", "test", "production"]), "production: keys are required, logs are JSON, /metrics has an allow-list."),
  HOST: setting("127.0.0.1", "address", read.plainText("an address to listen on"), "Where HTTP and the stream listen; 0.0.0.0 for every interface."),
  HTTP_PORT: port(8080, "REST, health, metrics and the page; 0 takes a free one."),
  STREAM_PORT: port(8081, "WebSocket stream; 0 takes a free one."),
  DATA_DIR: setting("./data", "folder", read.plainText("a folder"), "Embedded database and logs; created when absent; one process at a time."),
  DATABASE_URL: setting("", "URL", read.optional(read.serverUrl(["postgres:", "postgresql:"])), "Postgres server; unset: an embedded database in DATA_DIR.", true),
  REDIS_URL: setting("", "URL", read.optional(read.serverUrl(["redis:", "rediss:"])), "Redis for limits (and jobs later), beside DATABASE_URL; unset: limits in memory.", true),
  TICKER_DATABASE_TIMEOUT_MS: millis(4_000, 100, 60_000, "A use of the database that takes longer counts as failed: 503."),
  TICKER_DATABASE_CONNECTIONS_MAX: count(10, 1, 1_000, "Connections to a Postgres server."),
  WORKERS: setting("auto", "threads", (text) => (text === "auto" ? null : read.wholeNumber(1, 64)(text)), "Fan-out threads; auto: 1 up to three cores, then cores - 2, at most 8."),
  LOG_LEVEL: setting("info", "", read.oneOf(["debug", "info", "warn", "error"]), "Least level that is logged."),
  TICKER_LOG_FILE_BYTES_MAX: bytes(100 * MIB, MIB, 10 * KIB * MIB, "A log file is rolled above this size, and every day."),
  TICKER_LOG_FILES_MAX: count(100, 1, 10_000, "Rolled log files that are kept at most, whatever their age."),
  TICKER_LOG_KEEP_DAYS: count(7, 1, 3650, "A rolled log file that was last written longer ago is removed.", "days"),
  TICKER_LOG_SWEEP_MS: millis(60_000, 1000, 86_400_000, "Rolled log files are gzipped and removed this often; one written within this time is left alone."),
  TICKER_BREAKER_CALLS_MIN: count(5, 1, 1_000_000, "Calls within the window before a circuit breaker may open.", "calls"),
  TICKER_BREAKER_FAILED_PCT: setting("50", "percent", read.decimalNumber(0.01, 100), "Failed calls of the window at which a circuit breaker opens."),
  TICKER_BREAKER_WINDOW_MS: millis(60_000, 60, 86_400_000, "Window of a circuit breaker."),
  TICKER_BREAKER_PROBE_MS: millis(60_000, 10, 86_400_000, "An open circuit breaker lets one call through after this time."),
  TICKER_BREAKER_PROBE_STORES_MS: millis(5000, 10, 86_400_000, "The same for the breakers database and redis."),
  TICKER_DRAIN_NOTICE_MS: millis(1000, 0, 600_000, "A drain by an administrator: not ready for this long before the first goodbye."),
  TICKER_HEALTH_TIMEOUT_MS: millis(1000, 10, 60_000, "A dependency that does not answer /health/detailed within this time counts as down."),
  TICKER_DISK_FREE_BYTES_MIN: bytes(256 * MIB, 0, 1024 * KIB * MIB, "Less free space where DATA_DIR is shows as degraded."),
  TICKER_LOOP_DELAY_MAX_MS: millis(250, 1, 600_000, "An event loop of the main thread that kept a timer waiting for longer shows as degraded."),
  TICKER_SHUTDOWN_MS: millis(10_000, 500, 600_000, "From the stop signal to a forced exit."),
  TICKER_READY_WAIT_MS: millis(10_000, 0, 600_000, "Ready this long after the start even when no feed is live."),
  TICKER_STREAM_START_MS: millis(15_000, 500, 600_000, "The stream thread must listen within this time."),
  TICKER_STREAM_SILENCE_MS: millis(10_000, 1000, 600_000, "A stream thread that says nothing for this long hangs: the process ends with an error for its supervisor to restart."),
  TICKER_STREAM_RESTARTS_PER_MINUTE_MAX: count(5, 0, 1000, "Restarts of a failed stream thread in a minute before the process gives up."),
};

/** Feeds. */
const feedSettings = {
  FEEDS: setting("sim", "", read.listOf(read.feedName), "Comma-separated: sim, push, coinbase, kraken, binance, replay:PATH[@SPEED]."),
  FEED_INSTRUMENTS: setting("", "", read.listOf(read.plainText("an instrument id")), "What a venue's feed carries from the start; default its BTC and ETH pairs."),
  BINANCE_WS_URL: venueUrl(["ws:", "wss:"], "Points the Binance stream elsewhere."),
  BINANCE_REST_URL: venueUrl(["http:", "https:"], "Points Binance's REST elsewhere."),
  COINBASE_WS_URL: venueUrl(["ws:", "wss:"], "Points the Coinbase stream elsewhere."),
  COINBASE_REST_URL: venueUrl(["http:", "https:"], "Points Coinbase's REST elsewhere."),
  KRAKEN_WS_URL: venueUrl(["ws:", "wss:"], "Points the Kraken stream elsewhere."),
  KRAKEN_REST_URL: venueUrl(["http:", "https:"], "Points Kraken's REST elsewhere."),
  TICKER_FEED_SILENCE_MS: millis(10_000, 100, 3_600_000, "A connection without a byte for this long is made anew."),
  TICKER_FEED_INSTRUMENT_SILENCE_MS: millis(60_000, 100, 86_400_000, "An instrument without an event for this long is stale."),
  TICKER_FEED_PULLED_IN_MAX: count(200, 0, 20_000, "Instruments a venue that clients and subscriptions may pull in beyond FEED_INSTRUMENTS."),
  TICKER_INSTRUMENTS_REFRESH_MS: millis(3_600_000, 50, 86_400_000, "The venues' lists of instruments are asked for this often; a list twice as old is stale."),
  TICKER_CARRIED_SUBSCRIPTIONS_MAX: count(1000, 1, 100_000, "Subscriptions (/v1/subscriptions) at a time."),
  TICKER_INSTRUMENTS_MAX: count(20_000, 1, 1_000_000, "Instruments in all; beyond it they are refused at load."),
  TICKER_JUMP_BAND_PCT: setting("20", "percent", read.decimalNumber(0.01, 1_000_000), "A price this far from the last one is flagged and counted, not dropped."),
  SIM_SEED: count(1, 0, 4_294_967_295, "Seed of the simulated exchange.", "number"),
  SIM_INSTRUMENTS: count(50, 2, 10_000, "Instruments of the simulated exchange."),
  SIM_EVENTS_PER_S: count(2000, 1, 500_000, "Events of the simulated exchange.", "1/s"),
  PUSH_HOST: setting("127.0.0.1", "address", read.plainText("an address to listen on"), "Where the push feed listens."),
  PUSH_PORT: port(8082, "Producers of the push feed; 0 takes a free one."),
  TICKER_PUSH_LINE_BYTES_MAX: bytes(MIB, 64, 64 * MIB, "Longest line of a producer; beyond it the connection is closed."),
  TICKER_PUSH_CONNECTIONS_MAX: count(64, 1, 10_000, "Producers at a time."),
};

/** The stream: what clients are promised (protocol sections 2.1 to 2.6). */
const streamSettings = {
  STREAM_SESSIONS_PER_KEY: count(100, 1, 1_000_000, "Sessions of one key."),
  STREAM_SESSIONS_PER_ADDRESS: count(20_000, 1, 1_000_000, "Sessions of one address."),
  STREAM_COMMANDS_PER_S: count(20, 1, 100_000, "Commands of a session.", "1/s"),
  STREAM_HEARTBEAT_MS: millis(5000, 50, 600_000, "Heartbeat frames."),
  STREAM_PING_MS: millis(1000, 50, 600_000, "WebSocket ping to sessions that were sent data since the last."),
  STREAM_PING_AGE_MAX_MS: millis(1000, 50, 600_000, "An older unanswered ping sends a session to the lagging lane."),
  STREAM_FLUSH_MAX_MS: millis(5, 0, 1000, "Longest flush window under load."),
  TICKER_AUTH_TIMEOUT_MS: millis(10_000, 100, 600_000, "The first frame must be auth within this time."),
  TICKER_PING_IDLE_MS: millis(20_000, 100, 600_000, "WebSocket ping to all other sessions."),
  TICKER_PINGS_PER_S_MAX: count(2000, 1, 1_000_000, "Pings a worker sends; STREAM_PING_MS is stretched to fit.", "1/s"),
  TICKER_IDLE_MS: millis(60_000, 500, 3_600_000, "No client byte (a pong counts) for this long closes with 4419."),
  TICKER_TOPICS_PER_SESSION_MAX: count(3000, 1, 1_000_000, "Topics of a session."),
  TICKER_SYMBOLS_PER_FRAME_MAX: count(500, 1, 100_000, "Symbols of a subscribe frame."),
  TICKER_TOPICS_PER_ANSWER_MAX: count(100, 1, 100_000, "Topics listed in one answer frame."),
  TICKER_SUBSCRIPTIONS_MAX: count(5_000_000, 1, 100_000_000, "Subscriptions of a worker, about 100 bytes each."),
  TICKER_SESSIONS_MAX: count(25_000, 1, 1_000_000, "Sessions of a worker; beyond it upgrades are refused with 503."),
  TICKER_UNAUTHENTICATED_MAX: count(12_500, 1, 1_000_000, "Sockets of a worker without auth yet; when full, the oldest goes."),
  TICKER_FRAME_BYTES_MAX: bytes(64 * KIB, 1024, 16 * MIB, "Client frame; larger ones get error 413 and close 1009."),
  TICKER_FRAME_BYTES_DROPPED: bytes(128 * KIB, 1024, 32 * MIB, "Client frame at which the engine drops the connection."),
  TICKER_FRAME_BYTES_BEFORE_AUTH_MAX: bytes(4 * KIB, 256, MIB, "Client frame before auth."),
  TICKER_COMMANDS_BURST: count(40, 1, 100_000, "Commands a session may send at once."),
  TICKER_COMMANDS_REFUSED_MAX: count(100, 1, 100_000, "Refused commands in 10 s before close 4429."),
  TICKER_MALFORMED_PER_MINUTE_MAX: count(5, 1, 100_000, "Malformed frames in a minute before close 4400."),
  TICKER_RECENT_TRADES_MAX: count(256, 0, 100_000, "Largest recent of a trades subscription."),
  TICKER_RING_TRADES_MAX: count(4096, 256, 1_000_000, "Trades kept per topic."),
  TICKER_RING_BARS_MAX: count(64, 1, 100_000, "Closed bars kept per topic."),
  TICKER_RING_BYTES_MAX: bytes(256 * MIB, MIB, 64 * KIB * MIB, "Memory of a worker for what is kept."),
  TICKER_BATCHES_IN_FLIGHT_MAX: count(64, 1, 100_000, "Batches on their way to a fan-out thread; one that has so many gets no more, and a snapshot once it has taken them in."),
  TICKER_SOFT_LIMIT_BYTES: bytes(64 * KIB, 1024, 64 * MIB, "Unsent bytes above which a session goes to the lagging lane."),
  TICKER_HARD_LIMIT_BYTES: bytes(MIB, 4096, 256 * MIB, "Unsent bytes above which a lagging session is closed with 4407, after TICKER_HARD_LIMIT_MS."),
  TICKER_HARD_LIMIT_MS: millis(5000, 50, 600_000, "How long unsent bytes may stay over the hard limit."),
  TICKER_STUCK_MS: millis(30_000, 100, 600_000, "A lagging session that reads nothing for this long is closed with 4407."),
  TICKER_CLOSE_WAIT_MS: millis(5000, 50, 600_000, "How long a close waits for what is queued before it; then the connection is dropped."),
  TICKER_START_TURN_MS: millis(5, 1, 600_000, "Time of a turn of the event loop that goes to beginning subscriptions; the rest begin in the next."),
  TICKER_START_PACING_BYTES: bytes(256 * KIB, 1024, 64 * MIB, "Unsent bytes above which a large subscription waits for the socket."),
  TICKER_NATIVE_BACKPRESSURE_MAX: bytes(16 * MIB, 64 * KIB, 1024 * MIB, "Unsent bytes above which the WebSocket library drops."),
  ALLOWED_ORIGINS: setting("", "", read.listOf(read.origin), "Browser origins; default any port of the same host."),
  TRUSTED_PROXIES: setting("", "", read.listOf(read.cidr), "Addresses or networks whose X-Forwarded-For is believed."),
};

/** The copy of the market on the main thread, and the bars that are kept. */
const marketSettings = {
  TICKER_MAIN_FEED_MS: millis(10, 1, 1000, "Records are handed to the main thread this often."),
  TICKER_MAIN_MESSAGES_IN_FLIGHT_MAX: count(64, 1, 100_000, "Messages of records on their way to the main thread; at so many it gets no more, and a snapshot once it has taken them in."),
  TICKER_MAIN_RING_BYTES_MAX: bytes(64 * MIB, MIB, 64 * KIB * MIB, "Memory of the main thread for kept trades: what GET /v1/history/trades answers from."),
  TICKER_BARS_PENDING_MAX: count(10_000, 1, 10_000_000, "Closed bars that wait for the database; beyond it the oldest are dropped and counted."),
  TICKER_BARS_WRITE_MS: millis(1000, 10, 600_000, "Closed bars are written this often."),
  TICKER_BARS_PRUNE_MS: millis(600_000, 10, 86_400_000, "Bars that are too old are removed this often."),
  TICKER_BARS_KEEP_1S_H: count(6, 1, 1_000_000, "Bars of 1 s are kept this long.", "hours"),
  TICKER_BARS_KEEP_1M_H: count(720, 1, 1_000_000, "Bars of 1 min are kept this long.", "hours"),
  TICKER_BARS_KEEP_5M_H: count(2160, 1, 1_000_000, "Bars of 5 min are kept this long.", "hours"),
  TICKER_BARS_KEEP_15M_H: count(4320, 1, 1_000_000, "Bars of 15 min are kept this long.", "hours"),
  TICKER_BARS_KEEP_1H_H: count(17_520, 1, 1_000_000, "Bars of 1 h are kept this long.", "hours"),
  TICKER_BARS_KEEP_1D_H: count(87_600, 24, 1_000_000, "Bars of 1 day are kept this long.", "hours"),
};

/** Access and HTTP. */
const accessSettings = {
  BOOTSTRAP_API_KEYS: setting("", "", read.listOf(read.bootstrapKey), "scope:tk_..., comma-separated: created at start if absent.", true),
  RATE_LIMITS: setting("{}", "JSON", read.rateLimits, `Limits by name, {"orders.batch":"1000/min"}; off outside production only.`),
  TICKER_SETTINGS_POLL_MS: millis(5_000, 10, 600_000, "How often runtime settings are looked at for changes by other processes."),
  TICKER_SETTINGS_WAITING_MAX: count(1_000, 1, 1_000_000, "Changes of runtime settings that wait for those before them; beyond it 503."),
  TICKER_BANNER_LENGTH_MAX: count(300, 1, 10_000, "Length of maintenance.banner.", "characters"),
  TICKER_FAILURE_INJECTION: setting("auto", "", read.oneOf(["auto", "on"]), "Whether failures may be injected; auto: outside production only."),
  TICKER_AUDIT_HEAD_MS: millis(3_600_000, 100, 86_400_000, "Number and hash of the newest audit record are logged this often."),
  TICKER_AUDIT_FAILURES_PER_MINUTE_MAX: count(60, 2, 10_000, "Audit records about failed authentications in a minute, the one for all others included."),
  TICKER_KEYS_POLL_MS: millis(1_000, 10, 60_000, "How often keys are looked at for changes by others and for expiry."),
  TICKER_KEY_GRACE_MS: millis(86_400_000, 0, 604_800_000, "The old secret of a rotated key works this long when nobody says how long."),
  TICKER_RATE_LIMIT_SUBJECTS_MAX: count(50_000, 1, 10_000_000, "Keys and addresses that one limit counts apart in this process; those beyond share one budget."),
  TICKER_TICKET_TTL_MS: millis(60_000, 100, 3_600_000, "A stream ticket expires after this time."),
  TICKER_TICKETS_MAX: count(100_000, 1, 10_000_000, "Unredeemed tickets; beyond it new ones are refused with 503."),
  TICKER_PUBLIC_STREAM_URL: setting("", "URL", read.optional(read.url(["ws:", "wss:"])), "What the page connects to when a proxy stands before the stream; default ws://<host of the page>:STREAM_PORT/v1/stream."),
  TICKER_METRICS_ALLOW: setting("", "", read.listOf(read.cidr), "Who may read /metrics; default loopback in production, everybody outside it."),
  TICKER_HTTP_BODY_BYTES_MAX: bytes(MIB, 64, 64 * MIB, "Request body; larger ones get 413."),
  TICKER_HTTP_HEADERS_MS: millis(10_000, 100, 600_000, "Request headers must arrive within this time."),
  TICKER_HTTP_REQUEST_MS: millis(30_000, 100, 600_000, "A whole request must arrive within this time."),
  TICKER_HTTP_CONNECTIONS_MAX: count(10_000, 1, 1_000_000, "HTTP connections at a time; beyond it they are closed at once."),
  WEBHOOK_ALLOWED_HOSTS: setting("", "", read.listOf(read.hostAndPort), `host:port that webhooks may go to by http. ${LATER}`),
  WEBHOOK_RETRY_SCHEDULE: setting("5s,5min,30min,2h,5h,10h,14h,20h,24h", "durations", read.listOf(read.duration), `Waits before each retry of a webhook. ${LATER}`),
  PAPER_BALANCE: setting("1000000", "quote currency", read.exactDecimal(0, 1e15, 15), "What an owner's paper account begins with, of each quote currency."),
};

const secret = (about: string) => setting("", "", read.optional(read.plainText("a credential")), about, true);
const secretFile = (of: string) => setting("", "path", read.optional(read.plainText("a path")), `File that holds ${of}, instead of it.`);

/** The broker behind orders. */
const brokerSettings = {
  TICKER_BROKER: setting("paper", "", read.oneOf(["paper", "ccxt", "alpaca", "kite"]), "Where orders go: paper matches them against our own market."),
  TICKER_BROKER_TEST_MODE: setting("on", "", read.oneOf(["on", "off"]), "on: the test system of ccxt's exchange, Alpaca's paper account; off: real money. Kite has no test system."),
  TICKER_BROKER_URL: setting("", "URL", read.optional(read.url(["http:", "https:"])), "Points the broker elsewhere; with ccxt scheme and host of every endpoint."),
  TICKER_BROKER_VENUES: setting("", "", read.listOf(read.plainText("a venue")), "Venues whose instruments the broker trades; default the exchange of ccxt, or Alpaca's. Kite's are fixed."),
  TICKER_BROKER_DEADLINE_MS: millis(5000, 10, 600_000, "A request to a broker that takes longer has an unknown outcome."),
  TICKER_BROKER_CALLS_MAX: count(64, 1, 10_000, "Requests to a broker at a time; beyond it they are not sent.", "calls"),
  TICKER_BROKER_CONFIRM_MS: millis(3000, 0, 600_000, "How long a cancel that was taken, or an order that is being validated, is asked about."),
  TICKER_BROKER_CONFIRM_EVERY_MS: millis(100, 1, 60_000, "Pause between these questions."),
  TICKER_BROKER_SETTLE_MS: millis(10_000, 0, 600_000, "How long an order whose outcome is unknown may still appear at the broker: until then its absence proves nothing."),
  TICKER_BROKER_POLL_MS: millis(1000, 10, 600_000, "Open orders are looked at this often."),
  TICKER_BROKER_POLL_ORDERS_MAX: count(20, 1, 10_000, "Open orders looked at each time, where the broker answers about one at a time.", "orders"),
  TICKER_BROKER_ORDERS_MAX: count(10_000, 1, 1_000_000, "Open orders that are followed; beyond it the one looked at least recently is given up and counted.", "orders"),
  TICKER_CCXT_EXCHANGE: setting("binance", "", read.plainText("an exchange of ccxt"), "Exchange that ccxt talks to."),
  TICKER_CCXT_API_KEY: secret("API key at the exchange."),
  TICKER_CCXT_API_KEY_FILE: secretFile("TICKER_CCXT_API_KEY"),
  TICKER_CCXT_SECRET: secret("Secret of the API key."),
  TICKER_CCXT_SECRET_FILE: secretFile("TICKER_CCXT_SECRET"),
  TICKER_CCXT_PASSWORD: secret("Passphrase of the API key, where the exchange has one."),
  TICKER_CCXT_PASSWORD_FILE: secretFile("TICKER_CCXT_PASSWORD"),
  TICKER_ALPACA_KEY_ID: secret("Key id at Alpaca."),
  TICKER_ALPACA_KEY_ID_FILE: secretFile("TICKER_ALPACA_KEY_ID"),
  TICKER_ALPACA_SECRET_KEY: secret("Secret key at Alpaca."),
  TICKER_ALPACA_SECRET_KEY_FILE: secretFile("TICKER_ALPACA_SECRET_KEY"),
  TICKER_KITE_API_KEY: secret("API key at Kite."),
  TICKER_KITE_API_KEY_FILE: secretFile("TICKER_KITE_API_KEY"),
  TICKER_KITE_ACCESS_TOKEN: secret("Access token of the day at Kite."),
  TICKER_KITE_ACCESS_TOKEN_FILE: secretFile("TICKER_KITE_ACCESS_TOKEN"),
  TICKER_KITE_PRODUCT: setting("CNC", "", read.oneOf(["CNC", "NRML", "MIS"]), "Delivery, overnight futures and options, or intraday."),
};

/** Orders, batches and the paper broker. */
const tradingSettings = {
  TICKER_BATCH_LEGS_MAX: count(20, 1, 1000, "Orders of a batch.", "orders"),
  TICKER_BATCH_TIMEOUT_MS: millis(30_000, 1, 600_000, "A batch whose request has no timeout_ms sends no leg after this time."),
  TICKER_BATCH_TIMEOUT_MAX_MS: millis(120_000, 1, 600_000, "Largest timeout_ms of a request."),
  TICKER_BATCHES_RUNNING_MAX: count(200, 1, 100_000, "Batches and single orders under way; beyond it 503.", "batches"),
  TICKER_ORDER_PLACE_TIMEOUT_MS: millis(15_000, 1, 600_000, "An order that the broker does not answer within this time has an unknown outcome."),
  TICKER_ORDER_CANCEL_TIMEOUT_MS: millis(15_000, 1, 600_000, "The same for a request to cancel."),
  TICKER_ORDER_FIND_TIMEOUT_MS: millis(15_000, 1, 600_000, "The same for a look-up and for the checks before an order."),
  TICKER_ORDER_LOOKUPS_MAX: count(12, 2, 1000, "Look-ups of an order whose outcome is unknown, before a decision.", "look-ups"),
  TICKER_ORDER_LOOKUP_DELAY_MS: millis(250, 1, 600_000, "Before the second look-up; doubled before each further one, up to eight times."),
  TICKER_ORDER_ABSENT_SETTLE_MS: millis(5000, 0, 600_000, "A broker's 'no such order' is believed this long after the order was sent, and when it was said twice."),
  TICKER_ROLLBACK_CANCELS_MAX: count(3, 1, 100, "Requests to cancel one leg of a rollback.", "requests"),
  TICKER_ROLLBACK_DELAY_MS: millis(500, 1, 600_000, "Before another such request."),
  TICKER_ROLLBACK_MAX_MS: millis(60_000, 1, 3_600_000, "A rollback that takes longer tries everything that is left once."),
  TICKER_IDEMPOTENCY_KEEP_MS: millis(86_400_000, 1000, 2_592_000_000, "Idempotency keys and their answers are kept this long."),
  TICKER_ORDER_EVENTS_KEEP_MS: millis(2_592_000_000, 1000, 31_536_000_000, "Events of orders, for resuming the channel orders, are kept this long."),
  TICKER_ORDER_PRUNE_MS: millis(600_000, 10, 86_400_000, "What is too old of both is removed this often."),
  TICKER_BATCH_RESUME_MS: millis(2000, 10, 600_000, "Batches that an absent database interrupted are taken up again this often."),
  TICKER_ORDER_RECONCILE_MS: millis(30_000, 10, 3_600_000, "Orders whose state is not known are looked up this often."),
  TICKER_TRADING_STOP_MS: millis(2000, 0, 600_000, "A stop waits this long for calls to the broker that are under way."),
  TICKER_PAPER_MAKER_FEE: setting("0", "of price times quantity", read.exactDecimal(0, 0.1, 6), "Fee of the paper broker for an order that rested; 0.001 is 0.1 %."),
  TICKER_PAPER_TAKER_FEE: setting("0", "of price times quantity", read.exactDecimal(0, 0.1, 6), "The same for one that did not."),
  TICKER_PAPER_OPEN_PER_OWNER_MAX: count(1000, 1, 1_000_000, "Open paper orders of an owner.", "orders"),
  TICKER_PAPER_OPEN_MAX: count(100_000, 1, 10_000_000, "Open paper orders in all.", "orders"),
  TICKER_PAPER_RETRY_MS: millis(500, 10, 600_000, "From a write of the paper broker that failed to the next try."),
  TICKER_PAPER_CURRENCY: setting("USD", "", read.plainText("a currency"), "What the paper broker is paid in for instruments that are no pair."),
};

/** Every variable by name, in the order of `--help`. */
export const schema = z.object({ ...processSettings, ...feedSettings, ...streamSettings, ...marketSettings, ...accessSettings, ...brokerSettings, ...tradingSettings });

/** The values as read, one per variable. */
export type Settings = z.output<typeof schema>;
export type SettingName = keyof Settings;
