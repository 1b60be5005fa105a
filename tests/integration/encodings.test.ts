/**
 * MessagePack and permessage-deflate over real sockets: the same messages, negotiated, bounded, and refused where wrong.
 */
import { encode } from "@msgpack/msgpack";
import { deflateRawSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DEFLATED_BYTES_MIN } from "../../src/fanout/deflating-socket.ts";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import { frame, OPCODE, RawStream, UPGRADE } from "../support/raw-stream.ts";
import { entriesOf, type Message, type StreamClient } from "../support/stream-client.ts";
import { READ_KEY, StreamRig } from "../support/stream-rig.ts";

const DEFLATE = "?compression=deflate";
const ALL = [
  { channel: "trades", recent: 5 }, { channel: "quotes" }, { channel: "book", depth: 100 }, { channel: "book", depth: 1 }, { channel: "bars", interval: "1s" }, { channel: "ticker" }, { channel: "status" },
];

let rig: StreamRig;
beforeEach(async () => { rig = await StreamRig.start(); });
afterEach(() => rig.stop());

async function restart(options: Partial<FanoutOptions>): Promise<void> {
  await rig.stop();
  rig = await StreamRig.start(options);
}

async function subscribeAll(client: StreamClient, symbols: readonly string[]): Promise<void> {
  for (const [id, selection] of ALL.entries()) await client.ask({ type: "subscribe", id, symbols, ...selection });
}

/** One turn of events of every kind for each instrument. */
function stir(indexes: readonly number[], turn: number): void {
  const now = rig.clock.nowMicros();
  for (const index of indexes) {
    rig.quote(index, 6_700_000 + turn);
    rig.trade(index, 6_700_000 + turn);
    rig.book(index, Array.from({ length: 40 }, (_, i) => [6_700_000 - i, 1 + i + turn]), Array.from({ length: 40 }, (_, i) => [6_700_001 + i, 2 + i + turn]));
    rig.pipeline.event({ kind: "ticker", instrument: index, last: "67000.5", open24h: "66000", high24h: null, low24h: "1", volume24h: "123456789012345678.25", bid: "2", ask: null, eventTime: now, receiveTime: now });
    rig.status(index, turn % 2 === 0 ? "live" : "stale", `turn ${turn}`);
  }
  rig.flush();
}

/** Data messages as the client got them, without those of bars, which time closes. */
function data(client: StreamClient): Message[] {
  return client.messages.filter((m) => ["trade", "quote", "book", "ticker", "status"].includes(m.type));
}

function encoded(encoding: string): number {
  return rig.fanout.samples().filter((s) => s.name === "ticker_stream_encoded_total" && s.labels["encoding"] === encoding).reduce((sum, s) => sum + s.value, 0);
}

