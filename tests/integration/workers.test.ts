/**
 * Fan-out threads: one port, one set of limits, and a thread that fails takes only its own clients along.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { PoolRig } from "../support/pool-rig.ts";
import { RawStream } from "../support/raw-stream.ts";
import { type RunningService, startService } from "../support/start-service.ts";
import { type Message, StreamClient } from "../support/stream-client.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const clients: StreamClient[] = [];

/** Connected and greeted. */
async function connect(url: string): Promise<StreamClient> {
  const client = new StreamClient(url);
  clients.push(client);
  await client.next((m) => m.type === "welcome");
  return client;
}

/** The answer to `auth`, or the close code. */
async function authenticate(client: StreamClient, secret: string): Promise<Message | number> {
  client.say({ type: "auth", api_key: secret });
  return client.next((m) => m.type === "authenticated").catch(() => client.closed());
}

/** So many clients that all ask to be let in at the same time. */
async function rush(url: string, count: number, secret: string): Promise<{ inside: StreamClient[]; codes: number[] }> {
  const rushing = await Promise.all(Array.from({ length: count }, () => connect(url)));
  const answers = await Promise.all(rushing.map((client) => authenticate(client, secret)));
  return { inside: rushing.filter((_, i) => typeof answers[i] !== "number"), codes: answers.filter((answer) => typeof answer === "number") };
}

/** Sequences of a client's quotes of a symbol grow by one, from that of the acknowledgement. Answers how many there were. */
function contiguous(client: StreamClient, symbol: string): number {
  const quotes = client.of("quote", symbol);
  for (const [i, quote] of quotes.entries()) {
    if (i > 0) expect(Number(quote["seq"]) - Number(quotes[i - 1]?.["seq"])).toBe(1);
  }
  return quotes.length;
}

