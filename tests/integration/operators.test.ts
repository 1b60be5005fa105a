/**
 * Operators and a running service: breakers, sessions, emergency keys, log level, health, drain. Real process, real sockets.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { itemsOf, type RestClient, restClient } from "../support/rest-client.ts";
import { type RunningService, startService } from "../support/start-service.ts";
import { StreamClient } from "../support/stream-client.ts";

const KEYS = {
  admin: `tk_admin${"a".repeat(32)}`, trips: `tk_trips${"t".repeat(32)}`, resets: `tk_resets${"s".repeat(32)}`, breakglass: `tk_glass${"g".repeat(32)}`,
  read: `tk_read${"r".repeat(32)}`, other: `tk_other${"o".repeat(32)}`,
};
const BOOTSTRAP = `admin:${KEYS.admin},admin:${KEYS.trips},admin:${KEYS.resets},breakglass:${KEYS.breakglass},read:${KEYS.read},read:${KEYS.other}`;
const clients: StreamClient[] = [];

/** An authenticated client and the id of its session. */
async function join(service: RunningService, key: string, encoding = "json"): Promise<{ readonly client: StreamClient; readonly id: string; readonly keyId: string }> {
  const client = new StreamClient(service.stream);
  clients.push(client);
  await client.next((m) => m.type === "welcome");
  client.say({ type: "auth", api_key: key, encoding });
  const answer = await client.next((m) => m.type === "authenticated");
  return { client, id: String(answer["session"]), keyId: String(answer["key_id"]) };
}

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

