/**
 * Coinbase: Advanced Trade market data, and the older Exchange feed when the other end speaks it.
 *
 * Source: Coinbase Advanced Trade API "WebSocket Channels": one channel a subscribe message, heartbeats keep quiet
 * subscriptions open. Coinbase Exchange "WebSocket Overview": `type` members, several channels a message.
 */
import type { Micros } from "../../core/time.ts";
import type { Instrument } from "../../market/instrument.ts";
import type { MetricSample } from "../../ports/telemetry.ts";
import { BOOK_BIT, QUOTES_BIT, TICKER_BIT, TRADES_BIT } from "../channel-mask.ts";
import { isForeignRecord } from "../foreign.ts";
import { assumedInstrument, type Entry } from "../instrument-set.ts";
import { VenueFeed } from "../venue-feed.ts";
import type { VenueFeedOptions } from "../venue-feed-options.ts";
import type { SessionContext, UpstreamChannel, VenueProfile, VenueSession } from "../venue-profile.ts";
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

/** Quotes come from the book: the ticker has one with each trade only. */
const UPSTREAM: readonly UpstreamChannel[] = [
  { name: "level2", serves: BOOK_BIT | QUOTES_BIT, isBook: true }, { name: "market_trades", serves: TRADES_BIT, isBook: false },
  { name: "ticker", serves: TICKER_BIT, isBook: false },
];

/** Exchange's names, where they differ; and what keeps a quiet subscription open, beside every one. */
const EXCHANGE_NAMES: Readonly<Record<string, string>> = { market_trades: "matches", heartbeats: "heartbeat" };
const HEARTBEATS = "heartbeats";

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

  readonly isReady = true;

  opened(): void {}

  subscribe(added: readonly Entry[], channels: number): void {
    for (const { name } of chosen(channels)) this.#say("subscribe", name, added);
    this.#say("subscribe", HEARTBEATS, added);
  }

  unsubscribe(left: readonly Entry[], channels: number): void {
    for (const { name } of chosen(channels)) this.#say("unsubscribe", name, left);
    const gone = left.filter((entry) => !entry.isCarried);
    if (this.#dialect === "exchange" && gone.length > 0) this.#say("unsubscribe", HEARTBEATS, gone);
  }

  forgetBook(entry: Entry): void {
    this.#advanced.forget(entry.index);
    this.#exchange.forget(entry.index);
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
    if (dialect === "exchange") this.#context.resubscribe();
  }

  #say(type: "subscribe" | "unsubscribe", channel: string, entries: readonly Entry[]): void {
    const products = entries.map((entry) => entry.instrument.native);
    if (this.#dialect === "exchange") this.#context.send(JSON.stringify({ type, product_ids: products, channels: [EXCHANGE_NAMES[channel] ?? channel] }));
    else if (channel === HEARTBEATS) this.#context.send(JSON.stringify({ type, channel }));
    else this.#context.send(JSON.stringify({ type, product_ids: products, channel }));
  }
}

function chosen(channels: number): readonly UpstreamChannel[] {
  return UPSTREAM.filter((_, bit) => (channels & (1 << bit)) !== 0);
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
  addressedMax: 0,
  upstream: UPSTREAM,
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