describe("a service with two workers", () => {
  const KEYS = { many: `tk_many${"m".repeat(32)}`, revoked: `tk_revoked${"r".repeat(32)}`, other: `tk_other${"o".repeat(32)}`, admin: `tk_admin${"a".repeat(32)}` };
  let service: RunningService;
  beforeAll(async () => {
    service = await startService({ env: { WORKERS: "2", STREAM_SESSIONS_PER_KEY: "20", BOOTSTRAP_API_KEYS: Object.entries(KEYS).map(([name, key]) => `${name === "admin" ? "admin" : "read"}:${key}`).join(",") } });
  });
  afterAll(() => service.stop());
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  /** Sessions by worker. */
  const sessions = async (): Promise<number[]> => {
    const text = await (await fetch(`${service.page}/metrics`)).text();
    return [...text.matchAll(/^ticker_stream_sessions\{.*worker="(\d)".*\} (\d+)$/gm)].toSorted((a, b) => Number(a[1]) - Number(b[1])).map((match) => Number(match[2]));
  };
  const empty = (): Promise<void> => expect.poll(async () => (await sessions()).join(), { timeout: 5_000 }).toBe("0,0");

  it("spreads its clients over both, and each sees every quote", async () => {
    const { inside } = await rush(service.stream, 20, KEYS.other);
    await Promise.all(inside.map((client) => client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["sim:BTC-USD"] })));
    const [first = 0, second = 0] = await sessions();
    expect(first + second).toBe(20);
    expect(await (await fetch(`${service.page}/health/readiness`)).json()).toMatchObject({ status: "ready", dependencies: expect.arrayContaining([{ name: "workers", ok: true, detail: "2 of 2 listen" }]) });
    expect(Math.min(first, second)).toBeGreaterThan(0);
    await expect.poll(() => Math.min(...inside.map((client) => client.of("quote", "sim:BTC-USD").length)), { timeout: 10_000 }).toBeGreaterThan(10);
    const last = Math.min(...inside.map((client) => Number(client.of("quote", "sim:BTC-USD").at(-1)?.["seq"])));
    const seen = inside.map((client) => client.of("quote", "sim:BTC-USD").find((quote) => quote["seq"] === last));
    for (const client of inside) expect(contiguous(client, "sim:BTC-USD")).toBeGreaterThan(10);
    expect(new Set(seen.map((quote) => JSON.stringify(quote))).size).toBe(1);
    console.log(`sessions by worker: ${first}, ${second}`);
  });

  it("redeems a ticket once, whichever worker is asked", async () => {
    await empty();
    const body: unknown = await (await fetch(`${service.page}/v1/stream-tickets`, { method: "POST" })).json();
    const ticket = typeof body === "object" && body !== null && "ticket" in body ? String(body.ticket) : "";
    const { inside, codes } = await rush(service.stream, 20, ticket);
    expect(inside).toHaveLength(1);
    expect(codes).toEqual(Array.from({ length: 19 }, () => 4402));
  });

  it("counts the sessions of a key exactly over both, and gives places back", async () => {
    await empty();
    const first = await rush(service.stream, 60, KEYS.many);
    expect(first.inside).toHaveLength(20);
    expect(first.codes).toEqual(Array.from({ length: 40 }, () => 4406));
    for (const client of first.inside.slice(0, 5)) client.close();
    await expect.poll(async () => (await sessions()).reduce((sum, count) => sum + count, 0)).toBe(15);
    const second = await rush(service.stream, 8, KEYS.many);
    expect(second.inside).toHaveLength(5);
    expect(second.codes).toEqual([4406, 4406, 4406]);
  });

  it("closes the sessions of a revoked key with 4418 within a second on both, and no other", async () => {
    await empty();
    const others = await rush(service.stream, 6, KEYS.other);
    const { inside } = await rush(service.stream, 20, KEYS.revoked);
    expect(Math.min(...await sessions())).toBeGreaterThan(0);
    const keyId = String(inside[0]?.messages.find((m) => m.type === "authenticated")?.["key_id"]);
    await new Promise<void>((resolve, reject) => {
      execFile(process.execPath, ["src/cli/main.ts", "keys", "revoke", keyId, "--key", KEYS.admin, "--http", service.page], { cwd: ROOT, env: { PATH: process.env["PATH"] ?? "", DATA_DIR: service.dataDir } }, (error) => (error ? reject(error) : resolve()));
    });
    const fromMs = systemClock.monotonicMs();
    expect(new Set(await Promise.all(inside.map((client) => client.closed())))).toEqual(new Set([4418]));
    expect(systemClock.monotonicMs() - fromMs).toBeLessThan(1_000);
    await Promise.all(others.inside.map((client) => client.settled()));
    expect((await rush(service.stream, 4, KEYS.revoked)).codes).toEqual([4402, 4402, 4402, 4402]);
  });

  it("drains both: goodbye, 1012, exit 0", async () => {
    await empty();
    const { inside } = await rush(service.stream, 20, KEYS.other);
    expect(Math.min(...await sessions())).toBeGreaterThan(0);
    service.signal("SIGTERM");
    for (const client of inside) {
      expect(await client.next((m) => m.type === "goodbye")).toMatchObject({ code: 503, reason: "draining", reconnect: true });
      expect(await client.closed()).toBe(1012);
    }
    expect(await service.exited).toBe(0);
  });
});

describe("a pool of four workers", () => {
  it("is given 1,000 connections evenly: the largest share is at most 1.3 times the mean", async () => {
    const rig = await PoolRig.start({ workers: 4 });
    try {
      const streams: RawStream[] = [];
      for (let i = 0; i < 10; i++) streams.push(...await Promise.all(Array.from({ length: 100 }, () => RawStream.open(rig.pool.port))));
      const shares = await Promise.all([0, 1, 2, 3].map((worker) => rig.sample("ticker_stream_sessions", worker)));
      console.log(`connections by worker: ${shares.join(", ")}`);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(1_000);
      expect(Math.max(...shares)).toBeLessThanOrEqual(325);
      for (const stream of streams) stream.drop();
    } finally {
      await rig.stop();
    }
  });
});

