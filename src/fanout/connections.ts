/**
 * The sessions of one fan-out as an administrator asks for them: a page of their list, and one by its id.
 *
 * Works in slices between turns of the event loop: a look at 25,000 sessions in one turn would hold up their data. Path: cold.
 */
import type { Clock } from "../core/clock.ts";
import { micros } from "../core/time.ts";
import type { Connection, ConnectionPage, ConnectionQuery, Lane } from "../ports/connections.ts";
import type { Session } from "./session.ts";

/** Sessions compared in one turn. */
const COMPARED_MAX = 2_000;
/** Milliseconds of a turn that go to rows; one of a wildcard over 10,000 instruments alone takes 1 ms. */
const ROWS_MS = 2;

export interface ConnectionsParts {
  readonly clock: Clock;
  readonly sessions: readonly Session[];
  /** Topics that a session holds. */
  readonly topicsOf: (session: Session) => number;
  readonly messagesOf: (session: Session) => number;
}

export class Connections {
  readonly #parts: ConnectionsParts;

  constructor(parts: ConnectionsParts) {
    this.#parts = parts;
  }

  /** The first `limit + 1` that match after the cursor, by id, so that the asker knows whether more follow. Those that come and go meanwhile may be in it or not. */
  async page(query: ConnectionQuery): Promise<ConnectionPage> {
    const { clock, sessions } = this.#parts;
    // A copy: places in the list change between turns, and a session moved forward would be missed.
    const all = [...sessions];
    const first = new FirstById(query.limit + 1);
    let matching = 0;
    for (let from = 0; from < all.length; from += COMPARED_MAX) {
      if (from > 0) await nextTurn(clock);
      for (const session of all.slice(from, from + COMPARED_MAX)) {
        if (!matches(session, query)) continue;
        matching++;
        if (session.id > query.after) first.offer(session);
      }
    }
    return { items: await this.#rows(first.sessions), matching };
  }

  /** Null when there is none of that id, or none any more. */
  find(id: string): Session | null {
    return this.#parts.sessions.find((session) => session.id === id && id !== "" && session.phase !== "closed") ?? null;
  }

  row(session: Session): Connection {
    const { clock, topicsOf, messagesOf } = this.#parts;
    const nowMs = clock.monotonicMs();
    const ageMs = Math.max(0, Math.round(nowMs - session.openedMs));
    return {
      id: session.id, keyId: session.keyId, address: session.address, lane: laneOf(session), encoding: session.codec.encoding,
      openedAt: micros(clock.nowMicros() - ageMs * 1000), ageMs, topics: topicsOf(session), wildcards: session.wildcards?.length ?? 0,
      unsentBytes: session.socket?.getBufferedAmount() ?? 0, messages: messagesOf(session),
      pingAgeMs: session.pingOpenMs === 0 ? null : Math.max(0, Math.round(nowMs - session.pingOpenMs)),
    };
  }

  async #rows(sessions: readonly Session[]): Promise<Connection[]> {
    const { clock } = this.#parts;
    const rows: Connection[] = [];
    let sinceMs = clock.monotonicMs();
    for (const session of sessions) {
      if (session.phase === "closed") continue;
      rows.push(this.row(session));
      if (clock.monotonicMs() - sinceMs < ROWS_MS) continue;
      await nextTurn(clock);
      sinceMs = clock.monotonicMs();
    }
    return rows;
  }
}

/** The smallest ids of those offered, in order; each costs a search, those that belong there a move. */
class FirstById {
  readonly sessions: Session[] = [];
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  offer(session: Session): void {
    const last = this.sessions.at(-1);
    if (this.sessions.length >= this.#max && last !== undefined && session.id > last.id) return;
    let [low, high] = [0, this.sessions.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.sessions[middle]?.id ?? "") < session.id) low = middle + 1;
      else high = middle;
    }
    this.sessions.splice(low, 0, session);
    if (this.sessions.length > this.#max) this.sessions.pop();
  }
}

/** Sessions have no id before they are authenticated, and are not listed. */
function matches(session: Session, { keyId, address, lane }: ConnectionQuery): boolean {
  return session.id !== "" && session.phase !== "closed" && (keyId === null || session.keyId === keyId) &&
    (address === null || session.address === address) && (lane === null || laneOf(session) === lane);
}

function laneOf(session: Session): Lane {
  if (session.phase === "closing") return "closing";
  return session.lag === null ? "live" : "lagging";
}

function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.endOfTurn(resolve));
}
