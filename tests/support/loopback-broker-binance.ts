/**
 * Binance spot as a loopback broker: the REST requests that ccxt makes for orders, with signatures checked.
 *
 * Source: Binance, "Spot REST API": signed endpoints, new order, query order, cancel order, account information, error codes.
 */
import { createHmac } from "node:crypto";
import { systemClock } from "../../src/core/clock.ts";
import { BrokerLedger, plain, type LedgerOrder } from "./loopback-broker-ledger.ts";
import { addDecimals, multiplyDecimals } from "../../src/adapters/brokers/foreign.ts";
import { startLoopbackBroker, type Dialect, type Heard, type LoopbackBroker, type Reply, type RequestKind } from "./loopback-broker.ts";

export const BINANCE_KEY = "loopback-binance-key";
export const BINANCE_SECRET = "loopback-binance-secret";

const SYMBOLS = [["BTC", "USDT"], ["ETH", "USDT"], ["BTC", "USD"], ["ETH", "USD"]] as const;

class BinanceDialect implements Dialect {
  readonly ledger = new BrokerLedger("open");
  /** A body that reads like a refusal proves nothing beside a 5xx. */
  readonly failure: Reply = { status: 503, body: { code: -2010, msg: "This action is disabled on this account." } };

  kindOf({ method, path }: Heard): RequestKind | null {
    if (path !== "/api/v3/order") return null;
    return method === "POST" ? "place" : method === "DELETE" ? "cancel" : "read";
  }

  refusal(kind: RequestKind): Reply {
    return kind === "cancel" ? error(-2011, "Order is not cancellable.") : error(-2010, "This action is disabled on this account.");
  }

  targetOf(heard: Heard): LedgerOrder | undefined {
    const { signed } = signedPart(heard);
    const client = signed.get("origClientOrderId");
    return client === null ? this.ledger.byNumber(signed.get("orderId") ?? "") : this.ledger.byClient(client).at(-1);
  }

  answer(heard: Heard, nowMs: number): Reply {
    if (heard.path === "/api/v3/exchangeInfo") return { status: 200, body: exchangeInfo() };
    const fault = signatureFault(heard);
    if (fault !== null) return fault;
    if (heard.path === "/api/v3/account") return { status: 200, body: { balances: ["BTC", "ETH", "USDT", "USD"].map((asset) => ({ asset, free: "500000.00000000", locked: "1.50000000" })) } };
    if (heard.path !== "/api/v3/order") return { status: 404, body: "<html>404</html>" };
    if (heard.method === "POST") return this.#place(signedPart(heard).signed, nowMs);
    const order = this.targetOf(heard);
    if (heard.method === "GET") return order === undefined ? error(-2013, "Order does not exist.") : { status: 200, body: shown(order) };
    if (order === undefined || !this.ledger.cancel(order, nowMs)) return error(-2011, "Unknown order sent.");
    return { status: 200, body: { ...shown(order), origClientOrderId: order.clientId, clientOrderId: "cancel-of-it" } };
  }

  #place(asked: URLSearchParams, nowMs: number): Reply {
    const type = asked.get("type") ?? "";
    const quantity = asked.get("quantity") ?? "";
    const placed = this.ledger.place({
      clientId: asked.get("newClientOrderId") ?? "", symbol: asked.get("symbol") ?? "", side: asked.get("side") === "SELL" ? "sell" : "buy",
      isLimited: type.includes("LIMIT"), isStop: type.startsWith("STOP"), quantity, price: asked.get("price") ?? "0",
      timeInForce: (asked.get("timeInForce") ?? "gtc").toLowerCase(),
    }, nowMs);
    if (placed === "duplicate") return error(-2010, "Duplicate order sent.");
    if (placed === "no_funds") return error(-2010, "Account has insufficient balance for requested action.");
    return { status: 200, body: shown(placed) };
  }
}

function error(code: number, msg: string): Reply {
  return { status: 400, body: { code, msg } };
}

/** The parameters of a signed request, and the text that was signed. */
function signedPart({ query, body }: Heard): { readonly text: string; readonly signed: URLSearchParams } {
  const text = body === "" ? query.toString() : body;
  return { text, signed: new URLSearchParams(text) };
}

function signatureFault(heard: Heard): Reply | null {
  const { text, signed } = signedPart(heard);
  if (heard.headers["x-mbx-apikey"] !== BINANCE_KEY) return { status: 401, body: { code: -2014, msg: `API-key ${String(heard.headers["x-mbx-apikey"])} format invalid.` } };
  const [payload = "", signature = ""] = text.split("&signature=");
  if (createHmac("sha256", BINANCE_SECRET).update(payload).digest("hex") !== signature) return error(-1022, "Signature for this request is not valid.");
  const ageMs = systemClock.nowMicros() / 1000 - Number(signed.get("timestamp"));
  return ageMs > Number(signed.get("recvWindow") ?? 5000) ? error(-1021, "Timestamp for this request is outside of the recvWindow.") : null;
}

function shown(order: LedgerOrder): Record<string, unknown> {
  const status = { open: order.filled === "0" ? "NEW" : "PARTIALLY_FILLED", filled: "FILLED", cancelled: order.timeInForce === "gtc" ? "CANCELED" : "EXPIRED", rejected: "REJECTED" }[order.state];
  return {
    symbol: order.symbol, orderId: order.number, orderListId: -1, clientOrderId: order.clientId, price: order.price, origQty: order.quantity,
    executedQty: eight(order.filled), cummulativeQuoteQty: eight(multiplyDecimals(order.filled, plain(order.averagePrice ?? "0"))), status,
    timeInForce: order.timeInForce.toUpperCase(), type: order.isLimited ? "LIMIT" : "MARKET", side: order.side.toUpperCase(),
    time: Math.floor(order.updatedMs), updateTime: Math.floor(order.updatedMs), transactTime: Math.floor(order.updatedMs), isWorking: true,
  };
}

/** Binance writes eight decimals. */
function eight(text: string): string {
  const [whole = "0", fraction = ""] = addDecimals(text, "0").split(".");
  return `${whole}.${fraction.padEnd(8, "0")}`;
}

function exchangeInfo(): unknown {
  return {
    timezone: "UTC", serverTime: 0, rateLimits: [], exchangeFilters: [],
    symbols: SYMBOLS.map(([baseAsset, quoteAsset]) => ({
      symbol: baseAsset + quoteAsset, status: "TRADING", baseAsset, quoteAsset, baseAssetPrecision: 8, quotePrecision: 8, quoteAssetPrecision: 8,
      orderTypes: ["LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"], isSpotTradingAllowed: true, isMarginTradingAllowed: false,
      permissions: ["SPOT"], permissionSets: [["SPOT"]],
      filters: [
        { filterType: "PRICE_FILTER", minPrice: "0.01000000", maxPrice: "1000000.00000000", tickSize: "0.01000000" },
        { filterType: "LOT_SIZE", minQty: "0.00001000", maxQty: "9000.00000000", stepSize: "0.00001000" },
        { filterType: "NOTIONAL", minNotional: "5.00000000", applyMinToMarket: true, maxNotional: "9000000.00000000", applyMaxToMarket: false, avgPriceMins: 5 },
      ],
    })),
  };
}

/** Sells and buys BTC and ETH for USDT and USD: the latter are what the simulated exchange has. */
export function startLoopbackBinance(port = 0): Promise<LoopbackBroker> {
  return startLoopbackBroker(new BinanceDialect(), port);
}