describe("a pool of two workers", () => {
  let rig: PoolRig;
  afterEach(() => rig.stop());
  const watching = async (count: number): Promise<StreamClient[]> => {
    const inside = await rig.sessions(count);
    await Promise.all(inside.map((client) => client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] })));
    return inside;
  };

  it("replaces one that throws: its clients come back and get data, the others notice nothing", async () => {
    rig = await PoolRig.start();
    const { pool, threads } = rig;
    const all = await watching(20);
    for (let i = 0; i < 10; i++) rig.quote(1000 + i);
    await Promise.all(all.map((client) => client.next((m) => m["seq"] === 10)));
    const ticking = systemClock.every(5, () => rig.quote(1000 + (threads.length % 7)));
    rig.tell(threads[0], "throw");
    await expect.poll(() => all.filter((client) => client.closeCode !== null).length).toBeGreaterThan(0);
    await expect.poll(() => threads.length).toBe(3);
    await expect.poll(() => pool.listening, { timeout: 5_000 }).toBe(2);
    const gone = all.filter((client) => client.closeCode !== null);
    expect(gone.every((client) => client.closeCode === 1006)).toBe(true);
    // Exactly as many as went: the places of the lost sessions were given back.
    const back = await watching(gone.length);
    expect(back).toHaveLength(gone.length);
    const present = Number(back[0]?.of("quote", "t:A").at(-1)?.["seq"]);
    const alive = [...all.filter((client) => client.closeCode === null), ...back];
    expect(alive).toHaveLength(20);
    await Promise.all(alive.map((client) => client.next((m) => Number(m["seq"]) >= present + 20)));
    ticking.stop();
    for (const client of alive) expect(contiguous(client, "t:A")).toBeGreaterThan(10);
    expect(await rig.sample("ticker_workers_restarted_total")).toBe(1);
    expect(rig.hung).toEqual([]);
  });

  it("waits twice as long before each replacement of one that keeps failing, up to 10 s, and 250 ms again after a sound minute", async () => {
    const clock = new FakeClock();
    rig = await PoolRig.start({ clock });
    const { pool, threads, log } = rig;
    const waits: number[] = [];
    const listening: number[] = [];
    const failAndReturn = async (): Promise<void> => {
      const before = threads.length;
      rig.tell(threads.at(-1), "throw");
      await expect.poll(() => log.lines.filter(({ message }) => message.includes("starting another")).length, { timeout: 5_000 }).toBe(waits.length + 1);
      listening.push(pool.listening);
      const inMs = Number(log.lines.findLast(({ message }) => message.includes("starting another"))?.fields["inMs"]);
      waits.push(inMs);
      clock.advance(inMs);
      await expect.poll(() => pool.listening, { timeout: 5_000 }).toBe(2);
      await expect.poll(() => threads.length, { timeout: 5_000 }).toBe(before + 1);
    };
    for (let i = 0; i < 8; i++) await failAndReturn();
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    clock.advance(59_999);
    await failAndReturn();
    clock.advance(60_000);
    await failAndReturn();
    expect(waits.slice(-2)).toEqual([10_000, 250]);
    expect(new Set(listening)).toEqual(new Set([1]));
    expect((await pool.report()).samples).toEqual(expect.arrayContaining([
      expect.objectContaining({ name: "ticker_workers_restarted_total", value: 10 }), expect.objectContaining({ name: "ticker_workers_listening", value: 2 }),
    ]));
  });

  it("starts no other one for a worker that fails while it drains", async () => {
    rig = await PoolRig.start();
    const { pool, threads, log } = rig;
    await watching(6);
    await expect(pool.drain(1_000)).resolves.toBe(6);
    rig.tell(threads[0], "throw");
    await expect.poll(() => pool.listening).toBe(1);
    rig.tell(threads[1], "throw");
    await expect.poll(() => pool.listening).toBe(0);
    expect(log.lines.map((line) => line.message).filter((message) => message.includes("another"))).toEqual([]);
  });

  it("says that one hangs after 5 s in which it took nothing in, and not before", async () => {
    const clock = new FakeClock();
    rig = await PoolRig.start({ clock });
    await rig.hang(0);
    rig.quote(1000);
    clock.advance(4_500);
    expect(rig.hung).toEqual([]);
    clock.advance(500);
    expect(rig.hung[0]).toMatch(/a fan-out thread took nothing in for 5\d{3} ms, \d+ bytes wait/);
  });
});
