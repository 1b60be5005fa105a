/**
 * The configuration as whoever starts the service sees it.
 */
import { describe, expect, it } from "vitest";
import { defaultWorkers, helpText, loadConfig, printConfig, settingNames } from "../../src/config.ts";
import { metaOf, schema } from "../../src/config-schema.ts";
import { ConfigurationError } from "../../src/core/errors.ts";

const load = (environment: Readonly<Record<string, string>>) => loadConfig(environment, { cores: 2 });
const faultsOf = (environment: Readonly<Record<string, string>>): readonly string[] => {
  try {
    load(environment);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.faults;
    throw error;
  }
  return [];
};
const KEY = `tk_${"a".repeat(32)}`;

describe("the defaults", () => {
  it("are those of the protocol page", () => {
    const config = load({});
    expect(config).toMatchObject({ isProduction: false, httpPort: 8080, shutdownMs: 10_000, readyWaitMs: 10_000, ticketTtlMs: 60_000 });
    expect(config.stream).toMatchObject({
      host: "127.0.0.1", streamPort: 8081, workers: 1, flushMaxMs: 5, feeds: [{ kind: "sim" }], sim: { seed: 1, instruments: 50, eventsPerS: 2000 },
      push: { host: "127.0.0.1", port: 8082 }, feedPulledInMax: 200, instrumentsMax: 20_000,
    });
    expect(config.stream.fanout).toMatchObject({
      server: "ticker-service/0.1.0", authTimeoutMs: 10_000, heartbeatMs: 5000, pingMs: 1000, pingIdleMs: 20_000, pingsPerSMax: 2000, idleMs: 60_000,
      topicsPerSessionMax: 3000, symbolsPerFrameMax: 500, topicsPerAnswerMax: 100, subscriptionsMax: 5_000_000, sessionsMax: 25_000,
      unauthenticatedMax: 12_500, sessionsPerKeyMax: 100, sessionsPerAddressMax: 20_000, frameBytesMax: 65_536, frameBytesDropped: 131_072,
      frameBytesBeforeAuthMax: 4096, commandsPerS: 20, commandsBurst: 40, commandsRefusedMax: 100, malformedPerMinuteMax: 5, recentTradesMax: 256,
      ringTradesMax: 4096, ringBarsMax: 64, ringBytesMax: 268_435_456, startTurnMs: 5, startPacingBytes: 262_144, nativeBackpressureMax: 16_777_216,
    });
  });

  it("are within their own limits, each with a sentence", () => {
    for (const name of settingNames()) {
      expect(schema.shape[name].safeParse(undefined).success, name).toBe(true);
      expect(metaOf(schema.shape[name]).about, name).toMatch(/\.$/);
    }
  });

  it.each([[1, 1], [3, 1], [4, 2], [8, 6], [10, 8], [64, 8]])("take for %i cores %i fan-out threads", (cores, workers) => {
    expect(defaultWorkers(cores)).toBe(workers);
    expect(loadConfig({}, { cores }).stream.workers).toBe(workers);
  });

  it("cannot be changed afterwards", () => {
    const config = load({});
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.stream.fanout.allowedOrigins)).toBe(true);
  });
});

describe("FEEDS", () => {
  it("takes venues with their own addresses, push and several entries", () => {
    const { feeds } = load({ FEEDS: "coinbase, kraken,push", KRAKEN_WS_URL: "ws://127.0.0.1:9/x" }).stream;
    expect(feeds).toEqual([
      { kind: "venue", venue: "coinbase", wsUrl: null, restUrl: null }, { kind: "venue", venue: "kraken", wsUrl: "ws://127.0.0.1:9/x", restUrl: null }, { kind: "push" },
    ]);
  });

  it.each([
    ["replay:/a/b.jsonl.gz", "/a/b.jsonl.gz", 1], ["replay:b@10", "b", 10], ["replay:b@0.5", "b", 0.5], ["replay:b@0", "b", 0], ["replay:b@max", "b", 0],
    ["replay:a@b/c.gz", "a@b/c.gz", 1], ["replay:a@b@2", "a@b", 2],
  ])("reads %s", (text, path, speed) => {
    expect(load({ FEEDS: text }).stream.feeds).toEqual([{ kind: "replay", path, speed }]);
  });

  it.each([["nyse", /expected sim, push, .* found "nyse"/], ["replay:", /replay:PATH/], ["sim,sim", /"sim" is named twice/], ["replay:a,push,replay:a@2", /"replay:a@2" is named twice/], [",", /at least one feed/]])("refuses %s", (text, fault) => {
    expect(faultsOf({ FEEDS: text }).join()).toMatch(fault);
  });
});

