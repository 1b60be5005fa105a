/**
 * What hostile and broken clients send: refused with a sentence that names the place, never a failure of ours.
 */
import { z } from "@hono/zod-openapi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, JSON_OF } from "../../src/http/route.ts";
import { type HttpRig, KEYS, rawHttp, startHttp } from "../support/http-rig.ts";

const Body = z.strictObject({ name: z.string().max(20), count: z.int().optional(), items: z.array(z.string()).optional(), free: z.unknown().optional() });

function mount(api: Api): void {
  const answers = { 200: JSON_OF("What came", z.unknown()) };
  api.add({ scope: "trade", limit: "default" }, {
    method: "post", path: "/v1/echo", request: { body: { required: true, content: { "application/json": { schema: Body } } } }, responses: answers,
  }, (c) => c.json(c.req.valid("json"), 200));
  api.add({ scope: "trade", limit: "default" }, {
    method: "post", path: "/v1/optional", request: { body: { required: false, content: { "application/json": { schema: z.strictObject({ reason: z.string().optional() }) } } } }, responses: answers,
  }, (c) => c.json(c.req.valid("json"), 200));
  api.add({ scope: "trade", limit: "default" }, { method: "delete", path: "/v1/bodiless/{id}", request: { params: z.object({ id: z.string() }) }, responses: answers }, (c) => c.json(c.req.valid("param"), 200));
  api.add({ scope: "read", limit: "default" }, {
    method: "get", path: "/v1/list", request: { query: z.object({ limit: z.coerce.number().int().max(1000).optional(), symbol: z.string().optional() }) }, responses: answers,
  }, (c) => c.json(c.req.valid("query"), 200));
}

let rig: HttpRig;
beforeAll(async () => {
  rig = await startHttp({ rateLimits: "off", mount, requestMs: 1500 });
});
afterAll(() => rig.stop());

