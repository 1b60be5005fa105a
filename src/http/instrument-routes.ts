/**
 * Instruments over HTTP: search, one of them, the state of the venues' lists, and asking for the lists now.
 */
import { z } from "@hono/zod-openapi";
import { canonicalOf, pairOf } from "../market/canonical.ts";
import type { RegisteredInstrument } from "../ports/storage.ts";
import { stepText } from "../services/instrument-diff.ts";
import type { InstrumentRefresh, VenueRefresh } from "../services/instrument-refresh.ts";
import type { InstrumentRegistry, VenueListState } from "../services/instrument-registry.ts";
import { actorOf } from "./guard.ts";
import { cursor, limit, symbols, venue, writeCursor } from "./list-query.ts";
import { reasonOf } from "./reason.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

export interface InstrumentRoutesDeps {
  readonly registry: InstrumentRegistry;
  readonly refresh: InstrumentRefresh;
}

const LIST = "instruments";
const STATES = ["active", "halted", "inactive"] as const;
/** Ids of one kind of change that an answer names; the counts are always whole. */
const IDS_MAX = 1000;

const InstrumentSchema = z.object({
  id: z.string(), venue: z.string(), symbol: z.string(), native: z.string().openapi({ description: "The venue's own spelling" }),
  base: z.string(), quote: z.string().nullable().openapi({ description: "Null for what is no pair" }),
  canonical: z.string().openapi({ description: "The name that the same pair has at every venue" }), state: z.enum(STATES),
  tick_size: z.string(), lot_size: z.string(), simulated: z.boolean(), delisted_at: z.int().nullable(),
}).openapi("Instrument");

const ListStateSchema = z.object({
  venue: z.string(), loaded: z.boolean(), source: z.enum(["venue", "cache", "feed", "none"]).openapi({ description: "cache: of an earlier run. feed: the feed makes them up or replays them; there is no list to refresh" }),
  count: z.int(), active: z.int(), last_refresh: z.int().nullable(), last_attempt: z.int().nullable(), next_refresh: z.int().nullable(), age_s: z.number().nullable(),
  stale: z.boolean(), why: z.string(),
}).openapi("InstrumentListState");

const Ids = z.array(z.string());
const RefreshSchema = z.object({
  venue: z.string(), ok: z.boolean(), failure: z.string().nullable(), count: z.int(), listed_count: z.int(), delisted_count: z.int(), changed_count: z.int(),
  listed: Ids, delisted: Ids, changed: z.array(z.object({ id: z.string(), members: z.array(z.string()) })),
}).openapi("InstrumentRefresh");

export function mountInstruments(api: Api, { registry, refresh }: InstrumentRoutesDeps): void {
  const read = { scope: "read", limit: "default" } as const;
  const word = (description: string, example: string) => z.string().min(1).max(100).optional().openapi({ description, example });

  api.add(read, {
    method: "get", path: "/v1/instruments", tags: ["instruments"], summary: "Instruments of all venues, by id",
    request: {
      query: z.object({
        symbol: symbols, venue, q: word("Part of id, native spelling, base or quote, in any case", "btc"), canonical: word("The same pair at every venue", "BTC-USD"),
        state: z.enum(STATES).optional(), limit: limit(), cursor: cursor(LIST, z.string()),
      }),
    },
    responses: { 200: JSON_OF("A page", z.object({ items: z.array(InstrumentSchema), next_cursor: z.string().nullable() })) },
  }, (c) => {
    const { symbol, venue: of, q, canonical, state, limit: max, cursor: after } = c.req.valid("query");
    const found = registry.search({ symbols: symbol, venue: of ?? null, text: q ?? null, state: state ?? null, canonical: canonical ?? null });
    const rest = after === undefined ? found : found.filter(({ instrument }) => instrument.id > after);
    const page = rest.slice(0, max);
    return c.json({ items: page.map(shown), next_cursor: rest.length > max ? writeCursor(LIST, page.at(-1)?.instrument.id) : null }, 200);
  });

  // Before the route with a parameter, which would take it.
  api.add(read, {
    method: "get", path: "/v1/instruments/status", tags: ["instruments"], summary: "How old each venue's list is, and why it is stale",
    responses: { 200: JSON_OF("Each venue by name", z.object({ items: z.array(ListStateSchema), next_cursor: z.null() })) },
  }, (c) => c.json({ items: registry.status().map(stateOf), next_cursor: null }, 200));

  api.add(read, {
    method: "get", path: "/v1/instruments/{id}", tags: ["instruments"], summary: "One instrument, by id, native spelling or another spelling of the pair",
    request: { params: z.object({ id: z.string().min(1).max(100).openapi({ description: "venue:SYMBOL or venue:NATIVE", example: "sim:BTC-USD" }) }) },
    responses: { 200: JSON_OF("The instrument", InstrumentSchema), 404: PROBLEM("Unknown; `did_you_mean` names ids that may have been meant") },
  }, (c) => c.json(shown(registry.get(c.req.valid("param").id)), 200));

  api.add({ scope: "admin", limit: "default", charges: "admin.write" }, {
    method: "post", path: "/v1/admin/instruments/refresh", tags: ["admin"], summary: "Asks every venue for its list now; one that does not come leaves the old one",
    responses: { 200: JSON_OF("Each venue that has a list", z.object({ items: z.array(RefreshSchema) })), 503: PROBLEM("The feeds or the database are away") },
  }, async (c) => c.json({ items: (await refresh.refresh(actorOf(c), reasonOf(c))).map(refreshed) }, 200));
}

function shown({ instrument, delistedAt }: RegisteredInstrument): z.infer<typeof InstrumentSchema> {
  const { id, venue: of, symbol, native, state, tickSize, priceScale, lotSize, sizeScale, simulated } = instrument;
  const { base, quote } = pairOf(symbol);
  return {
    id, venue: of, symbol, native, base, quote, canonical: canonicalOf(symbol), state, tick_size: stepText(tickSize, priceScale), lot_size: stepText(lotSize, sizeScale),
    simulated, delisted_at: delistedAt,
  };
}

function stateOf({ venue: of, source, count, active, refreshedAt, attemptedAt, nextAt, ageMs, isStale, why }: VenueListState): z.infer<typeof ListStateSchema> {
  return {
    venue: of, loaded: count > 0, source, count, active, last_refresh: refreshedAt, last_attempt: attemptedAt, next_refresh: nextAt,
    age_s: ageMs === null ? null : Math.round(ageMs) / 1000, stale: isStale, why,
  };
}

function refreshed({ venue: of, failure, count, changes }: VenueRefresh): z.infer<typeof RefreshSchema> {
  const [listed, delisted, changed] = [changes.filter(({ kind }) => kind === "listed"), changes.filter(({ kind }) => kind === "delisted"), changes.filter(({ kind }) => kind === "changed")];
  return {
    venue: of, ok: failure === null, failure, count, listed_count: listed.length, delisted_count: delisted.length, changed_count: changed.length,
    listed: listed.slice(0, IDS_MAX).map(({ id }) => id), delisted: delisted.slice(0, IDS_MAX).map(({ id }) => id),
    changed: changed.slice(0, IDS_MAX).map(({ id, members }) => ({ id, members: [...members] })),
  };
}
