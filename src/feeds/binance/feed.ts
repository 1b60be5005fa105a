/**
 * Binance spot: combined streams, more of them by SUBSCRIBE, depth snapshots by REST.
 *
 * Source: Binance spot API documentation, "WebSocket Streams": a connection lives 24 h, has at most 1,024 streams and
 * takes 5 messages a second; the server's pings are answered by the socket library.
 */
import type { Timer } from "../../core/clock.ts";
import type { Micros } from "../../core/time.ts";
import type { Instrument } from "../../market/instrument.ts";
import type { MetricSample } from "../../ports/telemetry.ts";
import { BOOK_BIT, QUOTES_BIT, TICKER_BIT, TRADES_BIT } from "../channel-mask.ts";
import { AWAITING_BOOK } from "../feed-status.ts";
import { assumedInstrument, type Entry } from "../instrument-set.ts";
import { VenueFeed } from "../venue-feed.ts";
import type { VenueFeedOptions } from "../venue-feed-options.ts";
import type { SessionContext, UpstreamChannel, VenueProfile, VenueSession } from "../venue-profile.ts";
import { DepthSnapshots } from "./depth-snapshots.ts";
import { parseBinanceInstruments } from "./instruments.ts";
import { BinanceMapper } from "./normalise-v3.ts";

export const BINANCE_WS_URL = "wss://stream.binance.com:9443";
export const BINANCE_REST_URL = "https://api.binance.com";

/** Streams of one instrument. */
const STREAMS: readonly UpstreamChannel[] = [
  { name: "trade", serves: TRADES_BIT, isBook: false }, { name: "bookTicker", serves: QUOTES_BIT, isBook: false },
  { name: "depth@100ms", serves: BOOK_BIT, isBook: true }, { name: "ticker", serves: TICKER_BIT, isBook: false },
];
/** Instruments subscribed to by the address itself; the rest follow by SUBSCRIBE, because addresses must stay short. */
const URL_INSTRUMENTS_MAX = 50;
/** Instruments in one SUBSCRIBE. */
const SUBSCRIBE_INSTRUMENTS_MAX = 50;
/** SUBSCRIBE messages go out this far apart: the venue cuts at more than 5 a second. */
const SUBSCRIBE_EVERY_MS = 300;
/** Before the venue's 24 h. */
const AGE_MAX_MS = 23 * 3600 * 1000;
/** An instrument without a depth update for this long after it was subscribed gets its snapshot all the same. */
const QUIET_MS = 1_000;
/** Quote currencies, longest first, for splitting a native spelling when there is no list. */
const QUOTES = ["FDUSD", "USDT", "USDC", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "GBP", "BRL"] as const;

class BinanceSession implements VenueSession {
  readonly #context: SessionContext;
  readonly #mapper: BinanceMapper;
  readonly #snapshots: DepthSnapshots;
  readonly #timers = new Set<Timer>();
  #messageId = 0;

  constructor(context: SessionContext) {
    this.#context = context;
    this.#mapper = new BinanceMapper(context.set, context.out);
    this.#snapshots = new DepthSnapshots(context.rest, context.clock,
      (entry, body) => context.deliver(() => this.#mapper.snapshot(entry.instrument.native, body, context.clock.nowMicros())),
      (entry, error) => context.snapshotFailed(entry, error));
  }

  readonly isReady = true;

  opened(addressed: readonly Entry[]): void {
    this.#askQuiet(addressed);
  }

  subscribe(added: readonly Entry[], channels: number): void {
    this.#say("SUBSCRIBE", added, channels);
    this.#askQuiet(added);
  }

  unsubscribe(left: readonly Entry[], channels: number): void {
    this.#say("UNSUBSCRIBE", left, channels);
  }

  forgetBook(entry: Entry): void {
    this.#snapshots.drop(entry);
    this.#mapper.forget(entry.index);
  }

  resync(entries: readonly Entry[]): void {
    for (const entry of entries) this.#snapshots.ask(entry);
  }

