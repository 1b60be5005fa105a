/**
 * A venue on this machine: serves a recording over real WebSocket and REST as the venue would, with faults on request.
 *
 * As a command: `node tests/support/loopback-venue.ts --capture PATH [--port N] [--speed N] [--impatient] [--advanced]
 * [--drop N] [--repeat N] [--reorder N] [--cut N] [--silent-after N] [--rest-status N] [--rest-delay MS] [--accept-then-close]`
 * It prints the addresses to put into `<VENUE>_WS_URL` and `<VENUE>_REST_URL`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { WebSocketServer, type WebSocket } from "ws";
import { systemClock } from "../../src/core/clock.ts";
import { readCaptureSync, type CaptureRecord } from "../../src/feeds/capture.ts";
import { isForeignRecord } from "../../src/feeds/foreign.ts";
import { toAdvanced } from "./coinbase-advanced.ts";
import { BinanceBooks, CoinbaseBooks, KrakenBooks, type LoopbackBooks } from "./loopback-books.ts";
import { Player, type LoopbackFaults, type PlayerHost, type PlayTotals, type Step } from "./loopback-player.ts";

export interface LoopbackOptions {
  /** Path of the recording. */
  readonly capture: string;
  /** 1 is the recorded pace, 0 (default) as fast as the socket takes it. */
  readonly speed?: number;
  readonly faults?: LoopbackFaults;
  /** Default 0: a free one. */
  readonly port?: number;
  /** Begins to play at once and plays everything, whatever the client subscribes to. */
  readonly isImpatient?: boolean;
  /** A Coinbase recording is spoken in the Advanced Trade form. */
  readonly isAdvanced?: boolean;
}

export interface LoopbackVenue {
  readonly kind: VenueKind;
  readonly wsUrl: string;
  readonly restUrl: string;
  /** May be changed while it runs. */
  readonly faults: LoopbackFaults;
  readonly totals: PlayTotals;
  /** Accepted connections. */
  readonly connections: number;
  /** What clients said, in order, and which REST paths they asked for. */
  readonly heard: readonly string[];
  readonly asked: readonly string[];
  /** The books at the position of the newest player. */
  readonly books: LoopbackBooks["books"];
  /** True when the newest player has played everything. */
  readonly isAtEnd: boolean;
  /** Drops every open connection without a word. */
  dropConnections(): void;
  stop(): Promise<void>;
}

type VenueKind = "binance" | "coinbase" | "kraken";

function kindOf(records: readonly CaptureRecord[]): VenueKind {
  const exchange = records[0]?.exchange ?? "";
  if (exchange.startsWith("BINANCE")) return "binance";
  if (exchange === "COINBASE") return "coinbase";
  if (exchange === "KRAKEN") return "kraken";
  throw new Error(`expected a recording of BINANCE, COINBASE or KRAKEN, found "${exchange}"`);
}

function pathOf(url: string): string {
  const parsed = new URL(url);
  return `${parsed.pathname}${parsed.search}`;
}

const DEPTH = /^\/(?:api|fapi)\/v\d\/depth\?symbol=([A-Z0-9]+)&limit=\d+$/;

/** Messages of all connections merged by time, with a barrier where a depth snapshot was recorded. */
function stepsOf(records: readonly CaptureRecord[]): Step[] {
  const steps: Step[] = [];
  for (const record of records) {
    if (record.dir !== "in") continue;
    const symbol = record.kind === "http" ? DEPTH.exec(pathOf(record.url))?.[1] : undefined;
    if (record.kind === "message") steps.push({ ts: record.ts, raw: record.raw, message: JSON.parse(record.raw), awaitsDepthOf: null });
    else if (symbol !== undefined) steps.push({ ts: record.ts, raw: "", message: null, awaitsDepthOf: symbol });
  }
  return steps.toSorted((a, b) => a.ts - b.ts);
}

/** Recordings are read once a process: neither records nor steps are ever changed. */
const read = new Map<string, { readonly records: readonly CaptureRecord[]; readonly steps: readonly Step[] }>();

