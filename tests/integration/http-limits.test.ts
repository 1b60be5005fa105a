/**
 * Rate limits over real sockets: exact under concurrency, both sides of each limit, the refill, and who is told what.
 */
import { z } from "@hono/zod-openapi";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock, wait } from "../../src/core/clock.ts";
import { type Api, JSON_OF } from "../../src/http/route.ts";
import type { LimitName } from "../../src/ports/limits.ts";
import { type HttpRig, KEYS, type RigOptions, startHttp } from "../support/http-rig.ts";

const rigs: HttpRig[] = [];
const start = async (options: RigOptions): Promise<HttpRig> => {
  const rig = await startHttp({ mount: thing, ...options });
  rigs.push(rig);
  return rig;
};
afterEach(async () => {
  await Promise.all(rigs.splice(0).map((rig) => rig.stop()));
});

const OPTIONS = { 200: JSON_OF("Ok", z.object({ ok: z.boolean() })) };
/** A route with the limit `default` and one for each limit of its own. */
const OWN: readonly LimitName[] = ["orders.batch", "webhooks.write", "subscriptions.write", "alerts.write", "breakers.reset"];
function thing(api: Api): void {
  api.add({ scope: "read", limit: "default" }, { method: "get", path: "/v1/thing", responses: OPTIONS }, (c) => c.json({ ok: true }, 200));
  for (const limit of OWN) api.add({ scope: "read", limit }, { method: "post", path: `/v1/own/${limit}`, responses: OPTIONS }, (c) => c.json({ ok: true }, 200));
}
const read = { "x-api-key": KEYS.read };

