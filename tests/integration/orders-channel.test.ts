/**
 * The channel `orders` over real sockets: every event of the owner once and in order, whatever the hops before it do.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import { MemoryOrderLog } from "../support/order-log.ts";
import { entriesOf, type Message, type StreamClient } from "../support/stream-client.ts";
import { READ_KEY, StreamRig, TRADE_KEY } from "../support/stream-rig.ts";

const OWNER = "k-trade";
let rig: StreamRig;
let log: MemoryOrderLog;
afterEach(() => rig.stop());

async function start(options: Partial<FanoutOptions> = {}): Promise<void> {
  log = new MemoryOrderLog();
  rig = await StreamRig.start(options, log.read);
  log.connect((events) => rig.fanout.orderEvents(events));
}

const SUBSCRIBE = { type: "subscribe", id: 1, channel: "orders" };
const ordersOf = (client: StreamClient): Message[] => client.messages.filter((m) => m.type === "order");
const seqsOf = (client: StreamClient): number[] => ordersOf(client).map((m) => Number(m["seq"]));
const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);

async function holder(command: object = {}, more: { readonly encoding?: "msgpack" } = {}): Promise<{ readonly client: StreamClient; readonly answer: Message }> {
  const client = await rig.session(TRADE_KEY, more);
  return { client, answer: await client.ask({ ...SUBSCRIBE, ...command }) };
}

const reached = (client: StreamClient, seq: number): Promise<Message> => client.next((m) => m.type === "order" && m["seq"] === seq);

describe("a subscription of orders", () => {
  it("is acknowledged at the position of the owner's events, without a snapshot, and gets each event from then on", async () => {
    await start();
    log.write(OWNER, 4);
    const { client, answer } = await holder();
    expect(answer).toEqual({ type: "subscribed", id: 1, topics: [{ channel: "orders", epoch: "e", seq: 4, live: true }], rejected: [], more: false });
    log.write("k-other", 3);
    log.write(OWNER, 2);
    await reached(client, 6);
    expect(ordersOf(client)).toMatchObject([{ type: "order", seq: 5, epoch: "e", order: { id: "o2", filled: "0.5" } }, { seq: 6, order: { filled: "0.6" } }]);
    expect(client.arrays).toEqual([2]);
    expect(await client.ask({ type: "ping", id: 2 })).toMatchObject({ messages: 2, lane: "live" });
  });

  it("comes in MessagePack with the same members", async () => {
    await start();
    const json = await holder();
    const packed = await holder({}, { encoding: "msgpack" });
    log.write(OWNER, 3);
    await Promise.all([json, packed].map(({ client }) => reached(client, 3)));
    expect(ordersOf(packed.client)).toEqual(ordersOf(json.client));
    expect(packed.answer).toEqual(json.answer);
  });

  it("is refused without the scope `trade`, and one topic too many", async () => {
    await start({ topicsPerSessionMax: 2 });
    rig.list("t:A", "t:B");
    const reader = await rig.session(READ_KEY);
    expect(await reader.ask(SUBSCRIBE)).toMatchObject({ type: "error", code: 409, name: "insufficient_scope" });
    const client = await rig.session(TRADE_KEY);
    await client.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:A", "t:B"] });
    expect(await client.ask(SUBSCRIBE)).toMatchObject({ type: "error", code: 405 });
    await client.ask({ type: "unsubscribe", id: 3, channel: "quotes", symbols: ["t:B"] });
    expect(await client.ask(SUBSCRIBE)).toMatchObject({ type: "subscribed" });
    const full = await client.ask({ type: "subscribe", id: 4, channel: "quotes", symbols: ["t:B"] });
    expect(entriesOf(full, "rejected")).toMatchObject([{ symbol: "t:B", code: 405 }]);
  });

  it("is listed, ended alone or with all, and nothing comes after its end", async () => {
    await start();
    rig.list("t:A");
    const { client } = await holder();
    await client.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:A"] });
    log.write(OWNER, 2);
    await reached(client, 2);
    expect(entriesOf(await client.ask({ type: "list", id: 3 }), "topics")).toMatchObject([{ channel: "quotes" }, { channel: "orders", epoch: "e", seq: 2 }]);
    expect(await client.ask({ type: "unsubscribe", id: 4, channel: "orders" })).toEqual({ type: "unsubscribed", id: 4, topics: [{ channel: "orders", epoch: "e", seq: 2, live: true }], rejected: [], more: false });
    expect(await client.ask({ type: "unsubscribe", id: 5, channel: "orders" })).toMatchObject({ type: "error", code: 417 });
    log.write(OWNER);
    await client.settled();
    expect(seqsOf(client)).toEqual([1, 2]);
    await client.ask({ ...SUBSCRIBE, id: 6 });
    expect(entriesOf(await client.ask({ type: "unsubscribe", id: 7, all: true }), "topics")).toMatchObject([{ channel: "quotes" }, { channel: "orders", seq: 3 }]);
    expect(rig.sample("ticker_stream_subscriptions")).toBe(0);
    expect(rig.sample("ticker_stream_orders_owners")).toBe(0);
  });

  it("again is acknowledged at the position in this session, at once, and delivers nothing twice", async () => {
    await start();
    const { client } = await holder();
    log.write(OWNER, 3);
    await reached(client, 3);
    const again = await client.ask({ ...SUBSCRIBE, id: 2, resume: [{ epoch: "e", seq: 0 }] });
    expect(entriesOf(again, "topics")).toEqual([{ channel: "orders", epoch: "e", seq: 3, live: true }]);
    log.write(OWNER);
    await reached(client, 4);
    expect(seqsOf(client)).toEqual([1, 2, 3, 4]);
  });

  it("is answered before the commands behind it, which are not held up for good by a database that is away", async () => {
    await start();
    log.isAway = true;
    const client = await rig.session(TRADE_KEY);
    client.say(SUBSCRIBE);
    client.say({ type: "list", id: 2 });
    expect(await client.next((m) => m["id"] === 1)).toMatchObject({ type: "error", code: 504, name: "unavailable", retryable: true });
    expect(await client.next((m) => m["id"] === 2)).toMatchObject({ type: "subscriptions", topics: [] });
    log.isAway = false;
    client.say({ ...SUBSCRIBE, id: 3 });
    client.say({ type: "list", id: 4 });
    expect(await client.next((m) => m["id"] === 3)).toMatchObject({ type: "subscribed" });
    expect(entriesOf(await client.next((m) => m["id"] === 4), "topics")).toMatchObject([{ channel: "orders" }]);
  });

  it("ends with its key", async () => {
    await start();
    const { client } = await holder();
    rig.fanout.changeKeys({ added: [], revoked: [OWNER], retired: [] });
    expect(await client.closed()).toBe(4418);
    log.write(OWNER);
    expect(rig.sample("ticker_stream_orders_sessions")).toBe(0);
    expect(rig.sample("ticker_stream_subscriptions")).toBe(0);
  });
});

describe("a resumed subscription", () => {
  it("gets every event after its position, however many, and goes on live", async () => {
    await start();
    log.write(OWNER, 1234);
    const { client, answer } = await holder({ resume: [{ epoch: "e", seq: 17 }] });
    expect(entriesOf(answer, "topics")).toEqual([{ channel: "orders", epoch: "e", seq: 17, live: true, resumed: "exact" }]);
    await reached(client, 1234);
    log.write(OWNER, 2);
    await reached(client, 1236);
    expect(seqsOf(client)).toEqual(range(18, 1236));
    expect(await client.ask({ type: "ping", id: 2 })).toMatchObject({ messages: 1236 - 17 });
  });

  it.each([["another epoch", { epoch: "old", seq: 2 }], ["the future", { epoch: "e", seq: 99 }]])("is told `restart` for %s, and counts anew", async (_name, position) => {
    await start();
    log.write(OWNER, 5);
    const { client, answer } = await holder({ resume: [position] });
    expect(entriesOf(answer, "topics")).toMatchObject([{ seq: 5, resumed: "gap" }]);
    const gap = await client.next((m) => m.type === "gap");
    expect(gap).toMatchObject({ channel: "orders", epoch: "e", reason: "restart" });
    expect(gap).not.toHaveProperty("from");
    log.write(OWNER);
    await reached(client, 6);
    expect(seqsOf(client)).toEqual([6]);
  });

  it("is told `expired` for what is not kept any more, and gets what is", async () => {
    await start();
    log.write(OWNER, 9);
    log.prune(OWNER, 5);
    const { client, answer } = await holder({ resume: [{ epoch: "e", seq: 2 }] });
    expect(entriesOf(answer, "topics")).toMatchObject([{ seq: 2, resumed: "gap" }]);
    expect(await client.next((m) => m.type === "gap")).toMatchObject({ from: 3, to: 5, reason: "expired" });
    await reached(client, 9);
    expect(seqsOf(client)).toEqual([6, 7, 8, 9]);
  });

  it("misses nothing that is written while it reads", async () => {
    await start();
    log.write(OWNER, 500);
    const client = await rig.session(TRADE_KEY);
    const writing = setInterval(() => log.write(OWNER, 3), 1);
    await client.ask({ ...SUBSCRIBE, resume: [{ epoch: "e", seq: 0 }] });
    await reached(client, 800);
    clearInterval(writing);
    const last = log.write(OWNER).at(-1)?.seq ?? 0;
    await reached(client, last);
    expect(seqsOf(client)).toEqual(range(1, last));
  });
});

describe("what goes wrong on the way", () => {
  it("is mended when events are told out of turn, twice or not at all", async () => {
    await start();
    const { client } = await holder();
    log.isHolding = true;
    for (let i = 0; i < 6; i++) log.write(OWNER, 2);
    log.release((held) => [...held.slice(3), ...held.slice(0, 1), ...held.slice(4), ...held.slice(1, 2)]);
    await reached(client, 12);
    log.isTelling = false;
    log.write(OWNER, 5);
    log.isTelling = true;
    log.isHolding = false;
    log.write(OWNER);
    await reached(client, 18);
    expect(seqsOf(client)).toEqual(range(1, 18));
    expect(rig.sample("ticker_stream_orders_holes_total")).toBeGreaterThan(0);
  });

  it("is found by comparing, when the last event was told to nobody", async () => {
    await start();
    const { client } = await holder();
    log.isTelling = false;
    log.write(OWNER, 2);
    await client.next((m) => m.type === "order" && m["seq"] === 2, 9_000);
    expect(seqsOf(client)).toEqual([1, 2]);
  }, 12_000);

  it("is told as a gap to those who are live, when the events begin anew or are gone", async () => {
    await start();
    const { client } = await holder();
    log.write(OWNER, 3);
    await reached(client, 3);
    log.isTelling = false;
    log.write(OWNER, 4);
    log.prune(OWNER, 5);
    log.isTelling = true;
    log.write(OWNER);
    await reached(client, 8);
    expect(client.messages.filter((m) => m.type === "gap")).toMatchObject([{ from: 4, to: 5, reason: "expired" }]);
    expect(seqsOf(client)).toEqual([1, 2, 3, 6, 7, 8]);
    log.beginAnew(OWNER);
    log.write(OWNER, 2);
    expect(await client.next((m) => m.type === "gap")).toMatchObject({ epoch: "e+", seq: 2, reason: "restart" });
    log.write(OWNER);
    await client.next((m) => m.type === "order" && m["epoch"] === "e+" && m["seq"] === 3);
    expect(entriesOf(await client.ask({ type: "list", id: 9 }), "topics")).toMatchObject([{ epoch: "e+", seq: 3 }]);
  });
});

describe("a client that reads slowly", () => {
  it("gets every event, unfolded, as it reads on, and is live again", async () => {
    await start({ pingMs: 40, pingAgeMaxMs: 80 });
    const { client: slow } = await holder();
    const { client: fast } = await holder();
    slow.socket.pause();
    let last = 0;
    await expect.poll(() => {
      last = log.write(OWNER, 20).at(-1)?.seq ?? 0;
      return rig.fanout.samples().find((s) => s.name === "ticker_stream_lane_sessions" && s.labels["lane"] === "lagging")?.value;
    }, { timeout: 10_000, interval: 2 }).toBe(1);
    last = log.write(OWNER, 400).at(-1)?.seq ?? 0;
    await reached(fast, last);
    slow.socket.resume();
    await reached(slow, last);
    await expect.poll(async () => (await slow.ask({ type: "ping", id: Math.random() }))["lane"], { timeout: 5_000 }).toBe("live");
    const [next] = log.write(OWNER);
    await Promise.all([slow, fast].map((client) => reached(client, next?.seq ?? 0)));
    for (const client of [slow, fast]) expect(seqsOf(client)).toEqual(range(1, last + 1));
    expect(slow.messages.filter((m) => m.type === "caught_up")).toMatchObject([{ folded: 0, lost: 0 }]);
    expect(slow.messages.filter((m) => m.type === "gap")).toEqual([]);
    expect(await slow.ask({ type: "ping", id: 99 })).toMatchObject({ messages: last + 1 });
  });
});
