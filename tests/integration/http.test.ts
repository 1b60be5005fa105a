/**
 * The HTTP side over real sockets: health, metrics, tickets, the page's files, errors and headers.
 */
import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { type EmbeddedService, startEmbedded } from "../support/start-embedded.ts";

let service: EmbeddedService;
let production: EmbeddedService;
const READ = `tk_${"r".repeat(32)}`;
const PUBLISH = `tk_${"p".repeat(32)}`;
const keys = { BOOTSTRAP_API_KEYS: `read:${READ},publish:${PUBLISH}` };

beforeAll(async () => {
  service = await startEmbedded({ ...keys, TICKER_TICKETS_MAX: "20", TICKER_HTTP_HEADERS_MS: "300" });
  production = await startEmbedded({ ...keys, NODE_ENV: "production", TRUSTED_PROXIES: "127.0.0.1", TICKER_METRICS_ALLOW: "10.9.9.9" });
});
afterAll(async () => {
  await service.stop();
  await production.stop();
});

const get = (path: string, init: RequestInit = {}) => fetch(service.page + path, init);
/** With headers that fetch does not let one set. */
const raw = (base: string, path: string, headers: Readonly<Record<string, string>>, method = "POST") => new Promise<{ status: number; body: unknown }>((resolve, reject) => {
  const call = request(base + path, { method, headers }, (answer) => {
    let text = "";
    answer.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) }));
  });
  call.on("error", reject);
  call.end();
});

describe("health", () => {
  it("answers readiness with every dependency, under both names", async () => {
    for (const path of ["/health/readiness", "/health/ready"]) {
      const answer = await get(path);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({
        status: "ready", dependencies: expect.arrayContaining([{ name: "stream", ok: true, detail: "" }, { name: "workers", ok: true, detail: "2 of 2 listen" }, { name: "feed.sim", ok: true, detail: "live (simulated)" }]),
      });
    }
  });

  it("answers liveness, start-up and the summary", async () => {
    for (const path of ["/health/liveness", "/health/live"]) expect(await (await get(path)).json()).toMatchObject({ status: "alive" });
    expect(await (await get("/health/startup")).json()).toEqual({ status: "started" });
    expect(await (await get("/health")).json()).toMatchObject({ status: "ok", version: "0.1.0" });
  });
});

describe("metrics", () => {
  it("holds the numbers of the stream thread, of main and of the process", async () => {
    const answer = await get("/metrics");
    expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    for (const line of [/^ticker_sessions\{worker="0"\} 3$/m, /^ticker_stream_up 1$/m, /^ticker_keys 2$/m, /^process_resident_memory_bytes \d+$/m]) expect(text).toMatch(line);
  });

  it("is refused in production to whom the list does not name, and believed behind a trusted proxy", async () => {
    expect((await raw(production.page, "/metrics", {}, "GET").catch(() => null))?.status).toBe(403);
    const allowed = await fetch(`${production.page}/metrics`, { headers: { "x-forwarded-for": "10.9.9.9" } });
    expect(allowed.status).toBe(200);
    await allowed.text();
    expect((await fetch(`${production.page}/metrics`, { headers: { "x-forwarded-for": "10.9.9.9, 10.1.1.1" } })).status).toBe(403);
  });
});

describe("tickets", () => {
  const post = (headers: Readonly<Record<string, string>> = {}) => get("/v1/stream-tickets", { method: "POST", headers });

  it("are given for a key of the scope read, by either header", async () => {
    const tickets = await Promise.all([post({ "x-api-key": READ }), post({ authorization: `Bearer ${READ}` })].map(async (answer) => (await answer).json()));
    for (const ticket of tickets) expect(ticket).toEqual({ ticket: expect.stringMatching(/^tt_.{32}$/), expires_in: 60 });
  });

  it("are given without a key to this machine, outside production only", async () => {
    expect((await post()).status).toBe(200);
    expect(await raw(production.page, "/v1/stream-tickets", {})).toMatchObject({ status: 401, body: { code: "missing_key" } });
  });

  it.each([
    ["a page of another site", { origin: "https://evil.example" }], ["a name that was made to point here", { host: "evil.example" }],
    ["somebody behind a proxy nobody configured", { "x-forwarded-for": "203.0.113.5" }], ["the same, in the newer header", { forwarded: "for=203.0.113.5" }],
  ])("are not given without a key to %s", async (_, headers) => {
    expect(await raw(service.page, "/v1/stream-tickets", headers)).toMatchObject({ status: 401, body: { code: "missing_key" } });
  });

  it("are refused to a wrong key and to one without the scope", async () => {
    for (const headers of [{ "x-api-key": `${READ}x` }, { authorization: `Basic ${READ}` }]) {
      const answer = await post(headers);
      expect(answer.status).toBe(401);
      expect(answer.headers.get("www-authenticate")).toContain("Bearer");
      expect(await answer.json()).toMatchObject({ code: "invalid_key" });
    }
    const answer = await post({ "x-api-key": PUBLISH });
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ code: "insufficient_scope" });
  });

  it("are refused with a time to come back when too many wait", async () => {
    let answer = await post();
    for (let i = 0; i < 25 && answer.status === 200; i++) answer = await post();
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("5");
  });
});

