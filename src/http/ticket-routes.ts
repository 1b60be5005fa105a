/**
 * Stream tickets over HTTP: a browser changes a key for a ticket that may stand in a script.
 */
import { z } from "@hono/zod-openapi";
import type { AddressSet } from "../core/address.ts";
import { UnavailableError } from "../core/errors.ts";
import type { TicketService } from "../services/ticket-service.ts";
import { isLocal } from "./client-address.ts";
import { presentedKey } from "./guard.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

export interface TicketRoutesDeps {
  readonly tickets: TicketService;
  /** Whether loopback gets a ticket without a key. */
  readonly isKeylessAllowed: boolean;
  readonly trustedProxies: AddressSet;
}

/** Owner of tickets that were given without a key. */
const LOCAL_KEY_ID = "local";

const TicketSchema = z.object({
  ticket: z.string().openapi({ example: "tt_…", description: "Usable once as `api_key` of the stream." }),
  expires_in: z.int().openapi({ description: "Seconds." }),
}).openapi("StreamTicket");

export function mountTickets(api: Api, { tickets, isKeylessAllowed, trustedProxies }: TicketRoutesDeps): void {
  api.add({
    scope: "read", limit: "default", isKeyless: (c) => isKeylessAllowed && presentedKey(c) === null && isLocal(c, trustedProxies),
  }, {
    method: "post", path: "/v1/stream-tickets", tags: ["stream"], summary: "A ticket for the stream: read only, once",
    description: "Without a key only from this machine and outside production.",
    responses: { 200: JSON_OF("The ticket", TicketSchema), 503: PROBLEM("Too many tickets wait to be used") },
  }, (c) => {
    const ticket = tickets.issue(c.get("grant")?.keyId ?? LOCAL_KEY_ID);
    if (ticket === null) throw new UnavailableError("too many tickets wait to be used; try again soon", "tickets_full");
    return c.json({ ticket: ticket.ticket, expires_in: ticket.expiresIn }, 200);
  });
}
