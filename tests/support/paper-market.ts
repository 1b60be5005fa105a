/**
 * A market that a test moves, and a paper broker on it.
 */
import { randomUUID } from "node:crypto";
import { SqlPaperLedger } from "../../src/adapters/postgres/paper-store.ts";
import type { Database } from "../../src/adapters/postgres/database.ts";
import type { Clock } from "../../src/core/clock.ts";
import { parseDecimal } from "../../src/market/decimal.ts";
import type { Instrument } from "../../src/market/instrument.ts";
import { parsePrice, parseQuantity, price, quantity } from "../../src/market/price.ts";
import { PAPER_MONEY_SCALE, PAPER_UNIT_SCALE, type PaperLedger } from "../../src/ports/paper.ts";
import type { Depth, DepthLevel } from "../../src/trading/paper/depth.ts";
import type { PaperMarket } from "../../src/trading/paper/market-depth.ts";
import { PaperBroker, type PaperOptions } from "../../src/trading/paper/paper-broker.ts";
import { quoteOf } from "../../src/trading/paper/terms.ts";
import { KeepingLog } from "./silent-log.ts";

export const BTC = "sim:BTC-USD";

/** Price and size as text. */
export type TextLevel = readonly [price: string, size: string];

export function instrumentOf(id: string, more: Partial<Instrument> = {}): Instrument {
  const [venue = "", symbol = ""] = id.split(":");
  return {
    id, venue, symbol, native: symbol, priceScale: 2, sizeScale: 4, tickSize: price(1), lotSize: quantity(1), state: "active", simulated: true, mayCross: false, timeBase: "wall", ...more,
  };
}

/** Decimal text as units of the ledger. */
export function exact(text: string, scale = PAPER_UNIT_SCALE): bigint {
  const units = parseDecimal(text, scale);
  if (units === null) throw new Error(`expected a decimal, found "${text}"`);
  return units;
}

export function depthOf(bids: readonly TextLevel[], asks: readonly TextLevel[], version: string): Depth {
  const levels = (texts: readonly TextLevel[]): DepthLevel[] => texts.map(([at, size]) => ({ price: exact(at), quantity: exact(size) }));
  return { version, bids: levels(bids), asks: levels(asks) };
}

export class ScriptedMarket implements PaperMarket {
  readonly instruments = new Map<string, Instrument>();
  readonly #depths = new Map<string, Depth>();
  #events = 0;

  constructor(...instruments: readonly Instrument[]) {
    for (const instrument of instruments.length > 0 ? instruments : [instrumentOf(BTC)]) this.instruments.set(instrument.id, instrument);
  }

  book(symbol: string, bids: readonly TextLevel[], asks: readonly TextLevel[]): void {
    this.#depths.set(symbol, depthOf(bids, asks, String(++this.#events)));
  }

  noBook(symbol: string): void {
    this.#depths.delete(symbol);
  }

  find(spelling: string): Instrument | null {
    return this.instruments.get(spelling) ?? null;
  }

  depthOf(symbol: string): Depth | null {
    return this.#depths.get(symbol) ?? null;
  }

  currencies(): readonly string[] {
    return [...new Set([...this.instruments.values()].flatMap((instrument) => quoteOf(instrument) ?? []))].toSorted();
  }
}

export const PAPER_DEFAULTS: PaperOptions = { startBalance: exact("1000000", PAPER_MONEY_SCALE), makerRate: 0n, takerRate: 0n, openPerOwnerMax: 1000, openMax: 100_000, retryMs: 500, currency: "USD" };

export interface PaperRig {
  readonly broker: PaperBroker;
  readonly market: ScriptedMarket;
  /** A trade of the venue, received now. */
  readonly trade: (price: string, size: string, side?: "buy" | "sell" | "unknown", symbol?: string) => void;
}

/** A ledger that keeps nothing. */
export const NO_LEDGER: PaperLedger = {
  open: () => Promise.resolve({ orders: [], cash: [], positions: [], orderNumber: 0, revision: 0 }),
  eachKey: () => Promise.resolve(), commit: () => Promise.resolve(), find: () => Promise.resolve(null),
};

/** A broker that is not started. */
export function paperRig(at: { readonly database: Database } | { readonly ledger: PaperLedger }, clock: Clock, options: Partial<PaperOptions> = {}, market = new ScriptedMarket()): PaperRig {
  const ledger = "ledger" in at ? at.ledger : new SqlPaperLedger(at.database);
  const broker = new PaperBroker({ ...PAPER_DEFAULTS, ...options, ledger, market, clock, log: new KeepingLog(), writer: randomUUID() });
  const trade: PaperRig["trade"] = (at, size, side = "unknown", symbol = BTC) => {
    const instrument = market.find(symbol) ?? instrumentOf(symbol);
    broker.trade({ instrument, price: parsePrice(at, instrument.priceScale), size: parseQuantity(size, instrument.sizeScale), side, received: clock.nowMicros() });
  };
  return { broker, market, trade };
}
