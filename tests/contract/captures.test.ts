/**
 * The mappers on recorded traffic: every count and every proof that the recordings allow.
 */
import { describe, expect, it } from "vitest";
import { BinanceMapper } from "../../src/feeds/binance/normalise-v3.ts";
import { parseBinanceInstruments } from "../../src/feeds/binance/instruments.ts";
import { parseCoinbaseInstruments } from "../../src/feeds/coinbase/instruments.ts";
import { CoinbaseExchangeMapper } from "../../src/feeds/coinbase/normalise-exchange.ts";
import { readCaptureSync, type CaptureRecord } from "../../src/feeds/capture.ts";
import { parseKrakenInstruments } from "../../src/feeds/kraken/instruments.ts";
import { KrakenV1Mapper } from "../../src/feeds/kraken/normalise-v1.ts";
import { capturePath, expectedOf, hasVenueData, KeepingOutput, list, member, microsOfMs, TestLookup } from "../support/venue-data.ts";

function instrumentBody(records: readonly CaptureRecord[]): unknown {
  return JSON.parse(records.find((record) => record.conn === "setup" && record.kind === "http")?.raw ?? "null");
}

function incoming(records: readonly CaptureRecord[]): CaptureRecord[] {
  return records.filter((record) => record.kind === "message" && record.dir === "in");
}

function kindOf(message: unknown): string {
  const stream = member(message, "stream");
  if (typeof stream === "string") return stream.slice(stream.indexOf("@") + 1);
  if (Array.isArray(message)) return `array:${String(message.at(-2)).split("-")[0]}`;
  return String(member(message, "type") ?? member(message, "event"));
}

function kindsOf(records: readonly CaptureRecord[]): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const record of incoming(records)) {
    const kind = kindOf(JSON.parse(record.raw));
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}

/** Best bid and offer of a book event, taken while the event was handed over. */
class TopKeepingOutput extends KeepingOutput {
  override keepsBooks = false;
  readonly tops: { instrument: number; id: number; top: number[] }[] = [];

  override event(event: Parameters<KeepingOutput["event"]>[0]): void {
    super.event(event);
    if (event.kind !== "book") return;
    const { bids, asks } = event;
    this.tops.push({
      instrument: event.instrument, id: event.sourceSequence ?? 0,
      top: [bids.prices[bids.count - 1] ?? 0, bids.sizes[bids.count - 1] ?? 0, asks.prices[asks.count - 1] ?? 0, asks.sizes[asks.count - 1] ?? 0],
    });
  }
}

/** Plays a Binance capture through one mapper, snapshots where they were received. */
function playBinance(name: string): { records: CaptureRecord[]; out: TopKeepingOutput; mapper: BinanceMapper; snapshots: ReadonlySet<number> } {
  const records = readCaptureSync(capturePath(name));
  const body = instrumentBody(records) ?? instrumentBody(readCaptureSync(capturePath("BINANCE")));
  const lookup = new TestLookup(parseBinanceInstruments(body).instruments);
  const out = new TopKeepingOutput(lookup);
  const mapper = new BinanceMapper(lookup, out);
  const snapshots = new Set<number>();
  for (const record of records) {
    const at = record.url.indexOf("/depth?symbol=");
    if (record.kind === "message" && record.dir === "in") mapper.message(JSON.parse(record.raw), microsOfMs(record.ts));
    else if (at >= 0) {
      snapshots.add(out.tops.length);
      mapper.snapshot(record.url.slice(at + "/depth?symbol=".length).split("&")[0] ?? "", JSON.parse(record.raw), microsOfMs(record.ts));
    }
  }
  return { records, out, mapper, snapshots };
}

/** After each update: the book's best levels against the last bookTicker whose update id is not newer. */
function compareTops(name: string): string {
  const { out, snapshots } = playBinance(name);
  const quotes = out.events.filter((event) => event.kind === "quote");
  let compared = 0;
  let agreed = 0;
  for (const [i, { instrument, id, top }] of out.tops.entries()) {
    if (snapshots.has(i)) continue;
    const quote = quotes.findLast((each) => each.instrument === instrument && (each.sourceSequence ?? 0) <= id);
    if (quote === undefined) continue;
    compared++;
    if (String(top) === String([quote.bid, quote.bidSize, quote.ask, quote.askSize])) agreed++;
  }
  return `${agreed} of ${compared}`;
}

describe.skipIf(!hasVenueData)("recorded Binance traffic", () => {
  it.each([
    { name: "BINANCE", snapshots: 4, updates: 172, outdated: 5, quotes: 84, trades: 2 },
    { name: "BINANCE_US", snapshots: 4, updates: 332, outdated: 4, quotes: 128, trades: 11 },
    { name: "BINANCE_SPOT_BTCUSDT_2024-08-08", snapshots: 1, updates: 3449, outdated: 2, quotes: 28040, trades: 9757 },
  ])("gives exactly the events of $name", ({ name, snapshots, updates, outdated, quotes, trades }) => {
    const { records, out, mapper } = playBinance(name);
    expect(kindsOf(records)).toEqual(member(expectedOf(name), "message_kinds"));
    expect(incoming(records)).toHaveLength(Number(member(expectedOf(name), "ws_messages_in")));
    expect({ books: out.count("book"), quotes: out.count("quote"), trades: out.count("trade") }).toEqual({ books: snapshots + updates, quotes, trades });
    expect(out.syncs).toHaveLength(snapshots);
    expect(mapper.counts.outdated).toBe(outdated);
    expect(out.malformations).toEqual([]);
    expect(out.resyncs.every(({ reason }) => reason === "depth updates wait for their first snapshot")).toBe(true);
    // One project counts snapshots as books; the other, where the recording has none of its own kind, does not.
    const theirs = member(expectedOf(name), "cryptofeed_callbacks");
    const others = member(expectedOf(name), "tardis_dev_13.35.3_events");
    expect([member(theirs, "l2_book") ?? Number(member(others, "book_change")) + snapshots, member(theirs, "ticker") ?? member(others, "book_ticker"), member(theirs, "trades") ?? member(others, "trade")])
      .toEqual([snapshots + updates, quotes, trades]);
  });

  it.each([
    ["BINANCE", "159 of 159"],
    ["BINANCE_US", "316 of 316"],
    ["BINANCE_SPOT_BTCUSDT_2024-08-08", "3449 of 3449"],
  ])("rebuilds the books of %s as its bookTicker shows them: %s", (name, agreed) => {
    expect(compareTops(name)).toBe(agreed);
    expect(member(member(expectedOf(name), "checks"), "best bid/ask and sizes after a depth update equal to the bookTicker message")).toBe(agreed);
  });
});

