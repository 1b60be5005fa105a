/**
 * Coming back as a client sees it: exact from what is kept, the newest value, or a gap that says what is lost.
 */
import { afterEach, describe, expect, it } from "vitest";
import { type FanoutOptions } from "../../src/fanout/options.ts";
import { entriesOf, type Entry, type Message, type StreamClient } from "../support/stream-client.ts";
import { StreamRig } from "../support/stream-rig.ts";

let rig: StreamRig;
afterEach(() => rig.stop());

const EPOCH = "epoch1";

async function start(options: Partial<FanoutOptions> = {}): Promise<{ client: StreamClient; btc: number; eth: number }> {
  rig = await StreamRig.start(options);
  const [btc = 0, eth = 0] = rig.list("t:BTC-USD", "t:ETH-USD");
  return { client: await rig.session(), btc, eth };
}

function trades(index: number, count: number): void {
  for (let i = 0; i < count; i++) rig.trade(index, 1000 + i);
  rig.flush();
}

function topics(message: Message): Entry[] {
  return entriesOf(message, "topics");
}

function from(symbol: string, seq: number, epoch = EPOCH): { resume: Entry[] } {
  return { resume: [{ symbol, epoch, seq }] };
}

/** Control and data that came after an answer, in short. */
function after(client: StreamClient, answer: Message): unknown[] {
  return client.messages.slice(client.messages.indexOf(answer) + 1).filter((m) => m.type !== "pong").map((m) => {
    if (m.type === "gap") return ["gap", m["reason"], m["from"], m["to"]];
    return m["snapshot"] === true ? [m.type, m["seq"], "snapshot"] : [m.type, m["seq"]];
  });
}

function outcomes(): Record<string, number> {
  const samples = rig.fanout.samples().filter((s) => s.name === "ticker_stream_resumes_total" && s.value > 0);
  return Object.fromEntries(samples.map((s) => [s.labels["outcome"] ?? "", s.value]));
}

describe("trades", () => {
  it("go on exactly after the position, without a snapshot, then live", async () => {
    const { client, btc } = await start();
    trades(btc, 5);
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], recent: 3, ...from("t:BTC-USD", 2) });
    expect(topics(ack)).toMatchObject([{ symbol: "t:BTC-USD", recent: 3, epoch: EPOCH, seq: 2, resumed: "exact" }]);
    trades(btc, 2);
    await client.settled();
    expect(after(client, ack)).toEqual([3, 4, 5, 6, 7].map((seq) => ["trade", seq]));
    expect(client.arrays).toEqual([3, 2]);
    expect(outcomes()).toEqual({ exact: 1 });
  });

  it("are exact and silent when nothing happened since", async () => {
    const { client, btc } = await start();
    trades(btc, 5);
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 5) });
    expect(topics(ack)).toMatchObject([{ seq: 5, resumed: "exact" }]);
    trades(btc, 1);
    await client.settled();
    expect(after(client, ack)).toEqual([["trade", 6]]);
  });

  it("are exact at the last position that is kept, and a gap one before it", async () => {
    const { client, btc } = await start({ ringTradesMax: 4 });
    trades(btc, 10);
    const exact = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 6) });
    expect(topics(exact)).toMatchObject([{ seq: 6, resumed: "exact" }]);
    await client.settled();
    expect(after(client, exact)).toEqual([7, 8, 9, 10].map((seq) => ["trade", seq]));
    const other = await rig.session();
    const gap = await other.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 5) });
    expect(topics(gap)).toMatchObject([{ seq: 5, resumed: "gap" }]);
    await other.settled();
    expect(after(other, gap)).toEqual([["gap", "expired", 6, 6], ...[7, 8, 9, 10].map((seq) => ["trade", seq])]);
    expect(outcomes()).toEqual({ exact: 1, expired: 1 });
  });

  it.each([["a foreign epoch", "before", 3], ["a position from the future", EPOCH, 11]])("start anew after %s, with what is kept", async (_, epoch, seq) => {
    const { client, btc } = await start({ ringTradesMax: 4 });
    trades(btc, 10);
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", seq, epoch) });
    expect(topics(ack)).toMatchObject([{ epoch: EPOCH, seq: 6, resumed: "gap" }]);
    const gap = await client.next((m) => m.type === "gap");
    expect(gap).toEqual({ type: "gap", channel: "trades", symbol: "t:BTC-USD", epoch: EPOCH, reason: "restart" });
    trades(btc, 1);
    await client.settled();
    expect(after(client, ack)).toEqual([["gap", "restart", undefined, undefined], ...[7, 8, 9, 10, 11].map((at) => ["trade", at])]);
    expect(outcomes()).toEqual({ restart: 1 });
  });
});

describe("states", () => {
  it("are exact only if nothing happened since, else the newest value", async () => {
    const { client, btc } = await start();
    for (let i = 0; i < 3; i++) rig.quote(btc, 100 + i);
    rig.flush();
    const exact = await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 3) });
    expect(topics(exact)).toMatchObject([{ seq: 3, resumed: "exact" }]);
    await client.settled();
    expect(after(client, exact)).toEqual([]);
    const other = await rig.session();
    const newest = await other.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 2) });
    expect(topics(newest)).toMatchObject([{ seq: 3, resumed: "snapshot" }]);
    rig.quote(btc, 200);
    rig.flush();
    await other.settled();
    expect(after(other, newest)).toEqual([["quote", 3, "snapshot"], ["quote", 4]]);
    expect(outcomes()).toEqual({ exact: 1, snapshot: 1 });
  });

  it("say a gap before the newest value when counting starts anew", async () => {
    const { client, btc } = await start();
    rig.book(btc, [[100, 1]], [[101, 1]]);
    rig.book(btc, [[99, 1]], [[101, 1]]);
    rig.flush();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "book", depth: 25, symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 1, "before") });
    expect(topics(ack)).toMatchObject([{ depth: 25, seq: 2, resumed: "gap" }]);
    expect(await client.next((m) => m.type === "gap")).toEqual({ type: "gap", channel: "book", symbol: "t:BTC-USD", depth: 25, epoch: EPOCH, reason: "restart" });
    expect(await client.next((m) => m.type === "book")).toMatchObject({ seq: 2, depth: 25, snapshot: true });
  });

  it("without a value yet are exact at 0", async () => {
    const { client } = await start();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "ticker", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 0) });
    expect(topics(ack)).toMatchObject([{ seq: 0, resumed: "exact" }]);
  });
});
