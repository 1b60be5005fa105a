/**
 * Every route of the service, read from its own documentation: who is let in, which limit it uses, and that the protocol's
 * table is there.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock, wait } from "../../src/core/clock.ts";
import { LIMIT_NAMES } from "../../src/ports/limits.ts";
import { type EmbeddedService, startEmbedded } from "../support/start-embedded.ts";

/** The protocol's table (section 3): methods and paths, scope, limit. Reads of a row with a limit for writes use `default`. */
const PROTOCOL: readonly (readonly [routes: string, scope: string | null, limit: string])[] = [
  ["GET / /docs /openapi.json /asyncapi.json /data", null, "anonymous"],
  ["GET /health /health/liveness /health/readiness /health/startup /health/live /health/ready /metrics", null, "exempt"],
  ["GET /health/detailed /v1/stats /stats", "read", "default"],
  ["POST /v1/stream-tickets", "read", "default"],
  ["GET /v1/instruments /v1/instruments/{} /v1/instruments/status", "read", "default"],
  ["GET /v1/quotes /v1/trades /v1/book/{} /v1/ticker /v1/history/bars /v1/history/trades", "read", "default"],
  ["GET /v1/subscriptions", "read", "default"], ["POST /v1/subscriptions", "trade", "subscriptions.write"], ["DELETE /v1/subscriptions/{}", "trade", "subscriptions.write"],
  ["POST /v1/orders/batch", "trade", "orders.batch"], ["GET /v1/orders/batch/{} /v1/orders /v1/orders/{} /v1/account /v1/positions", "trade", "default"],
  ["POST /v1/orders", "trade", "default"], ["DELETE /v1/orders/{}", "trade", "default"],
  ["GET /v1/webhooks /v1/webhooks/{} /v1/webhooks/{}/deliveries /v1/alerts", "trade", "default"],
  ["POST /v1/webhooks /v1/webhooks/{}/verify /v1/webhooks/{}/rotate-secret /v1/webhooks/{}/test /v1/webhooks/{}/replay /v1/webhooks/{}/deliveries/{}/replay", "trade", "webhooks.write"],
  ["PATCH /v1/webhooks/{}", "trade", "webhooks.write"], ["DELETE /v1/webhooks/{}", "trade", "webhooks.write"],
  ["POST /v1/alerts", "trade", "alerts.write"], ["DELETE /v1/alerts/{}", "trade", "alerts.write"],
  ["GET /v1/runs /v1/runs/{} /v1/runs/compare /v1/drift /runs /compare-runs", "read", "default"],
  ["GET /v1/admin/runtime-state /v1/admin/audit /v1/admin/audit/verify /v1/admin/breakers /v1/admin/keys /v1/admin/connections /v1/admin/failure-injection /admin/queues", "admin", "default"],
  ["PATCH /v1/admin/runtime-state", "admin", "default"],
  ["POST /v1/admin/runtime-state/rollback /v1/admin/breakers/{}/trip /v1/admin/instruments/refresh /v1/admin/runs /v1/admin/drain /v1/admin/backups /v1/admin/keys /v1/admin/keys/{}/rotate", "admin", "default"],
  ["POST /v1/admin/breakers/{}/reset", "admin", "breakers.reset"],
  ["PUT /v1/admin/log-level /v1/admin/failure-injection", "admin", "default"],
  ["DELETE /v1/admin/keys/{} /v1/admin/connections/{} /v1/admin/failure-injection", "admin", "default"],
];

const ADMIN = `tk_${"a".repeat(32)}`;
/** A key that is accepted and lacks the scope. */
const BELOW: Readonly<Record<string, string>> = { read: `tk_${"p".repeat(32)}`, trade: `tk_${"r".repeat(32)}`, admin: `tk_${"t".repeat(32)}` };

interface Route {
  readonly method: string;
  readonly path: string;
  readonly scope: string | null;
  readonly limit: string;
  readonly body: unknown;
  readonly statuses: readonly string[];
}

let service: EmbeddedService;
let document: unknown;
let routes: readonly Route[];
const keys = { expired: "", revoked: "", elsewhere: "" };

function membersOf(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

function memberOf(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((at, name) => membersOf(at).find(([member]) => member === name)?.[1], value);
}

function routesOf(paths: unknown): Route[] {
  return membersOf(paths).flatMap(([path, methods]) => membersOf(methods).map(([method, operation]) => {
    const scope = memberOf(operation, "x-scope");
    return {
      method: method.toUpperCase(), path, scope: typeof scope === "string" ? scope : null, limit: String(memberOf(operation, "x-limit")),
      body: memberOf(operation, "requestBody"), statuses: membersOf(memberOf(operation, "responses")).map(([status]) => status),
    };
  }));
}

/** Calls a route with something in the place of its path parameters. */
function call({ method, path }: Route, headers: Readonly<Record<string, string>>): Promise<Response> {
  return fetch(service.page + path.replaceAll(/\{[^}]*\}/g, "x1"), { method, headers });
}