const auth = { "x-api-key": KEYS.trade };
interface Answer {
  readonly status: number;
  readonly body: { readonly code?: string; readonly detail?: string; readonly errors?: unknown; readonly request_id?: string };
}
const post = async (body: RequestInit["body"], headers: Readonly<Record<string, string>> = { "content-type": "application/json" }, path = "/v1/echo"): Promise<Answer> => {
  const answer = await fetch(rig.url + path, { method: "POST", headers: { ...auth, ...headers }, body: body ?? null });
  expect(answer.headers.get("content-type")).toBe(answer.ok ? "application/json" : "application/problem+json");
  expect(answer.headers.get("x-request-id")).not.toBeNull();
  const said: unknown = await answer.json();
  return { status: answer.status, body: typeof said === "object" && said !== null ? said : {} };
};
const nested = (depth: number) => `{"name":"a","free":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;

describe("a body", () => {
  it("arrives as it was sent when nothing is wrong with it", async () => {
    const sent = { name: "π €", count: -3, items: ["a", "b"], free: { a: [1.5e300, null, true], b: { a: "" } } };
    expect(await post(JSON.stringify(sent))).toEqual({ status: 200, body: sent });
    expect(await post(nested(32))).toMatchObject({ status: 200 });
    for (const type of ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]) expect((await post(`{"name":"a"}`, { "content-type": type })).status).not.toBe(400);
  });

  it.each([
    ["cut off", `{"name":"a"`, "malformed_json", /no JSON/], ["with a comment", `{"name":"a"/* b */}`, "malformed_json", /no JSON/],
    ["with a trailing comma", `{"name":"a",}`, "malformed_json", /no JSON/], ["with single quotes", `{'name':'a'}`, "malformed_json", /no JSON/],
    ["that is two", `{"name":"a"}{"name":"b"}`, "malformed_json", /no JSON/], ["with NaN", `{"name":"a","count":NaN}`, "malformed_json", /no JSON/],
    ["with a leading zero", `{"name":"a","count":01}`, "malformed_json", /no JSON/],
    ["that is empty", "", "empty_body", /empty/], ["that is blank", "  \n", "empty_body", /empty/],
    ["nested too deep", nested(33), "malformed_json", /^body\.free\.0.*deeper than 32/], ["nested absurdly deep", "[".repeat(500_000), "malformed_json", /deeper than 32/],
    ["with a member twice", `{"name":"a","free":{"b":[{"c":1,"c":2}]}}`, "malformed_json", /^body\.free\.b\.0\.c: .*twice/],
    ["with a member twice, once escaped", `{"name":"a","n\\u0061me":"b"}`, "malformed_json", /^body\.name: .*twice/],
    ["with __proto__", `{"name":"a","free":{"__proto__":{"isAdmin":true}}}`, "malformed_json", /^body\.free\.__proto__/],
    ["with __proto__ escaped", `{"name":"a","free":{"__pr\\u006fto__":1}}`, "malformed_json", /^body\.free\.__proto__/],
    ["with constructor", `{"name":"a","constructor":{"prototype":{}}}`, "malformed_json", /^body\.constructor/],
    ["with a number too large", `{"name":"a","free":[1e400]}`, "malformed_json", /^body\.free\.0: the number 1e400/], ["with one too small", `{"name":"a","count":1e-400}`, "malformed_json", /^body\.count/],
    ["with a thousand digits", `{"name":"a","count":${"9".repeat(1000)}}`, "malformed_json", /^body\.count.{0,200}$/],
    ["with half a character", `{"name":"\\ud800"}`, "malformed_json", /^body\.name: .*surrogate/], ["with NUL", `{"name":"a\\u0000b"}`, "malformed_json", /^body\.name: .*NUL/],
  ])("%s is refused with 400 that names the place", async (_, body, code, detail) => {
    const answer = await post(body);
    expect(answer).toMatchObject({ status: 400, body: { code, request_id: expect.any(String) } });
    expect(answer.body.detail).toMatch(detail);
  });

  it("that is not UTF-8 is refused with 400", async () => {
    expect(await post(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))).toMatchObject({ status: 400, body: { code: "malformed_json" } });
  });

  it("with members of the wrong type, unknown ones and whole numbers beyond 2^53 gets 422 with every path", async () => {
    const answer = await post(`{"name":1,"count":12345678901234567890,"items":["a",2],"admin":true,"also":1}`);
    expect(answer.status).toBe(422);
    expect(answer.body).toMatchObject({ code: "validation_failed" });
    const paths = Array.isArray(answer.body.errors) ? answer.body.errors.map((fault: { path: string }) => fault.path) : [];
    expect(paths.toSorted()).toEqual(["body.admin", "body.also", "body.count", "body.items.1", "body.name"]);
    expect(await post(`[]`)).toMatchObject({ status: 422, body: { errors: [{ path: "body" }] } });
  });

  it.each([["text/plain"], ["application/x-www-form-urlencoded"], ["multipart/form-data; boundary=x"], ["application/jsonp"], ["application/json-seq"]])("of the type %s gets 415", async (type) => {
    expect(await post(`{"name":"a"}`, { "content-type": type })).toMatchObject({ status: 415, body: { code: "unsupported_media_type" } });
  });

  it("without a type gets 415, compressed ones as well", async () => {
    expect(await post(Buffer.from(`{"name":"a"}`), {})).toMatchObject({ status: 415 });
    expect(await post("x", { "content-type": "application/json", "content-encoding": "gzip" })).toMatchObject({ status: 415, body: { code: "compressed_body" } });
  });

  it("may be left out where it is optional", async () => {
    expect(await post(null, {}, "/v1/optional")).toEqual({ status: 200, body: {} });
    expect(await post(null, { "content-type": "application/json" }, "/v1/optional")).toEqual({ status: 200, body: {} });
    expect(await post(`{"reason":"x"}`, { "content-type": "application/json" }, "/v1/optional")).toEqual({ status: 200, body: { reason: "x" } });
    expect(await post(null, {})).toMatchObject({ status: 400, body: { code: "empty_body" } });
  });
});

describe("a large body", () => {
  const filled = (bytes: number) => `{"name":"a","free":"${"x".repeat(bytes - 23)}"}`.padEnd(bytes);

  it("is taken up to 1 MiB and refused with 413 one byte later", async () => {
    expect(await post(filled(1_048_576))).toMatchObject({ status: 200 });
    expect(await post(filled(1_048_577))).toMatchObject({ status: 413, body: { code: "body_too_large" } });
  });

  it("of 10 MB is refused, and so is one in chunks that does not say its size, on routes without a body too", async () => {
    const large = Buffer.alloc(10_000_000, 0x20);
    const stream = () => new ReadableStream({
      pull(controller) {
        controller.enqueue(large.subarray(0, 65_536));
      },
    });
    expect((await post(large)).status).toBe(413);
    const chunked = { method: "POST", headers: { ...auth, "content-type": "application/json" }, duplex: "half" } as const;
    const answer = await fetch(`${rig.url}/v1/echo`, { ...chunked, body: stream() });
    expect(answer.status).toBe(413);
    expect((await fetch(`${rig.url}/v1/bodiless/a`, { ...chunked, method: "DELETE", body: stream() })).status).toBe(413);
  });

  it("is not even looked at without a key", async () => {
    const answer = await fetch(`${rig.url}/v1/echo`, { method: "POST", body: Buffer.alloc(2_000_000) });
    expect(answer.status).toBe(401);
  });

  it("that stops half-way is cut after the time for a request", async () => {
    const answer = await rawHttp(rig.port, `POST /v1/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEYS.trade}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"na`);
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d/);
  });
});

