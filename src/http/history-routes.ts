/**
 * History over HTTP: closed bars from the database and kept trades, in JSON, CSV or NDJSON, page by page.
 */
import { z } from "@hono/zod-openapi";
import { BAR_INTERVALS } from "../market/market-event.ts";
import type { StoredBar } from "../ports/storage.ts";
import type { HistoryService, KeptRange } from "../services/history-service.ts";
import { answerFormatted, format, LIST_IN_FORMATS } from "./list-answer.ts";
import { cursor, limit, symbols, time, writeCursor } from "./list-query.ts";
import { type Api, PROBLEM } from "./route.ts";
import { BarSchema, TradeSchema } from "./value-schemas.ts";

export interface HistoryDeps {
  readonly history: HistoryService;
}

const BAR_COLUMNS = ["symbol", "interval", "start", "open", "high", "low", "close", "volume", "trades", "vwap"] as const;
const TRADE_COLUMNS = ["symbol", "seq", "id", "price", "size", "side", "time", "received", "epoch"] as const;
export const KEPT_FROM_HEADER = "X-Kept-From";

const AfterBarSchema = z.strictObject({ start: z.int().min(0), symbol: z.string() });
const AfterTradeSchema = z.strictObject({ epoch: z.string(), symbol: z.string(), seq: z.int().min(0) });

const KeptSchema = {
  kept_from: z.int().nullable().openapi({ description: "Time from which on the trades of every instrument asked for are kept; what came before is gone. Null: none is kept" }),
  kept: z.array(z.object({ symbol: z.string(), epoch: z.string(), seq: z.int(), time: z.int() })).openapi({ description: "The first kept trade of each instrument; every one after it is kept" }),
};

export function mountHistory(api: Api, { history }: HistoryDeps): void {
  const page = { limit: limit(), format, from: time("At or after"), to: time("Before") };
  const interval = z.enum(BAR_INTERVALS).optional().transform((given) => given ?? "1m").openapi({ enum: [...BAR_INTERVALS], default: "1m" });
  api.add({ scope: "read", limit: "default" }, {
    method: "get", path: "/v1/history/bars", summary: "Closed bars by start, then symbol; the running bar is not history",
    request: { query: z.object({ symbol: symbols, interval, ...page, cursor: cursor("bars", AfterBarSchema) }) },
    responses: { 200: LIST_IN_FORMATS("Bars that start within the time", BarSchema), 503: PROBLEM("The database is away") },
  }, async (c) => {
    const query = c.req.valid("query");
    const { items, next } = await history.bars(query.interval, { symbols: query.symbol, from: query.from ?? null, to: query.to ?? null, limit: query.limit, after: query.cursor ?? null });
    return answerFormatted(c, {
      format: query.format, name: `bars-${query.interval}`, columns: BAR_COLUMNS, items: items.map(barJson), next: next === null ? null : writeCursor("bars", next),
    });
  });
  api.add({ scope: "read", limit: "default" }, {
    method: "get", path: "/v1/history/trades", summary: "Kept trades by symbol, then sequence number",
    description: `The last trades of each instrument, as many as are kept (TICKER_RING_TRADES_MAX, fewer when TICKER_MAIN_RING_BYTES_MAX is used up), and none from before the last start of the stream. CSV and NDJSON say kept_from in ${KEPT_FROM_HEADER}.`,
    request: { query: z.object({ symbol: symbols.refine((given) => given.length > 0, "name at least one instrument"), ...page, cursor: cursor("trades", AfterTradeSchema) }) },
    responses: { 200: LIST_IN_FORMATS("Trades whose venue time lies within the time", TradeSchema, KeptSchema), 503: PROBLEM("Nothing has come from the stream yet") },
  }, (c) => {
    const query = c.req.valid("query");
    const { items, next, kept } = history.trades({ symbols: query.symbol, from: query.from ?? null, to: query.to ?? null, limit: query.limit, after: query.cursor ?? null });
    const keptFrom = keptFromOf(kept);
    if (keptFrom !== null) c.header(KEPT_FROM_HEADER, String(keptFrom));
    return answerFormatted(c, {
      format: query.format, name: "trades", columns: TRADE_COLUMNS, items: items.map(({ json }) => json), next: next === null ? null : writeCursor("trades", next),
      more: `,"kept_from":${keptFrom},"kept":${JSON.stringify(kept)}`,
    });
  });
}

/** The latest of the first kept trades: from then on nothing is missing of anything. */
function keptFromOf(kept: readonly KeptRange[]): number | null {
  return kept.length === 0 ? null : Math.max(...kept.map(({ time: first }) => first));
}

function barJson({ symbol, interval, start, open, high, low, close, volume, trades, vwap }: StoredBar): string {
  return JSON.stringify({ symbol, interval, start, open, high, low, close, volume, trades, vwap });
}
