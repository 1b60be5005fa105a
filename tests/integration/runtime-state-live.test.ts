/**
 * A change of runtime settings through the real process with two workers: who works by it, and when.
 */
import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { newDataFolder } from "../support/data-folder.ts";
import { type RunningService, startService } from "../support/start-service.ts";
import { StreamClient } from "../support/stream-client.ts";

const ADMIN = `tk_admin_${"a".repeat(32)}`;
const READ = `tk_read_${"r".repeat(32)}`;
/** Protocol: a change reaches all workers within this. */
const WITHIN_MS = 1_000;

const dataDir = newDataFolder("ticker-live-");
const ENV = {
  WORKERS: "2", STREAM_HEARTBEAT_MS: "200", SIM_INSTRUMENTS: "5", SIM_EVENTS_PER_S: "200", BOOTSTRAP_API_KEYS: `admin:${ADMIN},read:${READ}`,
  RATE_LIMITS: JSON.stringify({ default: "10000/min", "admin.write": "1000/h" }),
};
let service: RunningService;
const clients: StreamClient[] = [];
beforeAll(async () => {
  service = await startService({ dataDir, env: ENV });
});
afterAll(async () => {
  await service.stop();
  rmSync(dataDir, { recursive: true, force: true });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

interface State {
  readonly revision: number;
  readonly values: Readonly<Record<string, unknown>>;
  readonly applied: { readonly main: number; readonly stream: number | null; readonly workers: readonly number[] };
}

async function state(): Promise<State> {
  const answer = await fetch(`${service.page}/v1/admin/runtime-state`, { headers: { "x-api-key": ADMIN } });
  const read: State = JSON.parse(await answer.text());
  return read;
}

/** Changes and waits until everybody works by it; answers how long that took. */
async function change(body: unknown): Promise<number> {
  const startedAt = performance.now();
  const answer = await fetch(`${service.page}/v1/admin/runtime-state`, { method: "PATCH", headers: { "x-api-key": ADMIN, "if-match": "*", "content-type": "application/json" }, body: JSON.stringify(body) });
  expect(answer.status).toBe(200);
  const { revision }: State = JSON.parse(await answer.text());
  await expect.poll(async () => (await state()).applied, { timeout: 5_000, interval: 5 }).toEqual({ main: revision, stream: revision, workers: [revision, revision] });
  return performance.now() - startedAt;
}

async function session(): Promise<StreamClient> {
  const client = new StreamClient(service.stream);
  clients.push(client);
  await client.next((m) => m.type === "welcome");
  client.say({ type: "auth", api_key: READ });
  await client.next((m) => m.type === "authenticated" || m.type === "error");
  return client;
}

it("reaches main, the stream thread and both workers within a second", async () => {
  for (let i = 1; i <= 20; i++) expect(await change({ "stream.soft_limit_bytes": 65_536 + i, "log.level": i % 2 === 0 ? "warn" : "debug" })).toBeLessThan(WITHIN_MS);
  await change({ "stream.soft_limit_bytes": null, "log.level": null });
});

it("limits the sessions of a key on all workers together", async () => {
  await change({ "stream.sessions_per_key": 3 });
  const all = await Promise.all(Array.from({ length: 8 }, () => session()));
  const inside = () => all.filter((client) => client.messages.some((m) => m.type === "authenticated"));
  expect(inside()).toHaveLength(3);
  for (const client of all) if (!inside().includes(client)) expect(await client.closed()).toBe(4406);
  await change({ "stream.sessions_per_key": null });
  await session();
});

it("shows the banner to the clients of every worker, on /health and on the page", async () => {
  const all = await Promise.all(Array.from({ length: 6 }, () => session()));
  await change({ "maintenance.banner": "back at 18:00" });
  for (const client of all) expect((await client.next((m) => m.type === "heartbeat" && "banner" in m))["banner"]).toBe("back at 18:00");
  for (const path of ["/health", "/page-config.json"]) expect(await (await fetch(service.page + path)).json()).toMatchObject({ banner: "back at 18:00" });
  await change({ "maintenance.banner": null });
  for (const client of all) await client.next((m) => m.type === "heartbeat" && !("banner" in m));
});

it("stops a feed and starts it again: clients are told, nothing is lost or doubled", async () => {
  const client = await session();
  await client.ask({ type: "subscribe", id: 1, channel: "status", symbols: ["sim:*"] });
  await client.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["sim:BTC-USD"] });
  await client.next((m) => m.type === "quote");
  await change({ "feeds.sim.enabled": false });
  expect(await client.next((m) => m.type === "status" && m["symbol"] === "sim:*" && m["state"] === "down")).toMatchObject({ reason: expect.stringMatching(/./) });
  const answer = await client.ask({ type: "subscribe", id: 3, channel: "quotes", symbols: ["sim:ETH-USD"] });
  expect(answer["topics"]).toMatchObject([{ symbol: "sim:ETH-USD", live: false }]);
  await expect.poll(async () => (await (await fetch(`${service.page}/health/readiness`)).json())).toMatchObject({ dependencies: expect.arrayContaining([{ name: "feed.sim", ok: false, detail: expect.stringContaining("disabled") }]) });
  await change({ "feeds.sim.enabled": true });
  await client.next((m) => m.type === "status" && m["symbol"] === "sim:*" && m["state"] === "live");
  await client.next((m) => m.type === "quote" && m["symbol"] === "sim:BTC-USD");
  const sequences = client.of("quote", "sim:BTC-USD").map((m) => Number(m["seq"]));
  for (const [i, seq] of sequences.entries()) if (i > 0) expect(seq).toBe((sequences[i - 1] ?? 0) + 1);
});

