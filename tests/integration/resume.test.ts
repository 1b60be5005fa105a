/**
 * Coming back as a client sees it: exact from what is kept, the newest value, or a gap that says what is lost.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import { entriesOf, type Entry, type Message, type StreamClient } from "../support/stream-client.ts";
import { decodeCommand } from "../../src/protocol/commands.ts";
import { micros } from "../../src/core/time.ts";
import { instrument, READ_KEY, StreamRig } from "../support/stream-rig.ts";

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

describe("bars", () => {
  const SECOND = 1_000_000;

  /** Bars of 1 s closed by the next one: bar k has its first event at seq 2k - 1 and its close at 2k. */
  async function bars(closed: number, options: Partial<FanoutOptions> = {}): Promise<StreamClient> {
    const { client } = await start(options);
    const index = rig.pipeline.define(instrument("t:BAR", { timeBase: "event" }));
    for (let k = 0; k <= closed; k++) rig.trade(index, 100 + k, { eventTime: micros((1_000_000 + k) * SECOND), receiveTime: micros((1_000_000 + k) * SECOND) });
    rig.flush();
    return client;
  }

  function ask(client: StreamClient, seq: number, epoch = EPOCH): Promise<Message> {
    return client.ask({ type: "subscribe", id: 1, channel: "bars", interval: "1s", symbols: ["t:BAR"], ...from("t:BAR", seq, epoch) });
  }

  it.each([
    ["is exact when nothing happened since", 21, EPOCH, { seq: 21, resumed: "exact" }, []],
    ["is exact where every event since is kept", 19, EPOCH, { seq: 19, resumed: "exact" }, [["bar", 20], ["bar", 21]]],
    ["is a snapshot of every bar closed since and the running one", 15, EPOCH, { seq: 21, resumed: "snapshot" }, [["bar", 16, "snapshot"], ["bar", 18, "snapshot"], ["bar", 20, "snapshot"], ["bar", 21, "snapshot"]]],
    ["loses no closed bar at the last position that is kept", 12, EPOCH, { seq: 21, resumed: "snapshot" }, [14, 16, 18, 20, 21].map((seq) => ["bar", seq, "snapshot"])],
    ["says the closed bars that are not kept as a gap", 11, EPOCH, { seq: 11, resumed: "gap" }, [["gap", "expired", 12, 12], ...[14, 16, 18, 20, 21].map((seq) => ["bar", seq])]],
    ["starts anew after a foreign epoch", 11, "before", { seq: 21, resumed: "gap" }, [["gap", "restart", undefined, undefined], ["bar", 21, "snapshot"]]],
  ])("%s", async (_, seq, epoch, entry, following) => {
    const client = await bars(10, { ringBarsMax: 4 });
    const ack = await ask(client, seq, epoch);
    expect(topics(ack)).toMatchObject([{ interval: "1s", ...entry }]);
    await client.settled();
    expect(after(client, ack)).toEqual(following);
    if (entry.resumed === "gap") expect(client.messages.find((m) => m.type === "gap")).toMatchObject({ channel: "bars", interval: "1s", symbol: "t:BAR" });
  });
});

describe("which topics are resumed", () => {
  it("those whose symbol has a position, by id or as the venue spells it; the others begin as always", async () => {
    const { client, btc, eth } = await start();
    trades(btc, 3);
    trades(eth, 3);
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD", "t:ETH-USD"], ...from("t:BTCUSD", 1) });
    expect(topics(ack)).toMatchObject([{ symbol: "t:BTC-USD", seq: 1, resumed: "exact" }, { symbol: "t:ETH-USD", seq: 3 }]);
    expect(topics(ack)[1]).not.toHaveProperty("resumed");
    await client.settled();
    expect(after(client, ack)).toEqual([["trade", 2], ["trade", 3]]);
  });

  it("members of a wildcard, which then go on under it", async () => {
    const { client, btc, eth } = await start();
    trades(btc, 3);
    trades(eth, 2);
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:*"], ...from("t:ETH-USD", 0) });
    expect(topics(ack)).toMatchObject([{ symbol: "t:BTC-USD", seq: 3 }, { symbol: "t:ETH-USD", seq: 0, resumed: "exact" }]);
    trades(eth, 1);
    trades(btc, 1);
    await client.settled();
    expect(client.of("trade", "t:ETH-USD").map((m) => m["seq"])).toEqual([1, 2, 3]);
    expect(client.of("trade", "t:BTC-USD").map((m) => m["seq"])).toEqual([4]);
    expect(topics(await client.ask({ type: "unsubscribe", id: 2, all: true })).map((t) => t["seq"])).toEqual([4, 3]);
    expect(rig.sample("ticker_stream_subscriptions")).toBe(0);
  });

  it("the last of several positions of a topic counts; positions of other topics mean nothing and are counted", async () => {
    const { client, btc } = await start();
    trades(btc, 3);
    const positions = [{ symbol: "t:BTC-USD", epoch: EPOCH, seq: 1 }, { symbol: "t:ETH-USD", epoch: EPOCH, seq: 1 }, { symbol: "t:NOPE", epoch: EPOCH, seq: 1 }, { symbol: "t:BTCUSD", epoch: EPOCH, seq: 2 }];
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], resume: positions });
    expect(topics(ack)).toMatchObject([{ seq: 2, resumed: "exact" }]);
    expect(ack["rejected"]).toEqual([]);
    expect(rig.sample("ticker_stream_resumes_unmatched_total")).toBe(2);
  });

  it("not one that is held: it goes on where it is", async () => {
    const { client, btc } = await start();
    trades(btc, 3);
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"] });
    const again = await client.ask({ type: "subscribe", id: 2, channel: "trades", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 1) });
    expect(topics(again)).toMatchObject([{ seq: 3 }]);
    expect(topics(again)[0]).not.toHaveProperty("resumed");
    await client.settled();
    expect(client.of("trade", "t:BTC-USD")).toEqual([]);
  });

  it.each(["json", "msgpack"] as const)("long ones in several frames, in %s, and a pong counts what was replayed", async (encoding) => {
    const { btc } = await start();
    const client = await rig.session(READ_KEY, { encoding });
    trades(btc, 600);
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], ...from("t:BTC-USD", 100) });
    trades(btc, 5);
    expect(await client.ask({ type: "ping", id: 2 })).toMatchObject({ messages: 505 });
    expect(client.of("trade", "t:BTC-USD").map((m) => m["seq"])).toEqual(Array.from({ length: 505 }, (_, i) => 101 + i));
    expect(rig.sample("ticker_stream_replayed_total")).toBe(500);
  });
});