function recording(path: string): { readonly records: readonly CaptureRecord[]; readonly steps: readonly Step[] } {
  let found = read.get(path);
  if (found === undefined) {
    const records = readCaptureSync(path);
    found = { records, steps: stepsOf(records) };
    read.set(path, found);
  }
  return found;
}

class Loopback implements LoopbackVenue {
  readonly faults: LoopbackFaults;
  readonly totals: PlayTotals = { messages: 0, updates: 0, dropped: 0, repeated: 0, reordered: 0, cut: 0 };
  readonly heard: string[] = [];
  readonly asked: string[] = [];
  connections = 0;
  readonly #options: LoopbackOptions;
  readonly kind: VenueKind;
  readonly #steps: readonly Step[];
  readonly #bodies = new Map<string, string>();
  readonly #depths = new Map<string, string>();
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #raw = new Set<Duplex>();
  #restFailures = 0;
  #newest: Connection | null = null;

  constructor(options: LoopbackOptions) {
    const { records, steps } = recording(options.capture);
    this.#options = options;
    this.faults = { ...options.faults };
    this.kind = kindOf(records);
    this.#steps = steps;
    for (const record of records) {
      if (record.kind !== "http") continue;
      const path = pathOf(record.url);
      const symbol = DEPTH.exec(path)?.[1];
      if (symbol === undefined) this.#bodies.set(path, record.raw);
      else if (!this.#depths.has(symbol)) this.#depths.set(symbol, record.raw);
    }
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
  }

  get wsUrl(): string {
    return `ws://127.0.0.1:${this.#port()}`;
  }

  get restUrl(): string {
    return `http://127.0.0.1:${this.#port()}`;
  }

  get books(): LoopbackBooks["books"] {
    return this.#newest?.books.books ?? new Map();
  }

  get isAtEnd(): boolean {
    return this.#newest?.player.isAtEnd ?? false;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port ?? 0, "127.0.0.1", resolve);
    });
  }

  dropConnections(): void {
    for (const socket of this.#raw) socket.destroy();
  }

  async stop(): Promise<void> {
    this.#newest?.player.stop();
    this.dropConnections();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #port(): number {
    const address: AddressInfo | string | null = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    this.asked.push(path);
    const run = (): void => {
      const { restStatus, restFailures } = this.faults;
      if (restStatus !== undefined && this.#restFailures < (restFailures ?? Number.POSITIVE_INFINITY)) {
        this.#restFailures++;
        response.writeHead(restStatus).end("{}");
        return;
      }
      const symbol = DEPTH.exec(path)?.[1];
      const body = symbol === undefined ? this.#bodies.get(path) : this.#depth(symbol);
      if (body === undefined) response.writeHead(404, { "content-type": "application/json" }).end('{"code":-1,"msg":"not recorded"}');
      else response.writeHead(200, { "content-type": "application/json" }).end(body);
    };
    if (this.faults.restDelayMs === undefined) run();
    else systemClock.after(this.faults.restDelayMs, run);
  }

  #depth(symbol: string): string | undefined {
    const connection = this.#newest;
    if (connection === null || !(connection.books instanceof BinanceBooks)) return this.#depths.get(symbol);
    const barrier = this.#steps.findIndex((step) => step.awaitsDepthOf === symbol);
    connection.served.add(symbol);
    return connection.books.depth(symbol, connection.player.position > barrier) ?? undefined;
  }

  #upgrade(request: IncomingMessage, raw: Duplex, head: Buffer): void {
    this.#raw.add(raw);
    raw.on("close", () => this.#raw.delete(raw));
    this.#sockets.handleUpgrade(request, raw, head, (socket) => {
      this.connections++;
      if (this.faults.acceptThenClose === true) {
        socket.close(1000);
        return;
      }
      const last = this.#newest;
      last?.player.stop();
      const resumes = last !== null && !last.player.isAtEnd;
      this.#newest = new Connection({
        kind: this.kind, options: this.#options, steps: this.#steps, faults: this.faults, totals: this.totals, heard: this.heard,
        books: resumes ? last.books : this.#emptyBooks(), position: resumes ? last.player.position : 0,
        path: request.url ?? "/", socket, raw,
      });
    });
  }

  #emptyBooks(): LoopbackBooks {
    if (this.kind === "binance") return new BinanceBooks(this.#depths);
    return this.kind === "coinbase" ? new CoinbaseBooks() : new KrakenBooks();
  }
}

