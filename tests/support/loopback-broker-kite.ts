/**
 * Kite Connect v3 as a loopback broker: orders of the day, margins, positions, in the shape of Kite's recorded answers.
 *
 * Source: Kite Connect 3 documentation, "Orders", "Exceptions and errors"; zerodha/kiteconnect-mocks.
 */
import { multiplyDecimals } from "../../src/adapters/brokers/foreign.ts";
import { BrokerLedger, type LedgerOrder } from "./loopback-broker-ledger.ts";
import { startLoopbackBroker, type Dialect, type Heard, type LoopbackBroker, type Reply, type RequestKind } from "./loopback-broker.ts";
import { list, member } from "./venue-data.ts";

export const KITE_KEY = "loopback-kite-key";
export const KITE_TOKEN = "loopback-kite-token";

/** Times of India are this far ahead. */
const OFFSET_MS = 19_800_000;

class KiteDialect implements Dialect {
  readonly ledger = new BrokerLedger("none");
  readonly failure: Reply = { status: 503, body: { status: "error", message: "Something went wrong. Please try after sometime.", error_type: "NetworkException" } };
  /** How often an order was shown: the first time it is still being validated. */
  readonly #shownTimes = new Map<number, number>();

  kindOf({ method, path }: Heard): RequestKind | null {
    if (!path.startsWith("/orders")) return null;
    return method === "POST" ? "place" : method === "DELETE" ? "cancel" : "read";
  }

  refusal(kind: RequestKind): Reply {
    return kind === "cancel" ? error("OrderException", "Order cannot be cancelled as it is being processed. Try later.") : error("MarginException", "Insufficient funds. Required margin is 95417.84 but available margin is 74251.80.");
  }

  targetOf({ path }: Heard): LedgerOrder | undefined {
    return this.ledger.byNumber(path.slice("/orders/regular/".length));
  }

  answer(heard: Heard, nowMs: number): Reply {
    const { method, path, headers } = heard;
    if (headers["x-kite-version"] !== "3" || headers.authorization !== `token ${KITE_KEY}:${KITE_TOKEN}`) {
      return { status: 403, body: { status: "error", message: `Incorrect \`api_key\` or \`access_token\`: ${headers.authorization ?? "none"}.`, error_type: "TokenException" } };
    }
    if (path === "/orders" && method === "GET") return success(this.ledger.orders.map((order) => this.#shown(order)));
    if (path === "/orders/regular" && method === "POST") return this.#place(heard, nowMs);
    if (path === "/user/margins") return success(margins());
    if (path === "/portfolio/positions") return success(positions());
    if (path === "/margins/basket") return success({ final: { total: basketTotal(heard) }, orders: [] });
    const order = method === "DELETE" ? this.targetOf(heard) : undefined;
    if (order === undefined) return { status: 404, body: { status: "error", message: "Route not found", error_type: "GeneralException" } };
    if (!this.ledger.cancel(order, nowMs)) return error("OrderException", "Order cannot be cancelled as it is not open.");
    return success({ order_id: String(order.number) });
  }

  #place(heard: Heard, nowMs: number): Reply {
    const form = new URLSearchParams(heard.body);
    const text = (name: string): string => form.get(name) ?? "";
    if (heard.headers["content-type"] !== "application/x-www-form-urlencoded") return error("InputException", "Expected a form.");
    if (!/^[A-Za-z0-9]{0,20}$/.test(text("tag"))) return error("InputException", "Invalid `tag`.");
    if (!["DAY", "IOC"].includes(text("validity"))) return error("InputException", "Invalid `validity`.");
    const placed = this.ledger.place({
      clientId: text("tag"), symbol: `${text("exchange")}:${text("tradingsymbol")}`, side: text("transaction_type") === "SELL" ? "sell" : "buy",
      isLimited: text("order_type") === "LIMIT" || text("order_type") === "SL", isStop: text("order_type").startsWith("SL"),
      quantity: text("quantity"), price: text("price") || "0", timeInForce: text("validity").toLowerCase(),
    }, nowMs);
    return typeof placed === "string" ? error("MarginException", "Insufficient funds. Required margin is 95417.84 but available margin is 74251.80.") : success({ order_id: String(placed.number) });
  }

  #shown(order: LedgerOrder): unknown {
    const times = this.#shownTimes.get(order.number) ?? 0;
    this.#shownTimes.set(order.number, times + 1);
    const open = times === 0 ? "PUT ORDER REQ RECEIVED" : "OPEN";
    const [exchange = "", tradingsymbol = ""] = order.symbol.split(":");
    const at = new Date(order.updatedMs + OFFSET_MS).toISOString().slice(0, 19).replace("T", " ");
    return {
      placed_by: "XXXXXX", order_id: String(order.number), exchange_order_id: String(order.number * 2), parent_order_id: null,
      status: { open, filled: "COMPLETE", cancelled: "CANCELLED", rejected: "REJECTED" }[order.state], status_message: null, status_message_raw: null,
      order_timestamp: at, exchange_update_timestamp: at, exchange_timestamp: at, variety: "regular", modified: false, exchange, tradingsymbol,
      instrument_token: 408065, order_type: order.isLimited ? "LIMIT" : "MARKET", transaction_type: order.side.toUpperCase(),
      validity: order.timeInForce.toUpperCase(), product: "CNC", quantity: Number(order.quantity), disclosed_quantity: 0, price: Number(order.price),
      trigger_price: 0, average_price: Number(order.averagePrice ?? 0), filled_quantity: Number(order.filled),
      pending_quantity: Number(order.quantity) - Number(order.filled), cancelled_quantity: 0, market_protection: 0, meta: {}, tag: order.clientId, guid: "XXXXX",
    };
  }
}

function success(data: unknown): Reply {
  return { status: 200, body: { status: "success", data } };
}

function error(type: string, message: string): Reply {
  return { status: 400, body: { status: "error", message, error_type: type } };
}

function basketTotal({ body }: Heard): number {
  const orders = list(JSON.parse(body));
  return orders.reduce<number>((sum, order) => sum + Number(multiplyDecimals(textIn(order, "quantity", "0"), textIn(order, "price", "0"))), 0);
}

function textIn(order: unknown, name: string, fallback: string): string {
  const text = member(order, name);
  return typeof text === "string" ? text : fallback;
}

function margins(): unknown {
  const segment = (net: number, cash: number): unknown => ({ enabled: true, net, available: { adhoc_margin: 0, cash, opening_balance: cash, live_balance: net, collateral: 0, intraday_payin: 0 }, utilised: { debits: cash - net } });
  return { equity: segment(99725.05, 245431.6), commodity: segment(100661.7, 100661.7) };
}

function positions(): unknown {
  const position = (tradingsymbol: string, quantity: number): unknown => ({ tradingsymbol, exchange: "NSE", instrument_token: 1, product: "CNC", quantity, overnight_quantity: 0, multiplier: 1, average_price: 161.05 });
  return { net: [position("INFY", -3), position("SBIN", 0)], day: [] };
}

/** Takes every symbol. */
export function startLoopbackKite(port = 0): Promise<LoopbackBroker> {
  return startLoopbackBroker(new KiteDialect(), port);
}
