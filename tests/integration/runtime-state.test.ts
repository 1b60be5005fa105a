/**
 * Runtime settings and audit over HTTP, against the real service with a stub of the stream thread.
 */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newDataFolder } from "../support/data-folder.ts";
import { type EmbeddedService, startEmbedded } from "../support/start-embedded.ts";

const key = (name: string): string => `tk_${name}_${"x".repeat(32)}`;
const [ADMIN, TRADE, SPENDER, EMERGENCY] = [key("admin"), key("trade"), key("spender"), key("emergency")];
const PATH = "/v1/admin/runtime-state";

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
}
interface State extends Problem {
  readonly revision: number;
  readonly values: Readonly<Record<string, unknown>>;
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly effects: Readonly<Record<string, string>>;
  readonly updated_by: string | null;
  readonly updated_at: number | null;
  readonly applied: { readonly main: number; readonly stream: number | null; readonly workers: readonly number[] };
}

let service: EmbeddedService;
beforeAll(async () => {
  service = await startEmbedded({
    BOOTSTRAP_API_KEYS: `admin:${ADMIN},trade:${TRADE},admin:${SPENDER},breakglass:${EMERGENCY}`,
    RATE_LIMITS: JSON.stringify({ default: "10000/min", "admin.write": "30/h", "admin.write.breakglass": "2/h" }),
  });
});
afterAll(() => service.stop());

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly body: State;
}

async function ask(method: string, path: string, headers: Readonly<Record<string, string>>, body?: unknown): Promise<Asked> {
  const sent = typeof body === "string" ? body : body === undefined ? null : JSON.stringify(body);
  const answer = await fetch(service.page + path, { method, headers: { "x-api-key": ADMIN, ...(sent === null ? {} : { "content-type": "application/json" }), ...headers }, body: sent });
  const read: State = JSON.parse(await answer.text());
  return { status: answer.status, headers: answer.headers, body: read };
}

const get = () => ask("GET", PATH, {});
const patch = (body: unknown, headers: Readonly<Record<string, string>> = { "if-match": "*" }) => ask("PATCH", PATH, headers, body);
const newest = async (): Promise<string> => `"${(await get()).body.revision}"`;

describe("GET", () => {
  it("answers revision, values, defaults and effects of every key, and where the revision works", async () => {
    const { status, headers, body } = await get();
    expect(status).toBe(200);
    expect(headers.get("etag")).toBe(`"${body.revision}"`);
    expect(Object.keys(body.values)).toEqual([
      "orders.enabled", "feeds.sim.enabled", "stream.soft_limit_bytes", "stream.hard_limit_bytes", "stream.ring_bytes", "stream.sessions_per_key", "webhooks.enabled", "log.level",
      "maintenance.banner", "failure_injection",
    ]);
    for (const member of [body.defaults, body.effects]) expect(Object.keys(member)).toEqual(Object.keys(body.values));
    expect(body.applied).toEqual({ main: body.revision, stream: body.revision, workers: [body.revision] });
  });
});

