/**
 * Settings that change under open sessions: what a client sees of it, with one fan-out and with threads.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { FanoutSettings } from "../../src/ports/stream-settings.ts";
import { PoolRig } from "../support/pool-rig.ts";
import { READ_KEY, StreamRig, TEST_OPTIONS } from "../support/stream-rig.ts";

const { softLimitBytes, hardLimitBytes, ringBytesMax, sessionsPerKeyMax } = TEST_OPTIONS;

function settings(revision: number, more: Partial<FanoutSettings> = {}): FanoutSettings {
  return { revision, softLimitBytes, hardLimitBytes, ringBytesMax, sessionsPerKeyMax, banner: null, ...more };
}

describe("one fan-out", () => {
  let rig: StreamRig;
  afterEach(() => rig.stop());

  it("counts sessions of a key by the newest limit, and leaves those that are open", async () => {
    rig = await StreamRig.start();
    const open = [await rig.session(), await rig.session(), await rig.session()];
    rig.fanout.applySettings(settings(1, { sessionsPerKeyMax: 2 }));
    const refused = await rig.connect();
    refused.say({ type: "auth", api_key: READ_KEY });
    expect(await refused.next((m) => m.type === "error")).toMatchObject({ code: 406, message: expect.stringContaining("2 sessions") });
    expect(await refused.closed()).toBe(4406);
    for (const client of open) await client.settled();
    rig.fanout.applySettings(settings(2, { sessionsPerKeyMax: 4 }));
    await rig.session();
    expect(rig.fanout.settingsRevision).toBe(2);
  });

  it("sends a session to the lagging lane by the newest soft limit", async () => {
    rig = await StreamRig.start({ pingMs: 60_000, pingAgeMaxMs: 60_000, pingIdleMs: 60_000, softLimitBytes: 8 << 20, hardLimitBytes: 8 << 20 });
    const [a = 0] = rig.list("t:A");
    const levels = (from: number, step: number) => Array.from({ length: 100 }, (_, i) => [from + step * i, 123_456] as const);
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "book", depth: 100, symbols: ["t:A"] });
    slow.socket.pause();
    const session = async () => (await rig.fanout.connections.page({ limit: 1, after: "", lane: null, keyId: null, address: null })).items[0];
    for (let i = 0; ((await session())?.unsentBytes ?? 0) < 200_000; i++) {
      rig.book(a, levels(100_000 - i, -1), levels(100_001, 1));
      rig.flush();
    }
    expect((await session())?.lane).toBe("live");
    rig.fanout.applySettings(settings(1, { softLimitBytes: 100_000 }));
    await expect.poll(async () => (await session())?.lane).toBe("lagging");
    slow.socket.resume();
    expect(await slow.next((m) => m.type === "caught_up")).toMatchObject({ lost: 0 });
  });

  it("closes a session by the newest hard limit", async () => {
    rig = await StreamRig.start({ pingMs: 40, pingAgeMaxMs: 80, softLimitBytes: 8 << 20, hardLimitBytes: 12 << 20, hardLimitMs: 100, closeWaitMs: 200 });
    const [a = 0] = rig.list("t:A");
    const levels = (from: number, step: number) => Array.from({ length: 100 }, (_, i) => [from + step * i, 123_456] as const);
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "book", depth: 100, symbols: ["t:A"] });
    slow.socket.pause();
    const session = async () => (await rig.fanout.connections.page({ limit: 1, after: "", lane: null, keyId: null, address: null })).items[0];
    for (let i = 0; ((await session())?.unsentBytes ?? 0) < 2_000_000 && (await session())?.lane === "live"; i++) {
      for (let n = 0; n < 20; n++) rig.book(a, levels(100_000 - i * 20 - n, -1), levels(100_001, 1));
      rig.flush();
    }
    await expect.poll(async () => (await session())?.lane).toBe("lagging");
    const unsent = (await session())?.unsentBytes ?? 0;
    expect(rig.fanout.sessionCount).toBe(1);
    rig.fanout.applySettings(settings(1, { softLimitBytes: 4096, hardLimitBytes: Math.max(4096, Math.floor(unsent / 2)) }));
    await expect.poll(() => rig.fanout.sessionCount, { timeout: 5_000 }).toBe(0);
  });

  it("keeps more trades from the moment there is more room, and no more when there is less", async () => {
    rig = await StreamRig.start({ ringBytesMax: 0 });
    const [a = 0, b = 0] = rig.list("t:A", "t:B");
    const trades = (index: number, count: number) => {
      for (let i = 0; i < count; i++) rig.trade(index, 100 + i);
      rig.flush();
    };
    const kept = async (symbol: string) => {
      const client = await rig.session();
      const epoch = "epoch1";
      const answer = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: [symbol], resume: [{ symbol, epoch, seq: 1 }] });
      await client.settled();
      client.close();
      expect(answer["type"]).toBe("subscribed");
      return client.of("trade", symbol).length;
    };
    trades(a, 1000);
    const small = await kept("t:A");
    expect(small).toBeLessThan(999);
    rig.fanout.applySettings(settings(1, { ringBytesMax: 64 << 20 }));
    trades(a, 1000);
    const large = await kept("t:A");
    expect(large).toBeGreaterThan(small);
    rig.fanout.applySettings(settings(2, { ringBytesMax: 0 }));
    trades(b, 1000);
    expect(await kept("t:B")).toBe(small);
    expect(await kept("t:A")).toBe(large);
  });

  it("tells the banner in every heartbeat until it is taken back", async () => {
    rig = await StreamRig.start({ heartbeatMs: 50 });
    const [json, msgpack] = [await rig.session(), await rig.session(READ_KEY, { encoding: "msgpack" })];
    const text = 'back at 18:00 "sharp" \u{1F6A7}';
    for (const client of [json, msgpack]) expect(await client.next((m) => m.type === "heartbeat")).not.toHaveProperty("banner");
    rig.fanout.applySettings(settings(1, { banner: text }));
    for (const client of [json, msgpack]) expect((await client.next((m) => m.type === "heartbeat" && "banner" in m))["banner"]).toBe(text);
    rig.fanout.applySettings(settings(2));
    for (const client of [json, msgpack]) await client.next((m) => m.type === "heartbeat" && !("banner" in m));
  });
});

describe("fan-out threads", () => {
  let rig: PoolRig;
  afterEach(() => rig.stop());

  it("each say which revision they work by; one that is started in place of another begins with the newest", async () => {
    rig = await PoolRig.start();
    expect(rig.pool.settled).toEqual([]);
    rig.pool.applySettings(settings(7, { sessionsPerKeyMax: 1 }));
    await expect.poll(() => rig.pool.settled).toEqual([7, 7]);
    rig.tell(rig.threads[0], "throw");
    await expect.poll(() => rig.threads.length, { timeout: 10_000 }).toBe(3);
    await expect.poll(() => rig.pool.settled, { timeout: 10_000 }).toEqual([7, 7]);
    await expect.poll(() => rig.pool.listening, { timeout: 10_000 }).toBe(2);
    expect(await rig.sessions(4)).toHaveLength(1);
    rig.pool.applySettings(settings(8, { sessionsPerKeyMax: 3 }));
    await expect.poll(() => rig.pool.settled).toEqual([8, 8]);
    expect(await rig.sessions(4)).toHaveLength(2);
  });
});
