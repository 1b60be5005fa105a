/**
 * Subscriptions over HTTP: which instruments and channels the feeds are asked to carry.
 */
import { z } from "@hono/zod-openapi";
import type { CarriedSubscription } from "../ports/storage.ts";
import { CHANNELS } from "../protocol/topic.ts";
import type { SubscriptionService } from "../services/subscription-service.ts";
import { actorOf } from "./guard.ts";
import { cursor, limit, writeCursor } from "./list-query.ts";
import { reasonOf } from "./reason.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

export interface SubscriptionRoutesDeps {
  readonly subscriptions: SubscriptionService;
}

const LIST = "subscriptions";
/** Symbols of one subscription, as of one frame of the stream. */
export const SYMBOLS_MAX = 500;

const SubscriptionSchema = z.object({
  id: z.string(), symbols: z.array(z.string()), channels: z.array(z.enum(CHANNELS)), owner: z.string(), created_at: z.int(),
}).openapi("Subscription");
const NewSubscription = z.strictObject({
  symbols: z.array(z.string().min(1).max(100)).min(1).max(SYMBOLS_MAX).openapi({ description: "Ids, venue:NATIVE or other spellings", example: ["sim:BTC-USD"] }),
  channels: z.array(z.enum(CHANNELS)).min(1).max(CHANNELS.length).optional().openapi({ description: "Default: all. Bars are built of trades, so each of the two brings the other; the status is always carried", example: ["trades", "quotes"] }),
});
const ABOUT = "Subscriptions are of the service, not of the key: everybody sees all of them. Each counts: an instrument is carried until the last one that names it ends. What FEED_INSTRUMENTS or a client on the stream asks for stays. The simulated exchange, recordings and pushed venues carry everything always; a subscription to them is kept and changes nothing.";

export function mountSubscriptions(api: Api, { subscriptions }: SubscriptionRoutesDeps): void {
  const path = "/v1/subscriptions";
  const write = { scope: "trade", limit: "subscriptions.write" } as const;

  api.add({ scope: "read", limit: "default" }, {
    method: "get", path, tags: ["subscriptions"], summary: "What the feeds are asked to carry, oldest first", description: ABOUT,
    request: { query: z.object({ limit: limit(), cursor: cursor(LIST, z.tuple([z.number(), z.string()])) }) },
    responses: { 200: JSON_OF("A page", z.object({ items: z.array(SubscriptionSchema), next_cursor: z.string().nullable() })) },
  }, (c) => {
    const { limit: max, cursor: after } = c.req.valid("query");
    const all = subscriptions.list().toSorted(inOrder);
    const rest = after === undefined ? all : all.filter((each) => each.createdAt > after[0] || (each.createdAt === after[0] && each.id > after[1]));
    const page = rest.slice(0, max);
    const last = page.at(-1);
    return c.json({ items: page.map(shown), next_cursor: rest.length > max && last !== undefined ? writeCursor(LIST, [last.createdAt, last.id]) : null }, 200);
  });

  api.add(write, {
    method: "post", path, tags: ["subscriptions"], summary: "Carry these instruments and channels", description: ABOUT,
    request: { body: { required: true, content: { "application/json": { schema: NewSubscription } } } },
    responses: {
      200: JSON_OF("The subscription that holds all of it already", SubscriptionSchema), 201: JSON_OF("A new one", SubscriptionSchema),
      409: PROBLEM("A limit is reached"), 503: PROBLEM("The feeds or the database are away"),
    },
  }, async (c) => {
    const { symbols, channels } = c.req.valid("json");
    const { subscription, isNew } = await subscriptions.create({ symbols, channels: channels ?? null }, actorOf(c), reasonOf(c));
    if (isNew) c.header("Location", `${path}/${subscription.id}`);
    return c.json(shown(subscription), isNew ? 201 : 200);
  });

  api.add(write, {
    method: "delete", path: `${path}/{id}`, tags: ["subscriptions"], summary: "Carry them no longer on its account", request: { params: z.object({ id: z.string().min(1).max(100) }) },
    responses: { 204: { description: "It is no more" }, 404: PROBLEM("No subscription of that id"), 503: PROBLEM("The database is away") },
  }, async (c) => {
    await subscriptions.remove(c.req.valid("param").id, actorOf(c), reasonOf(c));
    return c.body(null, 204);
  });
}

function inOrder(a: CarriedSubscription, b: CarriedSubscription): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1);
}

function shown({ id, symbols, channels, owner, createdAt }: CarriedSubscription): z.infer<typeof SubscriptionSchema> {
  return { id, symbols: [...symbols], channels: [...channels], owner, created_at: createdAt };
}
