/**
 * Readiness as an orchestrator sees it.
 */
import { expect, it } from "vitest";
import type { FeedReport, FeedState } from "../../../src/ports/feeds.ts";
import { HealthService, type StreamHealth } from "../../../src/services/health-service.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const feed = (state: FeedState, reason = ""): FeedReport => ({ name: "kraken", venues: ["kraken"], state, reason, ageMs: null, reconnects: 0, instruments: 0, simulated: false });
const WORKERS = { listening: 2, wanted: 2 };
const health = () => {
  const clock = new FakeClock();
  const stream: { now: StreamHealth } = { now: { isListening: true, reason: "", feeds: [feed("live")], workers: WORKERS } };
  return { clock, stream, service: new HealthService({ clock, readyWaitMs: 10_000, stream: () => stream.now }) };
};

it("is not ready while starting, and ready once the stream listens and a feed is live", () => {
  const { service } = health();
  expect(service.readiness()).toMatchObject({ isReady: false, reason: "starting" });
  service.running();
  expect(service.readiness().isReady).toBe(true);
});

it("waits for a live feed, but not longer than its wait", () => {
  const { service, stream, clock } = health();
  service.running();
  stream.now = { isListening: true, reason: "", feeds: [feed("down", "connection refused")], workers: WORKERS };
  clock.advance(9999);
  expect(service.readiness()).toMatchObject({ isReady: false, dependencies: [{ name: "stream", ok: true }, { name: "workers", ok: true, detail: "2 of 2 listen" }, { name: "feed.kraken", ok: false, detail: "down: connection refused" }] });
  clock.advance(1);
  expect(service.readiness()).toMatchObject({ isReady: true, reason: expect.stringMatching(/no feed is live/) });
});

it("is not ready without a stream, however long it waited, and says why", () => {
  const { service, stream, clock } = health();
  service.running();
  clock.advance(60_000);
  stream.now = { isListening: false, reason: "stub failed", feeds: [], workers: { listening: 0, wanted: 0 } };
  expect(service.readiness()).toMatchObject({ isReady: false, reason: "the stream does not listen: stub failed" });
});

it("is ready with one worker of two, and not with none", () => {
  const { service, stream, clock } = health();
  service.running();
  clock.advance(60_000);
  stream.now = { ...stream.now, workers: { listening: 1, wanted: 2 } };
  expect(service.readiness()).toMatchObject({ isReady: true, dependencies: [{}, { name: "workers", ok: false, detail: "1 of 2 listen" }, {}] });
  stream.now = { ...stream.now, workers: { listening: 0, wanted: 2 } };
  expect(service.readiness()).toMatchObject({ isReady: false, reason: "no worker takes connections: 0 of 2 listen" });
});

it("is not ready while draining, whatever lives", () => {
  const { service } = health();
  service.running();
  service.draining();
  service.running();
  expect(service.readiness()).toMatchObject({ isReady: false, phase: "draining" });
});
