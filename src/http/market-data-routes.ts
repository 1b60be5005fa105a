/**
 * Newest values over HTTP: quotes, trades, books and tickers with the position at which a stream goes on, and the counts.
 */
import { z } from "@hono/zod-openapi";
import { BOOK_DEPTHS, type BookDepth } from "../market/market-event.ts";
import type { Channel } from "../protocol/topic.ts";
import type { MarketDataService, Stats, ValueFilter } from "../services/market-data-service.ts";
import { answerJson, answerList, JSON_TEXT, LIST_OF } from "./list-answer.ts";
import { cursor, limit, PAGE_LIMIT_MAX, symbols, venue, writeCursor } from "./list-query.ts";
import type { HttpContext } from "./problem.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";
import { BookSchema, QuoteSchema, StatsSchema, TickerSchema, TradeSchema } from "./value-schemas.ts";

export interface MarketDataDeps {
  readonly marketData: MarketDataService;
}

const DEPTH_DEFAULT = "10";
const NOT_YET = { 503: PROBLEM("Nothing has come from the stream yet") };

export function mountMarketData(api: Api, { marketData }: MarketDataDeps): void {
  const lists: readonly (readonly [path: string, channel: Channel, what: string, item: z.ZodType])[] = [
    ["/v1/quotes", "quotes", "quote", QuoteSchema], ["/v1/trades", "trades", "trade", TradeSchema], ["/v1/ticker", "ticker", "ticker", TickerSchema],
  ];
  for (const [path, channel, what, item] of lists) {
    api.add({ scope: "read", limit: "default" }, {
      method: "get", path, summary: `Newest ${what} of each instrument that has one`, request: { query: z.object({ ...filters(), limit: limit(), cursor: cursor("values", z.string()) }) },
      responses: { 200: LIST_OF("By id", item), ...NOT_YET },
    }, (c) => answerPage(c, marketData, channel, filterOf(c.req.valid("query"))));
  }
  api.add({ scope: null, limit: "anonymous" }, {
    method: "get", path: "/data", summary: "Newest ticker of every instrument", request: { query: z.object({ ...filters(), limit: limit(PAGE_LIMIT_MAX), cursor: cursor("values", z.string()) }) },
    responses: { 200: LIST_OF("By id", TickerSchema), ...NOT_YET },
  }, (c) => answerPage(c, marketData, "ticker", filterOf(c.req.valid("query"))));
  mountBook(api, marketData);
  api.add({ scope: "read", limit: "default" }, {
    method: "get", path: "/v1/stats", summary: "Sessions, subscriptions, events and feeds; at most a second old", responses: { 200: JSON_OF("Counts", StatsSchema) },
  }, async (c) => c.json(statsOf(await marketData.stats()), 200));
}

function mountBook(api: Api, marketData: MarketDataService): void {
  const params = z.object({ id: z.string().min(1).max(100).openapi({ description: "Instrument id or venue:NATIVE", example: "sim:BTC-USD" }) });
  const depth = z.enum(BOOK_DEPTHS.map(String)).optional().transform((given): BookDepth => BOOK_DEPTHS.find((known) => String(known) === (given ?? DEPTH_DEFAULT)) ?? 10)
    .openapi({ enum: BOOK_DEPTHS.map(String), default: DEPTH_DEFAULT, description: "Levels of a side, at most" });
  api.add({ scope: "read", limit: "default" }, {
    method: "get", path: "/v1/book/{id}", summary: "Newest book of one instrument", request: { params, query: z.object({ depth }) },
    responses: { 200: JSON_TEXT("Both sides, best first", BookSchema), 404: PROBLEM("Unknown instrument, or it has no book yet"), ...NOT_YET },
  }, (c) => answerJson(c, marketData.book(c.req.valid("param").id, c.req.valid("query").depth).json));
}

function filters() {
  return { symbol: symbols, venue };
}

interface ListQuery {
  readonly symbol: readonly string[];
  readonly venue?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

function filterOf(query: ListQuery): ValueFilter {
  return { symbols: query.symbol, venue: query.venue ?? null, limit: query.limit, after: query.cursor ?? null };
}

function answerPage(c: HttpContext, marketData: MarketDataService, channel: Channel, filter: ValueFilter): Response {
  const { values, next } = marketData.list({ channel }, filter);
  return answerList(c, values.map(({ json }) => json), next === null ? null : writeCursor("values", next));
}

function statsOf({ uptimeMs, epoch, valuesAgeMs, instruments, stream, eventsByVenue }: Stats): z.input<typeof StatsSchema> {
  return {
    uptime_s: Math.round(uptimeMs) / 1000, epoch, values_age_ms: valuesAgeMs === null ? null : Math.round(valuesAgeMs), instruments,
    sessions: stream?.sessions ?? null, lagging: stream?.lagging ?? null, subscriptions: stream?.subscriptions ?? null,
    delivered: stream?.delivered ?? null, rejected: stream?.rejected ?? null, events: stream?.eventsByKind ?? null,
    venues: Object.fromEntries([...eventsByVenue].map(([name, events]) => [name, { events }])),
    feeds: stream?.feeds.map(({ name, venues, state, reason, ageMs, reconnects, instruments: carried, simulated }) =>
      ({ name, venues: [...venues], state, reason, age_ms: ageMs === null ? null : Math.round(ageMs), reconnects, instruments: carried, simulated })) ?? null,
  };
}
