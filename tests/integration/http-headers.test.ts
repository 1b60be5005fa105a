/**
 * Headers, ids, origins and log lines of the HTTP side, as a browser, a proxy and an operator see them.
 */
import { z } from "@hono/zod-openapi";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock, wait } from "../../src/core/clock.ts";
import { FeedError, StoreError, UnavailableError } from "../../src/core/errors.ts";
import { type Api, JSON_OF } from "../../src/http/route.ts";
import { type HttpRig, KEYS, type RigOptions, rawHttp, startHttp } from "../support/http-rig.ts";
import type { KeptLine } from "../support/silent-log.ts";

const rigs: HttpRig[] = [];
const start = async (options: RigOptions = {}): Promise<HttpRig> => {
  const rig = await startHttp({ rateLimits: "off", mount, ...options });
  rigs.push(rig);
  return rig;
};
afterEach(async () => {
  await Promise.all(rigs.splice(0).map((rig) => rig.stop()));
});

function mount(api: Api): void {
  const responses = { 200: JSON_OF("Ok", z.object({ ok: z.boolean() })) };
  const rules = { scope: "read", limit: "default" } as const;
  api.add(rules, { method: "get", path: "/v1/thing", responses }, (c) => {
    c.get("log").info({ detail: 7 }, "a line of the route");
    c.header("ETag", '"7"');
    return c.json({ ok: true }, 200);
  });
  api.add(rules, { method: "post", path: "/v1/thing", responses }, (c) => c.json({ ok: true }, 200));
  api.add(rules, { method: "get", path: "/v1/store", responses }, () => {
    throw new StoreError("the database does not answer");
  });
  api.add(rules, { method: "get", path: "/v1/closed", responses }, () => {
    throw new UnavailableError("orders are switched off", "orders_disabled", 30);
  });
  api.add(rules, { method: "get", path: "/v1/feed", responses }, () => {
    throw new FeedError("the venue answered nonsense");
  });
  api.add(rules, { method: "get", path: "/v1/mistake", responses }, () => {
    throw new Error("a mistake of ours with a secret");
  });
}
const read = { "x-api-key": KEYS.read };

/** The access lines of a rig, once there are so many. */
async function lines(rig: HttpRig, count: number): Promise<KeptLine[]> {
  const of = () => rig.log.lines.filter(({ message }) => message.startsWith("request"));
  for (let i = 0; i < 200 && of().length < count; i++) await wait(systemClock, 10);
  return of();
}

describe("every answer", () => {
  const FIXED: Readonly<Record<string, string>> = {
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer", "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin", "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()", "cache-control": "no-store",
  };

  it.each([["/v1/thing", 200], ["/v1/thing?x=1", 422], ["/nothing", 404], ["/v1/mistake", 500], ["/v1/store", 503], ["/v1/orders", 403]])("has the fixed headers and both ids: %s", async (path, status) => {
    const rig = await start();
    const answer = await rig.get(path, { ...read, "x-correlation-id": "flow-1" });
    expect(answer.status).toBe(status);
    for (const [name, value] of Object.entries(FIXED)) expect(answer.headers.get(name), name).toBe(value);
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'");
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.headers.get("x-correlation-id")).toBe("flow-1");
    expect(answer.headers.get("strict-transport-security")).toBeNull();
    expect(answer.headers.get("vary")).toBeNull();
  });

  it("keeps what a route sets", async () => {
    const rig = await start();
    expect((await rig.get("/v1/thing", read)).headers.get("etag")).toBe('"7"');
  });

  it("asks for TLS from then on when a trusted proxy says that it was reached over TLS, and believes nobody else", async () => {
    const trusting = await start({ trustedProxies: ["127.0.0.1"] });
    expect((await trusting.get("/health", { "x-forwarded-proto": "https" })).headers.get("strict-transport-security")).toBe("max-age=31536000");
    expect((await trusting.get("/health", { "x-forwarded-proto": "http" })).headers.get("strict-transport-security")).toBeNull();
    const direct = await start();
    expect((await direct.get("/health", { "x-forwarded-proto": "https" })).headers.get("strict-transport-security")).toBeNull();
  });
});