describe("a query or path", () => {
  const get = async (path: string) => {
    const answer = await rig.get(path, auth);
    const body: unknown = await answer.json();
    return { status: answer.status, body };
  };

  it("with parameters that nobody knows, twice the same, or of the wrong kind gets 422 with their names", async () => {
    expect(await get("/v1/list?limit=5&symbol=a")).toEqual({ status: 200, body: { limit: 5, symbol: "a" } });
    expect(await get("/v1/list?limt=5&__proto__=1")).toMatchObject({ status: 422, body: { errors: [{ path: "query.limt", message: "unknown parameter; known are limit, symbol" }, { path: "query.__proto__" }] } });
    expect(await get("/v1/list?limit=1001")).toMatchObject({ status: 422, body: { errors: [{ path: "query.limit" }] } });
    expect(await get("/v1/list?symbol=a&symbol=b")).toMatchObject({ status: 422, body: { errors: [{ path: "query.symbol" }] } });
  });

  it("with NUL gets 400", async () => {
    for (const path of ["/v1/list?symbol=a%00b", "/v1/bodiless/a%00"]) {
      const answer = await fetch(rig.url + path, { method: path.includes("list") ? "GET" : "DELETE", headers: auth });
      expect(answer.status).toBe(400);
    }
  });

  it.each([
    "/../../etc/passwd", "/..%2f..%2fetc/passwd", "/docs/../../package.json", "/docs/%2e%2e/%2e%2e/package.json", "/docs/..%2f..%2fpackage.json", "/docs//etc/passwd", "/%5c..%5c..%5cetc%5cpasswd",
    "/page.js/../../server.ts", "//etc/passwd", "/v1/..;/etc/passwd",
  ])("that climbs finds nothing: %s", async (path) => {
    const answer = await rawHttp(rig.port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 40[04]/);
    expect(answer).not.toMatch(/root:|"dependencies"/);
  });
});

describe("a request that is no HTTP", () => {
  const send = (...lines: readonly string[]) => rawHttp(rig.port, `${lines.join("\r\n")}\r\nConnection: close\r\n\r\n`);

  it("cannot put a header into an answer or a line into the log", async () => {
    for (const value of ["a\rX-Evil: 1", "a\nX-Evil: 1", "a\r\n X-Evil: 1", "a%0d%0aX-Evil: 1"]) {
      const answer = await send("GET /health HTTP/1.1", "Host: x", `X-Request-ID: ${value}`, `X-Correlation-ID: ${value}`);
      expect(answer).toMatch(/^HTTP\/1\.1 (200|400)/);
      expect(answer).not.toMatch(/^X-Evil/im);
    }
    expect(JSON.stringify(rig.log.lines)).not.toMatch(/X-Evil/);
  });

  it.each([
    ["no HTTP at all", ["\u0016\u0003\u0001 hello"], 400], ["no host", ["GET /health HTTP/1.1"], 400], ["two hosts", ["GET /health HTTP/1.1", "Host: a", "Host: b"], 400],
    ["two lengths", ["POST /v1/echo HTTP/1.1", "Host: x", "Content-Length: 1", "Content-Length: 2"], 400],
    ["a length and chunks", ["POST /v1/echo HTTP/1.1", "Host: x", "Content-Length: 1", "Transfer-Encoding: chunked"], 400],
    ["headers too long", ["GET /health HTTP/1.1", "Host: x", `X-Long: ${"a".repeat(20_000)}`], 431],
    ["a host that is none", ["GET /health HTTP/1.1", "Host: a b/c?d"], 400],
    ["an address that is none", ["GET http://[::1/health HTTP/1.1", "Host: x"], 400],
  ])("%s is refused and the connection ends", async (_, lines, status) => {
    const answer = await send(...lines);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status}`));
    expect(answer).toMatch(/"request_id":"[0-9a-f-]{36}"/);
  });

  it("and failures of the parser are problems with an id, and counted", async () => {
    const answer = await send("nonsense");
    expect(answer).toMatch(/\r\nContent-Type: application\/problem\+json\r\n/);
    expect(answer).toMatch(/"code":"unreadable_request".*"request_id":"[0-9a-f-]{36}"/);
    const counted = rig.server.samples().find(({ name }) => name === "ticker_http_unreadable_total")?.value ?? 0;
    expect(counted).toBeGreaterThan(0);
  });
});

it("none of all this was a failure of ours", () => {
  expect(rig.log.lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
});
