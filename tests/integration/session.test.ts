/**
 * A session's life as a client sees it: greeting, authentication, budgets, heartbeats, pings, errors and close codes.
 */
import { connect } from "node:net";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import { instrument, keyRecord, READ_KEY, StreamRig } from "../support/stream-rig.ts";

let rig: StreamRig;
afterEach(() => rig.stop());

async function start(options: Partial<FanoutOptions> = {}): Promise<void> {
  rig = await StreamRig.start(options);
}

describe("authentication", () => {
  it("greets, takes the original service's form, and says who one is and what the limits are", async () => {
    await start();
    const client = await rig.connect();
    expect(client.messages[0]).toMatchObject({ type: "welcome", protocol: 1, server: "ticker-service/test", auth_timeout_ms: 10_000, time: expect.any(Number) });
    client.say(`{"type":"auth","api_key":"${READ_KEY}"}`);
    expect(await client.next((m) => m.type === "authenticated")).toMatchObject({
      session: expect.any(String), key_id: "k-read", scopes: ["read"], encoding: "json", heartbeat_ms: 5_000, limits: { topics: 3_000, frame_bytes: 65_536, commands_per_s: 20 },
    });
  });

  it.each([
    ["a wrong key", { type: "auth", api_key: `tk_wrong${"x".repeat(40)}` }, 402, 4402],
    ["another command first", { type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] }, 401, 4401],
    ["bare ping first", "ping", 401, 4401],
    ["garbage first", "{{{", 401, 4401],
    ["a frame over 4 KiB first", { type: "auth", api_key: "x".repeat(4096) }, 401, 4401],
  ])("closes after %s with its code", async (_name, frame, code, close) => {
    await start();
    const client = await rig.connect();
    client.say(frame);
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code });
    expect(await client.closed()).toBe(close);
  });

  it("says what is wrong with the frame of an auth and waits for a better one", async () => {
    await start();
    const client = await rig.connect();
    client.say({ type: "auth", api_key: 7 });
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 400, message: expect.stringContaining("api_key") });
    client.say({ type: "auth", api_key: READ_KEY, encoding: "cbor" });
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 414, message: expect.stringContaining("encoding") });
    client.say({ type: "auth", api_key: READ_KEY });
    await client.next((m) => m.type === "authenticated");
    client.say({ type: "auth", api_key: READ_KEY });
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 403, name: "already_authenticated" });
    await client.settled();
  });

  it("closes with 4404 when nothing comes within the deadline", async () => {
    await start({ authTimeoutMs: 60 });
    const client = await rig.connect();
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 404, name: "auth_timeout" });
    expect(await client.closed()).toBe(4404);
  });

  it("redeems a ticket once", async () => {
    await start();
    rig.tickets.set("tt_once", ["read"]);
    await rig.session("tt_once");
    const second = await rig.connect();
    second.say({ type: "auth", api_key: "tt_once" });
    expect(await second.closed()).toBe(4402);
  });

  it("ends the sessions of a revoked key with 4418 and lets the key in no more", async () => {
    await start();
    const other = await rig.session();
    rig.fanout.changeKeys({ added: [keyRecord("tk_second" + "s".repeat(32), "k-second", ["read"])], revoked: [], retired: [] });
    const client = await rig.session("tk_second" + "s".repeat(32));
    rig.fanout.changeKeys({ added: [], revoked: ["k-second"], retired: [] });
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 418, name: "key_revoked" });
    expect(await client.closed()).toBe(4418);
    const again = await rig.connect();
    again.say({ type: "auth", api_key: "tk_second" + "s".repeat(32) });
    expect(await again.closed()).toBe(4402);
    await other.settled();
  });

  it("counts sessions per key and per address exactly, and gives places back", async () => {
    await start({ sessionsPerKeyMax: 2, sessionsPerAddressMax: 3 });
    const first = await rig.session();
    await rig.session();
    const third = await rig.connect();
    third.say({ type: "auth", api_key: READ_KEY });
    expect(await third.next((m) => m.type === "error")).toMatchObject({ code: 406, message: expect.stringContaining("a key may have 2") });
    expect(await third.closed()).toBe(4406);
    first.close();
    await first.closed();
    await expect.poll(() => rig.fanout.sessionCount).toBe(1);
    await rig.session();
    await rig.connect();
    const fourth = await rig.connect().catch((error: unknown) => error);
    expect(fourth).toBeInstanceOf(Error);
    expect(rig.sample("ticker_stream_errors_total")).toBe(2);
  });

  it("lets unauthenticated connections take their share of the places and no more", async () => {
    await start({ unauthenticatedMax: 2 });
    const oldest = await rig.connect();
    const second = await rig.connect();
    await rig.connect();
    expect(await oldest.closed()).toBe(4404);
    expect(second.closeCode).toBeNull();
  });
});

