/**
 * How Binance depth snapshots are paced, against a real REST server; only the clock is stood in for.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import { DepthSnapshots } from "../../../src/feeds/binance/depth-snapshots.ts";
import { assumedInstrument, InstrumentSet, type Entry } from "../../../src/feeds/instrument-set.ts";
import { VenueRest } from "../../../src/feeds/venue-rest.ts";
import { CollectingSink } from "../../support/collecting-sink.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { until } from "../../support/feed-harness.ts";
import { startScriptedVenue, type Answer, type ScriptedVenue } from "../../support/scripted-venue.ts";

interface Setup {
  readonly venue: ScriptedVenue;
  readonly clock: FakeClock;
  readonly snapshots: DepthSnapshots;
  readonly done: string[];
  readonly failed: string[];
  readonly entries: Entry[];
}

async function setup(answer: (path: string) => Answer | null = () => ({ body: { lastUpdateId: 1 } })): Promise<Setup> {
  const venue = await startScriptedVenue(answer);
  onTestFinished(() => venue.stop());
  const clock = new FakeClock();
  const [done, failed]: [string[], string[]] = [[], []];
  const snapshots = new DepthSnapshots(new VenueRest(venue.restUrl), clock, (entry) => void done.push(entry.instrument.native), (entry) => void failed.push(entry.instrument.native));
  const set = new InstrumentSet(new CollectingSink(), 100);
  const entries = Array.from({ length: 60 }, (_, i) => set.define(assumedInstrument("binance", `A${i}-B`, `A${i}B`))).filter((entry) => entry !== null);
  return { venue, clock, snapshots, done, failed, entries };
}

describe("DepthSnapshots", () => {
  it("asks for forty at once, and for the rest at the pace that the weight allows", async () => {
    const { clock, snapshots, done, entries, venue } = await setup();
    for (const entry of entries) snapshots.ask(entry);
    await until("the burst", () => done.length === 40);
    expect(venue.asked[0]).toBe("/api/v3/depth?symbol=A0B&limit=1000");
    clock.advance(700);
    await until("one more", () => done.length === 41);
    clock.advance(6_300);
    await until("nine more", () => done.length === 50);
    clock.advance(7_000);
    await until("all", () => done.length === 60);
    expect(new Set(done).size).toBe(60);
  });

  it.each([[429, "5", 5_000], [418, "60", 60_000], [429, undefined, 30_000]])("waits as long as status %i says (Retry-After %s)", async (status, header, waitMs) => {
    let isRefusing = true;
    const { clock, snapshots, done, failed, entries } = await setup(() => {
      const answer: Answer = isRefusing ? { status, headers: header === undefined ? {} : { "retry-after": header }, body: {} } : { body: { lastUpdateId: 1 } };
      return answer;
    });
    for (const entry of entries.slice(0, 1)) snapshots.ask(entry);
    await until("the refusal", () => failed.length === 1);
    expect(snapshots.throttled).toBe(1);
    isRefusing = false;
    for (const entry of entries.slice(1, 3)) snapshots.ask(entry);
    clock.advance(waitMs - 701);
    expect(done).toEqual([]);
    clock.advance(1_500);
    await until("the rest", () => done.length === 2);
  });

  it("throws away the answers to questions from before the connection ended", async () => {
    const { snapshots, done, entries, venue } = await setup();
    for (const entry of entries.slice(0, 2)) snapshots.ask(entry);
    snapshots.clear();
    await until("the questions", () => venue.asked.length === 2);
    for (const entry of entries.slice(5, 6)) snapshots.ask(entry);
    await until("the answer to the new one", () => done.length === 1);
    expect(done).toEqual(["A5B"]);
  });
});

describe("VenueRest", () => {
  it("takes a body of the largest size and refuses one byte more", async () => {
    const venue = await startScriptedVenue(() => ({ body: "x".repeat(98) }));
    onTestFinished(() => venue.stop());
    const get = (bodyBytesMax: number): Promise<unknown> => new VenueRest(venue.restUrl, { timeoutMs: 1_000, bodyBytesMax }).get("/");
    await expect(get(100)).resolves.toBe("x".repeat(98));
    await expect(get(99)).rejects.toThrow("at most 99 bytes");
  });

  it("gives up in time on a venue that does not answer, and at once when it is closed", async () => {
    const { createServer } = await import("node:http");
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => server.closeAllConnections());
    onTestFinished(() => void server.close());
    const address = server.address();
    const base = `http://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`;
    await expect(new VenueRest(base, { timeoutMs: 50, bodyBytesMax: 100 }).get("/")).rejects.toThrow(/timeout/);
    const rest = new VenueRest(base);
    const answer = rest.get("/");
    rest.close();
    await expect(answer).rejects.toThrow(/abort/);
    expect(rest).toMatchObject({ requests: 1, failures: 1 });
  });
});
