/**
 * The list of sessions as an administrator pages through it: against a plain model, and while sessions come and go.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import { Connections } from "../../../src/fanout/connections.ts";
import { Session } from "../../../src/fanout/session.ts";
import type { ConnectionQuery, Lane } from "../../../src/ports/connections.ts";

const ALL: ConnectionQuery = { limit: 1000, after: "", keyId: null, address: null, lane: null };
const LAG = { seqs: new Map(), folded: 0, lost: 0, condensed: 0, served: 0, progressMs: 0, overHardMs: 0 };

function session(id: string, keyId = "k", address = "127.0.0.1", lane: Lane = "live"): Session {
  const made = new Session(address);
  made.id = id;
  made.keyId = keyId;
  made.phase = lane === "closing" ? "closing" : "open";
  made.lag = lane === "lagging" ? LAG : null;
  return made;
}

const connectionsOf = (sessions: readonly Session[]): Connections => new Connections({ clock: systemClock, sessions, topicsOf: () => 2, messagesOf: () => 3 });

describe("a page of sessions", () => {
  it("holds what a look at all of them would, one more than was asked for", async () => {
    const anyLane = fc.constantFrom<Lane>("live", "lagging", "closing");
    const anySession = fc.record({ id: fc.uuid(), keyId: fc.constantFrom("k1", "k2"), address: fc.constantFrom("127.0.0.1", "::1"), lane: anyLane });
    const anyQuery = fc.record({
      limit: fc.integer({ min: 1, max: 20 }), after: fc.oneof(fc.constant(""), fc.uuid()), keyId: fc.option(fc.constantFrom("k1", "k2")),
      address: fc.option(fc.constantFrom("127.0.0.1", "::1")), lane: fc.option(anyLane),
    });
    await fc.assert(fc.asyncProperty(fc.uniqueArray(anySession, { selector: ({ id }) => id, maxLength: 60 }), anyQuery, async (all, query) => {
      const fitting = all.filter((s) => (query.keyId === null || s.keyId === query.keyId) && (query.address === null || s.address === query.address) && (query.lane === null || s.lane === query.lane));
      const expected = fitting.map(({ id }) => id).filter((id) => id > query.after).toSorted().slice(0, query.limit + 1);
      const page = await connectionsOf(all.map(({ id, keyId, address, lane }) => session(id, keyId, address, lane))).page(query);
      expect(page.items.map(({ id }) => id)).toEqual(expected);
      expect(page.matching).toBe(fitting.length);
    }));
  });

  it("leaves out who is not authenticated, and who has gone", async () => {
    const gone = session("b");
    gone.phase = "closed";
    const page = await connectionsOf([new Session("127.0.0.1"), session("a"), gone]).page(ALL);
    expect(page.items.map(({ id }) => id)).toEqual(["a"]);
    expect(connectionsOf([new Session("127.0.0.1")]).find("")).toBeNull();
  });

  it("of 25,000 sessions lets others run in between and misses nobody who stays", async () => {
    const sessions = Array.from({ length: 25_000 }, (_, i) => session(String(i * 7919 % 25_000).padStart(6, "0")));
    let turns = 0;
    const counting = { ...systemClock, nowMicros: () => systemClock.nowMicros(), monotonicMs: () => systemClock.monotonicMs(), endOfTurn: (run: () => void) => {
      turns++;
      // As when one closes: the last takes its place in the list.
      const last = sessions.pop();
      if (last) sessions[turns] = last;
      systemClock.endOfTurn(run);
    } };
    const before = new Set(sessions.map(({ id }) => id));
    const page = await new Connections({ clock: counting, sessions, topicsOf: () => 0, messagesOf: () => 0 }).page(ALL);
    expect(turns).toBeGreaterThanOrEqual(12);
    expect(page.matching).toBe(25_000);
    expect(page.items.map(({ id }) => id)).toEqual([...before].toSorted().slice(0, 1001));
  });
});
