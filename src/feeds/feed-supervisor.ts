/**
 * Runs the feeds that should run: starts, stops, enables and disables them by name, and speaks for all of them.
 *
 * Owns: which feeds are enabled and which failed to start. Path: cold.
 */
import type { Component } from "../core/component.ts";
import { FeedError, messageOf } from "../core/errors.ts";
import type { InstrumentIndex } from "../market/instrument.ts";
import type { CarryOutcome, Feed, FeedReport, ListOutcome } from "../ports/feeds.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { Channel } from "../protocol/topic.ts";

interface Supervised {
  readonly feed: Feed;
  isEnabled: boolean;
  isRunning: boolean;
  /** Why it could not start; empty otherwise. */
  failure: string;
  /** Starts and stops of one feed never overlap: each waits for the one before. */
  turn: Promise<void>;
}

export class FeedSupervisor implements Component, MetricSource {
  readonly name = "feeds";
  readonly #log: Logger;
  readonly #feeds = new Map<string, Supervised>();
  #isRunning = false;
  #failures = 0;

  /** All feeds begin enabled. @throws {RangeError} when two have the same name. */
  constructor(feeds: readonly Feed[], log: Logger) {
    this.#log = log;
    for (const feed of feeds) {
      if (this.#feeds.has(feed.name)) throw new RangeError(`expected feeds of different names, found "${feed.name}" twice`);
      this.#feeds.set(feed.name, { feed, isEnabled: true, isRunning: false, failure: "", turn: Promise.resolve() });
    }
  }

  /** Resolves when all enabled feeds are under way. @throws {FeedError} when none of them could be started; one that could is enough. */
  async start(): Promise<void> {
    this.#isRunning = true;
    const supervised = [...this.#feeds.values()];
    await Promise.all(supervised.map((each) => this.#settle(each)));
    const failed = supervised.filter((each) => each.failure !== "");
    if (failed.length > 0 && failed.length === supervised.filter((each) => each.isEnabled).length) {
      throw new FeedError(`no feed could be started: ${failed.map((each) => `${each.feed.name}: ${each.failure}`).join("; ")}`);
    }
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all([...this.#feeds.values()].map((each) => this.#settle(each)));
  }

  /** False when there is no such feed. A feed that failed to start is tried again. @throws {FeedError} when it cannot start. */
  async enable(name: string): Promise<boolean> {
    const supervised = this.#feeds.get(name);
    if (supervised === undefined) return false;
    supervised.isEnabled = true;
    await this.#settle(supervised);
    if (supervised.failure !== "") throw new FeedError(`feed ${name}: ${supervised.failure}`);
    return true;
  }

  /** False when there is no such feed. Its instruments are told to be down. */
  async disable(name: string): Promise<boolean> {
    const supervised = this.#feeds.get(name);
    if (supervised === undefined) return false;
    supervised.isEnabled = false;
    await this.#settle(supervised);
    return true;
  }

  /** One report a feed, in the order of configuration. */
  reports(): FeedReport[] {
    return [...this.#feeds.values()].map((each) => {
      const report = each.feed.report();
      if (!each.isEnabled) return { ...report, state: "down", reason: "disabled" };
      return each.failure === "" ? report : { ...report, state: "down", reason: each.failure };
    });
  }

  samples(): MetricSample[] {
    const samples = [...this.#feeds.values()].flatMap((each) => each.feed.samples());
    samples.push({ name: "ticker_feed_supervision_failures_total", help: "Feeds that could not be started or stopped", type: "counter", labels: {}, value: this.#failures });
    return samples;
  }

  /** A client wants an instrument: its feed carries it, the others pass it over. */
  demand(instrument: InstrumentIndex): void {
    for (const each of this.#feeds.values()) if (each.isRunning) each.feed.demand(instrument);
  }

  /** A subscription wants an instrument: its feed carries it, also one that is not running for when it does. */
  carry(id: string, channels: readonly Channel[]): CarryOutcome {
    for (const { feed } of this.#feeds.values()) {
      const outcome = feed.carry(id, channels);
      if (outcome !== "foreign") return outcome;
    }
    return "foreign";
  }

  release(id: string, channels: readonly Channel[]): void {
    for (const { feed } of this.#feeds.values()) feed.release(id, channels);
  }

  /** Asks every venue for its list; one outcome for each that has one. */
  async refresh(): Promise<ListOutcome[]> {
    const outcomes = await Promise.all([...this.#feeds.values()].map(({ feed }) => feed.refresh()));
    return outcomes.filter((outcome) => outcome !== null);
  }

  /** Brings a feed to where it should be, after whatever is under way. */
  #settle(supervised: Supervised): Promise<void> {
    supervised.turn = supervised.turn.then(() => this.#bring(supervised));
    return supervised.turn;
  }

  async #bring(supervised: Supervised): Promise<void> {
    const { feed } = supervised;
    const shouldRun = this.#isRunning && supervised.isEnabled;
    if (shouldRun === supervised.isRunning) return;
    supervised.failure = "";
    try {
      if (shouldRun) await feed.start();
      else await feed.stop();
      supervised.isRunning = shouldRun;
      this.#log.info({ feed: feed.name }, shouldRun ? "feed started" : "feed stopped");
    } catch (error) {
      this.#failures++;
      supervised.isRunning = false;
      if (shouldRun) supervised.failure = messageOf(error);
      this.#log.error({ feed: feed.name, error: messageOf(error) }, shouldRun ? "feed could not be started" : "feed could not be stopped");
    }
  }
}