describe("MessagePack", () => {
  it("begins with the answer to auth, and brings exactly what JSON brings", async () => {
    const indexes = rig.list("t:A", "t:B");
    stir(indexes, 0);
    const json = await rig.session();
    const binary = await rig.session(READ_KEY, { encoding: "msgpack" });
    expect(binary.texts.map((text) => text.slice(0, 17))).toEqual(['{"type":"welcome"']);
    expect(binary.messages.at(-1)).toMatchObject({ type: "authenticated", encoding: "msgpack", heartbeat_ms: 5_000, limits: { topics: 3_000, frame_bytes: 65_536, commands_per_s: 20 } });
    for (const client of [json, binary]) await subscribeAll(client, ["t:A", "t:B"]);
    for (let turn = 1; turn <= 5; turn++) stir(indexes, turn);
    for (const client of [json, binary]) await client.settled();
    expect(data(json).length).toBeGreaterThan(60);
    expect(data(binary)).toEqual(data(json));
    expect(binary.arrays.length).toBeGreaterThan(0);
    expect(binary.texts).toHaveLength(1);
    const answers = (client: StreamClient): Message[] => client.messages.filter((m) => m.type === "subscribed");
    expect(answers(binary)).toEqual(answers(json));
  });

  it("is understood in commands too, beside JSON text and the bare ping", async () => {
    rig.list("t:A");
    const client = await rig.session(READ_KEY, { encoding: "msgpack" });
    client.sayBinary({ type: "subscribe", id: "binary", channel: "book", symbols: ["t:A", "t:X"], depth: 25 });
    const answer = await client.next((m) => m["id"] === "binary");
    expect(entriesOf(answer, "topics")).toMatchObject([{ channel: "book", symbol: "t:A", depth: 25 }]);
    expect(entriesOf(answer, "rejected")).toMatchObject([{ symbol: "t:X", code: 411 }]);
    expect(await client.ask({ type: "list", id: 2 ** 40 })).toMatchObject({ type: "subscriptions", id: 2 ** 40 });
    client.sayBinary({ type: "ping", id: -7 });
    expect(await client.next((m) => m.type === "pong")).toMatchObject({ id: -7, lane: "live", time: expect.any(Number) });
    client.say("ping");
    await expect.poll(() => client.texts.at(-1)).toBe("pong");
  });

  it("brings control frames for all as well: heartbeats, gaps, the goodbye of a drain", async () => {
    await restart({ heartbeatMs: 40 });
    const [a = 0] = rig.list("t:A");
    const client = await rig.session(READ_KEY, { encoding: "msgpack" });
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["t:A"] });
    expect(await client.next((m) => m.type === "heartbeat")).toMatchObject({ time: expect.any(Number), feeds: { t: { state: "live" } } });
    rig.pipeline.lost(a, "trade", 3);
    rig.flush();
    expect(await client.next((m) => m.type === "gap")).toMatchObject({ channel: "trades", missed: 3, reason: "upstream" });
    await rig.fanout.drain(1_000);
    expect(await client.next((m) => m.type === "goodbye")).toMatchObject({ code: 503, reconnect: true });
    expect(await client.closed()).toBe(1012);
    expect(client.texts).toHaveLength(1);
  });

  it("is encoded once per event however many use it, and not at all while nobody does", async () => {
    const [a = 0] = rig.list("t:A");
    const quotes = async (client: StreamClient): Promise<void> => void (await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] }));
    await quotes(await rig.session());
    rig.quote(a, 100);
    rig.flush();
    expect([encoded("json"), encoded("msgpack")]).toEqual([1, 0]);
    const clients = await Promise.all(Array.from({ length: 5 }, () => rig.session(READ_KEY, { encoding: "msgpack" })));
    for (const client of clients) await quotes(client);
    rig.quote(a, 101);
    rig.flush();
    for (const client of clients) await client.next((m) => m["seq"] === 2 && m["snapshot"] !== true);
    expect([encoded("json"), encoded("msgpack")]).toEqual([2, 1]);
    for (const client of clients) client.close();
    await expect.poll(() => rig.fanout.sessionCount).toBe(1);
    rig.quote(a, 102);
    rig.flush();
    expect([encoded("json"), encoded("msgpack")]).toEqual([3, 1]);
  });

  it.each<readonly [string, Uint8Array, RegExp]>([
    ["half a map", encode({ type: "ping" }).slice(0, 5), /the bytes end within a value/],
    ["two maps", Uint8Array.from([...encode({ type: "ping" }), ...encode({ type: "ping" })]), /bytes follow the first value/],
    ["JSON in a binary frame", Buffer.from('{"type":"ping"}'), /bytes follow the first value/],
    ["an array", encode([{ type: "ping" }]), /one JSON object/],
    ["a map without type", encode({}), /`type` must be/],
    ["bytes as a key", encode({ type: "auth", api_key: new Uint8Array(4) }), /0xc4/],
    ["a claim of four billion entries", Uint8Array.from([0xdd, 0xff, 0xff, 0xff, 0xff]), /the bytes end within a value/],
    ["nothing", new Uint8Array(0), /the bytes end within a value/],
  ])("that is no command is answered with 400: %s", async (_what, bytes, message) => {
    const client = await rig.session(READ_KEY, { encoding: "msgpack" });
    client.socket.send(bytes);
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 400, name: "invalid_syntax", message: expect.stringMatching(message) });
    await client.settled();
  });

  it("that is no command ends the session with 4400 at the fifth", async () => {
    const client = await rig.session(READ_KEY, { encoding: "msgpack" });
    for (let i = 0; i < 5; i++) client.socket.send(Uint8Array.from([0xc1]));
    expect(await client.closed()).toBe(4400);
    expect(client.messages.filter((m) => m["code"] === 400)).toHaveLength(5);
  });

  it("is not for the auth frame, nor for a session with JSON, and a refusal of auth is JSON", async () => {
    const early = await rig.connect();
    early.sayBinary({ type: "auth", api_key: READ_KEY, encoding: "msgpack" });
    expect(await early.closed()).toBe(4401);
    const json = await rig.session();
    json.sayBinary({ type: "ping", id: 1 });
    expect(await json.next((m) => m.type === "error")).toMatchObject({ code: 400, message: expect.stringContaining("must be text") });
    const wrong = await rig.connect();
    wrong.say({ type: "auth", api_key: `tk_wrong${"x".repeat(40)}`, encoding: "msgpack" });
    expect(await wrong.closed()).toBe(4402);
    expect(wrong.binaryFrames).toBe(0);
  });

  it("comes with a ticket as with a key", async () => {
    rig.tickets.set("tt_once", ["read"]);
    const client = await rig.session("tt_once", { encoding: "msgpack" });
    expect(client.binaryFrames).toBe(1);
  });

  it("may have 65,536 bytes in a frame and no more", async () => {
    const sized = (bytes: number): Uint8Array => encode({ type: "ping", id: 1, pad: "x".repeat(bytes - 20 - 2) });
    const fits = await rig.session(READ_KEY, { encoding: "msgpack" });
    const largest = sized(65_536);
    expect(largest).toHaveLength(65_536);
    fits.socket.send(largest);
    await fits.next((m) => m.type === "pong");
    fits.socket.send(sized(65_537));
    expect(await fits.next((m) => m.type === "error")).toMatchObject({ code: 413 });
    expect(await fits.closed()).toBe(1009);
  });
});

