/**
 * Subscriptions as a client sees them: acknowledgement, snapshot, contiguous updates, wildcards, options, refusals.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { entriesOf, type Entry, type Message } from "../support/stream-client.ts";
import { instrument, PUBLISH_KEY, StreamRig } from "../support/stream-rig.ts";

let rig: StreamRig;
beforeEach(async () => { rig = await StreamRig.start(); });
afterEach(() => rig.stop());

function topics(message: Message): Entry[] {
  return entriesOf(message, "topics");
}

function codes(message: Message): unknown[] {
  return entriesOf(message, "rejected").map((r) => [r["symbol"], r["code"]]);
}

function sequences(messages: readonly Message[]): unknown[] {
  return messages.map((m) => m["seq"]);
}

describe("a subscription", () => {
  it("is acknowledged, gets its snapshot with the same seq, then every update without a hole", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    rig.quote(btc, 100);
    rig.quote(btc, 101);
    rig.flush();
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"] });
    expect(ack).toMatchObject({ type: "subscribed", topics: [{ channel: "quotes", symbol: "t:BTC-USD", epoch: "epoch1", seq: 2, live: true }], rejected: [], more: false });
    for (let i = 0; i < 5; i++) {
      rig.quote(btc, 102 + i);
      rig.flush();
    }
    await client.next((m) => m["seq"] === 7);
    const quotes = client.of("quote", "t:BTC-USD");
    expect(sequences(quotes)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(quotes.map((m) => m["snapshot"] ?? false)).toEqual([true, false, false, false, false, false]);
    expect(quotes[0]).toMatchObject({ bid: "1.01", bid_size: "1.0000", ask: "1.02", ask_size: "0.5000" });
  });

  it("starts without a snapshot where there is no value, and says that nothing is live", async () => {
    rig.pipeline.define(instrument("t:BTC-USD"));
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "ticker", symbols: ["t:BTC-USD"] });
    expect(topics(ack)).toMatchObject([{ seq: 0, live: false }]);
    await client.settled();
    expect(client.arrays).toEqual([]);
    expect(rig.demanded).toEqual([0]);
  });

  it("answers the venue's own spelling with the id", async () => {
    rig.list("t:BTC-USD");
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTCUSD"] });
    expect(topics(ack).map((t) => t["symbol"])).toEqual(["t:BTC-USD"]);
  });

  it("gives the recent trades in one array when asked", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    for (let i = 0; i < 300; i++) rig.trade(btc, 1000 + i);
    rig.flush();
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"], recent: 256 });
    await client.settled();
    const trades = client.of("trade", "t:BTC-USD");
    expect(trades).toHaveLength(256);
    expect(client.arrays).toEqual([256]);
    expect(trades.every((t) => t["snapshot"] === true)).toBe(true);
    expect([trades[0]?.["seq"], trades.at(-1)?.["seq"]]).toEqual([45, 300]);
    rig.trade(btc, 999);
    rig.flush();
    expect(await client.next((m) => m["seq"] === 301)).not.toHaveProperty("snapshot");
  });

  it("holds several depths of a book at one seq", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const levels = (from: number, step: number) => Array.from({ length: 30 }, (_, i) => [from + step * i, 100 + i] as const);
    rig.book(btc, levels(1000, -1), levels(1001, 1));
    rig.flush();
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "book", symbols: ["t:BTC-USD"], depth: 1 });
    await client.ask({ type: "subscribe", id: 2, channel: "book", symbols: ["t:BTC-USD"], depth: 25 });
    rig.book(btc, levels(999, -1), levels(1001, 1));
    rig.flush();
    await client.next((m) => m["seq"] === 2 && m["depth"] === 1);
    await client.settled();
    const books = client.of("book", "t:BTC-USD");
    expect(books.map((b) => [b["seq"], b["depth"], entriesOf(b, "bids").length])).toEqual(expect.arrayContaining([[1, 1, 1], [1, 25, 25], [2, 1, 1], [2, 25, 25]]));
    expect(books[0]?.["bids"]).toEqual([["10.00", "0.0100"]]);
  });

  it("sends several events of a topic in one turn as one array", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"] });
    for (let i = 0; i < 25; i++) rig.quote(btc, 100 + i);
    rig.flush();
    await client.next((m) => m["seq"] === 25);
    expect(client.arrays).toEqual([25]);
  });

  it("replaces the options of a held topic without a snapshot and without delivering twice", async () => {
    const [btc = 0] = rig.list("t:BTC-USD");
    rig.trade(btc, 100);
    rig.flush();
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:BTC-USD"] });
    const again = await client.ask({ type: "subscribe", id: 2, channel: "trades", symbols: ["t:BTC-USD"], recent: 10 });
    expect(topics(again)).toMatchObject([{ seq: 1, recent: 10 }]);
    rig.trade(btc, 101);
    rig.flush();
    await client.settled();
    expect(sequences(client.of("trade", "t:BTC-USD"))).toEqual([2]);
  });
});

describe("what is refused", () => {
  it("names unknown symbols with suggestions for the first three and goes on with the others", async () => {
    rig.list("t:BTC-USD", "t:ETH-USD");
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USDD", "t:ETH-USD", "x:ETH-USD", "t:BTC", "t:BTC-USDX"] });
    expect(topics(ack).map((t) => t["symbol"])).toEqual(["t:ETH-USD"]);
    expect(ack["rejected"]).toMatchObject([
      { symbol: "t:BTC-USDD", code: 411, name: "unknown_symbol", did_you_mean: ["t:BTC-USD"] },
      { symbol: "x:ETH-USD", did_you_mean: ["t:ETH-USD"] }, { symbol: "t:BTC" }, { symbol: "t:BTC-USDX" },
    ]);
    expect(entriesOf(ack, "rejected")[3]).not.toHaveProperty("did_you_mean");
  });

  it("is all of an atomic frame when one symbol is", async () => {
    rig.list("t:BTC-USD");
    const client = await rig.session();
    const answer = await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD", "t:NO"], atomic: true });
    expect(answer).toMatchObject({ type: "error", code: 411, name: "unknown_symbol", retryable: false });
    expect(rig.sample("ticker_stream_errors_total")).toBe(1);
    expect(topics(await client.ask({ type: "list", id: 2 }))).toEqual([]);
  });

  it.each([
    [{ channel: "quotes", symbols: [] }, 400],
    [{ channel: "quotes" }, 400],
    [{ channel: "quotes", symbols: [7] }, 400],
    [{ channel: "nonsense", symbols: ["t:BTC-USD"] }, 410],
    [{ channel: "orders" }, 409],
    [{ channel: "orders", symbols: ["t:BTC-USD"] }, 414],
    [{ channel: "orders", every_ms: 250 }, 414],
    [{ channel: "orders", resume: [{ epoch: "e", seq: 1 }, { epoch: "e", seq: 2 }] }, 414],
    [{ channel: "orders", resume: [{ seq: 1 }] }, 414],
    [{ channel: "bars", symbols: ["t:BTC-USD"], interval: "2m" }, 414],
    [{ channel: "book", symbols: ["t:BTC-USD"], depth: 5 }, 414],
    [{ channel: "trades", symbols: ["t:BTC-USD"], recent: 257 }, 414],
    [{ channel: "quotes", symbols: ["t:BTC-USD"], depth: 10 }, 414],
    [{ channel: "quotes", symbols: ["t:BTC-USD"], atomic: 1 }, 414],
    [{ channel: "quotes", symbols: Array.from({ length: 501 }, (_, i) => `t:S${i}`) }, 414],
  ])("is %j with error %i, and the session goes on", async (frame, code) => {
    rig.list("t:BTC-USD");
    const client = await rig.session();
    expect(await client.ask({ type: "subscribe", id: 1, ...frame })).toMatchObject({ type: "error", id: 1, code });
    expect((await client.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:BTC-USD"] })).type).toBe("subscribed");
  });

  it("takes 500 symbols in a frame and answers in pieces of 100", async () => {
    rig.list(...Array.from({ length: 500 }, (_, i) => `t:S${i}`));
    const client = await rig.session();
    client.say({ type: "subscribe", id: 1, channel: "quotes", symbols: Array.from({ length: 500 }, (_, i) => `t:S${i}`) });
    await client.next((m) => m["id"] === 1 && m["more"] === false);
    const acks = client.messages.filter((m) => m.type === "subscribed");
    expect(acks.map((a) => [topics(a).length, a["more"]])).toEqual([[100, true], [100, true], [100, true], [100, true], [100, false]]);
  });

  it("is a topic beyond the cap of a session, and a wildcard that would pass it", async () => {
    await rig.stop();
    rig = await StreamRig.start({ topicsPerSessionMax: 3 });
    rig.list("t:A", "t:B", "t:C", "t:D");
    const client = await rig.session();
    expect(codes(await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A", "t:B", "t:C", "t:D"] }))).toEqual([["t:D", 405]]);
    expect(await client.ask({ type: "subscribe", id: 2, channel: "trades", symbols: ["t:*"] })).toMatchObject({ type: "error", code: 405, name: "subscription_limit" });
    expect(rig.sample("ticker_stream_errors_total")).toBe(1);
    expect(topics(await client.ask({ type: "list", id: 3 }))).toHaveLength(3);
  });

  it("is a subscription of a key without the scope read", async () => {
    rig.list("t:A");
    const client = await rig.session(PUBLISH_KEY);
    expect(await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] })).toMatchObject({ type: "error", code: 409, name: "insufficient_scope" });
  });
});

describe("unsubscribe and list", () => {
  it("end a topic at its final seq, and say 417 for what is not held", async () => {
    const [btc = 0] = rig.list("t:BTC-USD", "t:ETH-USD");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:BTC-USD"] });
    rig.quote(btc, 100);
    rig.flush();
    await client.next((m) => m["seq"] === 1);
    const answer = await client.ask({ type: "unsubscribe", id: 2, channel: "quotes", symbols: ["t:BTC-USD", "t:ETH-USD"] });
    expect(answer).toMatchObject({ type: "unsubscribed", topics: [{ symbol: "t:BTC-USD", seq: 1 }], rejected: [{ symbol: "t:ETH-USD", code: 417 }] });
    rig.quote(btc, 101);
    rig.flush();
    await client.settled();
    expect(sequences(client.of("quote", "t:BTC-USD"))).toEqual([1]);
  });

  it("repeat the options of every topic; all ends everything", async () => {
    rig.list("t:BTC-USD");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "bars", symbols: ["t:BTC-USD"], interval: "5m" });
    await client.ask({ type: "subscribe", id: 2, channel: "book", symbols: ["t:BTC-USD"], depth: 25 });
    await client.ask({ type: "subscribe", id: 3, channel: "trades", symbols: ["t:*"], recent: 7 });
    expect(await client.ask({ type: "list", id: 4 })).toMatchObject({
      type: "subscriptions", wildcards: [{ channel: "trades", symbol: "t:*" }],
      topics: [{ channel: "bars", interval: "5m" }, { channel: "book", depth: 25 }, { channel: "trades", recent: 7 }],
    });
    expect(topics(await client.ask({ type: "unsubscribe", id: 5, all: true }))).toHaveLength(3);
    expect(topics(await client.ask({ type: "list", id: 6 }))).toEqual([]);
    expect(rig.sample("ticker_stream_subscriptions")).toBe(0);
  });
});

describe("a wildcard", () => {
  it("delivers all instruments of its venue, and announces a later one before its data", async () => {
    const [a = 0, b = 0] = rig.list("t:A", "t:B", "u:C");
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: "w", channel: "quotes", symbols: ["t:*"] });
    expect(topics(ack).map((t) => t["symbol"])).toEqual(["t:A", "t:B"]);
    rig.quote(a, 100);
    rig.quote(b, 200);
    rig.flush();
    await client.next((m) => m["symbol"] === "t:B" && m["seq"] === 1);
    expect(client.arrays).toEqual([2]);
    const [late = 0] = rig.list("t:LATE");
    rig.quote(late, 300);
    rig.flush();
    expect(await client.next((m) => m["symbol"] === "t:LATE" || m.type === "subscribed")).toMatchObject({ type: "subscribed", id: "w", topics: [{ symbol: "t:LATE", seq: 0 }] });
    await client.next((m) => m["symbol"] === "t:LATE" && m["seq"] === 1);
  });

  it("of every venue takes in a venue that appears later", async () => {
    rig.list("t:A");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: "all", channel: "trades", symbols: ["*"] });
    const [c = 0] = rig.list("u:C");
    rig.trade(c, 100);
    rig.flush();
    expect(await client.next((m) => m.type === "subscribed")).toMatchObject({ id: "all", topics: [{ symbol: "u:C" }] });
    await client.next((m) => m["symbol"] === "u:C" && m["seq"] === 1);
  });

  it("takes over a member that was held, without a snapshot, a hole or a double", async () => {
    const [a = 0, b = 0] = rig.list("t:A", "t:B");
    const client = await rig.session();
    rig.quote(a, 100);
    rig.flush();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] });
    const ack = await client.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:*"] });
    expect(ack["replaced"]).toMatchObject([{ channel: "quotes", symbol: "t:A" }]);
    rig.quote(a, 101);
    rig.quote(b, 200);
    rig.flush();
    await client.settled();
    expect(sequences(client.of("quote", "t:A"))).toEqual([1, 2]);
    expect(sequences(client.of("quote", "t:B"))).toEqual([1]);
  });

  it("ends when a member with the same options is claimed later, and the answer says so", async () => {
    const [a = 0, b = 0] = rig.list("t:A", "t:B");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:*"] });
    rig.quote(a, 100);
    rig.flush();
    await client.next((m) => m["seq"] === 1);
    const ack = await client.ask({ type: "subscribe", id: 2, channel: "quotes", symbols: ["t:A"] });
    expect(ack).toMatchObject({ topics: [{ symbol: "t:A", seq: 1 }], replaced: [{ channel: "quotes", symbol: "t:*" }] });
    rig.quote(a, 101);
    rig.quote(b, 200);
    rig.flush();
    await client.settled();
    expect(sequences(client.of("quote", "t:A"))).toEqual([1, 2]);
    expect(client.of("quote", "t:B")).toEqual([]);
  });

  it("may be held beside a member with another depth", async () => {
    rig.list("t:A", "t:B");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "book", symbols: ["t:*"], depth: 10 });
    const ack = await client.ask({ type: "subscribe", id: 2, channel: "book", symbols: ["t:A"], depth: 25 });
    expect(ack).not.toHaveProperty("replaced");
    expect(topics(await client.ask({ type: "list", id: 3 }))).toHaveLength(3);
  });

  it("cannot lose a single member", async () => {
    rig.list("t:A", "t:B");
    const client = await rig.session();
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:*"] });
    expect(codes(await client.ask({ type: "unsubscribe", id: 2, channel: "quotes", symbols: ["t:A"] }))).toEqual([["t:A", 414]]);
    expect(topics(await client.ask({ type: "unsubscribe", id: 3, channel: "quotes", symbols: ["t:*"] }))).toHaveLength(2);
    expect(rig.sample("ticker_stream_subscriptions")).toBe(0);
  });

  it("of status gives the venue and each of its instruments", async () => {
    const [a = 0] = rig.list("t:A", "t:B");
    const client = await rig.session();
    const ack = await client.ask({ type: "subscribe", id: 1, channel: "status", symbols: ["t:*"] });
    expect(new Set(topics(ack).map((t) => t["symbol"]))).toEqual(new Set(["t:*", "t:A", "t:B"]));
    rig.status(a, "halted", "news");
    expect(await client.next((m) => m.type === "status" && m["symbol"] === "t:A")).toMatchObject({ state: "halted", reason: "news" });
    expect(client.of("status", "t:*")).toMatchObject([{ state: "live", snapshot: true }]);
  });
});
