/**
 * Tests of the push feed over real TCP connections.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { AUTH_LINE_BYTES_MAX } from "../../src/feeds/push/producer.ts";
import { until } from "../support/push-client.ts";
import { startPush as start, trade } from "../support/start-push.ts";

describe("events", () => {
  it("takes a trade, a quote, a book and a ticker, one or many a line", async () => {
    const { sink, open, of, feed, clock } = await start();
    const client = await open("tk_publisher");
    const symbol = "mine:ABC-USD";
    client.send(
      trade({ price_scale: 2, size_scale: 4 }),
      [
        { type: "quote", symbol, bid: "10.49", bid_size: "1.5", ask: "10.51", ask_size: "0.0001" },
        { type: "book", symbol, bids: [["10.49", "1.5"], ["10.40", "3"]], asks: [["10.51", "0.0001"]], time: 5 },
      ],
      { type: "ticker", symbol, last: "10.5", open_24h: "10", high_24h: "11.25", low_24h: null, volume_24h: "99999999999999999999.5", bid: "10.49" },
    );
    await until("the ticker", () => of("ticker").length === 1);
    const now = clock.nowMicros();
    expect(sink.instruments.find((i) => i.id === symbol)).toMatchObject({ venue: "mine", symbol: "ABC-USD", priceScale: 2, sizeScale: 4, simulated: false, mayCross: false, timeBase: "wall", state: "active" });
    expect(of("trade")[0]).toMatchObject({ price: 1050, size: 20_000, side: "buy", id: "7", eventTime: 1_700_000_000_000_001, receiveTime: now });
    expect(of("quote")[0]).toMatchObject({ bid: 1049, bidSize: 15_000, ask: 1051, askSize: 1, eventTime: now });
    const book = of("book")[0];
    if (book?.kind !== "book") throw new Error("expected a book");
    expect(book.eventTime).toBe(5);
    expect([...book.bids.prices], "best last").toEqual([1040, 1049]);
    expect([...book.bids.sizes]).toEqual([30_000, 15_000]);
    expect([...book.asks.prices]).toEqual([1051]);
    expect(of("ticker")[0]).toMatchObject({ last: "10.5", open24h: "10", high24h: "11.25", low24h: null, volume24h: "99999999999999999999.5", bid: "10.49", ask: null });
    expect(feed.report()).toMatchObject({ name: "push", venues: ["mine"], state: "live", reason: "", instruments: 1, ageMs: 0 });
  });

  it("reads lines that arrive in pieces, and ends each read once", async () => {
    const { sink, open, of } = await start();
    const client = await open("tk_publisher");
    const text = `${JSON.stringify(trade())}\n${JSON.stringify([trade({ id: "8" }), trade({ id: "9" })])}\n`;
    for (const at of [0, 25, 50, 75, 100, 125, 150, 175]) {
      client.write(text.slice(at, at + 25));
      await new Promise((resolve) => { client.socket.write("", resolve); });
    }
    client.write(text.slice(200));
    await until("three trades", () => of("trade").length === 3);
    expect(of("trade").map((event) => event.kind === "trade" && event.id)).toEqual(["7", "8", "9"]);

    const reads = sink.reads;
    client.write(Array.from({ length: 50 }, () => `${JSON.stringify(trade())}\n`).join(""));
    await until("fifty more", () => of("trade").length === 53);
    expect(sink.reads - reads).toBeLessThanOrEqual(3);
  });

  it("makes an id for a trade without one, takes numbers as ids, and an absent side as unknown", async () => {
    const { open, of } = await start();
    const client = await open("tk_publisher");
    client.send(trade({ id: undefined, side: undefined }), trade({ id: undefined }), trade({ id: 12_345 }));
    await until("three trades", () => of("trade").length === 3);
    const ids = of("trade").map((event) => (event.kind === "trade" ? event.id : ""));
    expect(new Set(ids).size).toBe(3);
    expect(ids[2]).toBe("12345");
    expect(of("trade")[0]).toMatchObject({ side: "unknown" });
  });

  it("defaults to 8 decimals and passes on simulated and may_cross", async () => {
    const { sink, open, of } = await start();
    const client = await open("tk_publisher");
    client.send(trade({ simulated: true, may_cross: true }));
    await until("the trade", () => of("trade").length === 1);
    expect(sink.instruments.find((i) => i.symbol === "ABC-USD")).toMatchObject({ priceScale: 8, sizeScale: 8, simulated: true, mayCross: true });
    expect(of("trade")[0]).toMatchObject({ price: 1_050_000_000 });
  });
});

describe("acknowledgements", () => {
  it("come once a second while something was received, as running totals", async () => {
    const { open, of, clock } = await start();
    const client = await open("tk_publisher");
    client.send(trade(), trade());
    await until("two trades", () => of("trade").length === 2);
    clock.advance(999);
    expect(client.acks).toEqual([]);
    clock.advance(1);
    await client.ack("the first");
    clock.advance(5000);
    client.send(trade());
    await until("three trades", () => of("trade").length === 3);
    clock.advance(1000);
    await client.ack("the second", (ack) => ack.received === 3);
    expect(client.acks).toEqual([
      { type: "ack", received: 2, accepted: 2, rejected: 0, errors: [] },
      { type: "ack", received: 3, accepted: 3, rejected: 0, errors: [] },
    ]);
  });

  it("come at the end for a producer that closes, with a word about an unfinished line", async () => {
    const { open, count } = await start();
    const client = await open("tk_publisher");
    client.send(trade());
    client.socket.end("{\"type\":\"tra");
    expect(await client.ack("the last")).toMatchObject({ received: 1, accepted: 1, errors: [{ index: null, code: "invalid_syntax", field: "line" }] });
    await client.closed();
    expect(count("lines_unfinished_total")).toBe(1);
  });

  it("are left out, and counted, for a producer that does not read them", async () => {
    const { open, count, of } = await start();
    const client = await open("tk_publisher");
    client.socket.pause();
    const line = `${JSON.stringify({ type: "nonsense".repeat(20) })}\n`.repeat(500);
    for (let i = 0; i < 2000 && count("acks_skipped_total") === 0; i++) {
      await new Promise<void>((resolve) => { client.socket.write(line, () => resolve()); });
    }
    expect(count("acks_skipped_total")).toBeGreaterThan(0);
    client.send(trade());
    await until("the trade after them", () => of("trade").length === 1);
  });
});

describe("connections", () => {
  const endings: readonly (readonly [string, string, string])[] = [
    ["an event before auth", JSON.stringify(trade()), "not_authenticated"],
    ["garbage before auth", "hello", "not_authenticated"],
    ["an unknown key", "{\"type\":\"auth\",\"api_key\":\"tk_wrong\"}", "auth_failed"],
    ["a key without the scope", "{\"type\":\"auth\",\"api_key\":\"tk_reader\"}", "insufficient_scope"],
    ["a line above the limit before auth", "x".repeat(AUTH_LINE_BYTES_MAX + 1), "line_too_long"],
  ];

  it.each(endings)("ends one that sends %s, and reads nothing after it", async (_name, line, code) => {
    const { sink, open, count } = await start();
    const client = await open();
    client.write(`${line}\n${JSON.stringify(trade())}\n`);
    expect(await client.ack("the reason")).toMatchObject({ received: 0, errors: [{ index: null, code }] });
    await client.closed();
    expect(count("connections_failed_total", code)).toBe(1);
    expect(sink.events).toEqual([]);
  });

  it("ends one that has not authenticated after 10 s, and leaves others alone", async () => {
    const { open, of, clock, feed, count } = await start();
    const idle = await open();
    const client = await open("tk_admin");
    client.send(trade());
    await until("the trade", () => of("trade").length === 1 && count("connections_total") === 2);
    clock.advance(9_999);
    expect(idle.acks).toEqual([]);
    clock.advance(1);
    expect((await idle.ack("the reason")).errors[0]).toMatchObject({ code: "auth_timeout" });
    await idle.closed();
    client.send(trade());
    await until("one more", () => of("trade").length === 2);
    expect(feed.report().state).toBe("live");
  });

  it("takes a line of the limit and ends with a reason above it", async () => {
    const { open, of, count } = await start();
    const client = await open("tk_publisher");
    client.write(padded(1_048_576));
    await until("the trade", () => of("trade").length === 1);
    client.write(padded(1_048_577));
    expect((await client.ack("the reason", (ack) => ack.errors.length > 0)).errors[0]).toMatchObject({ code: "line_too_long" });
    await client.closed();
    expect(of("trade")).toHaveLength(1);
    expect(count("lines_too_long_total")).toBe(1);
  });

  it("refuses the connection above the limit with a reason", async () => {
    const { open, of } = await start({ connectionsMax: 2 });
    const first = await open("tk_publisher");
    const second = await open("tk_publisher");
    first.send(trade());
    second.send(trade());
    await until("both heard", () => of("trade").length === 2);
    const third = await open("tk_publisher");
    expect((await third.ack("the reason")).errors[0]).toMatchObject({ code: "connection_limit" });
    await third.closed();
    second.socket.end();
    await second.closed();
    const fourth = await open("tk_publisher");
    fourth.send(trade());
    await until("the fourth heard", () => of("trade").length === 3);
  });

  it("ends those of a revoked key and no other", async () => {
    const { open, of, feed } = await start();
    const publisher = await open("tk_publisher");
    const admin = await open("tk_admin");
    publisher.send(trade());
    admin.send(trade());
    await until("both heard", () => of("trade").length === 2);
    feed.keysRevoked(["k1", "k9"]);
    expect((await publisher.ack("the reason", (ack) => ack.errors.length > 0)).errors[0]).toMatchObject({ code: "key_revoked" });
    await publisher.closed();
    admin.send(trade());
    await until("the other heard", () => of("trade").length === 3);
  });

  it("says which port is in use, and which variables choose another", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => { other.once("listening", resolve); });
    const address = other.address();
    const port = typeof address === "object" && address ? address.port : 0;
    await expect(start({ port })).rejects.toThrow(/cannot listen on 127\.0\.0\.1:\d+ .*PUSH_HOST and PUSH_PORT/);
    await new Promise((resolve) => { other.close(resolve); });
  });

  it("acknowledges and closes on stop, and can start again", async () => {
    const { open, of, feed, statuses } = await start();
    const client = await open("tk_publisher");
    client.send(trade());
    await until("the trade", () => of("trade").length === 1);
    await feed.stop();
    expect(await client.ack("the last")).toMatchObject({ received: 1, accepted: 1 });
    expect(feed.report()).toMatchObject({ state: "down", reason: "not listening" });
    await feed.start();
    const again = await open("tk_publisher");
    again.send(trade({ create: undefined }));
    await until("one more", () => of("trade").length === 2);
    expect(statuses()).toEqual(["mine:* live", "mine:* stale no producer", "mine:* live"]);
  });
});

describe("venues", () => {
  it("are live from the first event and stale when the last of two producers is gone", async () => {
    const { sink, open, of, statuses, clock } = await start();
    const first = await open("tk_publisher");
    const second = await open("tk_admin");
    first.send(trade());
    second.send(trade(), trade({ symbol: "yours:XYZ" }));
    await until("three trades", () => of("trade").length === 3);
    expect(statuses().toSorted()).toEqual(["mine:* live", "yours:* live"]);
    expect(sink.events[0]?.kind, "before its first event").toBe("status");
    first.socket.end();
    await first.closed();
    clock.advance(1);
    expect(statuses()).toHaveLength(2);
    second.socket.destroy();
    await until("stale", () => statuses().length === 4);
    expect(statuses().slice(2).toSorted()).toEqual(["mine:* stale no producer", "yours:* stale no producer"]);
    const third = await open("tk_publisher");
    third.send(trade({ symbol: "yours:XYZ", create: undefined }));
    await until("live again", () => statuses().length === 5);
    expect(statuses()[4]).toBe("yours:* live");
    expect(sink.instruments.filter((i) => i.id === "yours:*")).toHaveLength(1);
  });

  it("that another feed has taken since are refused to a new producer", async () => {
    const taken = new Set<string>();
    const { open, of } = await start({ venuesTaken: () => taken });
    const first = await open("tk_publisher");
    first.send(trade());
    await until("the trade", () => of("trade").length === 1);
    taken.add("mine");
    const second = await open("tk_publisher");
    second.send(trade());
    expect((await second.ack("the reason")).errors[0]).toMatchObject({ code: "wrong_venue", field: "symbol" });
  });
});

/** A trade as a line of this many bytes. */
function padded(bytes: number): string {
  const text = JSON.stringify(trade({ note: "" }));
  return `${text.slice(0, -2)}${"x".repeat(bytes - text.length)}"}\n`;
}

it("delivers exactly what was sent, whatever the cut of the bytes", async () => {
  const { open, of } = await start();
  const client = await open("tk_publisher");
  const sent = Array.from({ length: 3000 }, (_, i) => trade({ id: String(i), price: `${1 + (i % 97)}.${i % 10}`, size: String(1 + (i % 13)) }));
  const bytes = Buffer.from(sent.map((event) => `${JSON.stringify(event)}\n`).join(""));
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = 1 + (createHash("md5").update(String(i)).digest().readUInt16LE(0) % 9000);
    client.write(bytes.subarray(at, at + size));
    at += size;
  }
  await until("all", () => of("trade").length === 3000);
  expect(of("trade").map((event) => event.kind === "trade" && [event.id, event.price])).toEqual(sent.map((event) => [event.id, Math.round(Number(event.price) * 1e8)]));
});
