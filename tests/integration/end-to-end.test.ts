/**
 * The whole way through the real process: what goes in at one end, by push, recording or venue, is what a client gets.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { startLoopbackVenue } from "../support/loopback-venue.ts";
import { PushClient } from "../support/push-client.ts";
import { type RunningService, startService } from "../support/start-service.ts";
import { type Message, StreamClient } from "../support/stream-client.ts";
import { capturePath, expectedOf, hasVenueData, list, member } from "../support/venue-data.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const KEY = `tk_both${"b".repeat(36)}`;
/** From `npm start` to the first data frame: 3 s is promised; the assertion leaves room for a busy machine. */
const FIRST_DATA_MS_MAX = 10_000;

const services: RunningService[] = [];
const clients: StreamClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(services.splice(0).map((service) => service.stop()));
});

async function start(env: Readonly<Record<string, string>>): Promise<RunningService> {
  const service = await startService({ env: { BOOTSTRAP_API_KEYS: `admin:${KEY}`, ...env } });
  services.push(service);
  return service;
}

async function session(url: string): Promise<StreamClient> {
  const client = new StreamClient(url);
  clients.push(client);
  await client.opened();
  client.say({ type: "auth", api_key: KEY });
  await client.next((m) => m.type === "authenticated");
  return client;
}

/** Entries of an answer's `topics` with their position. */
function positions(answer: Message): Map<string, number> {
  return new Map(list(answer["topics"]).map((topic) => [`${String(member(topic, "channel"))} ${String(member(topic, "symbol"))}`, Number(member(topic, "seq"))]));
}

describe("push", () => {
  async function withProducer(): Promise<{ client: StreamClient; producer: PushClient; open: (key?: string) => Promise<PushClient>; service: RunningService }> {
    const service = await start({ FEEDS: "push" });
    const [, port] = await service.said(/push listening.*port=(\d+)/);
    const open = async (key?: string): Promise<PushClient> => {
      const opened = await PushClient.open(Number(port), key);
      onTestFinished(() => { opened.socket.destroy(); });
      return opened;
    };
    const producer = await open(KEY);
    producer.send({ type: "trade", symbol: "mine:ABC-USD", create: true, price_scale: 4, size_scale: 8, price: "67012", size: "1", side: "sell", id: "first", time: 1_763_650_000_000_000 });
    await producer.ack("the first", (ack) => ack.accepted === 1);
    return { client: await session(service.stream), producer, open, service };
  }

  it("is delivered to the byte", async () => {
    const { client, producer } = await withProducer();
    for (const channel of ["trades", "quotes", "book", "ticker"]) await client.ask({ type: "subscribe", id: channel, channel, symbols: ["mine:*"], ...(channel === "book" ? { depth: 1 } : {}) });
    const time = 1_763_650_000_123_456;
    producer.send(
      { type: "trade", symbol: "mine:ABC-USD", price: "67012.5", size: "0.01200000", side: "buy", id: "88-x", time },
      { type: "quote", symbol: "mine:ABC-USD", bid: "900719925474.0991", bid_size: "0.00000001", ask: "900719925474.0991", ask_size: "90071992.54740991", time },
      { type: "book", symbol: "mine:ABC-USD", bids: [["1.0001", "2"], ["1", "3"]], asks: [["1.0002", "4"]], time },
      { type: "ticker", symbol: "mine:ABC-USD", last: "110.00", open_24h: "100", high_24h: null, low_24h: "99.5", volume_24h: "123456789012345678901234567890.5", bid: "1", ask: "2", time },
    );
    await client.next((m) => m.type === "ticker");
    const data = client.texts.filter((text) => text.startsWith("[")).map((text) => text.replace(/"received":\d{16}/g, '"received":R'));
    expect(data).toEqual([
      `[{"type":"trade","symbol":"mine:ABC-USD","seq":2,"id":"88-x","price":"67012.5000","size":"0.01200000","side":"buy","time":${time},"received":R}]`,
      `[{"type":"quote","symbol":"mine:ABC-USD","seq":1,"bid":"900719925474.0991","bid_size":"0.00000001","ask":"900719925474.0991","ask_size":"90071992.54740991","time":${time},"received":R}]`,
      `[{"type":"book","symbol":"mine:ABC-USD","seq":1,"depth":1,"bids":[["1.0001","2.00000000"]],"asks":[["1.0002","4.00000000"]],"time":${time},"received":R}]`,
      `[{"type":"ticker","symbol":"mine:ABC-USD","seq":1,"last":"110.00","open_24h":"100","high_24h":null,"low_24h":"99.5","volume_24h":"123456789012345678901234567890.5","change_pct_24h":"10.00","bid":"1","ask":"2","time":${time}}]`,
    ]);
  });

  it("of hostile producers disturbs neither the good one nor its clients", async () => {
    const { client, producer, open, service } = await withProducer();
    await client.ask({ type: "subscribe", id: 1, channel: "trades", symbols: ["mine:ABC-USD"] });
    const hostile = await open(KEY);
    const lines = ["{", "[[[[", "\0", "null", '{"type":"trade"}', '{"type":"trade","symbol":"mine:ABC-USD","price":"NaN","size":"1"}', '{"type":"trade","symbol":"mine:ABC-USD","price":"-1","size":"1","side":"buy"}', `${"[".repeat(100_000)}${"]".repeat(100_000)}`, '{"__proto__":{"type":"trade"}}', "\uFFFF"];
    for (let i = 0; i < 200; i++) {
      hostile.write(`${lines[i % lines.length] ?? ""}\n`);
      producer.send({ type: "trade", symbol: "mine:ABC-USD", price: "67000", size: "1", side: "buy", id: String(i) });
    }
    const stranger = await open();
    stranger.write(Buffer.from(`1603010200010001fc0303${"ab".repeat(5000)}`, "hex"));
    const flood = await open(KEY);
    flood.write("x".repeat(2_000_000));
    await Promise.all([stranger.closed(), flood.closed()]);
    await hostile.ack("all of them", (ack) => ack.received === 200 && ack.accepted === 0);
    await client.next((m) => m["id"] === "199");
    expect(client.of("trade", "mine:ABC-USD").map((m) => Number(m["seq"]))).toEqual(Array.from({ length: 200 }, (_, i) => i + 2));
    expect((await fetch(`${service.page}/health/readiness`)).status).toBe(200);
  });
});

