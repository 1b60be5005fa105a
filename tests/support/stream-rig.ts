/**
 * Ingest and one fan-out in this process, with real sockets and the real clock: what a test of the stream starts from.
 */
import { createHash } from "node:crypto";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { microsFromMillis } from "../../src/core/time.ts";
import { Fanout } from "../../src/fanout/fanout.ts";
import { KeyTable } from "../../src/fanout/key-table.ts";
import type { FanoutOptions } from "../../src/fanout/options.ts";
import { createPlaceTable } from "../../src/fanout/places.ts";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { type Instrument, type InstrumentIndex, instrumentId, venueId } from "../../src/market/instrument.ts";
import type { Quote, StatusState, Trade } from "../../src/market/market-event.ts";
import { price, quantity } from "../../src/market/price.ts";
import type { KeyRecord, Scope } from "../../src/ports/access.ts";
import type { OrderReader } from "../../src/ports/orders.ts";
import type { Encoding } from "../../src/protocol/codec.ts";
import { StreamClient } from "./stream-client.ts";

export const TEST_OPTIONS: FanoutOptions = {
  server: "ticker-service/test", authTimeoutMs: 10_000, heartbeatMs: 5_000, pingMs: 1_000, pingIdleMs: 20_000, pingsPerSMax: 2_000, idleMs: 60_000,
  topicsPerSessionMax: 3_000, symbolsPerFrameMax: 500, topicsPerAnswerMax: 100, subscriptionsMax: 5_000_000, sessionsMax: 25_000, unauthenticatedMax: 12_500,
  sessionsPerKeyMax: 100, sessionsPerAddressMax: 20_000, frameBytesMax: 65_536, frameBytesDropped: 131_072, frameBytesBeforeAuthMax: 4_096,
  commandsPerS: 20, commandsBurst: 40, commandsRefusedMax: 100, malformedPerMinuteMax: 5, recentTradesMax: 256, ringTradesMax: 4_096, ringBarsMax: 64,
  ringBytesMax: 256 << 20, startTurnMs: 5, startPacingBytes: 256 << 10, nativeBackpressureMax: 16 << 20,
  batchesInFlightMax: 64, softLimitBytes: 64 << 10, hardLimitBytes: 1 << 20, hardLimitMs: 5_000, pingAgeMaxMs: 1_000, stuckMs: 30_000, closeWaitMs: 5_000, allowedOrigins: [], trustedProxies: [],
};

export const READ_KEY = `tk_read${"r".repeat(32)}`;
export const TRADE_KEY = `tk_trade${"t".repeat(32)}`;
export const PUBLISH_KEY = `tk_publish${"p".repeat(32)}`;

export function keyRecord(key: string, keyId: string, scopes: readonly Scope[]): KeyRecord {
  return { digest: createHash("sha256").update(key).digest("hex"), keyId, scopes, isBreakglass: false, addresses: [], endsAt: null };
}

export function instrument(id: string, more: Partial<Instrument> = {}): Instrument {
  const [venue = "", symbol = ""] = id.split(":");
  return {
    id: symbol === "*" ? venueId(venue) : instrumentId(venue, symbol), venue, symbol, native: symbol.replace("-", ""), priceScale: 2, sizeScale: 4,
    tickSize: price(1), lotSize: quantity(1), state: "active", simulated: false, mayCross: false, timeBase: "wall", ...more,
  };
}

export interface ConnectOptions {
  readonly headers?: Record<string, string>;
  readonly query?: string;
  readonly offersDeflate?: boolean;
}

export class StreamRig {
  readonly clock: Clock;
  readonly fanout: Fanout;
  readonly pipeline: Pipeline;
  readonly demanded: InstrumentIndex[] = [];
  readonly tickets = new Map<string, readonly Scope[]>();
  port = 0;
  readonly #clients: StreamClient[] = [];
  #trades = 0;

