/**
 * Tests of what the push feed refuses, and how it says so, over real TCP connections.
 */
import { describe, expect, it } from "vitest";
import { until } from "../support/push-client.ts";
import { startPush as start, trade } from "../support/start-push.ts";

describe("refusals", () => {
  const cases: readonly (readonly [string, unknown, string, string])[] = [
    ["an unknown instrument without create", trade({ create: undefined }), "unknown_instrument", "symbol"],
    ["the venue of another feed", trade({ symbol: "coinbase:BTC-USD" }), "wrong_venue", "symbol"],
    ["a symbol without venue", trade({ symbol: "ABC-USD" }), "malformed", "symbol"],
    ["the symbol of the venue itself", trade({ symbol: "mine:*" }), "malformed", "symbol"],
    ["a venue in upper case", trade({ symbol: "Mine:A" }), "malformed", "symbol"],
    ["no symbol", trade({ symbol: undefined }), "malformed", "symbol"],
    ["a price as a JSON number", trade({ price: 10.5 }), "malformed", "price"],
    ["a price finer than the scale", trade({ price: "10.505", price_scale: 2 }), "malformed", "price"],
    ["a price in exponent form", trade({ price: "1e5" }), "malformed", "price"],
    ["a size beyond 2^53 units", trade({ size: "99999999999" }), "malformed", "size"],
    ["a side that is none", trade({ side: "BUY" }), "malformed", "side"],
    ["an id with a quote", trade({ id: "a\"b" }), "malformed", "id"],
    ["an empty id", trade({ id: "" }), "malformed", "id"],
    ["an id of 65 characters", trade({ id: "x".repeat(65) }), "malformed", "id"],
    ["a time as text", trade({ time: "2026-01-01T00:00:00Z" }), "malformed", "time"],
    ["a time with a fraction", trade({ time: 1.5 }), "malformed", "time"],
    ["a time before 1970", trade({ time: -1 }), "malformed", "time"],
    ["a scale of 16", trade({ price_scale: 16 }), "malformed", "price_scale"],
    ["a may_cross that is no boolean", trade({ may_cross: "yes" }), "malformed", "may_cross"],
    ["a bar", { ...trade(), type: "bar" }, "malformed", "type"],
    ["a second auth", { type: "auth", api_key: "tk_admin" }, "already_authenticated", "type"],
    ["a number", 5, "malformed", "event"],
    ["null", null, "malformed", "event"],
    ["an array in an array", [[trade()]], "malformed", "event"],
    ["a quote without a bid size", { type: "quote", symbol: "mine:A", create: true, bid: "1", ask: "2", ask_size: "1" }, "malformed", "bid_size"],
    ["a book without asks", { type: "book", symbol: "mine:A", create: true, bids: [] }, "malformed", "asks"],
    ["a book with an unordered side", { type: "book", symbol: "mine:A", create: true, bids: [["1", "1"], ["2", "1"]], asks: [] }, "malformed", "bids[1]"],
    ["a book with a price twice", { type: "book", symbol: "mine:A", create: true, bids: [], asks: [["1", "1"], ["1", "1"]] }, "malformed", "asks[1]"],
    ["a book with an empty level", { type: "book", symbol: "mine:A", create: true, bids: [["1", "0"]], asks: [] }, "non_positive", "bids[0]"],
    ["a level that is no pair", { type: "book", symbol: "mine:A", create: true, bids: [["1"]], asks: [] }, "malformed", "bids[0]"],
    ["a book of 101 levels", { type: "book", symbol: "mine:A", create: true, bids: [], asks: Array.from({ length: 101 }, (_, i) => [String(i + 1), "1"]) }, "limit", "asks"],
    ["a ticker without last", { type: "ticker", symbol: "mine:A", create: true }, "malformed", "last"],
    ["a ticker with a number", { type: "ticker", symbol: "mine:A", create: true, last: "1", volume_24h: 5 }, "malformed", "volume_24h"],
  ];

  it.each(cases)("answers %s at once, naming the field and the remedy", async (_name, event, code, field) => {
    const { sink, open, count } = await start();
    const client = await open("tk_publisher");
    client.send(event);
    const ack = await client.ack("an error");
    expect(ack).toMatchObject({ type: "ack", received: 1, accepted: 0, rejected: 1, errors: [{ index: 0, code, field }] });
    expect(ack.errors[0]?.message).toMatch(/^.*(expected|found).*; .+/);
    expect(count("rejected_total", code)).toBe(1);
    expect(sink.events.filter((e) => e.kind !== "status")).toEqual([]);
  });

  it("takes a book of exactly 100 levels a side and an id of 64 characters", async () => {
    const { open, of } = await start();
    const client = await open("tk_publisher");
    const levels = Array.from({ length: 100 }, (_, i) => [String(1000 + i), "1"]);
    client.send({ type: "book", symbol: "mine:A", create: true, bids: [], asks: levels }, trade({ id: "x".repeat(64) }));
    await until("both", () => of("trade").length === 1);
    const book = of("book")[0];
    expect(book?.kind === "book" && [book.asks.count, book.asks.prices[99], book.asks.prices[0]]).toEqual([100, 1000e8, 1099e8]);
  });

  it("passes on what ingest refuses", async () => {
    const { sink, open } = await start();
    const client = await open("tk_publisher");
    sink.event = (event) => (event.kind === "trade" ? "stale" : null);
    client.send([trade(), trade()]);
    expect(await client.ack("two errors")).toMatchObject({ received: 2, accepted: 0, rejected: 2, errors: [{ index: 0, code: "stale", field: "time" }, { index: 1 }] });
  });

  it("refuses the instrument above the limit, of its own or of ingest, and takes the one at it", async () => {
    const { sink, open } = await start({ instrumentsMax: 2 });
    const client = await open("tk_publisher");
    client.send(["A", "B", "C"].map((symbol) => trade({ symbol: `mine:${symbol}` })));
    expect(await client.ack("one error")).toMatchObject({ received: 3, accepted: 2, errors: [{ index: 2, code: "limit", field: "symbol" }] });
    expect(sink.instruments.map((i) => i.id)).toEqual(["mine:*", "mine:A", "mine:B"]);

    const other = await start();
    other.sink.define = () => { throw new RangeError("mine:* refused: 20000 instruments are the limit"); };
    const second = await other.open("tk_publisher");
    second.send(trade());
    expect((await second.ack("one error")).errors[0]?.message).toContain("refused: 20000 instruments");
  });

  it("stays up through 10,000 garbage lines, counts each, and hears the next event", async () => {
    const { open, of, count } = await start();
    const client = await open("tk_publisher");
    const pool = ["{", "nonsense", "[1,2", "\u0000\u0001", "{\"type\":\"trade\"", "}{", "\"text\"", "[[[[[[[[", "-", "{\"type\":null}"];
    for (let i = 0; i < 10_000; i++) client.write(`${pool[i % pool.length] ?? ""}${i % 3 === 0 ? "\uD83D\uDE00" : ""}\n`);
    client.send(trade());
    const ack = await client.ack("all of them", (a) => a.received === 10_001);
    expect(ack).toMatchObject({ accepted: 1, rejected: 10_000 });
    expect(client.acks.every((a) => a.errors.length <= 10)).toBe(true);
    expect(count("rejected_total", "invalid_syntax") + count("rejected_total", "malformed")).toBe(10_000);
    expect(of("trade")).toHaveLength(1);
  });

  it("survives nesting as deep as a line allows, in every place", async () => {
    const { open, of } = await start();
    const client = await open("tk_publisher");
    const deep = `${"[".repeat(500_000)}${"]".repeat(500_000)}`;
    const lines = [deep, `[${deep}]`, `{"type":${deep}}`, `{"type":"trade","symbol":${deep}}`, `{"type":"book","symbol":"mine:A","create":true,"bids":[${deep}],"asks":[]}`, "[".repeat(1_000_000)];
    for (const line of lines) client.write(`${line}\n`);
    client.send(trade());
    await client.ack("all of them", (ack) => ack.received === lines.length + 1);
    expect(of("trade")).toHaveLength(1);
  });
});