async function created(request: Readonly<Record<string, unknown>>): Promise<{ id: string; key: string }> {
  const answer = await fetch(`${service.page}/v1/admin/keys`, { method: "POST", headers: { "x-api-key": ADMIN, "content-type": "application/json" }, body: JSON.stringify(request) });
  const made: unknown = await answer.json();
  return { id: String(memberOf(made, "id")), key: String(memberOf(made, "key")) };
}

beforeAll(async () => {
  const many = Object.fromEntries(LIMIT_NAMES.map((name) => [name, "1000000/min"]));
  const bootstrap = `admin:${ADMIN},publish:${BELOW["read"]},read:${BELOW["trade"]},trade:${BELOW["admin"]}`;
  service = await startEmbedded({ NODE_ENV: "production", BOOTSTRAP_API_KEYS: bootstrap, RATE_LIMITS: JSON.stringify(many) });
  document = await (await fetch(`${service.page}/openapi.json`)).json();
  routes = routesOf(memberOf(document, "paths"));
  keys.elsewhere = (await created({ scope: "admin", addresses: ["10.0.0.1"] })).key;
  keys.expired = (await created({ scope: "admin", expires_at: systemClock.nowMicros() + 200_000 })).key;
  const revoked = await created({ scope: "admin" });
  keys.revoked = revoked.key;
  await fetch(`${service.page}/v1/admin/keys/${revoked.id}`, { method: "DELETE", headers: { "x-api-key": ADMIN } });
  const stats = () => fetch(`${service.page}/v1/admin/keys`, { headers: { "x-api-key": keys.expired } });
  for (let i = 0; i < 100 && (await stats()).status !== 401; i++) await wait(systemClock, 20);
});
afterAll(() => service?.stop());

/** Asks every route that needs a key, and says which did not answer as expected. */
async function unexpected(headers: (route: Route) => Readonly<Record<string, string>>, status: number, code: string): Promise<string[]> {
  const guarded = routes.filter(({ scope }) => scope !== null);
  expect(guarded.length).toBeGreaterThan(50);
  const answers = await Promise.all(guarded.map(async (route) => {
    const answer = await call(route, headers(route));
    const body: unknown = await answer.json();
    const policy = answer.headers.get("ratelimit-policy");
    const isRight = answer.status === status && memberOf(body, "code") === code && memberOf(body, "request_id") === answer.headers.get("x-request-id") && policy !== null;
    return isRight ? [] : [`${route.method} ${route.path}: ${answer.status} ${String(memberOf(body, "code"))} ${policy}`];
  }));
  return answers.flat();
}

describe("every route with a scope refuses", () => {
  it("a request without a key", async () => {
    expect(await unexpected(() => ({}), 401, "missing_key")).toEqual([]);
  });

  it.each([
    ["an empty key", { "x-api-key": "" }], ["a word", { "x-api-key": "letmein" }], ["a key of the right form", { "x-api-key": `tk_${"z".repeat(32)}` }],
    ["half a key", { "x-api-key": ADMIN.slice(0, -1) }], ["a key and more", { "x-api-key": `${ADMIN}a` }], ["two keys", { "x-api-key": `${ADMIN}, ${ADMIN}` }],
    ["a very long one", { "x-api-key": `tk_${"a".repeat(8000)}` }], ["another scheme", { authorization: `Basic ${ADMIN}` }], ["a scheme without key", { authorization: "Bearer" }],
    ["a wrong bearer", { authorization: `Bearer ${ADMIN}x` }], ["a ticket", { "x-api-key": "tt_abcdefghijklmnopqrstuvwxyz012345" }], ["SQL", { "x-api-key": "' OR '1'='1" }],
  ])("%s", async (_, headers) => {
    expect(await unexpected(() => headers, 401, "invalid_key")).toEqual([]);
  });

  it.each([["expired"], ["revoked"], ["elsewhere"]] as const)("a key that is %s", async (which) => {
    expect(await unexpected(() => ({ "x-api-key": keys[which] }), 401, "invalid_key")).toEqual([]);
  });

  it("a key without the scope, whatever else is wrong with the request", async () => {
    expect(await unexpected(({ scope }) => ({ "x-api-key": BELOW[scope ?? ""] ?? "" }), 403, "insufficient_scope")).toEqual([]);
  });
});