describe("a limit", () => {
  it("lets exactly its number through when all come at once", async () => {
    const rig = await start({ rateLimits: { default: "10/min" } });
    const answers = await Promise.all(Array.from({ length: 100 }, () => rig.get("/v1/thing", read)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(90);
  });

  it("is counted for each key apart", async () => {
    const rig = await start({ rateLimits: { default: "2/min" } });
    for (const expected of [200, 200, 429]) expect((await rig.get("/v1/thing", read)).status).toBe(expected);
    expect((await rig.get("/v1/thing", { authorization: `Bearer ${KEYS.read2}` })).status).toBe(200);
  });

  it("says where it stands in every answer, and when to come back once it is used up", async () => {
    const rig = await start({ rateLimits: { default: "2/min" } });
    const answers = [await rig.get("/v1/thing", read), await rig.get("/v1/thing?no=1", read), await rig.get("/v1/thing", read)];
    expect(answers.map(({ status }) => status)).toEqual([200, 422, 429]);
    expect(answers.map(({ headers }) => headers.get("ratelimit-policy"))).toEqual(Array.from({ length: 3 }, () => '"default";q=2;w=60'));
    expect(answers.map(({ headers }) => headers.get("ratelimit"))).toEqual(['"default";r=1;t=60', '"default";r=0;t=60', '"default";r=0;t=60']);
    const [, , refused] = answers;
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(55);
    expect(await refused?.json()).toMatchObject({ code: "rate_limited", status: 429 });
  });

  it("opens its window at the first request and is whole again when that ends", async () => {
    const rig = await start({ rateLimits: { default: "3/s" } });
    const beganMs = systemClock.monotonicMs();
    for (const expected of [200, 200, 200, 429]) expect((await rig.get("/v1/thing", read)).status).toBe(expected);
    let answer = await rig.get("/v1/thing", read);
    while (answer.status === 429) {
      await wait(systemClock, 25);
      answer = await rig.get("/v1/thing", read);
    }
    expect(systemClock.monotonicMs() - beganMs).toBeGreaterThan(990);
    expect(answer.headers.get("ratelimit")).toBe('"default";r=2;t=1');
    for (const expected of [200, 200, 429]) expect((await rig.get("/v1/thing", read)).status).toBe(expected);
  });

  it.each([["orders.batch", 10], ["webhooks.write", 20], ["subscriptions.write", 30], ["alerts.write", 20], ["breakers.reset", 5]] as const)("%s is %i a minute instead of the default one", async (name, max) => {
    const rig = await start({});
    const post = () => fetch(`${rig.url}/v1/own/${name}`, { method: "POST", headers: read });
    const answers = await Promise.all(Array.from({ length: max + 5 }, post));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(max);
    expect(answers[0]?.headers.get("ratelimit-policy")).toBe(`"${name}";q=${max};w=60`);
    expect((await rig.get("/v1/thing", read)).headers.get("ratelimit")).toBe('"default";r=99;t=60');
  });

  it("default is 100 a minute", async () => {
    const rig = await start({});
    const answers = await Promise.all(Array.from({ length: 110 }, () => rig.get("/v1/thing", read)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(100);
  });

  it("is not there when limits are off", async () => {
    const rig = await start({ rateLimits: "off" });
    const answers = await Promise.all(Array.from({ length: 110 }, () => rig.get("/v1/thing", read)));
    expect(answers.every(({ status, headers }) => status === 200 && headers.get("ratelimit") === null)).toBe(true);
  });
});

describe("without a key", () => {
  it("an address has 60 a minute, and is told of the hour as well", async () => {
    const rig = await start({});
    const answers = await Promise.all(Array.from({ length: 70 }, () => rig.get("/asyncapi.json")));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(60);
    expect(answers.find(({ status }) => status === 200)?.headers.get("ratelimit-policy")).toBe('"anonymous";q=60;w=60, "anonymous.hour";q=1000;w=3600');
  });

  it("an address has its budget of the hour, whatever the minute allows", async () => {
    const rig = await start({ rateLimits: { anonymous: "100/s", "anonymous.hour": "7/h" } });
    for (let i = 0; i < 7; i++) expect((await rig.get("/asyncapi.json")).status).toBe(200);
    const refused = await rig.get("/asyncapi.json");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(3500);
    expect((await rig.get("/v1/thing", read)).status).toBe(200);
  });

  it("addresses behind a trusted proxy are counted apart, and named ones are not believed without one", async () => {
    const behind = await start({ rateLimits: { anonymous: "1/min" }, trustedProxies: ["127.0.0.1"] });
    for (const address of ["203.0.113.1", "203.0.113.2"]) {
      expect((await behind.get("/asyncapi.json", { "x-forwarded-for": address })).status).toBe(200);
      expect((await behind.get("/asyncapi.json", { "x-forwarded-for": `1.2.3.4, ${address}` })).status).toBe(429);
    }
    const direct = await start({ rateLimits: { anonymous: "1/min" } });
    expect((await direct.get("/asyncapi.json", { "x-forwarded-for": "203.0.113.1" })).status).toBe(200);
    expect((await direct.get("/asyncapi.json", { "x-forwarded-for": "203.0.113.2" })).status).toBe(429);
  });

  it("IPv6 addresses of one /64 count as one", async () => {
    const rig = await start({ rateLimits: { anonymous: "1/min" }, trustedProxies: ["127.0.0.1"] });
    const ask = async (address: string) => (await rig.get("/asyncapi.json", { "x-forwarded-for": address })).status;
    expect(await ask("2001:db8:0:1::1")).toBe(200);
    expect(await ask("2001:db8::1:ffff:2:3:4")).toBe(429);
    expect(await ask("2001:db8:0:2::1")).toBe(200);
    expect(await ask("::1")).toBe(200);
  });

  it("health and metrics are exempt and say nothing of limits", async () => {
    const rig = await start({ rateLimits: { anonymous: "1/min" } });
    for (const path of ["/health", "/health/live", "/health/ready", "/metrics"]) {
      for (let i = 0; i < 3; i++) {
        const answer = await rig.get(path);
        expect(answer.status).toBe(200);
        expect(answer.headers.get("ratelimit")).toBeNull();
      }
    }
  });

  it("paths that do not exist use the budget, too", async () => {
    const rig = await start({ rateLimits: { anonymous: "2/min" } });
    for (const expected of [404, 404, 429]) expect((await rig.get("/nothing")).status).toBe(expected);
  });
});

describe("wrong keys", () => {
  it("of an address are refused with 429 after 20 a minute; a right key always gets in", async () => {
    const rig = await start({});
    const wrong = () => rig.get("/v1/thing", { "x-api-key": `tk_${"x".repeat(40)}` });
    const answers = await Promise.all(Array.from({ length: 50 }, wrong));
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(20);
    const throttled = answers.filter(({ status }) => status === 429);
    expect(throttled).toHaveLength(30);
    expect(throttled[0]?.headers.get("ratelimit-policy")).toBe('"auth.failures";q=20;w=60');
    expect(throttled[0]?.headers.get("retry-after")).not.toBeNull();
    for (let i = 0; i < 30; i++) {
      expect((await rig.get("/v1/thing", read)).status).toBe(200);
      expect((await wrong()).status).toBe(429);
    }
  });

  it("are reported with no more than their first 8 characters, missing ones as missing", async () => {
    const rig = await start({});
    const secret = `tk_${"x".repeat(40)}`;
    await rig.get("/v1/thing", { "x-api-key": secret, "x-request-id": "r-1" });
    await rig.get("/v1/thing");
    expect(rig.refused).toEqual([
      { address: "127.0.0.1", requestId: "r-1", correlationId: "r-1", keyStart: "tk_xxxxx" },
      { address: "127.0.0.1", requestId: expect.any(String), correlationId: expect.any(String), keyStart: null },
    ]);
    expect(JSON.stringify(rig.log.lines)).not.toContain("xxxxxx");
  });

  it("and missing ones and missing scopes say where limits stand without using them", async () => {
    const rig = await start({});
    const missing = await rig.get("/v1/thing");
    expect(missing.status).toBe(401);
    expect(missing.headers.get("ratelimit")).toBe('"anonymous";r=60;t=0');
    const scopeless = await rig.get("/v1/thing", { "x-api-key": KEYS.publish });
    expect(scopeless.status).toBe(403);
    expect(scopeless.headers.get("ratelimit")).toBe('"default";r=100;t=0');
  });
});
