/**
 * Breakers of the stream thread: a venue whose REST side is away, operators' orders across the thread, and a thread that starts anew.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { CircuitBreakers } from "../../src/adapters/breaker.ts";
import { StreamHost } from "../../src/compose/stream-host.ts";
import { loadConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SYSTEM } from "../../src/services/admin-charge.ts";
import { BreakerService } from "../../src/services/breaker-service.ts";
import { KeepingAudit } from "../support/keeping-audit.ts";
import { itemsOf, type RestClient, restClient } from "../support/rest-client.ts";
import { KeepingLog } from "../support/silent-log.ts";
import { type RunningService, startService } from "../support/start-service.ts";

const KEY = `tk_admin${"a".repeat(32)}`;
/** A venue's REST side that fails whatever is asked. */
let venue: Server;
let asked = 0;
let service: RunningService;
let admin: RestClient;

beforeAll(async () => {
  venue = createServer(({ headers }, response) => {
    if (headers.upgrade === undefined) asked++;
    response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => venue.listen(0, "127.0.0.1", resolve));
  const address = venue.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  service = await startService({ env: {
    FEEDS: "sim,kraken", KRAKEN_REST_URL: `http://127.0.0.1:${port}`, KRAKEN_WS_URL: `ws://127.0.0.1:${port}`, BOOTSTRAP_API_KEYS: `admin:${KEY}`,
    RATE_LIMITS: "off", TICKER_BREAKER_CALLS_MIN: "1", TICKER_BREAKER_PROBE_MS: "86400000",
  } });
  admin = restClient(service.page, KEY);
});
afterAll(async () => {
  await service.stop();
  venue.close();
});

const kraken = async () => itemsOf(await admin.get("/v1/admin/breakers")).find(({ name }) => name === "venue.kraken");

it("opens when the venue fails, asks no more, and says so everywhere", async () => {
  await service.said(/circuit breaker changed.*breaker=venue\.kraken.*state=open.*why=failures/);
  await expect.poll(kraken, { timeout: 5000 }).toMatchObject({ state: "open", tripped: false, failures: 1, last_failure: expect.stringContaining("status 500") });
  expect(asked).toBe(1);
  const opened = async () => itemsOf(await admin.get("/v1/admin/audit?limit=20&action=breaker.opened"));
  await expect.poll(opened, { timeout: 5000 }).toMatchObject([{ actor: "system", target: "venue.kraken" }]);
  const metrics = await (await fetch(`${service.page}/metrics`)).text();
  expect(metrics).toMatch(/^ticker_breaker_state\{breaker="venue\.kraken"\} 2$/m);
  expect(metrics).toMatch(/^ticker_breaker_state\{breaker="database"\} 0$/m);
});

it("takes orders from operators", async () => {
  expect(await admin.send("POST", "/v1/admin/breakers/venue.kraken/reset")).toMatchObject({ status: 200, body: { state: "closed" } });
  expect(await admin.send("POST", "/v1/admin/breakers/venue.kraken/trip", { ttl_s: 600 })).toMatchObject({ status: 200, body: { state: "open", tripped: true } });
  expect(await kraken()).toMatchObject({ state: "open", tripped: true });
  const calls = asked;
  const refreshed = await admin.send("POST", "/v1/admin/instruments/refresh");
  expect(JSON.stringify(refreshed.body)).toContain("the circuit breaker venue.kraken is open (an operator opened it)");
  expect(asked).toBe(calls);
});

it("stays tripped when the stream thread fails and starts anew", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ticker-failing-"));
  const marker = join(folder, "fail");
  const { stream, breakers: limits } = loadConfig({ FEEDS: "kraken", KRAKEN_REST_URL: "http://127.0.0.1:9", KRAKEN_WS_URL: "ws://127.0.0.1:9", STREAM_PORT: "0", FEED_INSTRUMENTS: `fail:${marker}` });
  const { softLimitBytes, hardLimitBytes, ringBytesMax, sessionsPerKeyMax } = stream.fanout;
  const settings = { revision: 0, softLimitBytes, hardLimitBytes, ringBytesMax, sessionsPerKeyMax, banner: null, feedsEnabled: {}, logLevel: "info" as const };
  const log = new KeepingLog();
  const host: StreamHost = new StreamHost({
    entry: new URL("../support/failing-stream.ts", import.meta.url), clock: systemClock, log,
    options: () => ({ ...stream, keys: [], trips: breakers.standingTrips(), settings, memory: { instruments: [], carried: [] } }), redeem: () => null,
    onMarket: () => undefined, onRefusedKey: () => undefined, onFeeds: () => undefined, onBreaker: () => undefined, onFatal: () => undefined,
    startMs: 10_000, silenceMs: 10_000, drainMs: 1000, restartsPerMinuteMax: 5,
  });
  const remote = { reports: () => host.breakers(), order: host.questions.order.bind(host.questions) };
  const breakers = new BreakerService({ own: new CircuitBreakers({ clock: systemClock, limits }), remote, audit: new KeepingAudit(), clock: systemClock, chargeOf: () => null });
  await host.start();
  await expect.poll(() => breakers.list()).toMatchObject([{ name: "venue.kraken" }]);
  await breakers.trip("venue.kraken", 600_000, SYSTEM, null);
  writeFileSync(marker, "");
  await expect.poll(() => log.lines.map(({ message }) => message), { timeout: 10_000 }).toContain("the stream thread runs again");
  await expect.poll(() => host.breakers()[0], { timeout: 5000 }).toMatchObject({ name: "venue.kraken", state: "open", isTripped: true, opened: 1 });
  expect(host.breakers()[0]?.probeInMs).toBeLessThan(600_000);
  await host.stop();
  rmSync(folder, { recursive: true });
});
