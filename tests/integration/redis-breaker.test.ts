/**
 * The breaker of Redis, which exists with REDIS_URL only: listed, asked for its health, and without it limits go on.
 */
import { expect, inject, it } from "vitest";
import { newServerDatabase } from "../support/server-database.ts";
import { itemsOf, restClient } from "../support/rest-client.ts";
import { startService } from "../support/start-service.ts";

const KEY = `tk_admin${"a".repeat(32)}`;

it.skipIf(inject("postgres") === "" || inject("redis") === "")("opens by order; requests are still limited and answered, and health says so", async ({ onTestFinished }) => {
  const database = await newServerDatabase(inject("postgres"));
  const service = await startService({ env: { DATABASE_URL: database.url, REDIS_URL: inject("redis"), BOOTSTRAP_API_KEYS: `admin:${KEY}` } });
  onTestFinished(async () => {
    await service.stop();
    await database.drop();
  });
  const admin = restClient(service.page, KEY);
  const redis = async () => itemsOf(await admin.get("/v1/admin/breakers")).find(({ name }) => name === "redis");
  expect(await redis()).toMatchObject({ state: "closed" });
  expect((await admin.get("/health/detailed")).body["dependencies"]).toContainEqual(expect.objectContaining({ name: "redis", status: "ok", latency_ms: expect.any(Number) }));
  expect(await admin.send("POST", "/v1/admin/breakers/redis/trip", { ttl_s: 60 })).toMatchObject({ status: 200, body: { state: "open" } });
  const limited = await admin.get("/health/detailed");
  expect(limited.status).toBe(200);
  expect(limited.headers.get("ratelimit")).toMatch(/^"default";r=\d+/);
  expect(limited.body).toMatchObject({ status: "degraded" });
  expect(limited.body["dependencies"]).toContainEqual(expect.objectContaining({ name: "breakers", status: "degraded", detail: "redis open" }));
  expect((await admin.get("/health/readiness")).status).toBe(200);
  expect(await admin.send("POST", "/v1/admin/breakers/redis/reset")).toMatchObject({ status: 200, body: { state: "closed" } });
});
