/**
 * Alpaca's Trading API v2 as a loopback broker: orders, orders:by_client_order_id, account, positions.
 *
 * Source: docs.alpaca.markets, "Trading API": orders, account, positions and their error answers.
 */
import { randomUUID } from "node:crypto";
import { BrokerLedger, type LedgerOrder } from "./loopback-broker-ledger.ts";
import { startLoopbackBroker, type Dialect, type Heard, type LoopbackBroker, type Reply, type RequestKind } from "./loopback-broker.ts";
import { member } from "./venue-data.ts";

export const ALPACA_KEY = "loopback-alpaca-key";
export const ALPACA_SECRET = "loopback-alpaca-secret";

class AlpacaDialect implements Dialect {
  readonly ledger = new BrokerLedger("any");
  readonly failure: Reply = { status: 500, body: { code: 50010000, message: "internal server error occurred" } };
  readonly #ids = new Map<number, string>();

  kindOf({ method, path }: Heard): RequestKind | null {
    if (!path.startsWith("/v2/orders")) return null;
    return method === "POST" ? "place" : method === "DELETE" ? "cancel" : "read";
  }

  refusal(kind: RequestKind): Reply {
    return kind === "cancel" ? error(422, 42210000, "order is not cancelable") : error(403, 40310000, "account not eligible to trade");
  }

  targetOf({ path }: Heard): LedgerOrder | undefined {
    const id = path.slice("/v2/orders/".length);
    return this.ledger.orders.find((order) => this.#idOf(order) === id);
  }

  answer(heard: Heard, nowMs: number): Reply {
    const { method, path, query, headers } = heard;
    if (headers["apca-api-key-id"] !== ALPACA_KEY || headers["apca-api-secret-key"] !== ALPACA_SECRET) return { status: 401, body: { message: `unauthorized: ${String(headers["apca-api-key-id"])} ${String(headers["apca-api-secret-key"])}` } };
    if (path === "/v2/account") return { status: 200, body: account() };
    if (path === "/v2/positions") return { status: 200, body: positions() };
    if (path === "/v2/orders" && method === "POST") return this.#place(JSON.parse(heard.body), nowMs);
    const order = path === "/v2/orders:by_client_order_id" ? this.ledger.byClient(query.get("client_order_id") ?? "")[0] : this.targetOf(heard);
    if (order === undefined) return error(404, 40410000, "order not found");
    if (method === "GET") return { status: 200, body: this.#shown(order) };
    return this.ledger.cancel(order, nowMs) ? { status: 204, body: null } : error(422, 42210000, `order is already in "${order.state}" state`);
  }

  #place(asked: unknown, nowMs: number): Reply {
    const text = (name: string): string => {
      const value = member(asked, name);
      return typeof value === "string" ? value : "";
    };
    const placed = this.ledger.place({
      clientId: text("client_order_id"), symbol: text("symbol"), side: text("side") === "sell" ? "sell" : "buy", isLimited: text("type").includes("limit"),
      isStop: text("type").startsWith("stop"), quantity: text("qty"), price: text("limit_price") || "0", timeInForce: text("time_in_force"),
    }, nowMs);
    if (placed === "duplicate") return error(422, 40010001, "client_order_id must be unique");
    if (placed === "no_funds") return error(403, 40310000, "insufficient buying power");
    return { status: 200, body: this.#shown(placed) };
  }

  #idOf(order: LedgerOrder): string {
    const id = this.#ids.get(order.number) ?? randomUUID();
    this.#ids.set(order.number, id);
    return id;
  }

  #shown(order: LedgerOrder): unknown {
    const status = { open: order.filled === "0" ? "new" : "partially_filled", filled: "filled", cancelled: order.timeInForce === "ioc" || order.timeInForce === "fok" ? "expired" : "canceled", rejected: "rejected" }[order.state];
    const at = new Date(order.updatedMs).toISOString();
    return {
      id: this.#idOf(order), client_order_id: order.clientId, created_at: at, updated_at: at, submitted_at: at, filled_at: null, expired_at: null,
      asset_class: "us_equity", symbol: order.symbol, notional: null, qty: order.quantity, filled_qty: order.filled, filled_avg_price: order.averagePrice,
      order_class: "", order_type: order.isLimited ? "limit" : "market", type: order.isLimited ? "limit" : "market", side: order.side,
      time_in_force: order.timeInForce, limit_price: order.isLimited ? order.price : null, stop_price: null, status, extended_hours: false, legs: null,
    };
  }
}

function error(status: number, code: number, message: string): Reply {
  return { status, body: { code, message } };
}

function account(): unknown {
  return {
    id: "904837e3-3b76-47ec-b432-046db621571b", account_number: "010203ABCD", status: "ACTIVE", currency: "USD", cash: "500000.25", buying_power: "1000000.5",
    non_marginable_buying_power: "499999.75", trading_blocked: false, transfers_blocked: false, account_blocked: false, trade_suspended_by_user: false,
  };
}

function positions(): unknown {
  return [{
    asset_id: "904837e3-3b76-47ec-b432-046db621571b", symbol: "AAPL", exchange: "NASDAQ", asset_class: "us_equity", avg_entry_price: "100.0", qty: "5",
    side: "long", market_value: "600.0", cost_basis: "500.0", unrealized_pl: "100.0", unrealized_plpc: "0.20", unrealized_intraday_pl: "10.0",
    unrealized_intraday_plpc: "0.0084", current_price: "120.0", lastday_price: "119.0", change_today: "0.0084", asset_marginable: true,
  }];
}

/** Takes every symbol. */
export function startLoopbackAlpaca(port = 0): Promise<LoopbackBroker> {
  return startLoopbackBroker(new AlpacaDialect(), port);
}