describe("the paper account", () => {
  it("is exact: what cannot be is refused, not rounded", () => {
    expect(load({ PAPER_BALANCE: "1000000000000000", TICKER_PAPER_MAKER_FEE: "0.1", TICKER_PAPER_TAKER_FEE: "0.000001" }).trading.paper).toMatchObject({ balance: "1000000000000000", makerFee: "0.1", takerFee: "0.000001" });
    expect(load({ PAPER_BALANCE: "0.000000000000001" }).trading.paper.balance).toBe("0.000000000000001");
    for (const balance of ["1000000000000000.1", "0.0000000000000001", "-1", "1e6"]) expect(faultsOf({ PAPER_BALANCE: balance }).join()).toMatch(/PAPER_BALANCE: expected a number from 0 to .* with at most 15 digits/);
    for (const fee of ["0.100001", "0.0000001"]) expect(faultsOf({ TICKER_PAPER_TAKER_FEE: fee }).join()).toMatch(/TICKER_PAPER_TAKER_FEE: expected a number from 0 to 0\.1 with at most 6/);
  });
});

describe("a fault", () => {
  it("does not hide the others", () => {
    const faults = faultsOf({ HTTP_PORT: "x", STREAM_PORT: "70000", TICKER_IDLE: "1", LOG_LEVEL: "loud", REDIS_URL: "redis://h" });
    for (const name of ["HTTP_PORT", "STREAM_PORT", "TICKER_IDLE", "LOG_LEVEL", "REDIS_URL"]) expect(faults.join("\n")).toContain(`${name}:`);
  });

  it("suggests the variable that was meant", () => {
    expect(faultsOf({ TICKER_SESIONS_MAX: "1" })).toEqual(["TICKER_SESIONS_MAX: unknown variable; did you mean TICKER_SESSIONS_MAX?"]);
    expect(faultsOf({ TICKER_WHATEVER_ELSE_ENTIRELY: "1" })[0]).toMatch(/--help/);
  });

  it("says that Redis alone is no mode, and that databases are not built yet", () => {
    expect(faultsOf({ REDIS_URL: "redis://h" })).toEqual(["REDIS_URL: Redis alone is no mode of this service; set DATABASE_URL as well, or neither"]);
    for (const DATABASE_URL of ["nonsense", "mysql://u:secret@h/d", "postgres://", "postgres:secret"]) {
      const faults = faultsOf({ DATABASE_URL });
      expect(faults, DATABASE_URL).toEqual([expect.stringMatching(/^DATABASE_URL: expected a URL that starts with postgres:\/\/ or postgresql:\/\/ and names a host/)]);
      expect(faults.join()).not.toContain("secret");
    }
    expect(load({ REDIS_URL: "redis://h", DATABASE_URL: "postgres://u:secret@h/d" })).toMatchObject({ redisUrl: "redis://h", databaseUrl: "postgres://u:secret@h/d" });
  });

  it("does not repeat a key", () => {
    const secret = "tk_short_but_secret";
    expect(faultsOf({ BOOTSTRAP_API_KEYS: `read:${secret}` }).join()).not.toContain(secret);
    expect(faultsOf({ BOOTSTRAP_API_KEYS: secret }).join()).not.toContain(secret);
  });

  it.each([
    ["HTTP_PORT", "-1"], ["HTTP_PORT", "65536"], ["SIM_EVENTS_PER_S", "0"], ["SIM_EVENTS_PER_S", "500001"], ["WORKERS", "0"], ["WORKERS", "65"], ["WORKERS", "two"],
    ["ALLOWED_ORIGINS", "https://a.example/"], ["ALLOWED_ORIGINS", "a.example"], ["TRUSTED_PROXIES", "10.0.0.0/33"], ["TRUSTED_PROXIES", "proxy"],
    ["TICKER_METRICS_ALLOW", "::1/129"], ["KRAKEN_WS_URL", "https://h"], ["KRAKEN_REST_URL", "https://u:p@h"], ["RATE_LIMITS", "{"], ["RATE_LIMITS", '{"a":"1/min"}'],
    ["RATE_LIMITS", '{"default":"fast"}'], ["RATE_LIMITS", '{"default":"0/min"}'], ["RATE_LIMITS", '{"default":5}'], ["RATE_LIMITS", "[]"],
    ["WEBHOOK_ALLOWED_HOSTS", "h"], ["WEBHOOK_RETRY_SCHEDULE", "5"], ["NODE_ENV", "prod"], ["TICKER_JUMP_BAND_PCT", "0"], ["STREAM_HEARTBEAT_MS", "1.5"],
    ["TICKER_SETTINGS_POLL_MS", "9"], ["TICKER_SETTINGS_WAITING_MAX", "0"], ["TICKER_BANNER_LENGTH_MAX", "10001"], ["TICKER_FAILURE_INJECTION", "yes"],
    ["TICKER_AUDIT_HEAD_MS", "99"], ["TICKER_AUDIT_FAILURES_PER_MINUTE_MAX", "1"],
  ])("names %s when it is %s", (name, text) => {
    expect(faultsOf({ [name]: text })[0]).toMatch(new RegExp(`^${name}: expected .*found`));
  });

  it.each([
    ["HTTP_PORT", "0"], ["HTTP_PORT", "65535"], ["SIM_EVENTS_PER_S", "1"], ["SIM_EVENTS_PER_S", "500_000"], ["WORKERS", "64"], ["WORKERS", "auto"],
    ["ALLOWED_ORIGINS", "https://a.example,http://b:81"], ["TRUSTED_PROXIES", "10.0.0.0/8, ::1"], ["RATE_LIMITS", '{"orders.batch":"1000/min","admin.write.breakglass":"1/s","anonymous.hour":"999999999/h"}'], ["RATE_LIMITS", "off"],
    ["WEBHOOK_ALLOWED_HOSTS", "127.0.0.1:99"], ["WEBHOOK_RETRY_SCHEDULE", "1s,2s,5s"],
    ["TICKER_SETTINGS_POLL_MS", "10"], ["TICKER_SETTINGS_WAITING_MAX", "1"], ["TICKER_BANNER_LENGTH_MAX", "10000"], ["TICKER_FAILURE_INJECTION", "on"],
    ["TICKER_AUDIT_HEAD_MS", "100"], ["TICKER_AUDIT_FAILURES_PER_MINUTE_MAX", "2"], ["TICKER_SOFT_LIMIT_BYTES", "1048576"], ["TICKER_HARD_LIMIT_BYTES", "16777216"],
  ])("is not found in %s=%s", (name, text) => {
    expect(faultsOf({ [name]: text })).toEqual([]);
  });

  it.each([
    [{ HTTP_PORT: "9000", STREAM_PORT: "9000" }, /STREAM_PORT: 9000 is also HTTP_PORT/],
    [{ FEEDS: "push", HTTP_PORT: "8082" }, /PUSH_PORT: 8082 is also HTTP_PORT/],
    [{ TICKER_HTTP_HEADERS_MS: "40000" }, /TICKER_HTTP_HEADERS_MS: 40000 is more than TICKER_HTTP_REQUEST_MS/],
    [{ TICKER_FRAME_BYTES_MAX: "200000" }, /TICKER_FRAME_BYTES_MAX: 200000 is more than TICKER_FRAME_BYTES_DROPPED/],
    [{ TICKER_SOFT_LIMIT_BYTES: "1048577" }, /TICKER_SOFT_LIMIT_BYTES: 1048577 is more than TICKER_HARD_LIMIT_BYTES/],
    [{ TICKER_HARD_LIMIT_BYTES: "16777217" }, /TICKER_HARD_LIMIT_BYTES: 16777217 is more than TICKER_NATIVE_BACKPRESSURE_MAX/],
    [{ NODE_ENV: "production", RATE_LIMITS: "off" }, /RATE_LIMITS: off is allowed outside production/],
  ])("shows when values contradict each other: %j", (environment, fault) => {
    expect(faultsOf(environment).join()).toMatch(fault);
  });

  it("is not made of a port that nobody listens on", () => {
    expect(faultsOf({ HTTP_PORT: "8082" })).toEqual([]);
  });
});