interface ConnectionParts {
  readonly kind: VenueKind;
  readonly options: LoopbackOptions;
  readonly steps: readonly Step[];
  readonly faults: LoopbackFaults;
  readonly totals: PlayTotals;
  readonly heard: string[];
  readonly books: LoopbackBooks;
  readonly position: number;
  readonly path: string;
  readonly socket: WebSocket;
  readonly raw: Duplex;
}

/** One client: what it subscribed to and how far it has been played to. */
class Connection implements PlayerHost {
  readonly player: Player;
  readonly books: LoopbackBooks;
  readonly served = new Set<string>();
  readonly #parts: ConnectionParts;
  readonly #wanted = new Set<string>();
  /** Books given up once: only these are sent afresh by a venue that does not wait for subscriptions. */
  readonly #left = new Set<string>();
  #sequence = 0;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.books = parts.books;
    const { socket, raw, steps, position, options, faults, totals } = parts;
    this.player = new Player(steps, position, options.speed ?? 0, this, {
      send: (text) => socket.send(text),
      cut: (text) => cutFrame(raw, text),
      get bufferedAmount() {
        return socket.bufferedAmount;
      },
    }, faults, totals);
    socket.on("message", (data, isBinary) => {
      if (!isBinary && Buffer.isBuffer(data)) this.#heard(data.toString());
    });
    socket.on("close", () => this.player.stop());
    socket.on("error", () => this.player.stop());
    for (const stream of parts.path.split(/[=/]/)) if (stream.includes("@")) this.#wanted.add(stream.slice(0, stream.indexOf("@")).toUpperCase());
    if (parts.kind === "kraken") this.#greet();
    if (parts.kind === "binance" || options.isImpatient === true) this.player.play();
  }

  wants(native: string | null): boolean {
    return native === null || this.#parts.options.isImpatient === true || this.#wanted.has(native);
  }

  hasServedDepth(native: string): boolean {
    return this.served.has(native);
  }

  passed(step: Step): { native: string | null; isBookUpdate: boolean } {
    return this.books.see(step.message);
  }

  render(step: Step): string | null {
    return this.#rendered(step.raw, step.message);
  }

  #rendered(raw: string, message: unknown): string | null {
    if (this.#parts.options.isAdvanced === true) {
      const text = toAdvanced(message, this.#sequence, new Date(systemClock.nowMicros() / 1000).toISOString());
      if (text !== null) this.#sequence++;
      return text;
    }
    if (this.#parts.kind === "binance" && this.#parts.path.startsWith("/ws") && isForeignRecord(message)) return JSON.stringify(message["data"]);
    return raw;
  }

  /** Kraken speaks first; a recording that goes on is greeted with the same words. */
  #greet(): void {
    const first = this.#parts.steps[0];
    if (first === undefined) return;
    if (this.player.position === 0) this.player.sendNext();
    else this.#parts.socket.send(first.raw);
  }

  #heard(text: string): void {
    this.#parts.heard.push(text);
    const message: unknown = JSON.parse(text);
    if (!isForeignRecord(message)) return;
    if (this.#parts.kind === "binance") this.#heardByBinance(message);
    else if (this.#parts.kind === "coinbase") this.#heardByCoinbase(message);
    else this.#heardByKraken(message);
  }

  #heardByBinance(message: Readonly<Record<string, unknown>>): void {
    for (const stream of texts(message["params"])) this.#wanted.add(stream.slice(0, stream.indexOf("@")).toUpperCase());
    this.#parts.socket.send(JSON.stringify({ result: null, id: message["id"] }));
  }

  #heardByCoinbase(message: Readonly<Record<string, unknown>>): void {
    const isAdvanced = this.#parts.options.isAdvanced === true;
    if (isAdvanced !== ("channel" in message)) {
      this.#parts.socket.send(JSON.stringify({ type: "error", message: "Failed to subscribe", reason: isAdvanced ? "channel is required" : "channels is required" }));
      return;
    }
    const channels = isAdvanced ? [String(message["channel"])] : texts(message["channels"]);
    this.#subscribed(message["type"] === "subscribe", texts(message["product_ids"]), channels.includes("level2"));
  }

  #heardByKraken(message: Readonly<Record<string, unknown>>): void {
    const subscription = message["subscription"];
    const isBook = isForeignRecord(subscription) && subscription["name"] === "book";
    this.#subscribed(message["event"] === "subscribe", texts(message["pair"]), isBook);
  }

  /** A book that is known already is sent as a fresh snapshot; at the beginning the recording brings its own. */
  #subscribed(isSubscribe: boolean, natives: readonly string[], isBook: boolean): void {
    for (const native of natives) {
      if (!isSubscribe && isBook) this.#left.add(native);
      if (!isSubscribe) continue;
      this.#wanted.add(native);
      if (!isBook || (this.#parts.options.isImpatient === true && !this.#left.has(native))) continue;
      for (const snapshot of this.books.snapshot(native)) {
        const text = this.#rendered(JSON.stringify(snapshot), snapshot);
        if (text !== null) this.#parts.socket.send(text);
      }
    }
    if (isSubscribe && natives.length > 0) this.player.play();
  }
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

/** A text frame's head and half of its payload, then nothing (RFC 6455 section 5.2, unmasked as servers send). */
function cutFrame(raw: Duplex, text: string): void {
  const payload = Buffer.from(text);
  const head = Buffer.alloc(10);
  head.writeUInt16BE(0x817f);
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  raw.write(Buffer.concat([head, payload.subarray(0, payload.length / 2)]), () => raw.destroy());
}

/** Starts one on 127.0.0.1. @throws when the recording is of another venue or cannot be read. */
export async function startLoopbackVenue(options: LoopbackOptions): Promise<LoopbackVenue> {
  const venue = new Loopback(options);
  await venue.listen();
  return venue;
}

function number(name: string, value: string | undefined): number | undefined {
  if (value !== undefined && !(Number(value) >= 0)) throw new Error(`--${name}: expected a number from 0, found "${value}"`);
  return value === undefined ? undefined : Number(value);
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    options: {
      capture: text, port: text, speed: text, impatient: flag, advanced: flag, "accept-then-close": flag,
      drop: text, repeat: text, reorder: text, cut: text, "silent-after": text, "rest-status": text, "rest-delay": text,
    },
  });
  if (values.capture === undefined) throw new Error("expected --capture PATH, the recording to serve");
  const faults: Record<string, number | boolean | undefined> = {
    dropUpdate: number("drop", values.drop), repeatUpdate: number("repeat", values.repeat), reorderUpdates: number("reorder", values.reorder),
    cutFrame: number("cut", values.cut), silentAfter: number("silent-after", values["silent-after"]),
    restStatus: number("rest-status", values["rest-status"]), restDelayMs: number("rest-delay", values["rest-delay"]),
    acceptThenClose: values["accept-then-close"],
  };
  const venue = await startLoopbackVenue({
    capture: values.capture, port: number("port", values.port) ?? 0, speed: number("speed", values.speed) ?? 1,
    isImpatient: values.impatient, isAdvanced: values.advanced,
    faults: Object.fromEntries(Object.entries(faults).filter(([, value]) => value !== undefined)),
  });
  const name = venue.kind.toUpperCase();
  console.log(`${name}_WS_URL=${venue.wsUrl}\n${name}_REST_URL=${venue.restUrl}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