describe("commands", () => {
  it("answer a bare ping with a bare pong, and a ping with its id and what was received", async () => {
    await start();
    const [a = 0] = rig.list("t:A");
    const client = await rig.session();
    client.say("ping");
    await expect.poll(() => client.texts.includes("pong")).toBe(true);
    await client.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] });
    for (let i = 0; i < 3; i++) rig.quote(a, 100 + i);
    rig.flush();
    await client.next((m) => m["seq"] === 3);
    expect(await client.ask({ type: "ping", id: 7 })).toMatchObject({ type: "pong", id: 7, time: expect.any(Number), messages: 3, unsent_bytes: 0, lane: "live" });
  });

  it("may come in a burst, are refused beyond it with 429, and end the session when that goes on", async () => {
    await start({ commandsPerS: 5, commandsBurst: 10, commandsRefusedMax: 20 });
    const client = await rig.session();
    for (let i = 0; i < 10; i++) client.say({ type: "ping", id: i });
    await client.next((m) => m["id"] === 9);
    expect(client.messages.filter((m) => m.type === "error")).toEqual([]);
    client.say({ type: "ping", id: "over" });
    expect(await client.next((m) => m.type === "error")).toMatchObject({ code: 429, name: "rate_limited", retryable: true });
    for (let i = 0; i < 40; i++) client.say({ type: "ping", id: i });
    expect(await client.closed()).toBe(4429);
  });

  it("that are malformed are answered, the fifth in a minute ends the session with 4400", async () => {
    await start();
    const client = await rig.session();
    for (const frame of ["nonsense", "[]", "{}", '{"type":"subscribe"', "7"]) client.say(frame);
    expect(await client.closed()).toBe(4400);
    expect(client.messages.filter((m) => m["code"] === 400)).toHaveLength(5);
  });

  it("may have 64 KiB; up to 128 KiB end with 413 and 1009; beyond, the connection is dropped", async () => {
    await start();
    const pad = (bytes: number) => {
      const frame = JSON.stringify({ type: "ping", id: 1, pad: "" });
      return frame.replace('"pad":""', `"pad":"${"x".repeat(bytes - frame.length)}"`);
    };
    const fits = await rig.session();
    fits.say(pad(65_536));
    await fits.next((m) => m.type === "pong");
    const large = await rig.session();
    large.say(pad(65_537));
    expect(await large.next((m) => m.type === "error")).toMatchObject({ code: 413 });
    expect(await large.closed()).toBe(1009);
    const huge = await rig.session();
    huge.say(pad(131_073));
    expect(await huge.closed()).toBe(1006);
    await fits.settled();
  });
});

