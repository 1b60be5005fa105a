/**
 * Stream tickets over HTTP: a browser changes a key for a ticket that may stand in a script.
 */
import type { Hono } from "hono";
import type { AddressSet } from "../core/address.ts";
import type { KeyCheck } from "../ports/access.ts";
import type { TicketService } from "../services/ticket-service.ts";
import { presentedKey, requireScope } from "./auth.ts";
import { isLocal } from "./client-address.ts";
import { answerProblem, type HttpContext, type HttpEnvironment } from "./problem.ts";

export interface TicketRoutesDeps {
  readonly keys: KeyCheck;
  readonly tickets: TicketService;
  /** Whether loopback gets a ticket without a key. */
  readonly isKeylessAllowed: boolean;
  readonly trustedProxies: AddressSet;
}

/** Owner of tickets that were given without a key. */
const LOCAL_KEY_ID = "local";

export function mountTickets(app: Hono<HttpEnvironment>, deps: TicketRoutesDeps): void {
  app.post("/v1/stream-tickets", (c) => {
    const isKeyless = presentedKey(c) === null && deps.isKeylessAllowed && isLocal(c, deps.trustedProxies);
    if (isKeyless) return answerTicket(c, deps.tickets, LOCAL_KEY_ID);
    const grant = requireScope(c, deps.keys, "read");
    return grant instanceof Response ? grant : answerTicket(c, deps.tickets, grant.keyId);
  });
}

function answerTicket(c: HttpContext, tickets: TicketService, keyId: string): Response {
  const ticket = tickets.issue(keyId);
  if (ticket) return c.json({ ticket: ticket.ticket, expires_in: ticket.expiresIn });
  c.header("Retry-After", "5");
  return answerProblem(c, { status: 503, code: "tickets_full", title: "Too many tickets", detail: "too many tickets wait to be used; try again soon" });
}
