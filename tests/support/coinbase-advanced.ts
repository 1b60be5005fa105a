/**
 * Says messages of the older Coinbase Exchange feed in the words of Advanced Trade, so that a recording of the one
 * exercises the other.
 *
 * Source: Coinbase Advanced Trade documentation, "WebSocket Channels".
 */
import { isForeignRecord, type ForeignRecord } from "../../src/feeds/foreign.ts";

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function level(side: "bid" | "offer", time: unknown, price: unknown, size: unknown): ForeignRecord {
  return { side, event_time: time, price_level: price, new_quantity: size };
}

function levels(side: "bid" | "offer", found: unknown): ForeignRecord[] {
  return list(found).map((each) => level(side, "1970-01-01T00:00:00Z", list(each)[0], list(each)[1]));
}

/** Channel and events of one message; null for a kind that Advanced Trade does not send. */
function eventsOf(message: ForeignRecord): { channel: string; event: ForeignRecord } | null {
  const product_id = message["product_id"];
  switch (message["type"]) {
    case "snapshot":
      return { channel: "l2_data", event: { type: "snapshot", product_id, updates: [...levels("bid", message["bids"]), ...levels("offer", message["asks"])] } };
    case "l2update":
      return {
        channel: "l2_data",
        event: {
          type: "update", product_id,
          updates: list(message["changes"]).map((each) => level(list(each)[0] === "buy" ? "bid" : "offer", message["time"], list(each)[1], list(each)[2])),
        },
      };
    case "match":
      return {
        channel: "market_trades",
        event: {
          type: "update",
          trades: [{
            trade_id: String(message["trade_id"]), product_id, price: message["price"], size: message["size"],
            side: message["side"] === "buy" ? "BUY" : "SELL", time: message["time"],
          }],
        },
      };
    case "ticker":
      return {
        channel: "ticker",
        event: {
          type: "update",
          tickers: [{
            type: "ticker", product_id, price: message["price"], volume_24_h: message["volume_24h"], low_24_h: message["low_24h"],
            high_24_h: message["high_24h"], best_bid: message["best_bid"], best_ask: message["best_ask"],
          }],
        },
      };
    case "subscriptions": return { channel: "subscriptions", event: { subscriptions: {} } };
    default: return null;
  }
}

/** The message in Advanced Trade's form with the given number; null when there is none. */
export function toAdvanced(message: unknown, sequence: number, time: string): string | null {
  const said = isForeignRecord(message) ? eventsOf(message) : null;
  if (said === null) return null;
  return JSON.stringify({ channel: said.channel, client_id: "", timestamp: time, sequence_num: sequence, events: [said.event] });
}
