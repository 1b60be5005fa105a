/**
 * Runs of the crash harness on one database: batches at the real process, `kill -9`, a restart, and the comparison with the books
 * of a loopback broker in this process.
 *
 * The process that a run ends with is the one that the next run kills, so every kill but the first of a session hits a process
 * that has itself recovered. Binance through ccxt is the default: it takes a client order id again as soon as the first order
 * has ended, so a second execution would show.
 */
import { rmSync } from "node:fs";
import { systemClock, wait } from "../../src/core/clock.ts";
import { Random } from "../../src/feeds/sim/random.ts";
import { newDataFolder } from "../support/data-folder.ts";
import type { LedgerOrder } from "../support/loopback-broker-ledger.ts";
import { ALPACA_KEY, ALPACA_SECRET, startLoopbackAlpaca } from "../support/loopback-broker-alpaca.ts";
import { BINANCE_KEY, BINANCE_SECRET, startLoopbackBinance } from "../support/loopback-broker-binance.ts";
import type { LoopbackBroker } from "../support/loopback-broker.ts";
import { type RunningService, startService } from "../support/start-service.ts";
import { type Fault, type Report, staleness, untruths } from "./orders-crash-compare.ts";
import { type KillMoment, type PlannedBatch, type PlannedRun, planRun, whole } from "./orders-crash-plan.ts";

export type CrashBroker = "ccxt" | "alpaca";

export interface CrashOutcome {
  readonly kills: number;
  readonly batches: number;
  /** Batches that some answer named before the last kill. */
  readonly acknowledged: number;
  /** Legs in the ledger. */
  readonly executed: number;
  readonly legs: number;
  /** Final states of the batches. */
  readonly states: readonly string[];
  readonly faults: readonly Fault[];
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Null: not of a batch. */
  readonly report: Report | null;
}

const KEY = `tk_crash${"t".repeat(32)}`;
const FINAL: readonly string[] = ["completed", "partial", "rejected", "rolled_back", "rollback_incomplete"];
/** Late effects come within `LATE_MS`, well before the service believes that nothing came. */
const LATE_MS = 60;
const SETTLE_MS = "400";
const END_MS = 60_000;
const FRESH_MS = 15_000;
const AGAIN_MS = 25;
const FILL_CHANCE = 0.06;
const ENV = {
  WORKERS: "1", SIM_INSTRUMENTS: "2", SIM_EVENTS_PER_S: "20", BOOTSTRAP_API_KEYS: `trade:${KEY}`, LOG_LEVEL: "warn", RATE_LIMITS: "off",
  TICKER_BROKER_VENUES: "sim", TICKER_BROKER_DEADLINE_MS: "250", TICKER_BROKER_SETTLE_MS: SETTLE_MS, TICKER_ORDER_ABSENT_SETTLE_MS: SETTLE_MS,
  TICKER_BROKER_POLL_MS: "40", TICKER_BROKER_CONFIRM_MS: "200", TICKER_BROKER_CONFIRM_EVERY_MS: "20", TICKER_ORDER_LOOKUP_DELAY_MS: "50",
  TICKER_ROLLBACK_DELAY_MS: "60", TICKER_BATCH_RESUME_MS: "300", TICKER_ORDER_RECONCILE_MS: "300", TICKER_BREAKER_PROBE_MS: "200", TICKER_BREAKER_CALLS_MIN: "30",
};
const BROKERS = {
  ccxt: { start: startLoopbackBinance, env: { TICKER_BROKER: "ccxt", TICKER_CCXT_API_KEY: BINANCE_KEY, TICKER_CCXT_SECRET: BINANCE_SECRET } },
  alpaca: { start: startLoopbackAlpaca, env: { TICKER_BROKER: "alpaca", TICKER_ALPACA_KEY_ID: ALPACA_KEY, TICKER_ALPACA_SECRET_KEY: ALPACA_SECRET } },
} as const;

export interface CrashSessionOptions {
  readonly broker: CrashBroker;
  /** An empty database; null: embedded. */
  readonly databaseUrl: string | null;
}

export class CrashSession {
  readonly #broker: LoopbackBroker;
  readonly #env: Readonly<Record<string, string>>;
  readonly #dataDir = newDataFolder("ticker-orders-crash-");
  readonly #filledBefore = new Map<LedgerOrder, string[]>();
  #service: RunningService | null = null;
  /** Output of processes that have ended, of this run. */
  #output = "";

  private constructor(broker: LoopbackBroker, env: Readonly<Record<string, string>>) {
    this.#broker = broker;
    this.#env = env;
  }

