/**
 * A Postgres that goes silent or away under a running service: the stream goes on, writes are 503, it recovers by itself.
 */
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { newServerDatabase } from "../support/server-database.ts";
import { itemsOf, type RestAnswer, type RestClient, restClient } from "../support/rest-client.ts";
import { type RunningService, spawnService, startService } from "../support/start-service.ts";
import { StreamClient } from "../support/stream-client.ts";
import { type TcpProxy, tcpProxy } from "../support/tcp-proxy.ts";

const KEYS = { admin: `tk_admin${"a".repeat(32)}`, read: `tk_read${"r".repeat(32)}` };
const RECOVERY_MS = 15_000;
/** Short, so that the calls of a healthy database are soon forgotten: some three a second in a quiet service. */
const WINDOW_MS = "5000";

describe("a start without its database", () => {
  it("ends with 1 and a sentence that names what to check, and not the password", async () => {
    const service = spawnService({ env: { DATABASE_URL: "postgres://u:hidden@127.0.0.1:1/d" } });
    expect(await service.exited).toBe(1);
    expect(service.output()).toMatch(/the database cannot be used: .*ECONNREFUSED.*; check DATABASE_URL/);
    expect(service.output()).not.toContain("hidden");
    await service.stop();
  });
});

describe.skipIf(inject("postgres") === "")("a service on Postgres", () => {
  let proxy: TcpProxy;
  let made: Awaited<ReturnType<typeof newServerDatabase>>;
  let service: RunningService;
  let admin: RestClient;
  let client: StreamClient;

  beforeAll(async () => {
    made = await newServerDatabase(inject("postgres"));
    const url = new URL(made.url);
    proxy = await tcpProxy(url.hostname, Number(url.port));
    url.host = `127.0.0.1:${proxy.port}`;
    service = await startService({ env: { DATABASE_URL: url.href, BOOTSTRAP_API_KEYS: `admin:${KEYS.admin},read:${KEYS.read}`, RATE_LIMITS: "off", TICKER_BREAKER_WINDOW_MS: WINDOW_MS } });
    admin = restClient(service.page, KEYS.admin);
    client = new StreamClient(service.stream);
    await client.next((m) => m.type === "welcome");
    client.say({ type: "auth", api_key: KEYS.read });
    await client.next((m) => m.type === "authenticated");
    client.say({ type: "subscribe", id: 1, channel: "quotes", symbols: ["sim:BTC-USD"] });
  }, 40_000);
  afterAll(async () => {
    client.close();
    await service.stop();
    await proxy.close();
    await made.drop();
  });

  /** A write, and how long its answer took. */
  const write = async (): Promise<RestAnswer & { readonly tookMs: number }> => {
    const startedMs = performance.now();
    const answer = await admin.send("POST", "/v1/admin/keys", { scope: "read" });
    return { ...answer, tookMs: performance.now() - startedMs };
  };
  const streams = async (): Promise<void> => {
    const before = client.of("quote", "sim:BTC-USD").length;
    await expect.poll(() => client.of("quote", "sim:BTC-USD").length, { timeout: 5000 }).toBeGreaterThan(before + 5);
    expect(client.closeCode).toBeNull();
  };
  const database = async () => itemsOf(await admin.get("/v1/admin/breakers")).find(({ name }) => name === "database");

  it.each(["silence", "cut"] as const)("goes on streaming after %s, refuses writes within 5 s, says so, and recovers by itself", async (how) => {
    proxy.heal();
    await expect.poll(async () => (await write()).status, { timeout: RECOVERY_MS, interval: 250 }).toBe(201);
    proxy[how]();
    const refusedWrite = async (): Promise<unknown> => {
      const refused = await write();
      expect(refused).toMatchObject({ status: 503, body: { code: "database_unavailable" } });
      expect(refused.headers.get("retry-after")).toBe("5");
      expect(refused.tookMs).toBeLessThan(5000);
      return (await database())?.["state"];
    };
    await expect.poll(refusedWrite, { timeout: 30_000, interval: 100 }).toMatch(/open/);
    await streams();
    expect(await database()).toMatchObject({ state: expect.stringMatching(/open/), last_failure: expect.stringContaining("database") });
    expect((await admin.get("/health/readiness")).status).toBe(200);
    const detailed = await admin.get("/health/detailed");
    expect(detailed.status).toBe(200);
    expect(detailed.body["status"]).toBe("degraded");
    expect(detailed.body["dependencies"]).toContainEqual(expect.objectContaining({ name: "database", status: "down" }));
    proxy.heal();
    await expect.poll(async () => (await write()).status, { timeout: RECOVERY_MS, interval: 250 }).toBe(201);
    expect(await database()).toMatchObject({ state: "closed" });
    await streams();
    const recorded = async () => itemsOf(await admin.get("/v1/admin/audit?limit=50&actor=system")).map(({ action, target }) => `${String(action)} ${String(target)}`);
    await expect.poll(recorded, { timeout: 5000 }).toEqual(expect.arrayContaining(["breaker.opened database", "breaker.closed database"]));
    expect(await admin.get("/v1/admin/audit/verify")).toMatchObject({ status: 200, body: { valid: true } });
  }, 60_000);
});
