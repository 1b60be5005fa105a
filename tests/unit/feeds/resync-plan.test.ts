/**
 * How often a fresh snapshot is asked for.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { InstrumentSet, assumedInstrument, type Entry } from "../../../src/feeds/instrument-set.ts";
import { ResyncPlan, RESYNC_LIMITS } from "../../../src/feeds/resync-plan.ts";
import { CollectingSink } from "../../support/collecting-sink.ts";
import { FakeClock } from "../../support/fake-clock.ts";

describe("ResyncPlan", () => {
  let clock: FakeClock;
  let asked: string[];
  let plan: ResyncPlan;
  let book: Entry;
  let other: Entry;

  beforeEach(() => {
    clock = new FakeClock();
    asked = [];
    plan = new ResyncPlan(clock, () => 0.999, (entry) => void asked.push(entry.instrument.symbol));
    const set = new InstrumentSet(new CollectingSink(), 10);
    const entries = ["A-B", "C-D"].map((symbol) => set.define(assumedInstrument("test", symbol, symbol)));
    if (entries[0] === null || entries[0] === undefined || entries[1] === null || entries[1] === undefined) throw new Error("no entry");
    [book, other] = [entries[0], entries[1]];
  });

  it("asks at once the first time, and for each book by itself", () => {
    plan.request(book);
    plan.request(other);
    expect(asked).toEqual(["A-B", "C-D"]);
  });

  it("backs off while snapshots do not heal the book", () => {
    for (let i = 0; i < 1_000; i++) {
      plan.request(book);
      clock.advance(600);
    }
    expect(asked.length).toBeGreaterThan(5);
    expect(asked.length).toBeLessThan(40);
  });

  it("backs off from a book that is lost again soon after it was healed", () => {
    for (let i = 0; i < 60; i++) {
      plan.request(book);
      plan.synced(book);
      clock.advance(1_000);
    }
    expect(asked.length).toBeLessThan(12);
  });

  it("asks at once again after a stable minute", () => {
    for (let i = 0; i < 5; i++) {
      plan.request(book);
      clock.advance(40_000);
    }
    plan.synced(book);
    clock.advance(RESYNC_LIMITS.stableMs);
    const before = asked.length;
    plan.request(book);
    expect(asked.length).toBe(before + 1);
  });

  it("asks again when nothing comes", () => {
    plan.request(book);
    clock.advance(RESYNC_LIMITS.answerMs - 1);
    expect(asked).toHaveLength(1);
    clock.advance(1 + RESYNC_LIMITS.backoffFirstMs);
    expect(asked).toHaveLength(2);
  });

  it("owes nothing any more after the connection ended", () => {
    plan.request(book);
    plan.request(book);
    plan.clear();
    clock.advance(600_000);
    expect(asked).toHaveLength(1);
  });
});