describe("PATCH", () => {
  it("changes what it names, answers the new state and its ETag, and is heard of by the stream thread", async () => {
    const etag = await newest();
    const { status, headers, body } = await patch({ "stream.sessions_per_key": 42, "maintenance.banner": "soon", _reason: "a test" }, { "if-match": etag });
    expect(status).toBe(200);
    expect(headers.get("etag")).toBe(`"${body.revision}"`);
    expect(body).toMatchObject({ values: { "stream.sessions_per_key": 42, "maintenance.banner": "soon" }, defaults: { "stream.sessions_per_key": 100 }, updated_at: expect.any(Number), updated_by: expect.stringMatching(/^key_/) });
    await expect.poll(async () => (await get()).body.applied).toEqual({ main: body.revision, stream: body.revision, workers: [body.revision] });
    const [health, page] = await Promise.all(["/health", "/page-config.json"].map(async (path) => (await fetch(service.page + path)).json()));
    expect(health).toMatchObject({ banner: "soon" });
    expect(page).toMatchObject({ banner: "soon" });
    expect((await patch({ "stream.sessions_per_key": null, "maintenance.banner": null })).body.values).toMatchObject({ "stream.sessions_per_key": 100, "maintenance.banner": null });
  });

  it("checks in the order 401, 403, 428, 412, 422", async () => {
    const wrong = { nothing: 1 };
    expect(await patch(wrong, { "x-api-key": `tk_wrong_${"z".repeat(32)}` })).toMatchObject({ status: 401 });
    expect(await patch(wrong, { "x-api-key": TRADE })).toMatchObject({ status: 403, body: { code: "insufficient_scope" } });
    expect(await patch(wrong, {})).toMatchObject({ status: 428, body: { code: "precondition_required" } });
    expect(await patch(wrong, { "if-match": '"999999"' })).toMatchObject({ status: 412, body: { code: "precondition_failed" } });
    expect(await patch(wrong, { "if-match": await newest() })).toMatchObject({ status: 422, body: { code: "validation_failed", errors: [{ path: "body.nothing" }] } });
  });

  it("compares tags strongly: a weak one matches nothing, one of a list is enough, quotes may be missing, * matches any", async () => {
    const etag = await newest();
    const change = { "log.level": "info" };
    for (const ifMatch of [`W/${etag}`, `"${etag}`, '"01"', "'1'", "\"abc\"", '""', `W/${etag}, "77777"`]) expect((await patch(change, { "if-match": ifMatch })).status, ifMatch).toBe(412);
    for (const ifMatch of [etag, etag.replaceAll('"', ""), "*", ` ${etag} `, `"77777", ${etag}`, `W/"1",${etag}`]) expect((await patch(change, { "if-match": ifMatch })).status, ifMatch).toBe(200);
  });

  it("lists every fault and changes nothing", async () => {
    const before = (await get()).body;
    const { status, body } = await patch({ "log.level": "loud", unknown: true, "stream.ring_bytes": 1.5, "maintenance.banner": "would be fine", "orders.enabled": false });
    expect(status).toBe(422);
    expect(body.errors?.map(({ path }) => path)).toEqual(["body.log.level", "body.unknown", "body.stream.ring_bytes"]);
    expect((await get()).body).toEqual(before);
  });

  it("takes the reason from the body or the header, and wants one for the kill switch", async () => {
    expect(await patch({ "orders.enabled": false })).toMatchObject({ status: 422, body: { errors: [{ path: "body.orders.enabled" }] } });
    expect((await patch({ "orders.enabled": false, _reason: "from the body" })).status).toBe(200);
    expect((await patch({ "orders.enabled": true }, { "if-match": "*", "x-reason": "from the header" })).status).toBe(200);
    expect(await records("target=orders.enabled&limit=2")).toMatchObject([{ reason: "from the header", after: { "orders.enabled": true } }, { reason: "from the body", before: { "orders.enabled": true } }]);
    for (const _reason of ["", "  ", "x".repeat(501), "two\nlines", 7, null]) expect(await patch({ "log.level": "info", _reason }), JSON.stringify(_reason)).toMatchObject({ status: 422, body: { errors: [{ path: "body._reason" }] } });
    expect((await patch({ "log.level": "info", _reason: "x".repeat(500) })).status).toBe(200);
  });

  it.each([["[]", 422], ["7", 422], ["null", 422], ['"text"', 422], ["{}", 422], ['{"_reason":"only"}', 422], ["{", 400], ["", 400], ['{"a":1,"a":2}', 400], ['{"__proto__":{}}', 400]])("refuses the body %s with %d", async (body, status) => {
    expect((await patch(body)).status).toBe(status);
  });

  it("lets one of 50 concurrent changes for one revision win; the others get 412", async () => {
    const etag = await newest();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => patch({ "stream.sessions_per_key": 200 + i }, { "if-match": etag })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(49);
    const won = answers.findIndex(({ status }) => status === 200);
    expect((await get()).body.values["stream.sessions_per_key"]).toBe(200 + won);
  });
});

describe("the budget admin.write", () => {
  it("is said in the headers, ends in 429 with Retry-After, and never stops the kill switch", async () => {
    const as = { "if-match": "*", "x-api-key": SPENDER };
    const first = await patch({ "stream.sessions_per_key": 301 }, as);
    expect(first.headers.get("ratelimit-policy")).toContain('"admin.write";q=30;w=3600');
    expect(first.headers.get("ratelimit")).toContain('"admin.write";r=29;t=3600');
    for (let i = 2; i <= 30; i++) expect((await patch({ "stream.sessions_per_key": 300 + i }, as)).status).toBe(200);
    const refused = await patch({ "stream.sessions_per_key": 400 }, as);
    expect(refused).toMatchObject({ status: 429, body: { code: "rate_limited" } });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(3_500);
    expect(refused.headers.get("ratelimit")).toMatch(/"default";r=\d+;t=\d+, "admin.write";r=0;t=3\d\d\d/);
    expect((await patch({ "stream.sessions_per_key": 330 }, as)).status).toBe(200);
    expect((await patch({ nothing: 1 }, as)).status).toBe(422);
    expect((await patch({ "orders.enabled": false, _reason: "stop" }, as)).status).toBe(200);
    expect((await patch({ "orders.enabled": true, _reason: "go" }, as)).status).toBe(429);
    expect((await patch({ "orders.enabled": null, _reason: "go" })).status).toBe(200);
  });

  it("of an emergency key is its own, and its reason must be in the header", async () => {
    const as = { "if-match": "*", "x-api-key": EMERGENCY };
    expect(await patch({ "log.level": "warn", _reason: "in the body" }, as)).toMatchObject({ status: 422 });
    const once = await patch({ "log.level": "warn" }, { ...as, "x-reason": "a fire" });
    expect(once.status).toBe(200);
    expect(once.headers.get("ratelimit-policy")).toContain('"admin.write.breakglass";q=2;w=3600');
    expect((await patch({ "log.level": null }, { ...as, "x-reason": "a fire" })).status).toBe(200);
    expect((await patch({ "log.level": "warn" }, { ...as, "x-reason": "a fire" })).status).toBe(429);
  });
});

