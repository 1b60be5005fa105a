/**
 * Rate limits with rate-limiter-flexible: counted in this process, or in Redis with this process as insurance.
 *
 * Owns: the counts of this process, per limit and subject. Runs on: main thread, once or twice per request.
 */
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import { DEFAULT_LIMITS, type Limit, LIMIT_NAMES, type LimitName, limitOfText, type LimitState, type RateLimiter } from "../ports/limits.ts";
import type { MetricSample } from "../ports/telemetry.ts";
import type { RedisConnection } from "./redis.ts";

/** `off`, or rates by name that replace the defaults; already checked. */
export type RateLimitSetting = "off" | Readonly<Record<string, string>>;

/** Whoever comes when so many are counted already shares one budget until a window ends. */
const OTHERS = "others";
/** While full, live subjects are counted again after so many uses by others. */
const RECOUNT_USES = 1000;

/** Counts in this process: exact, because one thread asks and nothing is awaited between looking and counting. */
export class MemoryRateLimiter implements RateLimiter {
  readonly isOn: boolean;
  readonly #budgets: ReadonlyMap<LimitName, MemoryBudget>;

  /** @param subjectsMax keys and addresses that one limit counts apart */
  constructor(setting: RateLimitSetting, subjectsMax: number) {
    this.isOn = setting !== "off";
    this.#budgets = new Map(LIMIT_NAMES.map((name) => [name, new MemoryBudget(name, limitOf(setting, name), subjectsMax)]));
  }

  limitOf(name: LimitName): Limit {
    return this.#budget(name).limit;
  }

  use(name: LimitName, subject: string): Promise<LimitState> {
    return this.#budget(name).use(subject);
  }

  look(name: LimitName, subject: string): Promise<LimitState> {
    return this.#budget(name).look(subject);
  }

  samples(): MetricSample[] {
    return [...this.#budgets.values()].flatMap((budget) => budget.samples());
  }

  #budget(name: LimitName): MemoryBudget {
    const budget = this.#budgets.get(name);
    if (!budget) throw new Error(`no limit is called ${name}`);
    return budget;
  }
}

/** Counts in Redis, for all nodes; while Redis is away, in this process: counted, and recovered by itself. */
export class RedisRateLimiter implements RateLimiter {
  readonly isOn: boolean;
  readonly #insurance: MemoryRateLimiter;
  readonly #redis: RedisConnection;
  readonly #limiters: ReadonlyMap<LimitName, RateLimiterRedis>;
  readonly #refused = new Map<LimitName, number>();
  #fallbacks = 0;

  constructor(setting: RateLimitSetting, redis: RedisConnection, subjectsMax: number) {
    this.isOn = setting !== "off";
    this.#insurance = new MemoryRateLimiter(setting, subjectsMax);
    this.#redis = redis;
    this.#limiters = new Map(LIMIT_NAMES.map((name) => {
      const { max, windowMs } = limitOf(setting, name);
      return [name, new RateLimiterRedis({
        storeClient: redis.client, rejectIfRedisNotReady: true, keyPrefix: `ticker:limit:${name}`, points: max, duration: windowMs / 1000,
      })];
    }));
  }

  limitOf(name: LimitName): Limit {
    return this.#insurance.limitOf(name);
  }

  async use(name: LimitName, subject: string): Promise<LimitState> {
    const limiter = this.#limiter(name);
    const state = await this.#ask(name, () => taken(limiter.consume(subject)));
    if (state === null) return this.#insurance.use(name, subject);
    if (!state.isAllowed) this.#refused.set(name, (this.#refused.get(name) ?? 0) + 1);
    return state;
  }

  async look(name: LimitName, subject: string): Promise<LimitState> {
    const limiter = this.#limiter(name);
    return await this.#ask(name, async () => (await limiter.get(subject)) ?? UNUSED) ?? this.#insurance.look(name, subject);
  }

  samples(): MetricSample[] {
    return [
      ...this.#redis.samples(),
      ...this.#insurance.samples().map((sample) => (sample.name === REFUSED ? { ...sample, value: sample.value + this.#refusedIn(sample) } : sample)),
      { name: "ticker_rate_limit_fallbacks_total", help: "Uses counted in this process because Redis was away", type: "counter", labels: {}, value: this.#fallbacks },
    ];
  }

  #refusedIn({ labels }: MetricSample): number {
    return [...this.#refused].find(([name]) => name === labels["limit"])?.[1] ?? 0;
  }

  /** Null when Redis did not answer: the connection and its breaker have said so already. */
  async #ask(name: LimitName, call: () => Promise<Counted>): Promise<LimitState | null> {
    try {
      return stateOf(name, this.limitOf(name), await this.#redis.run(call));
    } catch {
      this.#fallbacks++;
      return null;
    }
  }

  #limiter(name: LimitName): RateLimiterRedis {
    const limiter = this.#limiters.get(name);
    if (!limiter) throw new Error(`no limit is called ${name}`);
    return limiter;
  }
}