describe("time", () => {
  it("brings heartbeats with the state of every feed to all sessions", async () => {
    await start({ heartbeatMs: 40 });
    rig.list("t:A", "u:B");
    rig.status(rig.pipeline.define(instrument("u:*", { native: "*" })), "stale", "silence");
    const client = await rig.session();
    const beat = await client.next((m) => m.type === "heartbeat");
    expect(beat).toMatchObject({ time: expect.any(Number), feeds: { t: { state: "live", age_ms: expect.any(Number) }, u: { state: "stale" } } });
    expect(client.texts.some((text) => text.startsWith('{"type":"heartbeat"'))).toBe(true);
  });

  it("brings pings to sessions that are sent data, and only now and then to others", async () => {
    await start({ pingMs: 30, pingIdleMs: 100_000 });
    const [a = 0] = rig.list("t:A");
    const fed = await rig.session();
    const idle = await rig.session();
    let pings = 0;
    let idlePings = 0;
    fed.socket.on("ping", () => pings++);
    idle.socket.on("ping", () => idlePings++);
    await fed.ask({ type: "subscribe", id: 1, channel: "quotes", symbols: ["t:A"] });
    for (let i = 1; pings < 3; i++) {
      rig.quote(a, 100 + i);
      rig.flush();
      await fed.next((m) => m["seq"] === i);
    }
    expect(idlePings).toBe(0);
  });

  it("closes a session that sends no byte with 4419, and not one that answers pings", async () => {
    await start({ pingMs: 40, pingIdleMs: 40, idleMs: 400 });
    const answering = await rig.session();
    const socket = connect(rig.port, "127.0.0.1");
    await once(socket, "connect");
    let heard = "";
    socket.on("data", (data) => { heard += data.toString("latin1"); });
    socket.write("GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    await expect.poll(() => heard).toContain("welcome");
    const auth = Buffer.from(JSON.stringify({ type: "auth", api_key: READ_KEY }));
    socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | auth.length, 0, 0, 0, 0]), auth]));
    await expect.poll(() => heard, { timeout: 5_000 }).toSatisfy((text: string) => text.includes('"code":419') && text.endsWith("\u0088\u0006\u0011Cidle"));
    socket.destroy();
    await answering.settled();
  });

  it("of a drain: goodbye with a delay of its own, 1012, and nobody new", async () => {
    await start();
    const clients = await Promise.all(Array.from({ length: 5 }, () => rig.session()));
    await expect(rig.fanout.drain(1_000)).resolves.toBe(5);
    for (const client of clients) {
      expect(await client.next((m) => m.type === "goodbye")).toMatchObject({ code: 503, reason: "draining", reconnect: true, reconnect_after_ms: expect.any(Number) });
      expect(await client.closed()).toBe(1012);
    }
    await expect(rig.connect()).rejects.toThrow();
  });
});

describe("the upgrade", () => {
  const get = async (lines: readonly string[], path = "/v1/stream"): Promise<string> => {
    const socket = connect(rig.port, "127.0.0.1");
    await once(socket, "connect");
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${rig.port}\r\n${lines.map((l) => `${l}\r\n`).join("")}\r\n`);
    let heard = "";
    socket.on("data", (data) => { heard += data.toString("latin1"); });
    await expect.poll(() => heard).toContain("\r\n");
    socket.destroy();
    return heard.split("\r\n")[0] ?? "";
  };
  const GOOD = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"];

  it("needs its headers, its path, no key in the URL, and an allowed Origin", async () => {
    await start({ allowedOrigins: ["https://desk.example"] });
    expect(await get(GOOD)).toContain("101");
    expect(await get([...GOOD, "Origin: https://desk.example"])).toContain("101");
    expect(await get([...GOOD, "Origin: https://evil.example"])).toContain("403");
    expect(await get(GOOD.filter((l) => !l.includes("Version")))).toContain("426");
    expect(await get(GOOD.map((l) => l.replace("13", "8")))).toContain("426");
    expect(await get(GOOD.map((l) => l.replace("AAAAAAAAAAAAAAAAAAAAAA==", "AAAA**************AAAA==")))).toContain("400");
    expect(await get(GOOD, "/v1/stream?api_key=tk_x")).toContain("400");
    expect(await get(GOOD, "/other")).toContain("404");
    expect(await get([])).toContain("426");
  });

  it("allows any port of the same host when no origin is configured", async () => {
    await start();
    expect(await get([...GOOD, "Origin: http://127.0.0.1:9"])).toContain("101");
    expect(await get([...GOOD, "Origin: http://localhost"])).toContain("403");
    expect(await get([...GOOD, "Origin: null"])).toContain("403");
  });

  it("is refused with 503 when the places are taken", async () => {
    await start({ sessionsMax: 1 });
    await rig.session();
    expect(await get(GOOD)).toContain("503");
  });

  it("takes the client's address from X-Forwarded-For behind a trusted proxy only", async () => {
    await start({ trustedProxies: ["127.0.0.0/8"], sessionsPerAddressMax: 1 });
    await rig.connect({ headers: { "X-Forwarded-For": "203.0.113.1" } });
    await rig.connect({ headers: { "X-Forwarded-For": "203.0.113.2" } });
    await expect(rig.connect({ headers: { "X-Forwarded-For": "203.0.113.9, 203.0.113.2" } })).rejects.toThrow();
    await rig.stop();
    await start({ sessionsPerAddressMax: 1 });
    await rig.connect({ headers: { "X-Forwarded-For": "203.0.113.1" } });
    await expect(rig.connect({ headers: { "X-Forwarded-For": "203.0.113.2" } })).rejects.toThrow();
  });
});
