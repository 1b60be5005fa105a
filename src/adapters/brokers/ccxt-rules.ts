/**
 * What an exchange's list of markets and the balances say against an order before it is sent.
 */
import type { Exchange } from "ccxt";
import { messageOf } from "../../core/errors.ts";
import type { BrokerRequest } from "../../ports/broker.ts";
import type { Balances } from "./ccxt-order.ts";
import { addDecimals, compareDecimals, decimalOf, decimalText, isForeignRecord, memberOf, multiplyDecimals, textOf } from "./foreign.ts";
import type { RequestFault } from "./wire.ts";

export interface CcxtMarket {
  /** As ccxt writes it: `BTC/USDT`. */
  readonly symbol: string;
  readonly base: string;
  readonly quote: string;
  readonly isActive: boolean;
  readonly limits: unknown;
}

/** The spot market of `venue:BASE-QUOTE`; null when the venue is another's or there is none. */
export function ccxtMarket(exchange: Exchange, venues: readonly string[], symbol: string): CcxtMarket | null {
  const colon = symbol.indexOf(":");
  if (!venues.includes(symbol.slice(0, colon))) return null;
  const name = symbol.slice(colon + 1).replace("-", "/");
  const markets: unknown = exchange.markets;
  const market = isForeignRecord(markets) && Object.hasOwn(markets, name) ? markets[name] : undefined;
  const [base, quote] = [textOf(market, "base"), textOf(market, "quote")];
  if (base === null || quote === null || memberOf(market, "spot") === false) return null;
  return { symbol: name, base, quote, isActive: memberOf(market, "active") !== false, limits: memberOf(market, "limits") };
}

export function ccxtFaults(exchange: Exchange, venues: readonly string[], request: BrokerRequest): readonly RequestFault[] {
  const market = ccxtMarket(exchange, venues, request.symbol);
  if (market === null) return [{ path: "symbol", message: `expected a spot market of ${exchange.id} (${venues.join(", ")}), found "${request.symbol}"` }];
  const faults: RequestFault[] = [];
  if (!market.isActive) faults.push({ path: "symbol", message: `expected an active market, found that ${exchange.id} has halted "${request.symbol}"` });
  if (request.timeInForce === "day") faults.push({ path: "time_in_force", message: `expected gtc, ioc or fok: ${exchange.id} has no day, found "day"` });
  if (request.timeInForce === "fok" && request.limitPrice === null) faults.push({ path: "time_in_force", message: `expected gtc or ioc for an order without a limit price, found "fok"` });
  const { quantity, limitPrice, stopPrice } = request;
  add(faults, "quantity", stepFault(quantity, (amount) => exchange.amountToPrecision(market.symbol, amount)));
  for (const [path, price] of [["limit_price", limitPrice], ["stop_price", stopPrice]] as const) {
    if (price !== null) add(faults, path, stepFault(price, (value) => exchange.priceToPrecision(market.symbol, value)));
  }
  add(faults, "quantity", limitFault(quantity, memberOf(market.limits, "amount")));
  if (limitPrice !== null) {
    add(faults, "limit_price", limitFault(limitPrice, memberOf(market.limits, "price")));
    const cost = costOf(quantity, limitPrice);
    if (cost !== null) add(faults, "quantity", limitFault(cost, memberOf(market.limits, "cost"), " as quantity times price"));
  }
  return faults;
}

/** ccxt would round: what it would send must be what was asked for. */
function stepFault(text: string, rounded: (value: number) => string | undefined): string | null {
  const wanted = decimalText(text);
  const expected = "expected a number on the exchange's grid, with at most 15 digits";
  if (wanted === null || decimalText(Number(text)) !== wanted) return `${expected}, found "${text}"`;
  try {
    const sent = rounded(Number(text));
    return decimalText(sent) === wanted ? null : `${expected}, found "${text}", nearest is ${sent ?? "none"}`;
  } catch (error) {
    return `${expected}, found "${text}": ${messageOf(error)}`;
  }
}

function limitFault(text: string, limits: unknown, what = ""): string | null {
  const [value, min, max] = [decimalText(text), decimalOf(limits, "min"), decimalOf(limits, "max")];
  if (value === null) return null;
  if (min !== null && compareDecimals(value, min) < 0) return `expected at least ${min}${what}, found ${value}`;
  return max !== null && max !== "0" && compareDecimals(value, max) > 0 ? `expected at most ${max}${what}, found ${value}` : null;
}

function costOf(quantity: string, price: string): string | null {
  const [a, b] = [decimalText(quantity), decimalText(price)];
  return a === null || b === null ? null : multiplyDecimals(a, b);
}

function add(faults: RequestFault[], path: string, message: string | null): void {
  if (message !== null) faults.push({ path, message });
}

/** Sells need the base, buys with a limit the quote; what buys without a limit need is not known before they are sent. */
export function fundsFaults(exchange: Exchange, venues: readonly string[], requests: readonly BrokerRequest[], balances: Balances): readonly (RequestFault & { readonly index: number })[] {
  const needed = new Map<string, string>();
  return requests.flatMap((request, index) => {
    const market = ccxtMarket(exchange, venues, request.symbol);
    const need = request.side === "sell" ? decimalText(request.quantity) : costOf(request.quantity, request.limitPrice ?? "");
    if (market === null || need === null) return [];
    const currency = request.side === "sell" ? market.base : market.quote;
    const sum = addDecimals(needed.get(currency) ?? "0", need);
    needed.set(currency, sum);
    const available = balances.find((balance) => balance.currency === currency)?.available ?? "0";
    if (compareDecimals(sum, available) <= 0) return [];
    return [{ index, path: "quantity", message: `expected orders up to here to need at most ${available} ${currency}, found ${sum}` }];
  });
}
