/**
 * A client that stops reading, over real sockets: it costs the others nothing, and on waking it is told exactly what it missed.
 */
import { afterEach, describe, expect, it } from "vitest";
import { micros } from "../../src/core/time.ts";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import type { Message, StreamClient } from "../support/stream-client.ts";
import { StreamRig } from "../support/stream-rig.ts";

let rig: StreamRig;
afterEach(() => rig.stop());

async function start(options: Partial<FanoutOptions> = {}): Promise<void> {
  rig = await StreamRig.start({ pingMs: 40, pingAgeMaxMs: 80, ...options });
}

/** Publishes until the condition holds; answers how often. */
async function publishUntil(publish: (i: number) => void, isDone: () => boolean): Promise<number> {
  let i = 0;
  await expect.poll(() => {
    for (let n = 0; n < 20; n++) publish(++i);
    rig.flush();
    return isDone();
  }, { timeout: 10_000, interval: 2 }).toBe(true);
  return i;
}

function lagging(): number {
  return rig.fanout.samples().find((s) => s.name === "ticker_stream_lane_sessions" && s.labels["lane"] === "lagging")?.value ?? 0;
}

/** delivered + folded + gaps between the acknowledgement and the last message, and whether the order was right. */
function account(client: StreamClient, type: string, channel: string, ackSeq: number): { last: number; delivered: number; gaps: number; isOrdered: boolean } {
  let last = ackSeq;
  let delivered = 0;
  let gaps = 0;
  let isOrdered = true;
  for (const m of client.messages) {
    if (m.type === "gap" && m["channel"] === channel) {
      if (Number(m["from"]) !== last + 1) isOrdered = false;
      gaps += Number(m["to"]) - Number(m["from"]) + 1;
      last = Number(m["to"]);
    } else if (m.type === type && m["snapshot"] !== true) {
      if (Number(m["seq"]) <= last) isOrdered = false;
      last = Number(m["seq"]);
      delivered++;
    }
  }
  return { last, delivered, gaps, isOrdered };
}