describe("compression", () => {
  it("is negotiated only where the URL asks for it and the client offers it", async () => {
    const extensions = async (query: string, offersDeflate: boolean): Promise<string> => (await rig.session(READ_KEY, { query, offersDeflate })).socket.extensions;
    expect(await extensions("", true)).toBe("");
    expect(await extensions("?other=1", true)).toBe("");
    expect(await extensions(DEFLATE, true)).toBe("permessage-deflate");
    expect(await extensions("?other=1&compression=deflate", true)).toBe("permessage-deflate");
    expect(await extensions(DEFLATE, false)).toBe("");
    expect(rig.sample("ticker_stream_sessions_deflating")).toBe(3);
    await expect(rig.connect({ query: "?compression=gzip", offersDeflate: true })).rejects.toThrow();
    await expect(rig.connect({ query: "?compression=deflated", offersDeflate: true })).rejects.toThrow();
  });

  it.each(["json", "msgpack"] as const)("brings the same messages in fewer bytes: %s", async (encoding) => {
    const indexes = rig.list("t:A", "t:B");
    stir(indexes, 0);
    const plain = await rig.session(READ_KEY, { encoding });
    const offered = await rig.session(READ_KEY, { encoding, query: DEFLATE, offersDeflate: true });
    for (const client of [plain, offered]) await subscribeAll(client, ["t:*"]);
    for (let turn = 1; turn <= 5; turn++) stir(indexes, turn);
    for (const client of [plain, offered]) await client.settled();
    expect(data(offered).length).toBeGreaterThan(60);
    expect(data(offered)).toEqual(data(plain));
    expect(offered.bytesRead).toBeLessThan(plain.bytesRead * 0.6);
  });

  it("leaves short frames as they are", async () => {
    const stream = await RawStream.connected(rig.port);
    stream.write(UPGRADE.replace("/v1/stream", `/v1/stream${DEFLATE}`).replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
    await stream.until("welcome", () => stream.messages.length > 0);
    expect(stream.response).toMatch(/permessage-deflate/);
    expect(JSON.stringify(stream.messages[0]).length).toBeLessThan(DEFLATED_BYTES_MIN);
    stream.write(frame('{"type":"auth","api_key":"tk_short"}'));
    await stream.ended();
    // The error is longer than the limit and came deflated: this client cannot read it.
    expect(stream.messages).toHaveLength(1);
    expect(stream.closes).toEqual([4402]);
  });

  it("lets inflated commands have 65,536 bytes, ends those above with 1009, and drops bombs", async () => {
    const bomb = (bytes: number): string => JSON.stringify({ type: "ping", id: 1, pad: "x".repeat(bytes - 31) });
    expect(bomb(65_536)).toHaveLength(65_536);
    expect(deflateRawSync(bomb(1_000_000)).length).toBeLessThan(1_100);
    const session = (): Promise<StreamClient> => rig.session(READ_KEY, { query: DEFLATE, offersDeflate: true });
    const other = await session();
    const fits = await session();
    fits.say(bomb(65_536));
    expect(await fits.next((m) => m.type === "pong")).toMatchObject({ id: 1 });
    fits.say(bomb(65_537));
    expect(await fits.next((m) => m.type === "error")).toMatchObject({ code: 413 });
    expect(await fits.closed()).toBe(1009);
    for (const bytes of [131_073, 1_000_000, 100_000_000]) {
      const hostile = await session();
      hostile.say(bomb(bytes));
      expect(await hostile.closed()).toBe(1006);
    }
    await other.settled();
    expect(rig.sample("ticker_stream_sessions_deflating")).toBe(1);
  });

  it("counts inflated bytes before auth as well", async () => {
    const client = await rig.connect({ query: DEFLATE, offersDeflate: true });
    client.say({ type: "auth", api_key: "x".repeat(4_096) });
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 401, message: expect.stringContaining("4096 bytes") });
    expect(await client.closed()).toBe(4401);
  });

  it.each([
    ["bytes that are no deflate", Buffer.alloc(300, 0xa5), 4],
    ["a deflated frame where nothing was negotiated for it", Buffer.from("{}"), 2],
  ])("drops the connection after %s, and nobody else notices", async (_what, bytes, reserved) => {
    const other = await rig.session(READ_KEY, { query: DEFLATE, offersDeflate: true });
    const stream = await RawStream.connected(rig.port);
    stream.write(UPGRADE.replace("/v1/stream", `/v1/stream${DEFLATE}`).replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
    await stream.until("welcome", () => stream.messages.length > 0);
    stream.write(frame(bytes, { opcode: OPCODE.text, reserved }));
    await stream.ended();
    expect(stream.closes).toEqual([]);
    await other.settled();
  });

  it("drops a compressed frame on the default route", async () => {
    const stream = await RawStream.open(rig.port, READ_KEY);
    stream.write(frame(deflateRawSync('{"type":"ping"}'), { reserved: 4 }));
    await stream.ended();
    expect(stream.closes).toEqual([]);
  });
});
