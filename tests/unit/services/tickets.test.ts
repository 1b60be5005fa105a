/**
 * Stream tickets: single use, short life, read only, bounded.
 */
import { expect, it } from "vitest";
import { TicketService } from "../../../src/services/ticket-service.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const service = (ticketsMax = 10) => {
  const clock = new FakeClock();
  return { clock, tickets: new TicketService({ clock, ttlMs: 60_000, ticketsMax }) };
};
const textOf = (tickets: TicketService, keyId = "key_a"): string => tickets.issue(keyId)?.ticket ?? "none";

it("allows reading once, in the name of the key", () => {
  const { tickets } = service();
  const ticket = tickets.issue("key_a");
  expect(ticket).toEqual({ ticket: expect.stringMatching(/^tt_[A-Za-z0-9_-]{32}$/), expiresIn: 60 });
  expect(tickets.redeem(ticket?.ticket ?? "")).toEqual({ keyId: "key_a", scopes: ["read"], isBreakglass: false });
  expect(tickets.redeem(ticket?.ticket ?? "")).toBeNull();
});

it("works until just before its time is over, not after", () => {
  const { clock, tickets } = service();
  const [early, late] = [textOf(tickets), textOf(tickets)];
  clock.advance(59_999);
  expect(tickets.redeem(early)).not.toBeNull();
  clock.advance(1);
  expect(tickets.redeem(late)).toBeNull();
});

it("dies with its key, and only with its own", () => {
  const { tickets } = service();
  const [a, b] = [textOf(tickets, "key_a"), textOf(tickets, "key_b")];
  tickets.revoked(["key_a"]);
  expect(tickets.redeem(a)).toBeNull();
  expect(tickets.redeem(b)).not.toBeNull();
});

it("is refused beyond the limit until one is used or expires, and says so in its counters", () => {
  const { clock, tickets } = service(2);
  const first = textOf(tickets);
  textOf(tickets);
  expect(tickets.issue("key_a")).toBeNull();
  tickets.redeem(first);
  expect(tickets.issue("key_a")).not.toBeNull();
  clock.advance(60_000);
  expect(tickets.issue("key_a")).not.toBeNull();
  const counted = Object.fromEntries(tickets.samples().map((sample) => [sample.name, sample.value]));
  expect(counted).toEqual({
    ticker_tickets: 1, ticker_tickets_issued_total: 4, ticker_tickets_redeemed_total: 1, ticker_tickets_expired_total: 2,
    ticker_tickets_refused_total: 0, ticker_tickets_full_total: 1,
  });
});

it("never gives the same text twice", () => {
  const { tickets } = service(1000);
  expect(new Set(Array.from({ length: 1000 }, () => textOf(tickets))).size).toBe(1000);
});