describe.each(["1", "2"])("the sessions of a service with WORKERS=%s", (workers) => {
  let service: RunningService;
  let admin: RestClient;
  beforeAll(async () => {
    service = await startService({ env: { WORKERS: workers, BOOTSTRAP_API_KEYS: BOOTSTRAP, RATE_LIMITS: '{"default":"10000/min"}' } });
    admin = restClient(service.page, KEYS.admin);
  });
  afterAll(() => service.stop());

  it("are listed with what they hold, whichever worker has them", async () => {
    const joined = await Promise.all(Array.from({ length: 12 }, (_, i) => join(service, i % 3 === 0 ? KEYS.other : KEYS.read, i === 0 ? "msgpack" : "json")));
    const [first] = joined;
    if (!first) throw new Error("nobody joined");
    first.client.sayBinary({ type: "subscribe", id: 1, channel: "quotes", symbols: ["sim:BTC-USD", "sim:ETH-USD"] });
    await first.client.next((m) => m.type === "subscribed");
    new StreamClient(service.stream).socket.on("open", function unauthenticated() {
      this.close();
    });
    const listed = await admin.get("/v1/admin/connections");
    expect(listed.status).toBe(200);
    expect(listed.body).toMatchObject({ next_cursor: null, matching: 12, silent_workers: 0 });
    const items = itemsOf(listed);
    expect(items.map(({ id }) => id)).toEqual(joined.map(({ id }) => id).toSorted());
    expect(items.find(({ id }) => id === first.id)).toMatchObject({
      key_id: first.keyId, address: "127.0.0.1", lane: "live", encoding: "msgpack", topics: 2, wildcards: 0, opened_at: expect.any(Number), unsent_bytes: expect.any(Number),
    });
    expect(new Set(items.map(({ worker }) => worker)).size).toBe(Number(workers));
  });

  it("come in pages without a hole, and filtered", async () => {
    const joined = await Promise.all(Array.from({ length: 7 }, (_, i) => join(service, i < 3 ? KEYS.other : KEYS.read)));
    const seen: unknown[] = [];
    for (let cursor: unknown = ""; typeof cursor === "string";) {
      const page = await admin.get(`/v1/admin/connections?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      seen.push(...itemsOf(page).map(({ id }) => id));
      cursor = page.body["next_cursor"];
    }
    expect(seen).toEqual(joined.map(({ id }) => id).toSorted());
    const others = await admin.get(`/v1/admin/connections?key_id=${joined[0]?.keyId}&lane=live&address=127.0.0.1&limit=2`);
    expect(others.body).toMatchObject({ matching: 3 });
    expect(itemsOf(others)).toHaveLength(2);
    expect(itemsOf(await admin.get("/v1/admin/connections?lane=lagging"))).toEqual([]);
    expect((await admin.get("/v1/admin/connections?lane=fast")).status).toBe(422);
    expect((await admin.get("/v1/admin/connections?cursor=abc")).status).toBe(422);
  });

  it("end one by one with a goodbye; the others stay", async () => {
    const [gone, stays] = [await join(service, KEYS.read), await join(service, KEYS.read)];
    expect((await admin.send("DELETE", `/v1/admin/connections/${gone.id}`, undefined, { "x-reason": "it misbehaves" })).status).toBe(204);
    expect(await gone.client.next((m) => m.type === "goodbye")).toMatchObject({ code: 503, reason: "draining", reconnect: true, reconnect_after_ms: expect.any(Number) });
    expect(await gone.client.closed()).toBe(1012);
    await stays.client.settled();
    expect((await admin.send("DELETE", `/v1/admin/connections/${gone.id}`)).status).toBe(404);
    const recorded = itemsOf(await admin.get("/v1/admin/audit?limit=10")).filter(({ target }) => target === gone.id);
    expect(recorded).toMatchObject([{ action: "connection.closed", reason: "it misbehaves", before: { key_id: gone.keyId } }]);
  });
});

describe("breakers and emergency keys of a running service", () => {
  let service: RunningService;
  let admin: RestClient;
  beforeAll(async () => {
    service = await startService({ env: { BOOTSTRAP_API_KEYS: BOOTSTRAP, RATE_LIMITS: '{"default":"10000/min"}' } });
    admin = restClient(service.page, KEYS.admin);
  });
  afterAll(() => service.stop());

  it("has those of the database and the paper broker in embedded mode, and no redis", async () => {
    const listed = await admin.get("/v1/admin/breakers");
    expect(itemsOf(listed)).toMatchObject([{ name: "broker.paper" }, { name: "database", state: "closed", tripped: false, probe_in_ms: null }]);
    for (const path of ["/v1/admin/breakers/redis/reset", "/v1/admin/breakers/broker.none/reset"]) {
      const answer = await admin.send("POST", path);
      expect(answer.status).toBe(404);
      expect(answer.body["code"]).toBe("unknown_breaker");
    }
  });

  it("streams on while the database is tripped: writes are 503, health says why, a reset ends it", async () => {
    const { client } = await join(service, KEYS.read);
    expect(await admin.send("POST", "/v1/admin/breakers/database/trip", { ttl_s: 60 })).toMatchObject({ status: 200, body: { state: "open", tripped: true } });
    const write = await admin.send("POST", "/v1/admin/keys", { scope: "read" });
    expect(write.status).toBe(503);
    expect(write.headers.get("retry-after")).toBe("5");
    client.say({ type: "subscribe", id: 1, channel: "quotes", symbols: ["sim:BTC-USD"] });
    await client.next((m) => m.type === "quote" && m["snapshot"] !== true);
    const readiness = await admin.get("/health/readiness");
    expect(readiness.status).toBe(200);
    expect(readiness.body["dependencies"]).toContainEqual({ name: "database", ok: false, detail: "the circuit breaker is open: tripped" });
    const detailed = await restClient(service.page, KEYS.read).get("/health/detailed");
    expect(detailed.body["status"]).toBe("degraded");
    expect(detailed.body["dependencies"]).toContainEqual(expect.objectContaining({ name: "database", status: "down" }));
    expect(detailed.body["dependencies"]).toContainEqual(expect.objectContaining({ name: "breakers", status: "degraded", detail: "database open" }));
    expect(await admin.send("POST", "/v1/admin/breakers/database/reset")).toMatchObject({ status: 200, body: { state: "closed", tripped: false } });
    expect((await admin.send("POST", "/v1/admin/keys", { scope: "read" })).status).toBe(201);
    expect((await restClient(service.page, KEYS.read).get("/health/detailed")).body["status"]).toBe("ok");
    const actions = itemsOf(await admin.get("/v1/admin/audit?limit=10")).map(({ action, target }) => `${String(action)} ${String(target)}`);
    expect(actions).toEqual(expect.arrayContaining(["breaker.tripped database", "breaker.reset database"]));
  });

  it("ends a trip by itself", async () => {
    await admin.send("POST", "/v1/admin/breakers/database/trip", { ttl_s: 0.3 });
    await service.said(/circuit breaker changed.*why=trip_ended/);
    expect(itemsOf(await admin.get("/v1/admin/breakers"))).toContainEqual(expect.objectContaining({ name: "database", state: "closed", tripped: false }));
  });

  it.each([[{}], [{ ttl_s: 0 }], [{ ttl_s: 86_401 }], [{ ttl_s: "60" }], [{ ttl_s: 60, more: 1 }]])("refuses to trip with %j", async (body) => {
    expect((await admin.send("POST", "/v1/admin/breakers/database/trip", body)).status).toBe(422);
  });

  it("allows 5 trips an hour and 5 resets a minute; the one above changes nothing", async () => {
    const [trips, resets] = [restClient(service.page, KEYS.trips), restClient(service.page, KEYS.resets)];
    for (let i = 0; i < 5; i++) {
      expect((await trips.send("POST", "/v1/admin/breakers/database/trip", { ttl_s: 60 })).status).toBe(200);
      expect((await resets.send("POST", "/v1/admin/breakers/database/reset")).status).toBe(200);
    }
    const trip = await trips.send("POST", "/v1/admin/breakers/database/trip", { ttl_s: 60 });
    expect(trip.status).toBe(429);
    expect(Number(trip.headers.get("retry-after"))).toBeGreaterThan(3000);
    expect(itemsOf(await trips.get("/v1/admin/breakers"))).toContainEqual(expect.objectContaining({ name: "database", state: "closed" }));
    const reset = await resets.send("POST", "/v1/admin/breakers/database/reset");
    expect(reset.status).toBe(429);
    expect(Number(reset.headers.get("retry-after"))).toBeLessThanOrEqual(60);
  });

  it("lets an emergency key in with a reason only, and records each use", async () => {
    const breakglass = restClient(service.page, KEYS.breakglass);
    const refused = await breakglass.get("/v1/admin/breakers");
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ code: "reason_required", errors: [{ path: "header.X-Reason" }] });
    expect((await breakglass.get("/v1/admin/breakers", { "x-reason": "the exchange is on fire" })).status).toBe(200);
    // A database that is switched off is no obstacle: the emergency key switches it on again.
    const reason = { "x-reason": "fire" };
    expect((await breakglass.send("POST", "/v1/admin/breakers/database/trip", { ttl_s: 60 }, reason)).status).toBe(200);
    expect((await breakglass.send("POST", "/v1/admin/breakers/database/reset", undefined, reason)).status).toBe(200);
    for (let i = 0; i < 6; i++) expect((await breakglass.send("PUT", "/v1/admin/log-level", { level: "info", ttl_s: 60 }, reason)).status).toBe(200);
    await service.said(/a breakglass key is used while the database is away/);
    const uses = async () => itemsOf(await admin.get("/v1/admin/audit?limit=100&action=breakglass.used")).map(({ target, reason: why }) => `${String(target)}: ${String(why)}`);
    await expect.poll(uses, { timeout: 5000 }).toEqual(expect.arrayContaining(["GET /v1/admin/breakers: the exchange is on fire", "POST /v1/admin/breakers/database/reset: fire"]));
    expect(await uses()).toHaveLength(9);
  });
});

it("logs more for a time", async ({ onTestFinished }) => {
  const service = await startService({ env: { BOOTSTRAP_API_KEYS: BOOTSTRAP, RATE_LIMITS: "off" } });
  onTestFinished(async () => void await service.stop());
  const admin = restClient(service.page, KEYS.admin);
  expect(await admin.send("PUT", "/v1/admin/log-level", { level: "error", ttl_s: 0.5 })).toMatchObject({ status: 200, body: { level: "error", ttl_s: 0.5 } });
  await admin.get("/health");
  await service.said(/the log level is as it is set again/);
  expect((await admin.send("PUT", "/v1/admin/log-level", { level: "loud", ttl_s: 1 })).status).toBe(422);
  expect(itemsOf(await admin.get("/v1/admin/audit?limit=5")).map(({ action }) => action)).toEqual(expect.arrayContaining(["log_level.changed", "log_level.restored"]));
});

it("drains: not ready first, then goodbye, then the end of the process", async ({ onTestFinished }) => {
  const service = await startService({ env: { BOOTSTRAP_API_KEYS: BOOTSTRAP } });
  onTestFinished(async () => void await service.stop());
  const admin = restClient(service.page, KEYS.admin);
  const { client } = await join(service, KEYS.read);
  expect(await admin.send("POST", "/v1/admin/drain", { reason: "new version" })).toMatchObject({ status: 202, body: { status: "draining" } });
  expect((await admin.get("/health/readiness")).status).toBe(503);
  await client.settled();
  expect(await admin.send("POST", "/v1/admin/drain")).toMatchObject({ status: 409, body: { code: "draining" } });
  expect(await client.next((m) => m.type === "goodbye")).toMatchObject({ reason: "draining" });
  expect(await client.closed()).toBe(1012);
  expect(await service.exited).toBe(0);
});
