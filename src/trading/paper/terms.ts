/**
 * The terms of an order, read exactly from what the broker is asked: which members it needs, decimals, tick and lot.
 */
import { parseDecimal } from "../../market/decimal.ts";
import type { Instrument } from "../../market/instrument.ts";
import { formatScaled } from "../../market/price.ts";
import type { BrokerRequest } from "../../ports/broker.ts";
import { PAPER_UNIT_SCALE, type PaperOrder } from "../../ports/paper.ts";

/** What an order asks for. */
export type Terms = Pick<PaperOrder, "owner" | "clientOrderId" | "symbol" | "side" | "type" | "timeInForce" | "quantity" | "limitPrice" | "stopPrice" | "currency" | "priceScale">;

export interface TermFault {
  readonly path: string;
  readonly message: string;
}

export type ReadTerms = { readonly type: "terms"; readonly terms: Terms } | { readonly type: "faults"; readonly faults: readonly TermFault[] };

const PATHS = { quantity: "quantity", limitPrice: "limit_price", stopPrice: "stop_price" } as const;

/** Reads a request for an instrument. @param currency of instruments that are no pair */
export function readTerms(request: BrokerRequest, instrument: Instrument, currency: string): ReadTerms {
  const faults: TermFault[] = [];
  const steps = { quantity: [instrument.lotSize, instrument.sizeScale], limitPrice: [instrument.tickSize, instrument.priceScale], stopPrice: [instrument.tickSize, instrument.priceScale] } as const;
  const read = (member: keyof typeof PATHS, isNeeded: boolean): bigint | null => {
    const text = request[member];
    const [step, scale] = steps[member];
    const refuse = (message: string): null => {
      faults.push({ path: PATHS[member], message });
      return null;
    };
    if (text === null || !isNeeded) return isNeeded === (text !== null) ? null : refuse(isNeeded ? `a ${request.type} order needs it` : `a ${request.type} order has none; leave it away`);
    const units = parseDecimal(text, PAPER_UNIT_SCALE);
    if (units === null || units <= 0n) return refuse(`expected a plain decimal above 0 with at most ${PAPER_UNIT_SCALE} decimals, found "${text}"`);
    if (units % (BigInt(step) * 10n ** BigInt(PAPER_UNIT_SCALE - scale)) !== 0n) return refuse(`expected a multiple of ${formatScaled(step, scale)}, found "${text}"`);
    return units;
  };
  const quantity = read("quantity", true);
  const limitPrice = read("limitPrice", request.type === "limit" || request.type === "stop_limit");
  const stopPrice = read("stopPrice", request.type === "stop" || request.type === "stop_limit");
  if (faults.length > 0 || quantity === null) return { type: "faults", faults };
  const { owner, clientOrderId, side, type, timeInForce } = request;
  const { id: symbol, priceScale } = instrument;
  return { type: "terms", terms: { owner, clientOrderId, symbol, side, type, timeInForce, quantity, limitPrice, stopPrice, currency: quoteOf(instrument) ?? currency, priceScale } };
}

/** The currency in which a pair is paid; null: the symbol is no pair. */
export function quoteOf({ symbol }: Pick<Instrument, "symbol">): string | null {
  const dash = symbol.lastIndexOf("-");
  return dash <= 0 || dash === symbol.length - 1 ? null : symbol.slice(dash + 1);
}
