/**
 * Over real sockets: whatever the order in which events are written, told, lost, pruned and asked for, every client of an owner has each
 * event once and in order, or a gap that says which it has not.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { MemoryOrderLog } from "../support/order-log.ts";
import { entriesOf, type Message, type StreamClient } from "../support/stream-client.ts";
import { until } from "../support/trading-rig.ts";
import { StreamRig, TRADE_KEY } from "../support/stream-rig.ts";

const OWNER = "k-trade";

type Step =
  | { readonly type: "write"; readonly count: number }
  /** Told to nobody; told later; told in the reverse of their order. */
  | { readonly type: "silent"; readonly count: number }
  | { readonly type: "hold" }
  | { readonly type: "release"; readonly isReversed: boolean }
  | { readonly type: "prune"; readonly keep: number }
  | { readonly type: "begin_anew" }
  | { readonly type: "away"; readonly isAway: boolean }
  | { readonly type: "open" }
  | { readonly type: "leave"; readonly client: number }
  /** Cut off, if it has not left, and back with what it has. */
  | { readonly type: "cut"; readonly client: number }
  | { readonly type: "pause"; readonly client: number }
  | { readonly type: "turns"; readonly count: number };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant("write" as const), count: fc.integer({ min: 1, max: 150 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("silent" as const), count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ type: "hold" }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("release" as const), isReversed: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("prune" as const), keep: fc.integer({ min: 0, max: 20 }) }) },
  { weight: 1, arbitrary: fc.constant<Step>({ type: "begin_anew" }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("away" as const), isAway: fc.boolean() }) },
  { weight: 3, arbitrary: fc.constant<Step>({ type: "open" }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("cut" as const), client: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("leave" as const), client: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("pause" as const), client: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("turns" as const), count: fc.integer({ min: 1, max: 5 }) }) },
), { minLength: 5, maxLength: 40 });

/** What one client has over all its connections. */
class Account {
  client: StreamClient | null = null;
  hasLeft = false;
  epoch: string | null = null;
  seq = 0;
  readonly faults: string[] = [];
  #read = 0;

  get subscribe(): object {
    return { type: "subscribe", id: 1, channel: "orders", ...(this.epoch === null ? {} : { resume: [{ epoch: this.epoch, seq: this.seq }] }) };
  }

  /** Takes in what has arrived since. */
  settle(): void {
    const messages = this.client?.messages ?? [];
    for (; this.#read < messages.length; this.#read++) this.#take(messages[this.#read]);
  }

  leave(): void {
    this.client?.close();
    this.hasLeft = true;
  }

  opened(client: StreamClient): void {
    this.hasLeft = false;
    this.client = client;
    this.#read = 0;
  }

  #take(message: Message | undefined): void {
    if (message?.type === "subscribed") {
      const [topic] = entriesOf(message, "topics");
      // Resumed, or held already: counting goes on where it was.
      const isSame = topic?.["epoch"] === this.epoch && topic["seq"] === this.seq;
      if (this.epoch !== null && !isSame && topic?.["resumed"] !== "gap") this.#fault(message);
      [this.epoch, this.seq] = [String(topic?.["epoch"]), Number(topic?.["seq"])];
    } else if (message?.type === "gap") {
      if (message["reason"] === "expired" && (message["from"] !== this.seq + 1 || message["epoch"] !== this.epoch)) this.#fault(message);
      [this.epoch, this.seq] = [String(message["epoch"]), Number(message["reason"] === "expired" ? message["to"] : message["seq"])];
    } else if (message?.type === "order") {
      if (message["epoch"] !== this.epoch || message["seq"] !== this.seq + 1) this.#fault(message);
      this.seq = Number(message["seq"]);
    }
  }

  #fault(message: Message): void {
    this.faults.push(`at ${this.epoch} ${this.seq} got ${JSON.stringify({ ...message, order: undefined })}`);
  }
}

class Run {
  readonly log = new MemoryOrderLog();
  readonly accounts: Account[] = [];
  readonly outcomes: Map<string, number>;
  readonly rig: StreamRig;