  message(message: unknown, receiveTime: Micros): void {
    this.#mapper.message(message, receiveTime);
  }

  reset(): void {
    for (const timer of this.#timers) timer.stop();
    this.#timers.clear();
    this.#snapshots.clear();
    this.#mapper.reset();
  }

  #say(method: "SUBSCRIBE" | "UNSUBSCRIBE", entries: readonly Entry[], channels: number): void {
    for (let from = 0, part = 0; from < entries.length; from += SUBSCRIBE_INSTRUMENTS_MAX, part++) {
      const params = entries.slice(from, from + SUBSCRIBE_INSTRUMENTS_MAX).flatMap((entry) => streamsOf(entry, channels));
      const text = JSON.stringify({ method, params, id: ++this.#messageId });
      if (part === 0) this.#context.send(text);
      else this.#later(part * SUBSCRIBE_EVERY_MS, () => this.#context.send(text));
    }
  }

  /** The mapper asks for a snapshot with the first depth update; a quiet market may not have one for minutes. */
  #askQuiet(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    this.#later(QUIET_MS + (entries.length / SUBSCRIBE_INSTRUMENTS_MAX) * SUBSCRIBE_EVERY_MS, () => {
      for (const entry of entries) {
        if (entry.hasBook && entry.unsynced === AWAITING_BOOK && !this.#mapper.resyncing(entry.instrument.native)) this.#snapshots.ask(entry);
      }
    });
  }

  /** Once, unless the connection ends before. */
  #later(delayMs: number, run: () => void): void {
    const timer = this.#context.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }

  samples(): MetricSample[] {
    return [
      { name: "ticker_feed_throttled_total", help: "REST answers that told us to slow down", type: "counter", labels: { feed: "binance" }, value: this.#snapshots.throttled },
      ...this.#mapper.counts.samples({ feed: "binance" }),
    ];
  }
}

function streamsOf(entry: Entry, channels: number): string[] {
  const name = entry.instrument.native.toLowerCase();
  return STREAMS.filter((_, bit) => (channels & (1 << bit)) !== 0).map((stream) => `${name}@${stream.name}`);
}

/** `BTC-USDT` and `BTCUSDT` tell enough to go on without a list; other names do not. */
export function assumeBinance(name: string): Instrument | null {
  const upper = name.toUpperCase();
  const dash = upper.indexOf("-");
  const quote = dash > 0 ? upper.slice(dash + 1) : QUOTES.find((each) => upper.length > each.length && upper.endsWith(each));
  if (quote === undefined || !/^[A-Z0-9]+(-[A-Z0-9]+)?$/.test(upper)) return null;
  const base = dash > 0 ? upper.slice(0, dash) : upper.slice(0, -quote.length);
  return assumedInstrument("binance", `${base}-${quote}`, `${base}${quote}`);
}

export const BINANCE: VenueProfile = {
  venue: "binance",
  wsUrl: BINANCE_WS_URL,
  restUrl: BINANCE_REST_URL,
  listPath: "/api/v3/exchangeInfo",
  defaultSymbols: ["BTC-USDT", "ETH-USDT", "BTC-USDC", "ETH-USDC", "ETH-BTC"],
  ageMaxMs: AGE_MAX_MS,
  carriedMax: Math.floor(1024 / STREAMS.length),
  addressedMax: URL_INSTRUMENTS_MAX,
  upstream: STREAMS,
  parseList: parseBinanceInstruments,
  spellings: () => [],
  assume: assumeBinance,
  url: (base, addressed) => {
    const streams = addressed.flatMap((entry) => streamsOf(entry, entry.upstream));
    return `${base.replace(/\/+$/, "").replace(/\/(ws|stream)$/, "")}/stream?streams=${streams.join("/")}`;
  },
  session: (context) => new BinanceSession(context),
};

/** The live feed of Binance spot. */
export function binanceFeed(options: VenueFeedOptions): VenueFeed {
  return new VenueFeed(BINANCE, options);
}