describe("a client that stops reading", () => {
  it("leaves the live lane by the age of its ping, and on waking has the newest value and the folds told to the event", async () => {
    await start();
    const [a = 0] = rig.list("t:A");
    const slow = await rig.session();
    const fast = await rig.session();
    for (const client of [slow, fast]) await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] });
    slow.socket.pause();
    const sent = await publishUntil((i) => rig.quote(a, 100 + i), () => lagging() === 1);
    for (let i = 0; i < 50; i++) rig.quote(a, 10_000 + i);
    rig.flush();
    await fast.next((m) => m["seq"] === sent + 50);
    expect(fast.messages.filter((m) => m.type === "lagging")).toEqual([]);
    slow.socket.resume();
    const caughtUp = await slow.next((m) => m.type === "caught_up");
    expect(slow.messages.filter((m) => m.type === "lagging")).toMatchObject([{ since: expect.any(Number), age_ms: expect.any(Number), unsent_bytes: expect.any(Number) }]);
    const { last, delivered, gaps, isOrdered } = account(slow, "quote", "quotes", 0);
    expect([last, gaps, isOrdered, caughtUp["lost"]]).toEqual([sent + 50, 0, true, 0]);
    expect(delivered + Number(caughtUp["folded"])).toBe(last);
    expect(caughtUp["folded"]).toBeGreaterThanOrEqual(49);
    expect(slow.of("quote", "t:A").at(-1)).toMatchObject({ bid: "100.49" });
    rig.quote(a, 5);
    rig.flush();
    await slow.next((m) => m["seq"] === sent + 51);
    expect(await slow.ask({ type: "ping", id: 2 })).toMatchObject({ lane: "live", messages: delivered + 1 });
  });

  it("gets every kept trade, and a counted gap for the rest", async () => {
    await start({ ringTradesMax: 64 });
    const [a = 0] = rig.list("t:A");
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:A"] });
    slow.socket.pause();
    const sent = await publishUntil((i) => rig.trade(a, 100 + i), () => lagging() === 1);
    for (let i = 0; i < 300; i++) rig.trade(a, 10_000 + i);
    rig.flush();
    slow.socket.resume();
    const caughtUp = await slow.next((m) => m.type === "caught_up");
    const { last, delivered, gaps, isOrdered } = account(slow, "trade", "trades", 0);
    expect([last, isOrdered]).toEqual([sent + 300, true]);
    expect(delivered + gaps).toBe(last);
    expect(caughtUp).toMatchObject({ folded: 0, lost: gaps });
    expect(gaps).toBeGreaterThan(0);
    expect(slow.messages.find((m: Message) => m.type === "gap")).toMatchObject({ symbol: "t:A", epoch: "epoch1", reason: "slow" });
  });

  it("never loses a closed bar that is kept, and folds updates of the same bar only", async () => {
    await start();
    const [a = 0, b = 0] = rig.list("t:A", "t:B");
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "bars", interval: "1s", symbols: ["t:A"] });
    await slow.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:B"] });
    slow.socket.pause();
    await publishUntil((i) => rig.quote(b, 100 + i), () => lagging() === 1);
    const now = rig.clock.nowMicros();
    for (let bar = 0; bar < 5; bar++) rig.trade(a, 100 + bar, { eventTime: micros(now - (now % 1_000_000) - (6 - bar) * 1_000_000) });
    rig.flush();
    slow.socket.resume();
    await slow.next((m) => m.type === "caught_up");
    const closed = slow.of("bar", "t:A").filter((m) => m["closed"] === true);
    expect(new Set(closed.map((m) => m["start"])).size).toBeGreaterThanOrEqual(4);
    expect(slow.messages.filter((m) => m.type === "gap")).toEqual([]);
  });

  it("is closed with 4407 when it reads nothing at all", async () => {
    await start({ stuckMs: 200 });
    const [a = 0] = rig.list("t:A");
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] });
    slow.socket.pause();
    await publishUntil((i) => rig.quote(a, 100 + i), () => rig.fanout.sessionCount === 0);
    slow.socket.resume();
    expect(await slow.next((m) => m.type === "error")).toMatchObject({ code: 407, name: "slow_client", retryable: true });
    expect(await slow.closed()).toBe(4407);
  });

  it("is told while it lags what the venue itself has lost", async () => {
    await start();
    const [a = 0] = rig.list("t:A");
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:A"] });
    slow.socket.pause();
    await publishUntil((i) => rig.trade(a, 100 + i), () => lagging() === 1);
    rig.pipeline.lost(a, "trade", 7);
    slow.socket.resume();
    expect(await slow.next((m) => m.type === "gap" && m["reason"] === "upstream")).toMatchObject({ channel: "trades", symbol: "t:A", missed: 7 });
    await slow.next((m) => m.type === "caught_up");
  });

  it("may go on subscribing and unsubscribing while it lags", async () => {
    await start();
    const [a = 0, b = 0] = rig.list("t:A", "t:B");
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] });
    slow.socket.pause();
    await publishUntil((i) => { rig.quote(a, 100 + i); rig.quote(b, 100 + i); }, () => lagging() === 1);
    slow.say({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:B"] });
    slow.say({ type: "unsubscribe", id: 3, channel: "quotes", symbols: ["t:A"] });
    for (let i = 0; i < 30; i++) rig.quote(b, 200 + i);
    rig.flush();
    slow.socket.resume();
    const ended = await slow.next((m) => m["id"] === 3);
    expect(ended).toMatchObject({ type: "unsubscribed", topics: [{ symbol: "t:A", seq: Number(slow.of("quote", "t:A").at(-1)?.["seq"]) }] });
    await slow.next((m) => m.type === "caught_up");
    rig.quote(b, 300);
    rig.flush();
    await slow.settled();
    const seqs = slow.of("quote", "t:B").map((m) => Number(m["seq"]));
    expect(seqs).toEqual(seqs.toSorted((x, y) => x - y));
    expect(new Set(seqs).size).toBe(seqs.length);
    expect(slow.of("quote", "t:B").at(-1)).toMatchObject({ bid: "3.00" });
  });
});

describe("a client that reads, but less than is sent", () => {
  it("leaves the live lane by its unsent bytes", async () => {
    await start({ pingMs: 60_000, pingAgeMaxMs: 60_000, pingIdleMs: 60_000 });
    const [a = 0] = rig.list("t:A");
    const levels = (from: number, step: number) => Array.from({ length: 100 }, (_, i) => [from + step * i, 123_456] as const);
    const slow = await rig.session();
    await slow.ask({ type: "subscribe", id: 1, channel: "book", depth: 100, symbols: ["t:A"] });
    slow.socket.pause();
    const sent = await publishUntil((i) => rig.book(a, levels(100_000 - i, -1), levels(100_001, 1)), () => lagging() === 1);
    slow.socket.resume();
    const caughtUp = await slow.next((m) => m.type === "caught_up");
    const { last, delivered, isOrdered } = account(slow, "book", "book", 0);
    expect(isOrdered).toBe(true);
    expect(last).toBeGreaterThanOrEqual(sent);
    expect(delivered + Number(caughtUp["folded"])).toBe(last);
    expect(slow.messages.find((m) => m.type === "lagging")).toMatchObject({ unsent_bytes: expect.any(Number) });
  });
});
