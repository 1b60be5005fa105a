/**
 * Sampled subscriptions as a client sees them: intervals, summaries, changes of mode, one publish for all who share a phase.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Timer } from "../../src/core/clock.ts";
import { micros } from "../../src/core/time.ts";
import { quantity } from "../../src/market/price.ts";
import { naiveSummary } from "../support/sampling-books.ts";
import { entriesOf, type Entry, type Message, type StreamClient } from "../support/stream-client.ts";
import { READ_KEY, StreamRig } from "../support/stream-rig.ts";

let rig: StreamRig;
let drivers: Timer[] = [];
beforeEach(async () => { rig = await StreamRig.start(); });
afterEach(async () => {
  for (const driver of drivers) driver.stop();
  drivers = [];
  await rig.stop();
});

/** Something happens every few milliseconds until the test ends. */
function drive(happen: () => void): void {
  drivers.push(rig.clock.every(3, () => {
    happen();
    rig.flush();
  }));
}

function topics(message: Message): Entry[] {
  return entriesOf(message, "topics");
}

function isData(message: Message): boolean {
  return message["symbol"] !== undefined && message["snapshot"] === undefined && message.type !== "gap";
}

/** Waits for so many data messages that are no snapshots. */
async function data(client: StreamClient, count: number): Promise<Message[]> {
  for (let i = 0; i < count; i++) await client.next(isData);
  return client.messages.filter(isData);
}

describe("a sampled topic", () => {
  it("is acknowledged with its interval and boundary, and brings the newest value when it is due", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    rig.quote(btc, 100);
    rig.flush();
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"], every_ms: 100 });
    expect(topics(ack)).toMatchObject([{ channel: "quotes", symbol: "t:BTC-USD", every_ms: 100, seq: 1 }]);
    for (let i = 1; i <= 50; i++) rig.quote(btc, 100 + i);
    rig.flush();
    const [sample] = await data(client, 1);
    expect(sample).toMatchObject({ type: "quote", seq: 51, bid: "1.50" });
    expect(client.of("quote", "t:BTC-USD").map((m) => [m["seq"], m["snapshot"]])).toEqual([[1, true], [51, undefined]]);
    expect(rig.sample("ticker_stream_sampled_folded_total")).toBe(49);
  });

  it("brings at most one message an interval, and none while nothing happens", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"], every_ms: 100 });
    let bid = 100;
    drive(() => rig.quote(btc, ++bid));
    const fromMs = rig.clock.monotonicMs();
    await data(client, 6);
    const tookMs = rig.clock.monotonicMs() - fromMs;
    expect(tookMs).toBeGreaterThan(490);
    expect(tookMs).toBeLessThan(900);
    const published = rig.sample("ticker_stream_sampled_published_total");
    for (const driver of drivers) driver.stop();
    const [tick] = rig.list("t:OTHER");
    await client.ask({ type: "subscribe", id: 2, channel: "trades", symbols: ["t:OTHER"], every_ms: 100 });
    for (let i = 0; i < 2; i++) {
      rig.trade(tick ?? 0, 500);
      rig.flush();
      await client.next((m) => m.type === "trade_summary");
    }
    expect(rig.sample("ticker_stream_sampled_published_total") - published).toBeLessThanOrEqual(3);
  });

  it("folds trades into contiguous summaries with exact count, volume and vwap", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const [full, sampled] = [await rig.session(), await rig.session()];
    await full.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"] });
    const ack = await sampled.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], every_ms: 100 });
    let n = 0;
    drive(() => {
      for (let i = 0; i < 3; i++) rig.trade(btc, 9_000 + ((++n * 7919) % 1000), { size: quantity(2 ** 53 - 1 - n) });
    });
    const summaries = await data(sampled, 4);
    const last = Number(summaries.at(-1)?.["seq"]);
    await full.settled();
    const trades = full.of("trade", "t:BTC-USD");
    let at = Number(topics(ack)[0]?.["seq"]);
    for (const summary of summaries) {
      expect(summary["first_seq"]).toBe(at + 1);
      at = Number(summary["seq"]);
      expect(summary).toEqual(naiveSummary(trades.slice(Number(summary["first_seq"]) - 1, at)));
    }
    expect(at).toBe(last);
  });

  it("brings every closed bar and then the newest update in one array", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "bars", symbols: ["t:BTC-USD"], interval: "1s", every_ms: 250 });
    const start = Math.floor(rig.clock.nowMicros() / 1e6) * 1e6 - 20e6;
    for (let second = 0; second < 5; second++) {
      for (let i = 0; i < 3; i++) rig.trade(btc, 100 + second, { eventTime: micros(start + second * 1e6 + i) });
    }
    rig.flush();
    const bars = await data(client, 5);
    expect(client.arrays[0]).toBe(5);
    expect(bars.slice(0, 5).map((bar) => bar["start"])).toEqual([0, 1, 2, 3, 4].map((second) => start + second * 1e6));
    expect(bars.slice(0, 4).every((bar) => bar["closed"] === true)).toBe(true);
  });

  it("tells closed bars that are not kept any more as a gap", async () => {
    await rig.stop();
    rig = await StreamRig.start({ ringBarsMax: 2 });
    const [btc = 0] = rig.list("t:BTC-USD");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "bars", symbols: ["t:BTC-USD"], interval: "1s", every_ms: 250 });
    const start = Math.floor(rig.clock.nowMicros() / 1e6) * 1e6 - 20e6;
    for (let second = 0; second < 6; second++) rig.trade(btc, 100 + second, { eventTime: micros(start + second * 1e6) });
    rig.flush();
    const gap = await client.next((m) => m.type === "gap");
    expect(gap).toMatchObject({ channel: "bars", symbol: "t:BTC-USD", interval: "1s", epoch: "epoch1", from: 1, reason: "slow" });
    expect((await data(client, 1))[0]).toMatchObject({ seq: Number(gap["to"]) + 1, closed: true });
    expect(rig.sample("ticker_stream_sample_gaps_total")).toBe(1);
  });

  it("is encoded and published once for all sessions of a phase, in the order in which they came", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const clients: StreamClient[] = [];
    for (let i = 0; i < 20; i++) {
      const client = await rig.session(READ_KEY);
      await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"], every_ms: 250 });
      clients.push(client);
    }
    expect(rig.sample("ticker_stream_sample_groups")).toBe(10);
    const encoded = rig.sample("ticker_stream_encoded_total");
    for (let i = 0; i < 10; i++) rig.quote(btc, 100 + i);
    rig.flush();
    await Promise.all(clients.map((client) => data(client, 1)));
    expect(rig.sample("ticker_stream_sampled_published_total")).toBe(10);
    expect(rig.sample("ticker_stream_encoded_total") - encoded).toBe(10);
    expect(rig.sample("ticker_stream_delivered_total")).toBe(20);
    for (const client of clients) client.close();
  });

  it("is the same in MessagePack", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    // The same phase: they come ten apart.
    const sessions: StreamClient[] = [];
    for (let i = 0; i <= 10; i++) {
      const client = await rig.session(READ_KEY, { encoding: i === 10 ? "msgpack" : "json" });
      await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], every_ms: 250 });
      sessions.push(client);
    }
    for (let i = 0; i < 10; i++) rig.trade(btc, 100 + i);
    rig.flush();
    const [json, packed] = [sessions[0], sessions[10]];
    if (!json || !packed) throw new Error("no sessions");
    expect(await data(packed, 1)).toEqual(await data(json, 1));
    expect(packed.binaryFrames).toBeGreaterThan(0);
  });
});