/** What expected.json says of a capture: channel, and where the count stands. A `last_match` is history, no new trade. */
const RECORDED = {
  COINBASE: { trades: ["message_kinds", "match"], book: ["cryptofeed_callbacks", "l2_book"], ticker: ["message_kinds", "ticker"] },
  KRAKEN: { trades: ["cryptofeed_callbacks", "trades"], book: ["cryptofeed_callbacks", "l2_book"] },
} as const;

describe.skipIf(!hasVenueData)("recordings", () => {
  it("arrive whole: the last number of each topic, and each message since its acknowledgement", async () => {
    const service = await start({ FEEDS: Object.keys(RECORDED).map((name) => `replay:${capturePath(name)}@16`).join(",") });
    const client = await session(service.stream);
    const before = new Map<string, number>();
    for (const channel of ["trades", "book", "ticker"]) {
      for (const [topic, seq] of positions(await client.ask({ type: "subscribe", id: channel, channel, symbols: ["*"] }))) before.set(topic, seq);
    }
    await client.ask({ type: "subscribe", id: "status", channel: "status", symbols: ["*"] });
    for (const venue of ["coinbase:*", "kraken:*"]) await expect.poll(() => client.of("status", venue).at(-1)?.["reason"], { timeout: 15_000 }).toBe("end of recording");
    await client.settled();
    const after = positions(await client.ask({ type: "list", id: "after" }));
    for (const [name, channels] of Object.entries(RECORDED)) {
      for (const [channel, [group, what]] of Object.entries(channels)) {
        const sum = [...after].reduce((total, [topic, seq]) => total + (topic.startsWith(`${channel} ${name.toLowerCase()}:`) ? seq : 0), 0);
        expect(sum, `${name} ${channel}`).toBe(member(member(expectedOf(name), group), what));
      }
    }
    let received = 0;
    for (const [topic, seq] of before) {
      const [channel = "", symbol = ""] = topic.split(" ");
      const messages = client.of(channel === "trades" ? "trade" : channel, symbol).filter((m) => m["snapshot"] !== true);
      expect(messages.map((m) => Number(m["seq"])), topic).toEqual(Array.from({ length: (after.get(topic) ?? 0) - seq }, (_, i) => seq + 1 + i));
      received += messages.length;
    }
    console.log(`recordings: ${received} events delivered after the acknowledgements`);
    expect(received).toBeGreaterThan(7_000);
  });
});