describe("keys", () => {
  it("are read with any number of a scope", () => {
    expect(load({ BOOTSTRAP_API_KEYS: `read:${KEY},read:${KEY}b,breakglass:${KEY}c,publish:${KEY}d` }).bootstrapKeys).toEqual([
      { scope: "read", key: KEY }, { scope: "read", key: `${KEY}b` }, { scope: "breakglass", key: `${KEY}c` }, { scope: "publish", key: `${KEY}d` },
    ]);
  });

  it("are judged by length, on both sides of the limit", () => {
    expect(faultsOf({ BOOTSTRAP_API_KEYS: `read:tk_${"a".repeat(31)}` })).toHaveLength(1);
    expect(faultsOf({ BOOTSTRAP_API_KEYS: `read:tk_${"a".repeat(32)}` })).toEqual([]);
  });
});

describe("what is printed", () => {
  it("masks secrets and says what is a default", () => {
    const text = printConfig({ BOOTSTRAP_API_KEYS: `admin:${KEY}`, HTTP_PORT: "9", DATABASE_URL: "postgres://u:pw@h/d" });
    expect(text).not.toContain(KEY);
    expect(text).not.toContain("pw@");
    expect(text).toContain("BOOTSTRAP_API_KEYS=[set, not shown]");
    expect(text).toContain("HTTP_PORT=9\n");
    expect(text).toContain("STREAM_PORT=8081  (default)");
  });

  it("lists every variable in the help", () => {
    for (const name of settingNames()) expect(helpText()).toContain(`  ${name} [`);
  });
});

it("lets /metrics be read from loopback in production and from anywhere outside it, unless told otherwise", () => {
  expect(load({}).metricsAllow).toContain("0.0.0.0/0");
  expect(load({ NODE_ENV: "production" }).metricsAllow).toEqual(["127.0.0.0/8", "::1"]);
  expect(load({ NODE_ENV: "production", TICKER_METRICS_ALLOW: "10.1.2.3" }).metricsAllow).toEqual(["10.1.2.3"]);
});