describe("a position", () => {
  const limits = { symbolsPerFrameMax: 10, recentTradesMax: 256, topicsPerSessionMax: 3 };
  const entry = { symbol: "t:A", epoch: "e", seq: 1 };

  function decode(resume: unknown): object {
    return decodeCommand(JSON.stringify({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:A"], resume }), limits);
  }

  it.each([
    ["not an array", {}, "resume"], ["null", null, "resume"], ["no object", [[]], "resume[0].symbol"], ["no symbol", [{ epoch: "e", seq: 1 }], "resume[0].symbol"],
    ["a symbol that is no string", [entry, { ...entry, symbol: 1 }], "resume[1].symbol"], ["no epoch", [{ symbol: "t:A", seq: 1 }], "resume[0].epoch"],
    ["no seq", [{ symbol: "t:A", epoch: "e" }], "resume[0].seq"], ["a seq as text", [{ ...entry, seq: "1" }], "resume[0].seq"], ["a negative seq", [{ ...entry, seq: -1 }], "resume[0].seq"],
    ["half a seq", [{ ...entry, seq: 1.5 }], "resume[0].seq"], ["a seq beyond 2^53", [{ ...entry, seq: 2 ** 53 }], "resume[0].seq"], ["more entries than topics", [entry, entry, entry, entry], "at most 3 entries, found 4"],
  ])("is refused with 414 and the name of the field: %s", (_, resume, field) => {
    const fault = decode(resume);
    expect(fault).toMatchObject({ type: "fault", code: 414, id: 1 });
    expect(JSON.stringify(fault)).toContain(field);
  });

  it("is taken within the limits", () => {
    expect(decode([entry, { ...entry, seq: 0 }, { ...entry, seq: Number.MAX_SAFE_INTEGER }])).toMatchObject({ type: "subscribe", topics: { resume: [{ symbol: "t:A", epoch: "e", sequence: 1 }, { sequence: 0 }, { sequence: Number.MAX_SAFE_INTEGER }] } });
    expect(decode([])).toMatchObject({ type: "subscribe", topics: { resume: [] } });
  });
});

describe("a large replay", () => {
  const TOPICS = 20;
  const EACH = 4096;

  it("waits for its reader, goes native without a hole or a double, and keeps the books", async () => {
    rig = await StreamRig.start();
    const symbols = Array.from({ length: TOPICS }, (_, i) => `t:S${i}`);
    const indexes = rig.list(...symbols);
    for (const index of indexes) trades(index, EACH);
    const client = await rig.session();
    client.say({ type: "subscribe", id: 1, channel: "trades", symbols, resume: symbols.map((symbol, i) => ({ symbol, epoch: EPOCH, seq: i })) });
    client.socket.pause();
    // Trades go on while the client does not read.
    for (let round = 0; round < 20; round++) {
      for (const index of indexes) trades(index, 3);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(rig.sample("ticker_stream_subscriptions_paced_total")).toBeGreaterThan(0);
    client.socket.resume();
    const last = EACH + 60;
    await client.next((m) => m["seq"] === last && m["symbol"] === symbols.at(-1), 20_000);
    for (const index of indexes) trades(index, 1);
    await client.settled();
    for (const [i, symbol] of symbols.entries()) {
      const acks = client.messages.filter((m) => m.type === "subscribed").flatMap(topics).filter((t) => t["symbol"] === symbol);
      expect(acks).toMatchObject([{ seq: i }]);
      let at = Number(acks[0]?.["seq"]);
      for (const message of client.messages.filter((m) => m["symbol"] === symbol)) {
        if (message.type === "gap") expect(message).toMatchObject({ from: at + 1, reason: acks[0]?.["resumed"] === "gap" ? "expired" : "slow" });
        else expect(message["seq"]).toBe(at + 1);
        at = Number(message.type === "gap" ? message["to"] : message["seq"]);
      }
      expect(at).toBe(last + 1);
    }
  }, 30_000);
});