describe("a change of a held subscription", () => {
  it.each([[undefined, 100], [100, undefined], [250, 100]])("from %s to %s loses and doubles nothing", async (from, to) => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const client = await rig.session();
    const started = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], every_ms: from });
    drive(() => rig.trade(btc, 100));
    await data(client, 1);
    const ack = await client.ask({ type: "subscribe", id: 2, channel: "trades", symbols: ["t:BTC-USD"], every_ms: to });
    const acked = client.messages.filter(isData).findLast((m) => client.messages.indexOf(m) < client.messages.indexOf(ack));
    expect(topics(ack)[0]).toMatchObject({ seq: acked?.["seq"] });
    expect(topics(ack)[0]?.["every_ms"]).toBe(to);
    await client.next((m) => m.type === (to === undefined ? "trade" : "trade_summary"));
    await data(client, 4);
    const end = await client.ask({ type: "unsubscribe", id: 3, channel: "trades", symbols: ["t:BTC-USD"] });
    let at = Number(topics(started)[0]?.["seq"]);
    for (const message of client.messages.filter(isData)) {
      expect(message["first_seq"] ?? message["seq"]).toBe(at + 1);
      at = Number(message["seq"]);
    }
    expect(topics(end)).toMatchObject([{ seq: at }]);
    const pong = await client.ask({ type: "ping", id: 4 });
    expect(pong["messages"]).toBe(client.messages.filter(isData).length);
  });

  it("back before it took effect is none", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"] });
    await client.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:BTC-USD"], every_ms: 5000 });
    await client.ask({ type: "subscribe", id: 3, channel: "quotes", symbols: ["t:BTC-USD"] });
    rig.quote(btc, 100);
    rig.flush();
    await data(client, 1);
    expect(rig.sample("ticker_stream_sampling_changes_total")).toBe(0);
  });
});

