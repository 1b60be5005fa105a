/**
 * A worker that falls behind, over real threads and sockets: its clients get a snapshot instead of the backlog, others notice nothing.
 */
import { afterEach, describe, expect, it } from "vitest";
import { KIND_QUOTE } from "../../src/protocol/record.ts";
import { Account } from "../support/account.ts";
import { PoolRig } from "../support/pool-rig.ts";
import { entriesOf, type StreamClient } from "../support/stream-client.ts";

let rig: PoolRig;
afterEach(() => rig.stop());

const IN_FLIGHT_MAX = 8;
const RING = 32;
const LIMITS = { batchesInFlightMax: IN_FLIGHT_MAX, ringTradesMax: RING, ringBarsMax: 4 };

/** Sessions that hold the quotes, trades and bars of t:A. */
async function watching(count: number): Promise<StreamClient[]> {
  const clients = await rig.sessions(count);
  for (const channel of ["quotes", "trades", "bars"]) {
    await Promise.all(clients.map((client) => client.ask({ type: "subscribe", id: channel, channel, ...(channel === "bars" ? { interval: "1s" } : {}), symbols: ["t:A"] })));
  }
  return clients;
}

function last(client: StreamClient, type: string): number {
  return Number(client.of(type, "t:A").at(-1)?.["seq"] ?? 0);
}

describe("a worker that takes nothing in for a while", () => {
  it("has its clients told what was folded and lost, to the event, while those of the other see no hole and no wait", async () => {
    rig = await PoolRig.start({ fanout: LIMITS });
    const all = await watching(16);
    const behind = await rig.sample("ticker_stream_sessions", 0);
    expect(Math.min(behind, 16 - behind)).toBeGreaterThan(0);
    rig.quote(100, 100_000);
    rig.trade(100, 100_000);
    await Promise.all(all.map((client) => client.next((m) => m.type === "trade")));
    await rig.hang(0);
    // Each has reached the clients of the other worker before the next few are sent; the first one hangs all the while.
    for (let i = 1; i <= 100; i++) {
      rig.quote(200 + i, 90_000 - i * 500);
      rig.trade(200 + i, 90_000 - i * 500);
      if (i % 2 === 0) await expect.poll(() => all.filter((client) => last(client, "trade") === i + 1).length, { interval: 1 }).toBe(16 - behind);
    }
    const spared = all.filter((client) => last(client, "quote") === 101);
    const hit = all.filter((client) => last(client, "quote") < 101);
    expect(hit.map((client) => last(client, "quote"))).toEqual(hit.map(() => 1));
    rig.release();
    await Promise.all(hit.map((client) => client.next((m) => m.type === "caught_up")));
    rig.quote(300);
    rig.trade(300);
    await Promise.all(all.map((client) => client.next((m) => m.type === "trade" && m["seq"] === 102)));
    for (const client of all) {
      const account = Account.of(client.messages);
      expect([account.faults, account.isLagging, account.held.get("quotes t:A"), account.held.get("trades t:A")]).toEqual([[], false, 102, 102]);
      expect(client.of("quote", "t:A").at(-1)).toMatchObject({ bid: "3.00" });
      expect(account.lags).toBe(spared.includes(client) ? 0 : 1);
      expect(account.folded > 0 && account.lost > 0).toBe(!spared.includes(client));
    }
    // Eight batches were on their way, four quotes and four trades; of the other 96 trades the ring has the last 32.
    const gaps = hit.flatMap((client) => client.messages.filter((m) => m.type === "gap" && m["channel"] === "trades"));
    expect(gaps).toEqual(hit.map(() => ({ type: "gap", channel: "trades", symbol: "t:A", epoch: "e", from: 6, to: 101 - RING, reason: "slow" })));
    const bars = hit.map((client) => client.of("bar", "t:A").filter((m) => m["closed"] === true).map((m) => m["start"]));
    expect(bars.every((starts) => new Set(starts).size === starts.length && starts.length >= LIMITS.ringBarsMax)).toBe(true);
    expect(rig.hung).toEqual([]);
    expect(await rig.sample("ticker_stream_lagging_total")).toBe(hit.length);
    expect(await rig.sample("ticker_workers_behind")).toBe(0);
  });

  it("gets every batch as long as fewer than the limit are on their way, and none beyond", async () => {
    rig = await PoolRig.start({ workers: 1, fanout: LIMITS });
    const [client] = await watching(1);
    const fellBehind = (): boolean => rig.log.lines.some(({ message }) => message.includes("is behind"));
    await rig.hang(0);
    for (let i = 1; i <= IN_FLIGHT_MAX; i++) rig.quote(100 + i);
    expect(fellBehind()).toBe(false);
    rig.release();
    await client?.next((m) => m["seq"] === IN_FLIGHT_MAX);
    rig.threads.length = 1;
    await rig.hang(0);
    for (let i = 1; i <= IN_FLIGHT_MAX; i++) rig.quote(200 + i);
    expect(fellBehind()).toBe(false);
    rig.quote(300);
    expect(fellBehind()).toBe(true);
    rig.release();
    await client?.next((m) => m.type === "caught_up");
    expect(client?.messages.filter((m) => m.type === "quote" && m["snapshot"] !== true).map((m) => m["seq"])).toEqual(Array.from({ length: 2 * IN_FLIGHT_MAX + 1 }, (_, i) => i + 1));
    const counts = Object.fromEntries((await rig.pool.report()).samples.filter(({ name }) => name.startsWith("ticker_workers_")).map(({ name, value }) => [name.slice(15), value]));
    expect(counts).toMatchObject({ fell_behind_total: 1, batches_skipped_total: 1, records_skipped_total: 1, snapshots_total: 2, behind: 0, batches_in_flight: 0 });
  });

  it("is behind with 64 MiB on their way as well, and not with less", async () => {
    rig = await PoolRig.start({ workers: 1, fanout: { batchesInFlightMax: 1_000 } });
    await rig.hang(0);
    const mebibyte = (sequence: number): void => {
      const words = new Float64Array(131_072);
      words.set([17, KIND_QUOTE, sequence]);
      rig.pool.batch({ count: 1, words, bytes: new Uint8Array(words.buffer), offsets: Uint32Array.of(0, words.length) });
    };
    for (let i = 1; i <= 64; i++) mebibyte(i);
    expect(rig.log.lines).toEqual([]);
    mebibyte(65);
    expect(rig.log.lines).toMatchObject([{ message: expect.stringContaining("is behind"), fields: { bytes: 64 * 2 ** 20 } }]);
  });

  it("has what a venue lost meanwhile told once, as the sum", async () => {
    rig = await PoolRig.start({ workers: 1, fanout: LIMITS });
    const [client] = await watching(1);
    await rig.hang(0);
    for (let i = 0; i <= IN_FLIGHT_MAX; i++) rig.trade(100 + i);
    rig.pipeline.lost(1, "trade", 3);
    rig.trade(200);
    rig.pipeline.lost(1, "trade", 4);
    rig.release();
    await client?.next((m) => m.type === "caught_up");
    expect(client?.messages.filter((m) => m.type === "gap")).toEqual([{ type: "gap", channel: "trades", symbol: "t:A", epoch: "e", missed: 7, reason: "upstream" }]);
    expect(Account.of(client?.messages ?? []).faults).toEqual([]);
  });
});