  private constructor(options: Partial<FanoutOptions>, readOrders: OrderReader) {
    this.clock = systemClock;
    const keys = new KeyTable([keyRecord(READ_KEY, "k-read", ["read"]), keyRecord(PUBLISH_KEY, "k-publish", ["publish"]), keyRecord(TRADE_KEY, "k-trade", ["read", "trade"])]);
    this.fanout = new Fanout({
      clock: this.clock, options: { ...TEST_OPTIONS, ...options }, epoch: "epoch1", keys, placeTable: createPlaceTable(),
      redeem: (ticket, done) => {
        const scopes = this.tickets.get(ticket);
        this.tickets.delete(ticket);
        done(scopes ? { keyId: "k-ticket", scopes, isBreakglass: false } : null);
      },
      demand: (index) => this.demanded.push(index), readOrders,
    });
    this.pipeline = new Pipeline(this.clock, [this.fanout], { flushMaxMs: 5, jumpBandPct: 10, instrumentsMax: 20_000 });
  }

  /** @param readOrders what the channel `orders` is served from; without it orders cannot be read */
  static async start(options: Partial<FanoutOptions> = {}, readOrders: OrderReader = (_question, done) => done(null)): Promise<StreamRig> {
    const rig = new StreamRig(options, readOrders);
    await rig.fanout.start();
    await rig.pipeline.start();
    rig.port = await rig.fanout.listen("127.0.0.1", 0);
    return rig;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.pipeline.stop();
    await this.fanout.stop();
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/v1/stream`;
  }

  /** Venue and instruments, live. */
  list(...ids: string[]): InstrumentIndex[] {
    return ids.map((id) => {
      const [venue = ""] = id.split(":");
      this.status(this.pipeline.define(instrument(`${venue}:*`, { native: "*" })), "live");
      return this.pipeline.define(instrument(id));
    });
  }

  status(index: InstrumentIndex, state: StatusState, reason = ""): void {
    const now = this.clock.nowMicros();
    this.pipeline.event({ kind: "status", instrument: index, state, reason, eventTime: now, receiveTime: now });
    this.flush();
  }

  quote(index: InstrumentIndex, bid: number, more: Partial<Quote> = {}): void {
    const now = this.clock.nowMicros();
    this.pipeline.event({ kind: "quote", instrument: index, bid: price(bid), bidSize: quantity(10_000), ask: price(bid + 1), askSize: quantity(5_000), eventTime: now, receiveTime: now, ...more });
  }

  trade(index: InstrumentIndex, at: number, more: Partial<Trade> = {}): void {
    const now = this.clock.nowMicros();
    this.pipeline.event({ kind: "trade", instrument: index, id: `T${++this.#trades}`, price: price(at), size: quantity(12_500), side: "buy", eventTime: now, receiveTime: now, ...more });
  }

  book(index: InstrumentIndex, bids: readonly (readonly [number, number])[], asks: readonly (readonly [number, number])[]): void {
    const now = microsFromMillis(this.clock.nowMicros() / 1000);
    const side = (levels: readonly (readonly [number, number])[]) => {
      const worstFirst = levels.toReversed();
      return { count: levels.length, prices: Float64Array.from(worstFirst, ([at]) => at), sizes: Float64Array.from(worstFirst, ([, size]) => size) };
    };
    this.pipeline.event({ kind: "book", instrument: index, bids: side(bids), asks: side(asks), eventTime: now, receiveTime: now });
  }

  /** What was handed in leaves now: not through the flush window, which would hold it back while the machine is busy. */
  flush(): void {
    this.pipeline.flush();
  }

  /** A connection after `welcome`. */
  async connect(options: ConnectOptions = {}): Promise<StreamClient> {
    const client = new StreamClient(this.url + (options.query ?? ""), options.headers ?? {}, options.offersDeflate ?? false);
    this.#clients.push(client);
    await client.opened();
    await client.next((m) => m.type === "welcome");
    return client;
  }

  /** A connection after `authenticated`. */
  async session(key = READ_KEY, options: ConnectOptions & { encoding?: Encoding } = {}): Promise<StreamClient> {
    const client = await this.connect(options);
    client.say({ type: "auth", api_key: key, encoding: options.encoding });
    await client.next((m) => m.type === "authenticated");
    return client;
  }

  sample(name: string): number {
    return [...this.fanout.samples(), ...this.pipeline.samples()].filter((s) => s.name === name).reduce((sum, s) => sum + s.value, 0);
  }
}