  private constructor(rig: StreamRig, log: MemoryOrderLog, outcomes: Map<string, number>) {
    this.rig = rig;
    this.log = log;
    this.outcomes = outcomes;
    log.connect((events) => rig.fanout.orderEvents(events));
  }

  static async start(outcomes: Map<string, number>): Promise<Run> {
    const log = new MemoryOrderLog();
    return new Run(await StreamRig.start({ pingMs: 20, pingAgeMaxMs: 40, softLimitBytes: 8 << 10, commandsPerS: 1000, commandsBurst: 1000 }, log.read), log, outcomes);
  }

  async take(step: Step): Promise<void> {
    const { log, accounts } = this;
    switch (step.type) {
      case "write":
        log.write(OWNER, step.count);
        return;
      case "silent":
        log.isTelling = false;
        log.write(OWNER, step.count);
        log.isTelling = true;
        return;
      case "hold":
        log.isHolding = true;
        return;
      case "release":
        log.isHolding = false;
        return log.release((held) => (step.isReversed ? held.toReversed() : held));
      case "prune": return log.prune(OWNER, (await this.#newest()).seq - step.keep);
      case "begin_anew": return log.beginAnew(OWNER);
      case "away":
        log.isAway = step.isAway;
        return;
      case "open":
        if (accounts.length < 4) await this.#connect(accounts[accounts.push(new Account()) - 1]);
        return;
      case "cut": return this.#connect(accounts[step.client]);
      case "leave": return accounts[step.client]?.leave();
      case "pause":
        accounts[step.client]?.client?.socket.pause();
        return;
      case "turns":
        for (let i = 0; i < step.count; i++) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Nothing is held back any more: every client comes to the newest event. */
  async end(): Promise<void> {
    const { log } = this;
    log.isAway = false;
    log.isHolding = false;
    log.release();
    for (const account of this.accounts) {
      account.client?.socket.resume();
      await until("a subscription", async () => {
        if (account.hasLeft) await this.#connect(account);
        account.settle();
        return (await account.client?.ask({ ...account.subscribe, id: `last-${Math.random()}` }))?.type === "subscribed";
      });
    }
    log.write(OWNER);
    const newest = await this.#newest();
    for (const account of this.accounts) {
      await until(`the event ${newest.seq} of ${newest.epoch}`, () => {
        account.settle();
        return account.epoch === newest.epoch && account.seq === newest.seq;
      }, 4_000);
    }
    for (const sample of this.rig.fanout.samples()) {
      if (!sample.name.startsWith("ticker_stream_orders_") || sample.type !== "counter") continue;
      const name = `${sample.name} ${Object.values(sample.labels).join()}`;
      this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + sample.value);
    }
  }

  async #newest(): Promise<{ readonly epoch: string; readonly seq: number }> {
    const { isAway } = this.log;
    this.log.isAway = false;
    const newest = await this.log.position(OWNER);
    this.log.isAway = isAway;
    return newest;
  }

  async #connect(account: Account | undefined): Promise<void> {
    if (account === undefined) return;
    account.settle();
    account.client?.close();
    const client = await this.rig.session(TRADE_KEY);
    account.opened(client);
    client.say(account.subscribe);
  }
}

it("has every event once, or a gap that says which it has not", async () => {
  const outcomes = new Map<string, number>();
  await fc.assert(fc.asyncProperty(steps, async (taken) => {
    const run = await Run.start(outcomes);
    try {
      for (const step of taken) await run.take(step);
      await run.end();
      expect(run.accounts.flatMap(({ faults }) => faults)).toEqual([]);
    } finally {
      await run.rig.stop();
    }
  }), { numRuns: 400 });
  for (const name of ["subscribed_total exact", "subscribed_total expired", "subscribed_total restart", "gaps_total expired", "gaps_total restart", "holes_total ", "published_total ", "unread_total "]) {
    expect(outcomes.get(`ticker_stream_orders_${name}`) ?? 0, name).toBeGreaterThan(0);
  }
}, 120_000);
