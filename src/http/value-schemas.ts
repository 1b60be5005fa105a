/**
 * The messages of protocol 2.3 as REST answers them: schemas for the documentation.
 */
import { z } from "@hono/zod-openapi";

const decimal = z.string().openapi({ description: "Plain decimal, exact", example: "67012.50" });
const optionalDecimal = decimal.nullable();
const micros = z.int().openapi({ description: "Microseconds since 1970 UTC" });
/** A client that subscribes with them goes on exactly there. */
const position = { symbol: z.string(), seq: z.int().openapi({ description: "Position of the topic" }), epoch: z.string().openapi({ description: "Changes when continuity was lost" }) };
const flags = z.array(z.string()).optional();

export const QuoteSchema = z.object({
  type: z.literal("quote"), ...position, bid: decimal, bid_size: decimal, ask: decimal, ask_size: decimal, time: micros, received: micros, flags,
}).openapi("Quote");

export const TradeSchema = z.object({
  type: z.literal("trade"), ...position, id: z.string(), price: decimal, size: decimal, side: z.enum(["buy", "sell", "unknown"]), time: micros, received: micros, flags,
}).openapi("Trade");

const levels = z.array(z.tuple([decimal, decimal])).openapi({ description: "Price and size, best first" });

export const BookSchema = z.object({
  type: z.literal("book"), ...position, depth: z.int(), bids: levels, asks: levels, time: micros, received: micros,
}).openapi("Book");

export const TickerSchema = z.object({
  type: z.literal("ticker"), ...position, last: decimal, open_24h: optionalDecimal, high_24h: optionalDecimal, low_24h: optionalDecimal, volume_24h: optionalDecimal,
  change_pct_24h: optionalDecimal, bid: optionalDecimal, ask: optionalDecimal, time: micros,
}).openapi("Ticker");

export const BarSchema = z.object({
  symbol: z.string(), interval: z.string(), start: micros, open: decimal, high: decimal, low: decimal, close: decimal, volume: decimal, trades: z.int(), vwap: decimal,
}).openapi("Bar");

const count = z.int().nullable().openapi({ description: "Null while the stream thread does not answer" });

export const StatsSchema = z.object({
  uptime_s: z.number(), epoch: z.string().nullable(), values_age_ms: z.number().nullable().openapi({ description: "Since the stream thread was last heard of" }),
  instruments: z.int(), sessions: count, lagging: count, subscriptions: count, delivered: count, rejected: count,
  events: z.record(z.string(), z.int()).nullable().openapi({ description: "Accepted events by kind, since the stream thread started" }),
  venues: z.record(z.string(), z.object({ events: z.int() })),
  feeds: z.array(z.object({
    name: z.string(), venues: z.array(z.string()), state: z.enum(["starting", "live", "stale", "down"]), reason: z.string(), age_ms: z.number().nullable(),
    reconnects: z.int(), instruments: z.int(), simulated: z.boolean(),
  })).nullable(),
}).openapi("Stats");
