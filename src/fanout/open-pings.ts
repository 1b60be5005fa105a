/**
 * Pings that wait for their pong, oldest first: who is overdue is known without a look at anybody else.
 *
 * Owns: the order of the pings. Runs on: the thread of its fan-out. Path: once per ping; looking at each of 10,000
 * sessions twenty times a second instead cost a twentieth of a busy core (cold memory).
 */
import type { Session } from "./session.ts";

/** Answered entries at the front are let go of once there are this many. */
const SPENT_MAX = 1024;

export class OpenPings {
  #sessions: Session[] = [];
  #sentMs: number[] = [];
  #first = 0;

  /** The session was sent a ping while none of its pings was open. @param nowMs not less than in the call before */
  sent(session: Session, nowMs: number): void {
    session.pingOpenMs = nowMs;
    this.#sessions.push(session);
    this.#sentMs.push(nowMs);
  }

  /** Takes out and answers a session whose ping has been open since before `beforeMs`; null when there is none. */
  takeOverdue(beforeMs: number): Session | null {
    for (;;) {
      const session = this.#sessions[this.#first];
      const sentMs = this.#sentMs[this.#first] ?? 0;
      if (session === undefined || sentMs >= beforeMs) return null;
      this.#first++;
      if (this.#first >= SPENT_MAX && this.#first * 2 >= this.#sessions.length) this.#forget();
      if (session.pingOpenMs === sentMs) return session;
    }
  }

  #forget(): void {
    this.#sessions = this.#sessions.slice(this.#first);
    this.#sentMs = this.#sentMs.slice(this.#first);
    this.#first = 0;
  }
}