describe("the table of the protocol", () => {
  const rows = PROTOCOL.flatMap(([text, scope, limit]) => {
    const [method = "", ...paths] = text.split(" ");
    return paths.map((path) => [method, path, scope, limit] as const);
  });

  it.each(rows)("has %s %s with the scope %s and the limit %s", (method, path, scope, limit) => {
    const found = routes.find((route) => route.method === method && route.path.replaceAll(/\{[^}]*\}/g, "{}") === path);
    expect(found).toMatchObject({ scope, limit });
  });

  it("has nothing without a key beyond its rows and the files of the pages", () => {
    const open = routes.filter(({ scope }) => scope === null).map(({ path }) => path);
    const files = /^\/(page\.js|table\.js|stream-client\.js|page\.css|page-config\.json|docs\/[\w.-]+)$/;
    expect(open.filter((path) => !files.test(path) && !rows.some(([, row, scope]) => row === path && scope === null))).toEqual([]);
  });

  it("uses the limit that it names", async () => {
    const wrong = await Promise.all(routes.filter(({ scope, limit }) => scope !== null && limit !== "exempt").map(async (route) => {
      const policy = (await call(route, { "x-api-key": BELOW[route.scope ?? ""] ?? "" })).headers.get("ratelimit-policy");
      return policy === `"${route.limit}";q=1000000;w=60` ? [] : [`${route.method} ${route.path}: ${policy}`];
    }));
    expect(wrong.flat()).toEqual([]);
  });

  it("answers 501 with a code where nothing is built yet, to those who may", async () => {
    const planned = routes.filter(({ statuses }) => statuses.includes("501"));
    const answers = await Promise.all(planned.map(async (route) => (await call(route, { "x-api-key": ADMIN })).status));
    expect(answers.filter((status) => status !== 501)).toEqual([]);
  });
});

describe("the document of the routes", () => {
  /** The schema that a reference names, else itself. */
  const resolved = (schema: unknown): unknown => {
    const reference = memberOf(schema, "$ref");
    return typeof reference === "string" ? memberOf(document, ...reference.slice(2).split("/")) : schema;
  };
  const open = (schema: unknown, at: string, depth = 0): string[] => {
    const found = resolved(schema);
    if (depth > 20 || typeof found !== "object" || found === null) return [];
    const properties = membersOf(memberOf(found, "properties"));
    const isOpen = properties.length > 0 && memberOf(found, "additionalProperties") !== false && !("allOf" in found);
    const inner = [
      ...properties.map(([name, member]) => [member, `${at}.${name}`] as const), [memberOf(found, "items"), `${at}[]`] as const,
      ...["oneOf", "anyOf"].flatMap((word) => membersOf(memberOf(found, word)).map(([i, member]) => [member, `${at}|${i}`] as const)),
    ];
    return [...(isOpen ? [at] : []), ...inner.flatMap(([member, place]) => open(member, place, depth + 1))];
  };

  it("lets no body have fields that nobody knows", () => {
    expect(routes.flatMap(({ method, path, body }) => open(memberOf(body, "content", "application/json", "schema"), `${method} ${path}`))).toEqual([]);
  });

  it("says of every route what it is for and how it fails", () => {
    for (const { method, path, scope, limit, statuses } of routes) {
      const summary = memberOf(document, "paths", path, method.toLowerCase(), "summary");
      expect(summary, `${method} ${path}`).toEqual(expect.any(String));
      if (scope !== null) expect(statuses, `${method} ${path}`).toEqual(expect.arrayContaining(["401", "403"]));
      if (limit !== "exempt") expect(statuses, `${method} ${path}`).toContain("429");
    }
  });
});

describe("SQL, paths and markup in every parameter", () => {
  const HOSTILE = ["'; DROP TABLE keys; -- \" OR \"\"=\"", "../../etc/passwd", "<script>alert(1)</script>${jndi:ldap://x}\u202e\ud83d\ude00", "a".repeat(5000), "1e999"];

  // Not the drain, which ends the service, nor a refresh, for which the stream thread's stub has no answer.
  it("never make a route fail", async () => {
    const headers = { "x-api-key": ADMIN };
    const failed: string[] = [];
    for (const route of routes.filter(({ method, path, statuses }) => !statuses.includes("501") && !(method === "POST" && /\/(drain|refresh)$/.test(path)))) {
      const names = membersOf(memberOf(document, "paths", route.path, route.method.toLowerCase(), "parameters")).map(([, one]) => [memberOf(one, "in"), String(memberOf(one, "name"))] as const);
      const tries = HOSTILE.map(async (text) => {
        const path = route.path.replaceAll(/\{[^}]*\}/g, encodeURIComponent(text));
        const queries = names.filter(([place]) => place === "query").map(([, name]) => `${name}=${encodeURIComponent(text)}`);
        const urls = [path, ...queries.map((query) => `${path}?${query}`)];
        for (const url of urls) {
          const isWrite = route.method !== "GET";
          const answer = await fetch(service.page + url, { method: route.method, headers: isWrite ? { ...headers, "content-type": "application/json" } : headers, ...(isWrite ? { body: JSON.stringify({ reason: text, name: text, symbols: [text] }) } : {}) });
          const body = await answer.text();
          if (answer.status >= 500 && answer.status !== 503) failed.push(`${route.method} ${url.slice(0, 200)}: ${answer.status} ${body.slice(0, 200)}`);
        }
      });
      await Promise.all(tries);
    }
    expect(failed).toEqual([]);
    expect((await fetch(`${service.page}/v1/admin/keys`, { headers })).status).toBe(200);
  }, 60_000);
});
