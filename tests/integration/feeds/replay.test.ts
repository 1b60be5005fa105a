/**
 * A recording played as a feed: what it gives, how fast, and how it ends.
 */
import { existsSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import { ReplayFeed } from "../../../src/feeds/replay-feed.ts";
import type { MarketEventKind } from "../../../src/market/market-event.ts";
import { CollectingSink } from "../../support/collecting-sink.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { CountingSink, KeepingLog, until } from "../../support/feed-harness.ts";
import { capturePath, hasVenueData } from "../../support/venue-data.ts";

async function play(path: string, speed: number): Promise<{ sink: CollectingSink; feed: ReplayFeed; count: (kind: MarketEventKind) => number }> {
  const sink = new CountingSink();
  const feed = new ReplayFeed({ sink, clock: systemClock, log: new KeepingLog(), path, speed });
  onTestFinished(() => feed.stop());
  await feed.start();
  return { sink, feed, count: (kind) => sink.events.filter((event) => event.kind === kind).length };
}

async function capture(lines: readonly Readonly<Record<string, unknown>>[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "replay-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "made.jsonl.gz");
  writeFileSync(path, gzipSync(lines.map((line) => `${JSON.stringify({ exchange: "BINANCE", conn: "ws.1", dir: "in", ...line })}\n`).join("")));
  return path;
}

function trade(ts: number, id: number): Readonly<Record<string, unknown>> {
  const data = { e: "trade", E: ts, s: "BTCUSDT", t: id, p: "61837.63000000", q: "0.02000000", T: ts, m: true };
  return { ts, raw: JSON.stringify({ stream: "btcusdt@trade", data }) };
}

describe.skipIf(!hasVenueData)("a recorded venue, as fast as possible", () => {
  it.each([
    ["BINANCE", { book: 176, quote: 84, trade: 2 }, "binance:NKN-USDT"],
    ["BINANCE_US", { book: 336, quote: 128, trade: 11 }, "binance_us:OMG-BUSD"],
    ["COINBASE", { book: 9_729, trade: 97, ticker: 107 }, "coinbase:YFI-BTC"],
    ["KRAKEN", { book: 4_279, trade: 10 }, "kraken:BTC-CHF"],
    ["BINANCE_SPOT_BTCUSDT_2024-08-08", { quote: 28_040, trade: 9_757 }, "binance:BTC-USDT"],
  ] as const)("%s gives the counts that are known", async (name, counts, id) => {
    const { sink, feed, count } = await play(capturePath(name), 0);
    await until("the end", () => feed.report().reason === "end of recording", 15_000);
    for (const [kind, expected] of Object.entries(counts)) expect(sink.events.filter((event) => event.kind === kind)).toHaveLength(expected);
    expect(feed.counters).toMatchObject({ malformed: 0, resyncs: 0 });
    expect(feed.report()).toMatchObject({ state: "down", venues: [id.slice(0, id.indexOf(":"))] });
    expect(sink.instruments.map((each) => each.id)).toContain(id);
    expect(sink.instruments.every((each) => each.timeBase === "event" && !each.simulated)).toBe(true);
    const states = sink.events.flatMap((event) => (event.kind === "status" && sink.idOf(event) === id ? [event.state] : []));
    expect(states.filter((state, i) => state !== states[i - 1])).toEqual(["stale", "live", "down"]);
    expect(count("status")).toBeLessThan(200);
  });

  it("makes the recorded instruments known before anything of them, and no others", async () => {
    const { sink, feed } = await play(capturePath("KRAKEN"), 1);
    expect(sink.instruments).toHaveLength(11);
    expect(feed.report().instruments).toBe(10);
    expect(sink.instruments.find((each) => each.symbol === "BTC-CHF")).toMatchObject({ native: "XBT/CHF", priceScale: 1, sizeScale: 8 });
  });

  it("gives way to the rest of the thread every few milliseconds", async () => {
    const { feed } = await play(capturePath("COINBASE"), 0);
    let longestMs = 0;
    let turns = 0;
    let lastMs = systemClock.monotonicMs();
    await until("the end", () => {
      const nowMs = systemClock.monotonicMs();
      longestMs = Math.max(longestMs, nowMs - lastMs);
      lastMs = nowMs;
      turns++;
      return feed.report().state === "down";
    }, 15_000);
    expect(turns).toBeGreaterThan(5);
    expect(longestMs).toBeLessThan(500);
  });
});

describe("a replay", () => {
  it("keeps the recorded pace, times the speed", async () => {
    const path = await capture([trade(1_000_000, 1), trade(1_001_000, 2), trade(1_003_000, 3)]);
    const clock = new FakeClock();
    const sink = new CollectingSink();
    const feed = new ReplayFeed({ sink, clock, log: new KeepingLog(), path, speed: 2 });
    onTestFinished(() => feed.stop());
    const trades = (): number => sink.events.filter((event) => event.kind === "trade").length;
    await feed.start();
    await until("the first trade", () => trades() === 1);
    clock.advance(499);
    expect(trades()).toBe(1);
    clock.advance(1);
    await until("the second trade", () => trades() === 2);
    clock.advance(998);
    expect(trades()).toBe(2);
    clock.advance(2);
    await until("the third trade", () => trades() === 3);
    await until("the end", () => feed.report().reason === "end of recording");
  });

  it("stamps events in the recording's own time", async () => {
    const { sink, feed } = await play(await capture([trade(1_700_000_000_123.456, 1)]), 0);
    await until("the end", () => feed.report().state === "down");
    expect(sink.events.find((event) => event.kind === "trade")).toMatchObject({ receiveTime: 1_700_000_000_123_456 });
  });

  it("stops in the middle of a wait and can be started again", async () => {
    const { feed, sink } = await play(await capture([trade(1_000_000, 1), trade(9_000_000, 2)]), 1);
    const trades = (): number => sink.events.filter((event) => event.kind === "trade").length;
    await until("the first trade", () => trades() === 1);
    await feed.stop();
    expect(feed.report()).toMatchObject({ state: "down", reason: "feed stopped" });
    await feed.start();
    await until("the first trade again", () => trades() === 2);
  });

  it("counts what is no JSON and goes on", async () => {
    const { feed, sink } = await play(await capture([trade(1_000, 1), { ts: 1_001, raw: "{not json" }, trade(1_002, 2)]), 0);
    await until("the end", () => feed.report().reason === "end of recording");
    expect(feed.counters.malformed).toBe(1);
    expect(sink.events.filter((event) => event.kind === "trade")).toHaveLength(2);
  });

  it.each([
    ["of a venue without a mapper", [{ ts: 1, exchange: "OKX", raw: "{}" }], /expected exchange to be one of BINANCE, .*found "OKX"/],
    ["without any instrument", [{ ts: 1, raw: "{}" }], /expected market data/],
    ["without a record", [], /expected at least one record/],
    ["of two exchanges", [{ ts: 1, raw: "{}" }, { ts: 2, exchange: "KRAKEN", raw: "{}" }], /expected one exchange/],
    ["whose list is none", [{ ts: 1, kind: "http", url: "https://api.binance.com/api/v3/exchangeInfo", raw: "[]" }], /instrument list/],
  ])("refuses a recording %s with a sentence", async (_, lines, message) => {
    await expect(play(await capture(lines), 0)).rejects.toThrow(message);
  });

  it("refuses a file that is not there", async () => {
    expect(existsSync("/nowhere.jsonl.gz")).toBe(false);
    await expect(play("/nowhere.jsonl.gz", 0)).rejects.toThrow(/nowhere\.jsonl\.gz/);
  });
});