describe.skipIf(!hasVenueData)("recorded Coinbase traffic", () => {
  it("gives exactly the events of COINBASE, and a last_match is no trade", () => {
    const records = readCaptureSync(capturePath("COINBASE"));
    const lookup = new TestLookup(parseCoinbaseInstruments(instrumentBody(records)).instruments);
    const out = new KeepingOutput(lookup);
    const mapper = new CoinbaseExchangeMapper(lookup, out);
    out.keepsBooks = false;
    for (const record of incoming(records)) mapper.message(JSON.parse(record.raw), microsOfMs(record.ts));
    expect(kindsOf(records)).toEqual(member(expectedOf("COINBASE"), "message_kinds"));
    expect({ books: out.count("book"), tickers: out.count("ticker"), trades: out.count("trade"), lastMatches: mapper.counts.historical })
      .toEqual({ books: 9729, tickers: 107, trades: 97, lastMatches: 10 });
    const counted = member(expectedOf("COINBASE"), "cryptofeed_callbacks");
    expect([member(counted, "l2_book"), member(counted, "ticker"), member(counted, "trades")]).toEqual([9729, 107, 97 + 10]);
    expect(out.syncs).toHaveLength(10);
    expect([out.malformations, out.resyncs, mapper.counts.untimed]).toEqual([[], [], 0]);
    expect(out.count("quote")).toBe(1778);
  });

  it("rebuilds books that agree with the tickers as far as the two channels are ordered: 100 of 107", () => {
    const records = readCaptureSync(capturePath("COINBASE"));
    const lookup = new TestLookup(parseCoinbaseInstruments(instrumentBody(records)).instruments);
    const out = new TopKeepingOutput(lookup);
    const mapper = new CoinbaseExchangeMapper(lookup, out);
    out.keepsBooks = false;
    let agreed = 0;
    let tickers = 0;
    for (const record of incoming(records)) {
      const before = out.events.length;
      mapper.message(JSON.parse(record.raw), microsOfMs(record.ts));
      const event = out.events[before];
      if (event?.kind !== "ticker") continue;
      tickers++;
      const units = 10 ** out.instrumentOf(event.instrument).priceScale;
      const top = out.tops.findLast((each) => each.instrument === event.instrument)?.top ?? [];
      if (top[0] === Math.round(Number(event.bid) * units) && top[2] === Math.round(Number(event.ask) * units)) agreed++;
    }
    expect(tickers).toBe(107);
    expect(member(member(expectedOf("COINBASE"), "checks"), "ticker best_bid/best_ask equal to the rebuilt book")).toMatch(/^100 of 107/);
    expect(agreed).toBe(100);
  });
});

describe.skipIf(!hasVenueData)("recorded Kraken traffic", () => {
  it("gives exactly the events of KRAKEN, with every checksum agreeing", () => {
    const records = readCaptureSync(capturePath("KRAKEN"));
    const lookup = new TestLookup(parseKrakenInstruments(instrumentBody(records)).instruments);
    const out = new KeepingOutput(lookup);
    const mappers = new Map<string, KrakenV1Mapper>();
    out.keepsBooks = false;
    for (const record of incoming(records)) {
      let mapper = mappers.get(record.conn);
      if (mapper === undefined) {
        mapper = new KrakenV1Mapper(lookup, out);
        mappers.set(record.conn, mapper);
      }
      mapper.message(JSON.parse(record.raw), microsOfMs(record.ts));
    }
    expect(kindsOf(records)).toEqual(member(expectedOf("KRAKEN"), "message_kinds"));
    expect({ books: out.count("book"), tickers: out.count("ticker"), trades: out.count("trade") }).toEqual({ books: 4279, tickers: 18, trades: 10 });
    const counted = member(expectedOf("KRAKEN"), "cryptofeed_callbacks");
    expect([member(counted, "l2_book"), member(counted, "ticker"), member(counted, "trades")]).toEqual([4279, 18, 10]);
    const proofs = [...mappers.values()].map((mapper) => [mapper.counts.proved, mapper.counts.disproved]);
    expect(proofs.filter(([proved]) => proved !== 0)).toEqual([[4269, 0]]);
    expect(member(member(expectedOf("KRAKEN"), "checks"), "CRC32 of the top ten levels equal to the message")).toBe("4269 of 4269");
    expect([out.malformations, out.resyncs, out.syncs.length]).toEqual([[], [], 10]);
    expect(out.controls.filter(({ kind }) => kind === "heartbeat")).toHaveLength(92);
    expect(list(out.events.filter((event) => event.kind === "quote"))).toHaveLength(810);
  });
});