describe("rollback", () => {
  it("is one more change, for a revision that was there", async () => {
    await patch({ "maintenance.banner": "one" });
    const then = (await get()).body;
    await patch({ "maintenance.banner": "two", "log.level": "error" });
    const { status, headers, body } = await ask("POST", `${PATH}/rollback`, { "if-match": await newest() }, { revision: then.revision, _reason: "two was worse" });
    expect(status).toBe(200);
    expect(body).toMatchObject({ revision: then.revision + 2, values: then.values });
    expect(headers.get("etag")).toBe(`"${then.revision + 2}"`);
    expect(await records("limit=1")).toMatchObject([{ action: "settings.rolled_back", target: "log.level,maintenance.banner", reason: "two was worse" }]);
  });

  it("needs no If-Match, and otherwise checks in the same order", async () => {
    const roll = (body: unknown, headers: Readonly<Record<string, string>>) => ask("POST", `${PATH}/rollback`, headers, body);
    expect(await roll({ revision: 1_000_000 }, {})).toMatchObject({ status: 404 });
    expect((await roll({}, { "if-match": '"99999"' })).status).toBe(412);
    for (const body of [{}, { revision: -1 }, { revision: 1.5 }, { revision: "1" }, { revision: 1, more: 1 }, { revision: 2 ** 60 }]) expect((await roll(body, { "if-match": "*" })).status, JSON.stringify(body)).toBe(422);
    expect(await roll({ revision: 1_000_000 }, { "if-match": "*" })).toMatchObject({ status: 404, body: { code: "not_found" } });
  });
});

describe("the audit chain", () => {
  it("has one record for each wrong address and minute, with at most 8 characters of the key", async () => {
    for (let i = 0; i < 5; i++) expect((await ask("GET", PATH, { "x-api-key": `tk_wrong_${i}_${"y".repeat(32)}` })).status).toBe(401);
    await expect.poll(() => records("action=auth.failed")).toMatchObject([{ actor: "anonymous", target: "127.0.0.1", address: "127.0.0.1", after: { count: 1, key_start: "tk_wrong" } }]);
  });

  it("is listed newest first, by page, by filter and by time, and verifies", async () => {
    const first = await page("limit=2");
    expect(first.items).toHaveLength(2);
    const second = await page(`limit=2&cursor=${first.next_cursor}`);
    expect(second.items[0]?.n).toBe((first.items[1]?.n ?? 0) - 1);
    const [at] = first.items;
    expect(await records(`from=${at?.time}`)).toMatchObject([{ n: at?.n }]);
    expect((await records(`to=${new Date(Number(at?.time) / 1000 - 1).toISOString()}&limit=1`))[0]?.n).toBeLessThan(at?.n ?? 0);
    expect((await records("action=key.created&limit=1000")).map(({ actor }) => actor)).toEqual(["system", "system", "system", "system"]);
    const { body } = await ask("GET", "/v1/admin/audit/verify", {});
    expect(body).toMatchObject({ valid: true, head: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  it.each(["limit=0", "limit=1001", "cursor=nonsense", "from=yesterday", "what=1"])("refuses %s", async (query) => {
    expect((await ask("GET", `/v1/admin/audit?${query}`, {})).status).toBe(422);
  });
});

it("is the same after a restart on the same folder", async () => {
  const dataDir = newDataFolder("ticker-settings-");
  const run = async (work: (page: string) => Promise<void>): Promise<void> => {
    const started = await startEmbedded({ DATA_DIR: dataDir, BOOTSTRAP_API_KEYS: `admin:${ADMIN}` });
    try {
      await work(started.page);
    } finally {
      await started.stop();
    }
  };
  try {
    await run(async (page) => {
      const answer = await fetch(page + PATH, { method: "PATCH", headers: { "x-api-key": ADMIN, "if-match": '"0"', "content-type": "application/json" }, body: JSON.stringify({ "log.level": "error" }) });
      expect(answer.status).toBe(200);
    });
    await run(async (page) => {
      const answer = await fetch(page + PATH, { headers: { "x-api-key": ADMIN } });
      expect(await answer.json()).toMatchObject({ revision: 1, values: { "log.level": "error" }, applied: { main: 1, stream: 1, workers: [1] } });
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

interface Page {
  readonly items: readonly { readonly n: number; readonly time: number; readonly actor: string }[];
  readonly next_cursor: string | null;
}

async function page(query: string): Promise<Page> {
  const answer = await fetch(`${service.page}/v1/admin/audit?${query}`, { headers: { "x-api-key": ADMIN } });
  const read: Page = JSON.parse(await answer.text());
  return read;
}

async function records(query: string): Promise<Page["items"]> {
  return (await page(query)).items;
}
