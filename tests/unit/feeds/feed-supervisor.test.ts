/**
 * Which feeds run, and what is said of them.
 */
import { describe, expect, it } from "vitest";
import { FeedSupervisor } from "../../../src/feeds/feed-supervisor.ts";
import type { Feed, FeedReport } from "../../../src/ports/feeds.ts";
import { KeepingLog } from "../../support/feed-harness.ts";

class StubFeed implements Feed {
  readonly name: string;
  readonly calls: string[] = [];
  readonly demanded: number[] = [];
  failure: Error | null = null;
  #isBusy = false;

  constructor(name: string) {
    this.name = name;
  }

  start(): Promise<void> {
    return this.#take("start");
  }

  stop(): Promise<void> {
    return this.#take("stop");
  }

  report(): FeedReport {
    return { name: this.name, venues: [this.name], state: "live", reason: "", ageMs: 0, reconnects: 0, instruments: 1, simulated: false };
  }

  samples(): [] {
    return [];
  }

  demand(instrument: number): void {
    this.demanded.push(instrument);
  }

  carry(): "foreign" {
    return "foreign";
  }

  release(): void {}

  refresh(): Promise<null> {
    return Promise.resolve(null);
  }

  async #take(call: string): Promise<void> {
    if (this.#isBusy) throw new Error("two calls at once");
    this.#isBusy = true;
    this.calls.push(call);
    await Promise.resolve();
    this.#isBusy = false;
    if (call === "start" && this.failure !== null) throw this.failure;
  }
}

function setup(): { a: StubFeed; b: StubFeed; log: KeepingLog; supervisor: FeedSupervisor } {
  const [a, b, log] = [new StubFeed("a"), new StubFeed("b"), new KeepingLog()];
  return { a, b, log, supervisor: new FeedSupervisor([a, b], log) };
}

describe("FeedSupervisor", () => {
  it("starts and stops all of them", async () => {
    const { a, b, supervisor } = setup();
    await supervisor.start();
    expect(supervisor.reports().map((report) => report.state)).toEqual(["live", "live"]);
    await supervisor.stop();
    expect([a.calls, b.calls]).toEqual([["start", "stop"], ["start", "stop"]]);
  });

  it("goes on without a feed that cannot start, and says why", async () => {
    const { a, log, supervisor } = setup();
    a.failure = new Error("no such file");
    await supervisor.start();
    expect(supervisor.reports()[0]).toMatchObject({ name: "a", state: "down", reason: "no such file" });
    expect(supervisor.reports()[1]).toMatchObject({ name: "b", state: "live" });
    expect(log.lines.some((line) => line.level === "error")).toBe(true);
    expect(supervisor.samples().find((sample) => sample.name === "ticker_feed_supervision_failures_total")?.value).toBe(1);
  });

  it("does not start when no feed can", async () => {
    const { a, b, supervisor } = setup();
    a.failure = new Error("no such file");
    b.failure = new Error("port in use");
    await expect(supervisor.start()).rejects.toThrow("no feed could be started: a: no such file; b: port in use");
    await supervisor.stop();
  });

  it("disables and enables by name, and knows no other names", async () => {
    const { a, b, supervisor } = setup();
    await supervisor.start();
    expect(await supervisor.disable("a")).toBe(true);
    expect(supervisor.reports()[0]).toMatchObject({ state: "down", reason: "disabled" });
    supervisor.demand(3);
    expect([a.demanded, b.demanded]).toEqual([[], [3]]);
    expect(await supervisor.enable("a")).toBe(true);
    expect(await supervisor.enable("a")).toBe(true);
    expect(a.calls).toEqual(["start", "stop", "start"]);
    expect(await supervisor.enable("c")).toBe(false);
    expect(await supervisor.disable("c")).toBe(false);
  });

  it("lets no start and stop of one feed overlap", async () => {
    const { a, supervisor } = setup();
    await Promise.all([supervisor.start(), supervisor.disable("a"), supervisor.enable("a"), supervisor.disable("a"), supervisor.stop()]);
    expect(a.calls.filter((call, i) => call === a.calls[i - 1])).toEqual([]);
    expect(supervisor.reports()[0]?.reason).toBe("disabled");
  });

  it("tries a feed again that failed before, when it is enabled", async () => {
    const { a, supervisor } = setup();
    a.failure = new Error("no such file");
    await supervisor.start();
    await expect(supervisor.enable("a")).rejects.toThrow("feed a: no such file");
    a.failure = null;
    expect(await supervisor.enable("a")).toBe(true);
    expect(supervisor.reports()[0]?.state).toBe("live");
  });

  it("refuses two feeds of one name", () => {
    expect(() => new FeedSupervisor([new StubFeed("a"), new StubFeed("a")], new KeepingLog())).toThrow(/"a" twice/);
  });
});