describe("pages of other origins", () => {
  const ours = "https://app.example.com";
  const preflight = (rig: HttpRig, origin: string, path = "/v1/thing") =>
    fetch(rig.url + path, { method: "OPTIONS", headers: { origin, "access-control-request-method": "PATCH", "access-control-request-headers": "x-api-key,if-match" } });

  it("may read what ALLOWED_ORIGINS lets them, by exact name", async () => {
    const rig = await start({ allowedOrigins: [ours, "http://localhost:3000"] });
    const answer = await rig.get("/v1/thing", { ...read, origin: ours });
    expect(answer.headers.get("access-control-allow-origin")).toBe(ours);
    expect(answer.headers.get("access-control-expose-headers")).toContain("Retry-After");
    expect(answer.headers.get("vary")).toBe("Origin");
    expect((await rig.get("/v1/thing", { origin: ours })).headers.get("access-control-allow-origin")).toBe(ours);
    const asked = await preflight(rig, ours);
    expect(asked.status).toBe(204);
    expect(asked.headers.get("access-control-allow-methods")).toContain("PATCH");
    expect(asked.headers.get("access-control-allow-headers")).toContain("X-API-Key");
    expect(asked.headers.get("access-control-allow-credentials")).toBeNull();
    expect((await preflight(rig, ours, "/data")).status).toBe(204);
  });

  it.each(["https://app.example.com.evil.example", "https://app.example.com:444", "http://app.example.com", "https://APP.example.com", "null", "*"])("may not when they are somebody else: %s", async (origin) => {
    const rig = await start({ allowedOrigins: [ours] });
    const answer = await rig.get("/v1/thing", { ...read, origin });
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    const asked = await preflight(rig, origin);
    expect(asked.status).toBe(403);
    expect(await asked.json()).toMatchObject({ code: "origin_not_allowed" });
  });

  it("may not at all when nobody is named", async () => {
    const rig = await start();
    expect((await rig.get("/v1/thing", { ...read, origin: ours })).headers.get("access-control-allow-origin")).toBeNull();
    expect((await preflight(rig, ours)).status).toBe(405);
  });

  it("may not load pages and scripts of ours from elsewhere", async () => {
    const rig = await start({ allowedOrigins: [ours] });
    expect((await rig.get("/page.js", { origin: ours })).headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("the log", () => {
  it("has one line per request with its ids: writes and refusals as info, other reads as debug, never the key or the query", async () => {
    const rig = await start();
    const ids = { "x-request-id": "r-1", "x-correlation-id": "c-1" };
    await rig.get("/v1/thing", { ...read, ...ids });
    await fetch(`${rig.url}/v1/thing`, { method: "POST", headers: read });
    await rig.get("/v1/thing?secret=1", read);
    await rig.get("/v1/thing", { "x-api-key": "tk_wrong-and-secret" });
    const seen = await lines(rig, 4);
    expect(seen.map(({ level, fields }) => [level, fields["method"], fields["path"], fields["status"], fields["keyId"]])).toEqual([
      ["debug", "GET", "/v1/thing", 200, "key_read"], ["info", "POST", "/v1/thing", 200, "key_read"], ["info", "GET", "/v1/thing", 422, "key_read"], ["info", "GET", "/v1/thing", 401, null],
    ]);
    expect(seen[0]?.fields).toMatchObject({ requestId: "r-1", correlationId: "c-1", address: "127.0.0.1", ms: expect.any(Number) });
    expect(rig.log.lines.find(({ message }) => message === "a line of the route")?.fields).toEqual({ detail: 7, requestId: "r-1", correlationId: "c-1" });
    expect(JSON.stringify(rig.log.lines)).not.toMatch(/secret|tk_/);
  });

  it("says that a client went before its answer", async () => {
    let entered = (): void => undefined;
    const isEntered = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const rig = await start({ mount: (api) => api.add({ scope: "read", limit: "default" }, { method: "get", path: "/v1/slow", responses: { 200: JSON_OF("Ok", z.object({})) } }, async (c) => {
      entered();
      await new Promise((resolve) => c.env.incoming.socket.once("close", resolve));
      return c.json({}, 200);
    }) });
    const control = new AbortController();
    const call = fetch(`${rig.url}/v1/slow`, { headers: read, signal: control.signal });
    await isEntered;
    control.abort();
    await expect(call).rejects.toThrow();
    expect(await lines(rig, 1)).toMatchObject([{ level: "info", message: "request aborted by its client", fields: { status: null } }]);
  });

  it("has our own failures whole, their answers only the id", async () => {
    const rig = await start();
    const answer = await rig.get("/v1/mistake", { ...read, "x-request-id": "r-9" });
    expect(await answer.json()).toEqual({ type: "about:blank", title: "Internal error", status: 500, code: "internal", detail: "the failure was logged under this request_id", request_id: "r-9" });
    expect(rig.log.lines.find(({ level }) => level === "error")).toMatchObject({ fields: { requestId: "r-9", reason: "a mistake of ours with a secret" } });
  });
});

describe("a failure of the world", () => {
  it.each([
    ["/v1/store", 503, "database_unavailable", "5"], ["/v1/closed", 503, "orders_disabled", "30"], ["/v1/feed", 502, "feed", null],
  ])("is a problem with its code and when to come back: %s", async (path, status, code, retryAfter) => {
    const rig = await start();
    const answer = await rig.get(path, read);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("retry-after")).toBe(retryAfter);
    expect(await answer.json()).toMatchObject({ status, code });
  });
});

describe("connections", () => {
  it("answers HTTP/1.0 and several requests on one connection", async () => {
    const rig = await start();
    const answer = await rawHttp(rig.port, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(answer.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(await rawHttp(rig.port, "GET /health/live HTTP/1.0\r\nHost: x\r\n\r\n")).toMatch(/^HTTP\/1\.1 200/);
  });

  it("counts answers by method and status", async () => {
    const rig = await start();
    await rig.get("/v1/thing", read);
    await rig.get("/v1/thing", read);
    await rig.get("/nothing");
    await lines(rig, 3);
    const counted = rig.server.samples().filter(({ name }) => name === "ticker_http_requests_total").map(({ labels, value }) => [labels["method"], labels["status"], value]);
    expect(counted).toEqual([["GET", "200", 2], ["GET", "404", 1]]);
  });
});
