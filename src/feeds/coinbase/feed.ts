/**
 * Coinbase: Advanced Trade market data, and the older Exchange feed when the other end speaks it.
 *
 * Source: Coinbase Advanced Trade API "WebSocket Channels": one channel a subscribe message, heartbeats keep quiet
 * subscriptions open. Coinbase Exchange "WebSocket Overview": `type` members, several channels a message.
 */
import type { Micros } from "../../core/time.ts";
import type { Instrument } from "../../market/instrument.ts";
import type { MetricSample } from "../../ports/telemetry.ts";
import { isForeignRecord } from "../foreign.ts";
import { assumedInstrument, type Entry } from "../instrument-set.ts";
import { VenueFeed, type VenueFeedOptions } from "../venue-feed.ts";
import type { SessionContext, VenueProfile, VenueSession } from "../venue-profile.ts";
import { parseCoinbaseInstruments } from "./instruments.ts";
import { CoinbaseAdvancedMapper } from "./normalise-advanced.ts";
import { CoinbaseExchangeMapper } from "./normalise-exchange.ts";

export const COINBASE_WS_URL = "wss://advanced-trade-ws.coinbase.com";
export const COINBASE_REST_URL = "https://api.exchange.coinbase.com";

export type CoinbaseDialect = "advanced" | "exchange";

/** Who speaks: Advanced Trade says `channel`, Exchange says `type`; an error has `type` in both and proves nothing. */
export function coinbaseDialect(message: unknown): CoinbaseDialect | "error" | null {
  if (!isForeignRecord(message)) return null;
  if (typeof message["channel"] === "string") return "advanced";
  if (message["type"] === "error") return "error";
  return typeof message["type"] === "string" ? "exchange" : null;
}

const CHANNELS: Readonly<Record<CoinbaseDialect, readonly string[]>> = {
  advanced: ["level2", "market_trades", "ticker", "heartbeats"],
  exchange: ["level2", "ticker", "matches", "heartbeat"],
};

class CoinbaseSession implements VenueSession {
  readonly #context: SessionContext;
  readonly #advanced: CoinbaseAdvancedMapper;
  readonly #exchange: CoinbaseExchangeMapper;
  #dialect: CoinbaseDialect = "advanced";
  #isDecided = false;

  constructor(context: SessionContext) {
    this.#context = context;
    this.#advanced = new CoinbaseAdvancedMapper(context.set, context.out);
    this.#exchange = new CoinbaseExchangeMapper(context.set, context.out);
  }

  opened(): void {
    this.subscribe(this.#context.set.carried);
  }

  subscribe(added: readonly Entry[]): void {
    if (added.length === 0) return;
    for (const channel of CHANNELS[this.#dialect]) this.#say("subscribe", channel, added);
  }

  resync(entries: readonly Entry[]): void {
    this.#say("unsubscribe", "level2", entries);
    this.#say("subscribe", "level2", entries);
  }

  message(message: unknown, receiveTime: Micros): void {
    if (!this.#isDecided) this.#decide(message);
    (this.#dialect === "advanced" ? this.#advanced : this.#exchange).message(message, receiveTime);
  }

  reset(): void {
    this.#isDecided = false;
    this.#dialect = "advanced";
    this.#advanced.reset();
    this.#exchange.reset();
  }

  samples(): MetricSample[] {
    return [...this.#advanced.counts.samples({ feed: "coinbase", protocol: "advanced" }), ...this.#exchange.counts.samples({ feed: "coinbase", protocol: "exchange" })];
  }

  /** An Exchange server answers our first subscribe with an error, or plays on regardless: say it again in its form. */
  #decide(message: unknown): void {
    const heard = coinbaseDialect(message);
    if (heard === null) return;
    this.#isDecided = heard !== "error";
    const dialect = heard === "error" ? "exchange" : heard;
    if (dialect === this.#dialect) return;
    this.#dialect = dialect;
    if (dialect === "exchange") this.subscribe(this.#context.set.carried);
  }

  #say(type: "subscribe" | "unsubscribe", channel: string, entries: readonly Entry[]): void {
    const products = entries.map((entry) => entry.instrument.native);
    if (this.#dialect === "exchange") this.#context.send(JSON.stringify({ type, product_ids: products, channels: [channel] }));
    else if (channel === "heartbeats") this.#context.send(JSON.stringify({ type, channel }));
    else this.#context.send(JSON.stringify({ type, product_ids: products, channel }));
  }
}

/** `BTC-USD` is symbol and native spelling in one. */
export function assumeCoinbase(name: string): Instrument | null {
  const upper = name.toUpperCase();
  return /^[A-Z0-9]+-[A-Z0-9]+$/.test(upper) ? assumedInstrument("coinbase", upper, upper) : null;
}

export const COINBASE: VenueProfile = {
  venue: "coinbase",
  wsUrl: COINBASE_WS_URL,
  restUrl: COINBASE_REST_URL,
  listPath: "/products",
  defaultSymbols: ["BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR", "ETH-BTC"],
  ageMaxMs: Number.POSITIVE_INFINITY,
  carriedMax: 500,
  parseList: parseCoinbaseInstruments,
  spellings: () => [],
  assume: assumeCoinbase,
  url: (base) => base,
  session: (context) => new CoinbaseSession(context),
};

/** The live feed of Coinbase. */
export function coinbaseFeed(options: VenueFeedOptions): VenueFeed {
  return new VenueFeed(COINBASE, options);
}