describe("a sampled wildcard", () => {
  it("samples its members, announces later ones, and keeps them together", async () => {
    const [a = 0, b = 0] = rig.list("t:A", "t:B");
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: "w", channel: "quotes", symbols: ["t:*"], every_ms: 100 });
    expect(topics(ack)).toMatchObject([{ symbol: "t:A", every_ms: 100 }, { symbol: "t:B", every_ms: 100 }]);
    const [late = 0] = rig.list("t:LATE");
    expect(await client.next((m) => m.type === "subscribed")).toMatchObject({ id: "w", topics: [{ symbol: "t:LATE", every_ms: 100, seq: 0 }] });
    for (const of of [a, b, late, a, b, late]) rig.quote(of, 100);
    rig.flush();
    expect((await data(client, 3)).map((m) => [m["symbol"], m["seq"]])).toEqual(expect.arrayContaining([["t:A", 2], ["t:B", 2], ["t:LATE", 2]]));
    const list = await client.ask({ type: "list", id: 2 });
    expect(list["wildcards"]).toEqual([{ channel: "quotes", symbol: "t:*", every_ms: 100 }]);
    expect(topics(list).map((t) => [t["symbol"], t["every_ms"]])).toEqual([["t:A", 100], ["t:B", 100], ["t:LATE", 100]]);
    expect(await client.ask({ type: "unsubscribe", id: 3, channel: "quotes", symbols: ["t:A"] })).toMatchObject({ rejected: [{ symbol: "t:A", code: 414 }] });
    expect(topics(await client.ask({ type: "unsubscribe", id: 4, channel: "quotes", symbols: ["t:*"] })).map((t) => t["seq"])).toEqual([2, 2, 2]);
    expect(rig.sample("ticker_stream_subscriptions")).toBe(0);
  });

  it("takes over from a full one at the next boundary", async () => {
    const [a = 0] = rig.list("t:A", "t:B");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:*"] });
    drive(() => rig.trade(a, 100));
    await data(client, 2);
    const ack = await client.ask({ type: "subscribe", id: 2, channel: "trades", symbols: ["*"], every_ms: 250 });
    expect(ack["replaced"]).toEqual([{ channel: "trades", symbol: "t:*" }]);
    await client.next((m) => m.type === "trade_summary");
    await data(client, 2);
    let at = 0;
    for (const message of client.messages.filter(isData)) {
      expect(message["first_seq"] ?? message["seq"]).toBe(at + 1);
      at = Number(message["seq"]);
    }
    expect(client.messages.filter(isData).slice(-3).map((m) => m.type)).toEqual(["trade_summary", "trade_summary", "trade_summary"]);
  });
});

describe("resuming a sampled topic", () => {
  it("brings the trades since in one summary from position + 1", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    for (let i = 0; i < 10; i++) rig.trade(btc, 100 + i);
    rig.flush();
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], every_ms: 100, resume: [{ symbol: "t:BTC-USD", epoch: "epoch1", seq: 3 }] });
    expect(topics(ack)).toMatchObject([{ seq: 3, every_ms: 100, resumed: "exact" }]);
    rig.trade(btc, 200);
    rig.flush();
    expect((await data(client, 1))[0]).toMatchObject({ type: "trade_summary", first_seq: 4, seq: 11, count: 8, open: "1.03", close: "2.00" });
    rig.trade(btc, 300);
    rig.flush();
    expect((await data(client, 1))[1]).toMatchObject({ first_seq: 12, seq: 12, count: 1 });
    expect(await client.ask({ type: "ping", id: 2 })).toMatchObject({ messages: 2 });
  });

  it("says what is not kept before it", async () => {
    await rig.stop();
    rig = await StreamRig.start({ ringTradesMax: 4 });
    const [btc = 0] = rig.list("t:BTC-USD");
    for (let i = 0; i < 10; i++) rig.trade(btc, 100 + i);
    rig.flush();
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], every_ms: 100, resume: [{ symbol: "t:BTC-USD", epoch: "epoch1", seq: 3 }] });
    expect(await client.next((m) => m.type === "gap")).toMatchObject({ from: 4, to: 6, reason: "expired" });
    expect(await client.next((m) => m.type === "trade_summary")).toMatchObject({ first_seq: 7, seq: 10 });
  });
});

describe("every_ms", () => {
  it.each([100, 250, 1000, 5000])("may be %i on every channel of values", async (everyMs) => {
    rig.list("t:A");
    const client = await rig.session();
    for (const [id, channel] of ["trades", "quotes", "book", "bars", "ticker"].entries()) {
      expect(topics(await client.ask({ type: "subscribe", id, channel, symbols: ["t:A"], every_ms: everyMs }))).toMatchObject([{ channel, every_ms: everyMs }]);
    }
  });

  it.each([99, 0, 101, 500, 10_000, -100, "100", null, true, [100]])("is refused as %j with 414", async (everyMs) => {
    rig.list("t:A");
    const client = await rig.session();
    expect(await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"], every_ms: everyMs })).toMatchObject({ type: "error", code: 414, name: "invalid_option" });
  });

  it("is refused on status with 414", async () => {
    rig.list("t:A");
    const client = await rig.session();
    expect(await client.ask({ type: "subscribe", id: 1, channel: "status", symbols: ["t:A"], every_ms: 100 })).toMatchObject({ type: "error", code: 414 });
  });
});