describe("a worker that takes the place of one that failed", () => {
  it("has the kept trades: recent holds them, and a client goes on exactly where it was", async () => {
    rig = await PoolRig.start({ workers: 1, fanout: { ringTradesMax: RING } });
    for (let i = 1; i <= 50; i++) rig.trade(100 + i);
    rig.tell(rig.threads[0], "throw");
    await expect.poll(() => rig.pool.listening).toBe(0);
    rig.trade(151);
    await expect.poll(() => rig.pool.listening, { timeout: 5_000 }).toBe(1);
    const clients = await rig.sessions(3);
    const [recent, exact, gap] = clients;
    await recent?.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:A"], recent: 10 });
    const resume = async (client: StreamClient | undefined, seq: number): Promise<unknown> => {
      const answer = await client?.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:A"], resume: [{ symbol: "t:A", epoch: "e", seq }] });
      return entriesOf(answer, "topics")[0];
    };
    expect(await resume(exact, 51 - RING)).toMatchObject({ resumed: "exact", seq: 51 - RING });
    expect(await resume(gap, 50 - RING)).toMatchObject({ resumed: "gap", seq: 50 - RING });
    rig.trade(152);
    await Promise.all(clients.map((client) => client.next((m) => m["seq"] === 52)));
    expect(recent?.of("trade", "t:A").map((m) => [m["seq"], m["snapshot"] ?? false])).toEqual([...Array.from({ length: 10 }, (_, i) => [42 + i, true]), [52, false]]);
    for (const client of [exact, gap]) {
      const account = Account.of(client?.messages ?? []);
      expect([account.faults, account.held.get("trades t:A"), account.lags]).toEqual([[], 52, 0]);
    }
  });

  it("gets more than 1 MiB in parts, and listens only after the last", async () => {
    rig = await PoolRig.start({ workers: 1 });
    const words = new Float64Array(65_536);
    for (let i = 1; i <= 5; i++) {
      words.set([16 * i + 1, KIND_QUOTE, 7]);
      rig.pool.batch({ count: 1, words, bytes: new Uint8Array(words.buffer), offsets: Uint32Array.of(0, words.length) });
    }
    const before = await rig.sample("ticker_workers_snapshots_total");
    rig.tell(rig.threads[0], "throw");
    await expect.poll(() => rig.pool.listening).toBe(0);
    await expect.poll(() => rig.pool.listening, { timeout: 5_000 }).toBe(1);
    expect(await rig.sample("ticker_workers_snapshots_total") - before).toBe(3);
    const [client] = await rig.sessions(1);
    const answer = await client?.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] });
    expect(entriesOf(answer, "topics")).toMatchObject([{ seq: 7 }]);
    expect(await client?.next((m) => m.type === "quote")).toMatchObject({ seq: 7, snapshot: true });
  });
});
