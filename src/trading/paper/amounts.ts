/**
 * What an order costs, binds and earns: exact products of prices, quantities and fee rates.
 */
import { divideHalfEven } from "../../market/price.ts";
import { formatDecimal } from "../../market/decimal.ts";
import { PAPER_NOTIONAL_SCALE, PAPER_RATE_SCALE, PAPER_UNIT_SCALE, type PaperOrder } from "../../ports/paper.ts";

/** Rates are in 10^-6 of it. */
const RATE_ONE = 10n ** BigInt(PAPER_RATE_SCALE);
/** Decimals that averages have beyond those of the price (protocol section 1). */
const AVERAGE_EXTRA_SCALE = 4;

export type Rates = Pick<PaperOrder, "makerRate" | "takerRate">;

/** Money for a quantity at a price, without fees. */
export function costOf(price: bigint, quantity: bigint): bigint {
  return price * quantity * RATE_ONE;
}

export function feeOf(price: bigint, quantity: bigint, rate: bigint): bigint {
  return price * quantity * rate;
}

/** What an open order binds: money of a buy at its worst price and dearest fee, quantity of a sell. */
export function boundBy(order: PaperOrder): bigint {
  const left = order.quantity - order.filled;
  if (order.side === "sell") return left;
  const worst = order.limitPrice ?? order.stopPrice ?? 0n;
  return worst * left * (RATE_ONE + dearestRate(order));
}

/** A rest can be filled at either rate: a triggered stop_limit may take. */
export function dearestRate({ makerRate, takerRate }: Rates): bigint {
  return makerRate > takerRate ? makerRate : takerRate;
}

/** Plain decimal text of notional / quantity, half-even at the price's scale + 4; null when the quantity is 0. */
export function averageText(notional: bigint, quantity: bigint, priceScale: number): string | null {
  if (quantity === 0n) return null;
  const scale = Math.min(PAPER_UNIT_SCALE, priceScale + AVERAGE_EXTRA_SCALE);
  const units = divideHalfEven(notional * 10n ** BigInt(scale), quantity * 10n ** BigInt(PAPER_NOTIONAL_SCALE - PAPER_UNIT_SCALE));
  return formatDecimal(units, scale);
}