describe.skipIf(!hasVenueData)("a venue", () => {
  it("is asked for a known instrument that it does not carry yet: live:false, then its data", async () => {
    const venue = await startLoopbackVenue({ capture: capturePath("BINANCE"), speed: 4 });
    onTestFinished(() => venue.stop());
    const service = await start({ FEEDS: "binance", BINANCE_WS_URL: venue.wsUrl, BINANCE_REST_URL: venue.restUrl, FEED_INSTRUMENTS: "binance:NKN-USDT" });
    const client = await session(service.stream);
    const isLive = (message: Message): boolean => list(message["topics"]).some((topic) => member(topic, "live") === true);
    const carried = { channel: "quotes", symbols: ["binance:NKN-USDT"] };
    // Known once the venue's list is read, live once its first message is.
    await expect.poll(async () => isLive(await client.ask({ type: "subscribe", id: Math.random(), ...carried })), { timeout: 10_000, interval: 100 }).toBe(true);
    const answer = await client.ask({ type: "subscribe", id: "new", channel: "quotes", symbols: ["binance:LRCBTC", "binance:LRC-BTCC"] });
    expect(answer).toMatchObject({
      topics: [{ channel: "quotes", symbol: "binance:LRC-BTC", seq: 0, live: false }],
      rejected: [{ symbol: "binance:LRC-BTCC", code: 411, did_you_mean: expect.arrayContaining(["binance:LRC-BTC"]) }],
    });
    await client.ask({ type: "subscribe", id: "status", channel: "status", symbols: ["binance:LRC-BTC"] });
    expect(await client.next((m) => m.type === "quote" && m["symbol"] === "binance:LRC-BTC", 10_000)).toMatchObject({ seq: 1, bid: expect.stringMatching(/^0\.0000\d+$/) });
    expect(venue.heard.some((text) => text.includes("lrcbtc@bookTicker"))).toBe(true);
    await expect.poll(() => client.of("status", "binance:LRC-BTC").at(-1)?.["state"], { timeout: 5_000 }).toBe("live");
    expect(await client.ask({ type: "list", id: "list" })).toMatchObject({ topics: expect.arrayContaining([expect.objectContaining({ channel: "quotes", symbol: "binance:LRC-BTC", live: true })]) });
  });
});

describe("npm start", () => {
  /** Milliseconds from the command to the first data frame at a client. */
  async function firstDataMs(dataDir: string): Promise<number> {
    const fromMs = systemClock.monotonicMs();
    const npm = spawn("npm", ["start"], {
      cwd: ROOT, stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] ?? "", HOME: dataDir, HTTP_PORT: "0", STREAM_PORT: "0", DATA_DIR: dataDir, BOOTSTRAP_API_KEYS: `read:${KEY}` },
    });
    const exited = new Promise<number | null>((resolve) => npm.once("exit", resolve));
    const url = await new Promise<string>((resolve, reject) => {
      let output = "";
      npm.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        const found = /ws:\/\/[\d.]+:\d+\/v1\/stream/.exec(output)?.[0];
        if (found !== undefined) resolve(found);
      });
      npm.once("exit", () => reject(new Error(`npm start ended:\n${output}`)));
    });
    const client = await session(url);
    client.say({ type: "subscribe", id: 1, channel: "quotes", symbols: ["sim:BTC-USD"] });
    await client.next((m) => m.type === "quote");
    const tookMs = systemClock.monotonicMs() - fromMs;
    npm.kill("SIGTERM");
    expect(await exited).toBe(0);
    return tookMs;
  }

  it("brings the first data frame to a client within 3 s on the second start", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ticker-start-"));
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    const first = await firstDataMs(dataDir);
    const second = await firstDataMs(dataDir);
    console.log(`npm start to the first data frame: ${Math.round(first)} ms, second start ${Math.round(second)} ms`);
    expect(second).toBeLessThan(FIRST_DATA_MS_MAX);
  });
});
