/**
 * The paper broker of a service: on the main thread's copy of the market, its ledger in the database.
 */
import { randomUUID } from "node:crypto";
import { SqlPaperLedger } from "../adapters/postgres/paper-store.ts";
import type { Database } from "../adapters/postgres/database.ts";
import type { TradingConfig } from "../config-trading.ts";
import type { Clock } from "../core/clock.ts";
import { micros } from "../core/time.ts";
import { parseDecimal } from "../market/decimal.ts";
import { PAPER_MONEY_SCALE, PAPER_RATE_SCALE } from "../ports/paper.ts";
import type { Logger } from "../ports/telemetry.ts";
import { extraOf, KIND_TRADE } from "../protocol/record.ts";
import { NewestDepth } from "../trading/paper/market-depth.ts";
import { PaperBroker } from "../trading/paper/paper-broker.ts";
import type { MarketCopy } from "./newest-values.ts";

export interface PaperDeps {
  readonly config: { readonly trading: { readonly paper: TradingConfig["paper"] } };
  readonly clock: Clock;
  readonly log: Logger;
  readonly database: Database;
  readonly market: MarketCopy;
}

const SIDES = ["buy", "sell", "unknown"] as const;

/** Not started. It hears every trade that the copy takes in. */
export function createPaperBroker({ config, clock, log, database, market }: PaperDeps): PaperBroker {
  const { balance, makerFee, takerFee, ...limits } = config.trading.paper;
  const broker = new PaperBroker({
    ...limits, startBalance: scaled(balance, PAPER_MONEY_SCALE),
    makerRate: scaled(makerFee, PAPER_RATE_SCALE), takerRate: scaled(takerFee, PAPER_RATE_SCALE),
    ledger: new SqlPaperLedger(database), market: new NewestDepth(market), clock, log, writer: randomUUID(),
  });
  market.listen(KIND_TRADE, (words, _bytes, at, instrument) => {
    broker.trade({
      instrument, received: micros(words[at + 4] ?? 0), price: words[at + 5] ?? 0, size: words[at + 6] ?? 0, side: SIDES[extraOf(words[at + 1] ?? 0) & 3] ?? "unknown",
    });
  });
  return broker;
}

function scaled(text: string, scale: number): bigint {
  const units = parseDecimal(text, scale);
  if (units === null) throw new Error(`expected a decimal of at most ${scale} decimals in the configuration, found "${text}"`);
  return units;
}
