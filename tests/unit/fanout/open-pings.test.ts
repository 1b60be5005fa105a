/**
 * Open pings: who is overdue, in which order, and who is not.
 */
import { describe, expect, it } from "vitest";
import { OpenPings } from "../../../src/fanout/open-pings.ts";
import { Session } from "../../../src/fanout/session.ts";
import { nextBeatMs, nextBoundaryMs, PHASES, setOf } from "../../../src/fanout/sampling-grid.ts";

describe("open pings", () => {
  it("hands out each session whose ping is older than the limit once, the oldest first, and no answered one", () => {
    const pings = new OpenPings();
    const sessions = Array.from({ length: 5_000 }, (_, i) => new Session(`10.0.${i >> 8}.${i & 255}`));
    for (const [i, session] of sessions.entries()) pings.sent(session, i + 1);
    for (const [i, session] of sessions.entries()) if (i % 3 === 0) session.pingOpenMs = 0;
    const taken: Session[] = [];
    for (let session = pings.takeOverdue(4_001); session; session = pings.takeOverdue(4_001)) taken.push(session);
    expect(taken).toEqual(sessions.filter((_, i) => i % 3 !== 0 && i + 1 < 4_001));
  });

  it("judges a session by its present ping, not by one that was answered", () => {
    const pings = new OpenPings();
    const session = new Session("10.0.0.1");
    pings.sent(session, 100);
    session.pingOpenMs = 0;
    pings.sent(session, 900);
    expect(pings.takeOverdue(901)).toBe(session);
    expect(pings.takeOverdue(10_000)).toBeNull();
    pings.sent(session, 1_000);
    expect(pings.takeOverdue(1_000)).toBeNull();
    expect(pings.takeOverdue(1_001)).toBe(session);
  });
});

describe("the time of heartbeats", () => {
  it("comes once a period in every phase, in the turn of a sample of 250 ms", () => {
    for (let phase = 0; phase < PHASES; phase++) {
      const first = nextBeatMs(phase, 5_000, 12_345);
      expect(nextBeatMs(phase, 5_000, first)).toBe(first + 5_000);
      expect(first - 12_345).toBeLessThanOrEqual(5_000);
      expect(nextBoundaryMs(setOf(250, phase), first - 1)).toBe(first);
    }
    expect(new Set(Array.from({ length: PHASES }, (_, phase) => nextBeatMs(phase, 5_000, 0) % 5_000)).size).toBe(PHASES);
  });
});
