/**
 * Stream tickets: single-use, short-lived, read-only stand-ins for a key, for browsers.
 *
 * Owns: the unredeemed tickets, by digest, oldest first. Runs on: main thread.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import type { Grant } from "../ports/access.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";

export interface TicketServiceDeps {
  readonly clock: Clock;
  readonly ttlMs: number;
  /** Unredeemed tickets at a time. */
  readonly ticketsMax: number;
}

export interface Ticket {
  /** `tt_` and 192 random bits. */
  readonly ticket: string;
  /** Whole seconds. */
  readonly expiresIn: number;
}

interface Issued {
  readonly keyId: string;
  readonly expiresAtMs: number;
}

export class TicketService implements MetricSource {
  readonly #deps: TicketServiceDeps;
  readonly #byDigest = new Map<string, Issued>();
  #issued = 0;
  #redeemed = 0;
  #expired = 0;
  #refused = 0;
  #full = 0;

  constructor(deps: TicketServiceDeps) {
    this.#deps = deps;
  }

  /** A ticket that allows `read` in the name of the key; null when too many are unredeemed. */
  issue(keyId: string): Ticket | null {
    this.#dropExpired();
    if (this.#byDigest.size >= this.#deps.ticketsMax) {
      this.#full++;
      return null;
    }
    const ticket = `tt_${randomBytes(24).toString("base64url")}`;
    this.#byDigest.set(digestOf(ticket), { keyId, expiresAtMs: this.#deps.clock.monotonicMs() + this.#deps.ttlMs });
    this.#issued++;
    return { ticket, expiresIn: Math.floor(this.#deps.ttlMs / 1000) };
  }

  /** What the ticket allows, once; null when it is unknown, used or expired. */
  redeem(ticket: string): Grant | null {
    this.#dropExpired();
    const digest = digestOf(ticket);
    const issued = this.#byDigest.get(digest);
    if (!issued) {
      this.#refused++;
      return null;
    }
    this.#byDigest.delete(digest);
    this.#redeemed++;
    return { keyId: issued.keyId, scopes: ["read"], isBreakglass: false };
  }

  /** Tickets of these keys die with them. */
  revoked(keyIds: readonly string[]): void {
    for (const [digest, issued] of this.#byDigest) if (keyIds.includes(issued.keyId)) this.#byDigest.delete(digest);
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      { name: "ticker_tickets", help: "Unredeemed stream tickets", type: "gauge", labels: {}, value: this.#byDigest.size },
      counter("ticker_tickets_issued_total", "Stream tickets issued", this.#issued),
      counter("ticker_tickets_redeemed_total", "Stream tickets redeemed", this.#redeemed),
      counter("ticker_tickets_expired_total", "Stream tickets that were never redeemed", this.#expired),
      counter("ticker_tickets_refused_total", "Presented tickets that were unknown, used or expired", this.#refused),
      counter("ticker_tickets_full_total", "Tickets not issued because too many were unredeemed", this.#full),
    ];
  }

  #dropExpired(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const [digest, issued] of this.#byDigest) {
      if (issued.expiresAtMs > nowMs) return;
      this.#byDigest.delete(digest);
      this.#expired++;
    }
  }
}

function digestOf(ticket: string): string {
  return createHash("sha256").update(ticket).digest("hex");
}