describe("every answer", () => {
  it("has ids, the caller's where well formed, and the fixed headers", async () => {
    const answer = await get("/health", { headers: { "x-request-id": "abc-1", "x-correlation-id": "flow/7" } });
    expect(answer.headers.get("x-request-id")).toBe("abc-1");
    expect(answer.headers.get("x-correlation-id")).toBe("flow/7");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("content-security-policy")).toMatch(/script-src 'self'; .*connect-src 'self' ws:\/\/127\.0\.0\.1:\d+ /);
    const replaced = await get("/health", { headers: { "x-request-id": "a b", "x-correlation-id": "x".repeat(129) } });
    expect(replaced.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(replaced.headers.get("x-correlation-id")).toBe(replaced.headers.get("x-request-id"));
  });

  it("does not let a strange Host into the policy", async () => {
    const policy = await new Promise<string>((resolve, reject) => {
      const call = request(`${service.page}/health`, { headers: { host: "a_b.example:80" } }, (answer) => {
        resolve(String(answer.headers["content-security-policy"]));
        answer.resume();
      });
      call.on("error", reject);
      call.end();
    });
    expect(policy).toContain("connect-src 'self';");
    expect(policy).not.toContain("a_b");

  });

  it("is a problem with a code where something is wrong", async () => {
    const missing = await get("/nothing");
    expect(missing.status).toBe(404);
    expect(missing.headers.get("content-type")).toBe("application/problem+json");
    expect(await missing.json()).toEqual({ type: "about:blank", title: "Not found", status: 404, code: "not_found", detail: "there is nothing at /nothing", request_id: missing.headers.get("x-request-id") });
    const wrong = await get("/health", { method: "DELETE" });
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get("allow")).toBe("GET, HEAD");
    expect(await get("/v1/stream-tickets")).toMatchObject({ status: 405 });
  });

  it("has no body for HEAD", async () => {
    const answer = await get("/", { method: "HEAD" });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe("");
  });

  it("refuses bodies that are too large or compressed", async () => {
    const post = (headers: Readonly<Record<string, string>>, body: string | Buffer) => get("/v1/stream-tickets", { method: "POST", headers, body });
    expect((await post({}, Buffer.alloc(1024 * 1024 + 1))).status).toBe(413);
    expect((await post({ "content-encoding": "gzip" }, "x")).status).toBe(415);
  });
});

it("serves the page and its files, and where the stream is", async () => {
  for (const [path, type] of [["/", "text/html"], ["/page.js", "text/javascript"], ["/table.js", "text/javascript"], ["/stream-client.js", "text/javascript"], ["/page.css", "text/css"]] as const) {
    const answer = await get(path);
    expect(answer.headers.get("content-type"), path).toBe(`${type}; charset=utf-8`);
    expect((await answer.text()).length, path).toBeGreaterThan(500);
  }
  expect(await (await get("/page-config.json")).json()).toMatchObject({ version: "0.1.0", stream_port: expect.any(Number), stream_url: null });
});

it("cuts a client that drips its headers", async () => {
  const { port } = new URL(service.page);
  const socket = connect(Number(port), "127.0.0.1");
  const answered = new Promise<string>((resolve, reject) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
    systemClock.after(5000, () => reject(new Error("still open")));
  });
  socket.write("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow:");
  expect(await answered).toContain("408");
});
