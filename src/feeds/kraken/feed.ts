/**
 * Kraken spot: WebSocket v2, and v1 when the greeting says so.
 *
 * Source: Kraken API documentation, "WebSocket v2" and "WebSocket v1". Both send a heartbeat each second when nothing
 * else is sent, so silence means trouble even in a quiet market.
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
import { krakenV2Native, parseKrakenInstruments } from "./instruments.ts";
import { KrakenV1Mapper } from "./normalise-v1.ts";
import { KrakenV2Mapper } from "./normalise-v2.ts";

export const KRAKEN_WS_URL = "wss://ws.kraken.com/v2";
export const KRAKEN_REST_URL = "https://api.kraken.com";

export type KrakenVersion = "v1" | "v2";

/** Which version a message is of: v1 has `event` members and lists, v2 has `channel` and `method` members. */
export function krakenVersion(message: unknown): KrakenVersion | null {
  if (Array.isArray(message)) return "v1";
  if (!isForeignRecord(message)) return null;
  if (typeof message["event"] === "string") return "v1";
  return typeof message["channel"] === "string" || typeof message["method"] === "string" ? "v2" : null;
}

/** Levels a side. v1 has 10, 25, 100, 500, 1000; the recordings were made with 1000. */
const BOOK_DEPTH = { v1: 1000, v2: 100 } as const;

/** Quotes come from the book, which has a checksum. */
const UPSTREAM: readonly UpstreamChannel[] = [
  { name: "book", serves: BOOK_BIT | QUOTES_BIT, isBook: true }, { name: "trade", serves: TRADES_BIT, isBook: false },
  { name: "ticker", serves: TICKER_BIT, isBook: false },
];

class KrakenSession implements VenueSession {
  readonly #context: SessionContext;
  readonly #v1: KrakenV1Mapper;
  readonly #v2: KrakenV2Mapper;
  /** Null until the greeting. */
  #version: KrakenVersion | null = null;

  constructor(context: SessionContext) {
    this.#context = context;
    this.#v1 = new KrakenV1Mapper(context.set, context.out);
    this.#v2 = new KrakenV2Mapper(context.set, context.out);
  }

  /** The venue greets first; what it says decides the form of the subscription. */
  get isReady(): boolean {
    return this.#version !== null;
  }

  opened(): void {
    this.#version = null;
  }

  subscribe(added: readonly Entry[], channels: number): void {
    for (const { name } of chosen(channels)) this.#say("subscribe", name, added);
  }

  unsubscribe(left: readonly Entry[], channels: number): void {
    for (const { name } of chosen(channels)) this.#say("unsubscribe", name, left);
  }

  forgetBook(entry: Entry): void {
    this.#v1.forget(entry.index);
    this.#v2.forget(entry.index);
  }

  resync(entries: readonly Entry[]): void {
    this.#say("unsubscribe", "book", entries);
    this.#say("subscribe", "book", entries);
  }

  message(message: unknown, receiveTime: Micros): void {
    if (this.#version === null) {
      this.#version = krakenVersion(message);
      if (this.#version !== null) this.#context.resubscribe();
    }
    (this.#version === "v1" ? this.#v1 : this.#v2).message(message, receiveTime);
  }

  reset(): void {
    this.#version = null;
    this.#v1.reset();
    this.#v2.reset();
  }

  samples(): MetricSample[] {
    return [...this.#v1.counts.samples({ feed: "kraken", protocol: "v1" }), ...this.#v2.counts.samples({ feed: "kraken", protocol: "v2" })];
  }

  #say(verb: "subscribe" | "unsubscribe", channel: string, entries: readonly Entry[]): void {
    const natives = entries.map((entry) => entry.instrument.native);
    if (this.#version === "v1") {
      const subscription = channel === "book" ? { name: channel, depth: BOOK_DEPTH.v1 } : { name: channel };
      this.#context.send(JSON.stringify({ event: verb, pair: natives, subscription }));
      return;
    }
    const params = {
      channel, symbol: natives.map(krakenV2Native),
      ...(channel === "book" ? { depth: BOOK_DEPTH.v2 } : {}),
      ...(channel === "ticker" ? { event_trigger: "bbo" } : {}),
      ...(verb === "subscribe" && channel === "trade" ? { snapshot: false } : {}),
    };
    this.#context.send(JSON.stringify({ method: verb, params }));
  }
}

/** Kraken's own codes, used by WebSocket v1 and in the list, and what everybody else says. */
const OWN_CODES = [["XBT", "BTC"], ["XDG", "DOGE"]] as const;

function chosen(channels: number): readonly UpstreamChannel[] {
  return UPSTREAM.filter((_, bit) => (channels & (1 << bit)) !== 0);
}

/** `BTC-USD` or `BTC/USD`, in Kraken's codes or the common ones. */
export function assumeKraken(name: string): Instrument | null {
  const match = /^([A-Z0-9]+)[-/]([A-Z0-9]+)$/.exec(name.toUpperCase());
  if (match === null) return null;
  let [common, own] = [[match[1] ?? "", match[2] ?? ""], [match[1] ?? "", match[2] ?? ""]];
  for (const [theirs, ours] of OWN_CODES) {
    common = common.map((code) => (code === theirs ? ours : code));
    own = own.map((code) => (code === ours ? theirs : code));
  }
  return assumedInstrument("kraken", common.join("-"), own.join("/"));
}

export const KRAKEN: VenueProfile = {
  venue: "kraken",
  wsUrl: KRAKEN_WS_URL,
  restUrl: KRAKEN_REST_URL,
  listPath: "/0/public/AssetPairs",
  defaultSymbols: ["BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR", "ETH-BTC"],
  ageMaxMs: Number.POSITIVE_INFINITY,
  carriedMax: 500,
  addressedMax: 0,
  upstream: UPSTREAM,
  parseList: parseKrakenInstruments,
  spellings: (native) => [krakenV2Native(native)],
  assume: assumeKraken,
  url: (base) => base,
  session: (context) => new KrakenSession(context),
};

/** The live feed of Kraken. */
export function krakenFeed(options: VenueFeedOptions): VenueFeed {
  return new VenueFeed(KRAKEN, options);
}
