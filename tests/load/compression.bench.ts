/**
 * `npm run bench:compression`: what each encoding costs with and without permessage-deflate, in processor, bytes and memory.
 *
 * The variants are measured in turn on one server, so that they compare the same minute. How to read it: docs/encodings.md.
 */
import { parseArgs } from "node:util";
import { deflateRawSync } from "node:zlib";
import { msgpackOfJson } from "../../src/protocol/codecs/msgpack.ts";
import { Random } from "../../src/feeds/sim/random.ts";
import { median } from "./load-group.ts";
import { type BenchServer, pin, startOurs } from "./servers.ts";
import { type Variant, WireGroup } from "./wire-client.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "4" }, seconds: { type: "string", default: "2" }, clients: { type: "string", default: "500" },
    "memory-clients": { type: "string", default: "2000" }, only: { type: "string", default: "frames,one,burst,memory" }, help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log("npm run bench:compression -- [--rounds 4] [--seconds 2] [--clients 500] [--memory-clients 2000] [--only frames,one,burst,memory]");
  process.exit(0);
}
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const CLIENTS = Number(values.clients);
const MEMORY_CLIENTS = Number(values["memory-clients"]);
const ONLY = new Set(values.only.split(","));
const BURST = 25;
const HELD = 20;
/** Until resident memory has levelled off. */
const SETTLE_MS = 3_000;

const VARIANTS: readonly Variant[] = [
  { name: "json", encoding: "json", deflate: false }, { name: "json deflate", encoding: "json", deflate: true },
  { name: "msgpack", encoding: "msgpack", deflate: false }, { name: "msgpack deflate", encoding: "msgpack", deflate: true },
];

// Frames are counted: none may come that was not asked for.
process.env["BENCH_STREAM_HEARTBEAT_MS"] = "60000";

const sequences = new Map<number, number>();

function send(server: BenchServer, symbols: readonly number[]): void {
  server.send(symbols.map((symbol) => {
    const seq = (sequences.get(symbol) ?? 0) + 1;
    sequences.set(symbol, seq);
    return { symbol, seq };
  }));
}

interface Measured {
  /** Processor microseconds of the server and wire bytes, per delivered message. */
  readonly cpuMicros: number;
  readonly bytes: number;
}

/** Sends `count` events of one symbol together, waits until all of them are everywhere, again. */
async function loop(server: BenchServer, group: WireGroup, count: number, seconds: number): Promise<Measured> {
  const [cpu, bytes, end] = [server.cpuSeconds(), group.bytesRead, performance.now() + seconds * 1000];
  let messages = 0;
  while (performance.now() < end) {
    const done = group.delivered(count);
    send(server, Array.from({ length: count }, () => 0));
    await done;
    messages += count * group.size;
  }
  return { cpuMicros: ((server.cpuSeconds() - cpu) * 1e6) / messages, bytes: (group.bytesRead - bytes) / messages };
}

async function scenario(name: string, server: BenchServer, count: number): Promise<void> {
  if (!ONLY.has(name)) return;
  const measured = VARIANTS.map((): Measured[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, variant] of VARIANTS.entries()) {
      const group = new WireGroup(variant);
      await group.open(server.streamPort, CLIENTS, [0]);
      await loop(server, group, count, 0.3);
      measured[i]?.push(await loop(server, group, count, SECONDS));
      group.close();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  const plain = measured[0] ?? [];
  for (const [i, variant] of VARIANTS.entries()) {
    const all = measured[i] ?? [];
    const ratios = all.map((each, round) => each.cpuMicros / (plain[round]?.cpuMicros ?? Number.NaN));
    line([name, variant.name, median(all.map((m) => m.cpuMicros)).toFixed(3), median(ratios).toFixed(2), `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`, median(all.map((m) => m.bytes)).toFixed(1)]);
  }
}

async function memory(variant: Variant): Promise<void> {
  sequences.clear();
  const server = await startOurs(1);
  const symbols = Array.from({ length: HELD }, (_, i) => i);
  send(server, symbols);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const empty = server.rss();
  const group = new WireGroup(variant);
  await group.open(server.streamPort, MEMORY_CLIENTS, symbols);
  for (let i = 0; i < 20; i++) {
    const done = group.delivered(symbols.length);
    send(server, symbols);
    await done;
  }
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  line(["memory", variant.name, `${((server.rss() - empty) / MEMORY_CLIENTS / 1000).toFixed(2)} kB`, "per connection"]);
  group.close();
  await server.stop();
}

const random = new Random(1);
const digits = (count: number): string => String(random.below(10 ** count)).padStart(count, "0");
const levels = (count: number): string => Array.from({ length: count }, (_, i) => `["67${100 + i}.${digits(2)}","0.${digits(4)}"]`).join(",");
const quotes = (count: number): string => Array.from({ length: count }, (_, i) =>
  `{"type":"quote","symbol":"coinbase:BTC-USD","seq":${4711 + i},"bid":"67${digits(3)}.${digits(2)}","bid_size":"0.${digits(4)}","ask":"67${digits(3)}.${digits(2)}","ask_size":"1.${digits(4)}","time":1763650${digits(9)},"received":1763650${digits(9)}}`).join(",");
const book = (depth: number): string => `{"type":"book","symbol":"coinbase:BTC-USD","seq":4711,"depth":${depth},"bids":[${levels(depth)}],"asks":[${levels(depth)}],"time":1763650${digits(9)},"received":1763650${digits(9)}}`;

/** Bytes of a frame, and microseconds that its MessagePack costs beyond its JSON text: once per frame, not per client. */
function frames(): void {
  line(["frame", "", "json", "deflated", "msgpack", "deflated", "us"]);
  for (const [name, json] of [["1 quote", quotes(1)], ["10 quotes", quotes(10)], ["25 quotes", quotes(25)], ["book 10", book(10)], ["book 100", book(100)]] as const) {
    const text = `[${json}]`;
    const bytes = msgpackOfJson(text);
    let microseconds = 0;
    for (let run = 0; run < 5; run++) {
      const start = performance.now();
      for (let i = 0; i < 20_000; i++) msgpackOfJson(text);
      microseconds = (performance.now() - start) / 20;
    }
    line([name, "", String(text.length), String(deflateRawSync(text).length), String(bytes.length), String(deflateRawSync(bytes).length), microseconds.toFixed(2)]);
  }
}

function line(cells: readonly string[]): void {
  console.log(cells.map((cell, i) => (i < 2 ? cell.padEnd(16) : cell.padStart(11))).join(" "));
}

console.log(`node ${process.version}, ${CLIENTS} clients, ${ROUNDS} rounds of ${SECONDS} s, medians; ratios to json of the same round`);
if (ONLY.has("frames")) frames();
if (ONLY.has("one") || ONLY.has("burst")) {
  const isPinned = pin(process.pid, "1");
  console.log(isPinned ? "server on processor 0, load on processor 1" : "processors not pinned");
  const server = await startOurs(1, isPinned);
  send(server, [0]);
  line(["scenario", "variant", "CPU us/msg", "CPU ratio", "min-max", "wire B/msg"]);
  await scenario("one", server, 1);
  await scenario("burst", server, BURST);
  await server.stop();
}
if (ONLY.has("memory")) for (const variant of VARIANTS) await memory(variant);
