/**
 * The documentation as a program and a person get it: OpenAPI, AsyncAPI, and the page in a real Chromium without any network.
 */
import { existsSync } from "node:fs";
import { z } from "@hono/zod-openapi";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, JSON_OF } from "../../src/http/route.ts";
import { STREAM_ERRORS } from "../../src/protocol/errors.ts";
import { type HttpRig, KEYS, startHttp } from "../support/http-rig.ts";

const CHROMIUM = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const isAbsent = !existsSync(CHROMIUM);
if (isAbsent && process.env["REQUIRE_SERVERS"] === "1") throw new Error(`no Chromium at ${CHROMIUM}; install chromium or set CHROMIUM_PATH`);
if (isAbsent) console.log(`SKIPPED: no Chromium at ${CHROMIUM}; install chromium or set CHROMIUM_PATH`);

function mount(api: Api): void {
  api.add({ scope: "trade", limit: "orders.batch", charges: "admin.write" }, {
    method: "post", path: "/v1/echo/{id}", summary: "Says it again", request: {
      params: z.object({ id: z.string() }), body: { required: true, content: { "application/json": { schema: z.strictObject({ text: z.string() }) } } },
    }, responses: { 200: JSON_OF("What came", z.object({ text: z.string() })) },
  }, (c) => c.json(c.req.valid("json"), 200));
}

let rig: HttpRig;
beforeAll(async () => {
  rig = await startHttp({ rateLimits: "off", mount });
});
afterAll(() => rig?.stop());

const documentAt = async (path: string) => {
  const answer = await rig.get(path);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/json");
  const found: unknown = await answer.json();
  return found;
};

/** Every reference within a document, and whether it leads somewhere. */
function danglingReferences(document: unknown): string[] {
  const references: string[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [name, member] of Object.entries(value)) {
      if (name === "$ref" && typeof member === "string") references.push(member);
      else walk(member);
    }
  };
  walk(document);
  const leadsTo = (reference: string): boolean => reference.startsWith("#/") && reference.slice(2).split("/").reduce<unknown>((at, part) => {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    return typeof at === "object" && at !== null ? Object.entries(at).find(([member]) => member === name)?.[1] : undefined;
  }, document) !== undefined;
  expect(references.length).toBeGreaterThan(20);
  return references.filter((reference) => !leadsTo(reference));
}

describe("/openapi.json", () => {
  it("is OpenAPI 3.1 with each route's schema, scope, limit and refusals", async () => {
    const document = await documentAt("/openapi.json");
    expect(document).toMatchObject({
      openapi: "3.1.0", components: { securitySchemes: { key: { type: "apiKey", in: "header", name: "X-API-Key" }, bearer: { type: "http", scheme: "bearer" } } },
      paths: {
        "/v1/echo/{id}": { post: {
          security: [{ key: [] }, { bearer: [] }], "x-scope": "trade", "x-limit": "orders.batch", description: "Scope: trade. Limit: orders.batch. A change that takes effect costs one of admin.write.",
          parameters: [{ name: "id", in: "path", required: true }], requestBody: { required: true, content: { "application/json": { schema: { additionalProperties: false, required: ["text"] } } } },
          responses: { 200: {}, 400: {}, 401: {}, 403: {}, 422: {}, 429: { content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } } } },
        } },
        "/health": { get: { security: [], "x-scope": null, "x-limit": "exempt" } },
        "/v1/orders": { post: { responses: { 501: {} } } },
      },
    });
    expect(danglingReferences(document)).toEqual([]);
  });

  it("describes a route that does what it says", async () => {
    const answer = await fetch(`${rig.url}/v1/echo/1`, { method: "POST", headers: { "x-api-key": KEYS.trade, "content-type": "application/json" }, body: '{"text":"a"}' });
    expect([answer.status, await answer.json()]).toEqual([200, { text: "a" }]);
  });
});

describe("/asyncapi.json", () => {
  it("is AsyncAPI 3.0 with every message of the stream, and every reference leads somewhere", async () => {
    const document = await documentAt("/asyncapi.json");
    expect(document).toMatchObject({
      asyncapi: "3.0.0", channels: { stream: { address: "/v1/stream" } }, operations: { command: { action: "receive" }, events: { action: "send" } },
      components: { messages: { auth: {}, subscribe: {}, unsubscribe: {}, list: {}, ping: {}, welcome: {}, authenticated: {}, subscribed: {}, heartbeat: {}, goodbye: {}, error: {}, data: {} },
        schemas: { trade: {}, trade_summary: {}, quote: {}, book: {}, bar: {}, ticker: {}, status: {}, gap: {}, lagging: {}, caught_up: {} } },
    });
    expect(danglingReferences(document)).toEqual([]);
    expect(document).toMatchObject({ components: { messages: { error: { payload: { properties: { code: { enum: Object.keys(STREAM_ERRORS).map(Number) } } } } } } });
  });
});

describe.skipIf(isAbsent)("/docs", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
  });
  afterAll(() => browser?.close());

  it("shows every route, from our own origin alone, and calls one with a key", async () => {
    const page = await browser.newPage();
    const faults: string[] = [];
    const foreign: string[] = [];
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") faults.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(rig.url) && !request.url().startsWith("data:")) foreign.push(request.url());
    });
    page.setDefaultTimeout(4000);
    await page.goto(`${rig.url}/docs`);
    await page.getByRole("heading", { name: /^ticker-service/ }).waitFor();
    const operation = page.locator(".opblock", { hasText: "Says it again" });
    await operation.waitFor();
    expect(await page.locator(".opblock").count()).toBe(rig.http.table.length);
    await page.getByRole("button", { name: "Authorize" }).first().click();
    await page.locator("#api_key_value").fill(KEYS.trade);
    await page.locator(".auth-container", { hasText: "X-API-Key" }).getByRole("button", { name: "Apply credentials" }).click();
    await page.locator(".close-modal").click();
    await operation.locator(".opblock-summary-control").click();
    await operation.getByRole("button", { name: "Try it out" }).click();
    await operation.getByPlaceholder("id").fill("1");
    await operation.locator("textarea").fill('{"text":"from the page"}');
    await operation.getByRole("button", { name: "Execute" }).click();
    await operation.locator(".live-responses-table").getByText("from the page").first().waitFor();
    expect(foreign).toEqual([]);
    expect(faults).toEqual([]);
    await page.close();
  });
});