const REFUSED = "ticker_rate_limit_refused_total";

/** One limit, counted in memory for a bounded number of subjects. */
class MemoryBudget {
  readonly limit: Limit;
  readonly #name: LimitName;
  readonly #limiter: RateLimiterMemory;
  readonly #subjectsMax: number;
  /** Windows opened since the last count, with those that were open then: never less than the subjects held. */
  #opened = 0;
  #refused = 0;
  #shared = 0;

  constructor(name: LimitName, limit: Limit, subjectsMax: number) {
    this.#name = name;
    this.limit = limit;
    this.#subjectsMax = subjectsMax;
    this.#limiter = new RateLimiterMemory({ points: limit.max, duration: limit.windowMs / 1000 });
  }

  async use(subject: string): Promise<LimitState> {
    const counted = await taken(this.#limiter.consume(this.#opened < this.#subjectsMax ? subject : await this.#bounded(subject)));
    if (counted.isFirstInDuration && ++this.#opened >= this.#subjectsMax) this.#recount();
    const state = stateOf(this.#name, this.limit, counted);
    if (!state.isAllowed) this.#refused++;
    return state;
  }

  async look(subject: string): Promise<LimitState> {
    return stateOf(this.#name, this.limit, (await this.#limiter.get(subject)) ?? UNUSED);
  }

  samples(): MetricSample[] {
    const labels = { limit: this.#name };
    return [
      { name: REFUSED, help: "Requests refused because a limit was used up", type: "counter", labels, value: this.#refused },
      { name: "ticker_rate_limit_shared_total", help: "Uses counted together because too many subjects are counted apart", type: "counter", labels, value: this.#shared },
    ];
  }

  /** A subject without a window shares one budget with all others like it. */
  async #bounded(subject: string): Promise<string> {
    if ((await this.#limiter.get(subject)) !== null) return subject;
    if (++this.#shared % RECOUNT_USES === 0) this.#recount();
    return OTHERS;
  }

  #recount(): void {
    this.#opened = this.#limiter.dump().storage.length;
  }
}

/** What the library says of a use or a look. */
type Counted = Pick<RateLimiterRes, "consumedPoints" | "msBeforeNext" | "isFirstInDuration">;

const UNUSED: Counted = { consumedPoints: 0, msBeforeNext: 0, isFirstInDuration: false };

/** The library rejects with the count when it is over the limit. */
function taken(consumed: Promise<RateLimiterRes>): Promise<Counted> {
  return consumed.catch((error: unknown) => {
    if (error instanceof RateLimiterRes) return error;
    throw error;
  });
}

function stateOf(name: LimitName, limit: Limit, { consumedPoints, msBeforeNext }: Counted): LimitState {
  const isOpen = msBeforeNext > 0;
  return {
    name, limit, remaining: isOpen ? Math.max(0, limit.max - consumedPoints) : limit.max, resetMs: isOpen ? msBeforeNext : 0,
    isAllowed: !isOpen || consumedPoints <= limit.max,
  };
}

function limitOf(setting: RateLimitSetting, name: LimitName): Limit {
  const text = setting === "off" ? undefined : setting[name];
  if (text === undefined) return DEFAULT_LIMITS[name];
  const limit = limitOfText(text);
  if (!limit) throw new Error(`RATE_LIMITS was not checked: ${name} is ${text}`);
  return limit;
}