  static async open({ broker, databaseUrl }: CrashSessionOptions): Promise<CrashSession> {
    const { start, env } = BROKERS[broker];
    const loopback = await start();
    loopback.lateMs = LATE_MS;
    return new CrashSession(loopback, { ...ENV, ...env, TICKER_BROKER_URL: loopback.url, ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }) });
  }

  async close(): Promise<void> {
    await this.#service?.stop("SIGKILL");
    await this.#broker.stop();
    rmSync(this.#dataDir, { recursive: true, force: true });
  }

  /** What the processes of the last run wrote: warnings and errors. */
  get output(): string {
    return this.#output;
  }

  /** @param name unique within the session */
  async run(seed: number, name: string): Promise<CrashOutcome> {
    const random = new Random(seed);
    const plan = planRun(random, name);
    const broker = this.#broker;
    this.#output = "";
    const ordersBefore = broker.ledger.orders.length;
    await this.#started();
    for (const kind of ["place", "cancel", "read"] as const) broker.faults[kind].splice(0, Infinity, ...plan.faults[kind]);
    broker.slowMs = 5 + whole(random, 60);
    const answers = new Map<PlannedBatch, Answer[]>(plan.batches.map((batch) => [batch, []]));
    let kills = 0;
    for (const moment of plan.kills) {
      await this.#killedWhile(moment, plan, answers, random);
      kills++;
    }
    const acknowledged = [...answers.values()].filter((given) => given.length > 0).length;
    await this.#started();
    const faults = await this.#compared(plan, answers, random, ordersBefore);
    const finals = [...answers.values()].map((given) => given.at(-1)?.report);
    return {
      kills, batches: plan.batches.length, legs: plan.batches.reduce((sum, { legs }) => sum + legs.length, 0), executed: broker.ledger.orders.length - ordersBefore,
      acknowledged, states: finals.map((report) => report?.state ?? "none"), faults,
    };
  }

  async #started(): Promise<RunningService> {
    if (this.#service !== null) return this.#service;
    const service = await startService({ env: this.#env, dataDir: this.#dataDir });
    this.#service = service;
    for (const endsMs = performance.now() + END_MS; performance.now() < endsMs; await wait(systemClock, AGAIN_MS)) {
      if (await fetch(`${service.page}/health/readiness`).then(({ status }) => status === 200, () => false)) return service;
    }
    throw new Error(`the service did not become ready within ${END_MS} ms:\n${service.output()}`);
  }

  /** Sends every batch until it is final, kills the process at the moment, and waits for what was under way. */
  async #killedWhile(moment: KillMoment, { batches }: PlannedRun, answers: ReadonlyMap<PlannedBatch, Answer[]>, random: Random): Promise<void> {
    const service = await this.#started();
    const killed = new AbortController();
    const posting = Promise.all(batches.flatMap((batch) => Array.from({ length: batch.senders }, () => this.#final(service, batch, answers.get(batch) ?? [], killed.signal))));
    await Promise.race([this.#moment(moment, random), posting]);
    service.signal("SIGKILL");
    await service.exited;
    killed.abort();
    this.#service = null;
    this.#output += service.output();
    await posting;
  }

  /** Also fills part of an open order now and then. */
  #moment(moment: KillMoment, random: Random): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let left = moment.type === "request" ? moment.nth : 0;
    this.#broker.onHeard = () => {
      if (random.unit() < FILL_CHANCE) this.#fillPart(random);
      left--;
      if (left === 0 && moment.type === "request") systemClock.after(moment.thenMs, resolve);
    };
    if (moment.type === "elapsed") systemClock.after(moment.ms, resolve);
    return promise;
  }

  #fillPart(random: Random): void {
    const { ledger } = this.#broker;
    const open = ledger.orders.filter(({ state, isLimited }) => state === "open" && isLimited);
    const order = open[whole(random, open.length)];
    if (order === undefined) return;
    this.#filledBefore.set(order, [...(this.#filledBefore.get(order) ?? []), order.filled]);
    ledger.fill(order, random.unit() < 0.7 ? "0.05" : order.quantity, systemClock.nowMicros() / 1000);
  }

  /** Sends a batch until its answer is final; keeps every answer that names it. */
  async #final(service: RunningService, batch: PlannedBatch, answers: Answer[], until: AbortSignal): Promise<Answer | null> {
    for (; !until.aborted; await wait(systemClock, AGAIN_MS)) {
      const answer = await posted(service, batch).catch(() => null);
      if (answer?.report === null || answer?.report === undefined || answer.report.id === null) continue;
      answers.push(answer);
      if (FINAL.includes(answer.report.state)) return answer;
    }
    return null;
  }

  async #compared(plan: PlannedRun, answers: ReadonlyMap<PlannedBatch, Answer[]>, random: Random, ordersBefore: number): Promise<readonly Fault[]> {
    const service = await this.#started();
    const { ledger } = this.#broker;
    const faults: Fault[] = [];
    const finals = await Promise.all(plan.batches.map((batch) => this.#finalOf(service, batch, answers.get(batch) ?? [], faults)));
    await this.#broker.settled();
    for (const [i, batch] of plan.batches.entries()) {
      const report = finals[i]?.report;
      if (report) faults.push(...untruths(batch, report, { ledger, filledBefore: this.#filledBefore }).map((what): Fault => ({ kind: "untrue", what: `batch ${batch.key} ${what}` })));
    }
    const known = new Set(finals.flatMap((final) => final?.report?.orders.map(({ id }) => id) ?? []));
    const times = new Map<string, number>();
    for (const { clientId } of ledger.orders.slice(ordersBefore)) {
      times.set(clientId, (times.get(clientId) ?? 0) + 1);
      if (!known.has(clientId)) faults.push({ kind: "lost", what: `the ledger has order ${clientId}, which no batch reports` });
    }
    for (const [clientId, count] of times) if (count > 1) faults.push({ kind: "twice", what: `the ledger has order ${clientId} ${count} times` });
    faults.push(...await this.#stale(service, finals, random));
    return faults;
  }

  /** The final answer of a batch, asked for three times; it must be the same bytes each time, also before the kill, and never another batch. */
  async #finalOf(service: RunningService, batch: PlannedBatch, before: Answer[], faults: Fault[]): Promise<Answer | null> {
    const earlier = [...before];
    const final = await this.#final(service, batch, before, AbortSignal.timeout(END_MS));
    if (final?.report?.id === undefined || final.report.id === null) {
      faults.push({ kind: "lost", what: `batch ${batch.key} came to no end within ${END_MS} ms` });
      return null;
    }
    const { id } = final.report;
    for (const { report, text } of earlier) {
      if (report?.id !== id) faults.push({ kind: "lost", what: `batch ${batch.key} was acknowledged as ${report?.id}, its key is now that of ${id}` });
      else if (FINAL.includes(report.state) && text !== final.text) faults.push({ kind: "retry", what: `batch ${batch.key} was answered ${text} before the kill, ${final.text} after it` });
    }
    const found = await seen(service, id);
    if (found.report?.state !== final.report.state) faults.push({ kind: "lost", what: `batch ${id} is ${final.report.state} in its answer, ${found.status} ${found.report?.state} when it is asked for` });
    for (let i = 0; i < 2; i++) {
      const again = await posted(service, batch);
      if (again.text !== final.text || again.status !== final.status) faults.push({ kind: "retry", what: `batch ${batch.key} answers ${again.status} ${again.text} instead of ${final.status} ${final.text}` });
    }
    return final;
  }

  /** Ends every open order at the broker and waits until the service has each order as the ledger does. */
  async #stale(service: RunningService, finals: readonly (Answer | null)[], random: Random): Promise<readonly Fault[]> {
    const { ledger } = this.#broker;
    const nowMs = systemClock.nowMicros() / 1000;
    for (const order of ledger.orders) {
      if (order.state !== "open") continue;
      if (random.unit() < 0.5) ledger.cancel(order, nowMs);
      else ledger.fill(order, order.quantity, nowMs);
    }
    const ids = finals.flatMap((final) => final?.report?.id ?? []);
    let stale: readonly string[] = [];
    for (const endsMs = performance.now() + FRESH_MS; performance.now() < endsMs; await wait(systemClock, AGAIN_MS)) {
      const now = await Promise.all(ids.map((id) => seen(service, id)));
      stale = now.flatMap((each) => each.report?.orders.flatMap((leg) => staleness(leg, ledger) ?? []) ?? []);
      if (stale.length === 0) break;
    }
    return stale.map((what): Fault => ({ kind: "stale", what }));
  }
}

async function posted(service: RunningService, { key, body }: PlannedBatch): Promise<Answer> {
  return answerOf(await fetch(`${service.page}/v1/orders/batch`, {
    method: "POST", headers: { "x-api-key": KEY, "content-type": "application/json", "idempotency-key": key }, body, signal: AbortSignal.timeout(END_MS),
  }));
}

async function seen(service: RunningService, id: string): Promise<Answer> {
  return answerOf(await fetch(`${service.page}/v1/orders/batch/${id}`, { headers: { "x-api-key": KEY }, signal: AbortSignal.timeout(END_MS) }));
}

async function answerOf(answer: Response): Promise<Answer> {
  const text = await answer.text();
  const read: Partial<Report> | null = JSON.parse(text);
  const { id, state, mode, orders, residual_exposure: residual } = read ?? {};
  const isBatch = id !== undefined && state !== undefined && mode !== undefined && orders !== undefined && residual !== undefined;
  return { status: answer.status, text, report: isBatch ? { id, state, mode, orders, residual_exposure: residual } : null };
}
