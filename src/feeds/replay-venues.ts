/**
 * How the recordings of each venue are read: its list, its mappers, and the answers recorded between the messages.
 */
import { FeedError, messageOf } from "../core/errors.ts";
import type { Micros } from "../core/time.ts";
import type { Instrument } from "../market/instrument.ts";
import { assumeBinance } from "./binance/feed.ts";
import { parseBinanceInstruments } from "./binance/instruments.ts";
import { BinanceMapper } from "./binance/normalise-v3.ts";
import { assumeCoinbase, coinbaseDialect } from "./coinbase/feed.ts";
import { parseCoinbaseInstruments } from "./coinbase/instruments.ts";
import { CoinbaseAdvancedMapper } from "./coinbase/normalise-advanced.ts";
import { CoinbaseExchangeMapper } from "./coinbase/normalise-exchange.ts";
import type { InstrumentList } from "./instrument-list.ts";
import { assumeKraken, krakenVersion } from "./kraken/feed.ts";
import { krakenV2Native, parseKrakenInstruments } from "./kraken/instruments.ts";
import { KrakenV1Mapper } from "./kraken/normalise-v1.ts";
import { KrakenV2Mapper } from "./kraken/normalise-v2.ts";
import type { MapperCounts } from "./mapper-counts.ts";
import type { InstrumentLookup, MapperOutput } from "./mapper.ts";

/** One mapper for all connections of a recording. */
export interface ReplayMapper {
  readonly counts: readonly MapperCounts[];
  message(message: unknown, receiveTime: Micros): void;
  /** The body of a recorded REST answer. */
  answer(url: string, body: string, receiveTime: Micros): void;
}

export interface ReplayProfile {
  /** Path of the instrument list. */
  readonly listPath: string;
  parseList(body: unknown): InstrumentList;
  readonly spellings: (native: string) => readonly string[];
  assume(native: string): Instrument | null;
  mapper(lookup: InstrumentLookup, out: MapperOutput): ReplayMapper;
}

const binance: ReplayProfile = {
  listPath: "/api/v3/exchangeInfo",
  parseList: parseBinanceInstruments,
  spellings: () => [],
  assume: assumeBinance,
  mapper: (lookup, out) => {
    const mapper = new BinanceMapper(lookup, out);
    return {
      counts: [mapper.counts],
      message: (message, receiveTime) => mapper.message(message, receiveTime),
      answer: (url, body, receiveTime) => {
        const { pathname, searchParams } = new URL(url);
        const symbol = searchParams.get("symbol");
        if (pathname !== "/api/v3/depth" || symbol === null) return;
        try {
          mapper.snapshot(symbol, JSON.parse(body), receiveTime);
        } catch (error) {
          out.malformed(`depth snapshot: expected JSON: ${messageOf(error)}`);
        }
      },
    };
  },
};

const coinbase: ReplayProfile = {
  listPath: "/products",
  parseList: parseCoinbaseInstruments,
  spellings: () => [],
  assume: assumeCoinbase,
  mapper: (lookup, out) => {
    const [advanced, exchange] = [new CoinbaseAdvancedMapper(lookup, out), new CoinbaseExchangeMapper(lookup, out)];
    return {
      counts: [advanced.counts, exchange.counts],
      message: (message, receiveTime) => (coinbaseDialect(message) === "advanced" ? advanced : exchange).message(message, receiveTime),
      answer: () => {},
    };
  },
};

const kraken: ReplayProfile = {
  listPath: "/0/public/AssetPairs",
  parseList: parseKrakenInstruments,
  spellings: (native) => [krakenV2Native(native)],
  assume: assumeKraken,
  mapper: (lookup, out) => {
    const [v1, v2] = [new KrakenV1Mapper(lookup, out), new KrakenV2Mapper(lookup, out)];
    return {
      counts: [v1.counts, v2.counts],
      message: (message, receiveTime) => (krakenVersion(message) === "v2" ? v2 : v1).message(message, receiveTime),
      answer: () => {},
    };
  },
};

const PROFILES: Readonly<Record<string, ReplayProfile>> = { BINANCE: binance, BINANCE_US: binance, COINBASE: coinbase, KRAKEN: kraken };

/** @throws {FeedError} naming the venues that there are. */
export function replayProfile(exchange: string, path: string): ReplayProfile {
  const profile = Object.hasOwn(PROFILES, exchange) ? PROFILES[exchange] : undefined;
  if (profile === undefined) throw new FeedError(`recording ${path}: expected exchange to be one of ${Object.keys(PROFILES).join(", ")}, found "${exchange}"; there is no mapper for it`);
  return profile;
}