it("records wrong keys of the stream as it does those of REST", async () => {
  const refused = new StreamClient(service.stream);
  clients.push(refused);
  await refused.next((m) => m.type === "welcome");
  refused.say({ type: "auth", api_key: `tk_nobody_${"n".repeat(32)}` });
  expect(await refused.closed()).toBe(4402);
  await expect.poll(async () => (await fetch(`${service.page}/v1/admin/audit?action=auth.failed`, { headers: { "x-api-key": ADMIN } })).json())
    .toMatchObject({ items: [{ actor: "anonymous", target: "127.0.0.1", after: { count: 1, key_start: "tk_nobod" } }] });
});

it("makes the log of every thread louder at once, and quieter again", async () => {
  await change({ "log.level": "debug" });
  const heard = service.output().length;
  await fetch(`${service.page}/v1/stats`, { headers: { "x-api-key": ADMIN } });
  await expect.poll(() => service.output().slice(heard)).toMatch(/debug request .*\/v1\/stats/);
  await change({ "log.level": "error" });
  const quiet = service.output().length;
  await change({ "feeds.sim.enabled": false });
  await change({ "feeds.sim.enabled": true });
  expect(service.output().slice(quiet)).toBe("");
  await change({ "log.level": null });
});

it("begins again with what was set, a feed that is off included", async () => {
  await change({ "feeds.sim.enabled": false, "maintenance.banner": "still here" });
  const before = await state();
  await service.stop();
  service = await startService({ dataDir, env: { ...ENV, TICKER_READY_WAIT_MS: "100" } });
  expect(await state()).toEqual({ ...before, applied: { main: before.revision, stream: before.revision, workers: [before.revision, before.revision] } });
  const client = await session();
  expect((await client.next((m) => m.type === "heartbeat"))["banner"]).toBe("still here");
  await change({ "feeds.sim.enabled": true, "maintenance.banner": null });
  await expect.poll(async () => {
    const answer = await client.ask({ type: "subscribe", id: Math.random().toString(), channel: "quotes", symbols: ["sim:BTC-USD"] });
    return answer["topics"];
  }).toMatchObject([{ live: true }]);
});
