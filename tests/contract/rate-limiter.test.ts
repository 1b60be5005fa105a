/**
 * Rate limits by both adapters: in memory, and in a real Redis that goes away and comes back.
 */
import fc from "fast-check";
import { createServer, connect, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { MemoryRateLimiter, RedisRateLimiter } from "../../src/adapters/rate-limiter.ts";
import { RedisConnection } from "../../src/adapters/redis.ts";
import { systemClock, wait } from "../../src/core/clock.ts";
import { DEFAULT_LIMITS, LIMIT_NAMES, limitOfText, type LimitState, type RateLimiter } from "../../src/ports/limits.ts";
import { NO_BREAKER } from "../support/no-breaker.ts";
import { KeepingLog } from "../support/silent-log.ts";

const REDIS = inject("redis");
const SUBJECTS_MAX = 1000;
let fresh = 0;
/** Nobody else's counts. */
const subject = (): string => `test-${process.pid}-${systemClock.nowMicros()}-${fresh++}`;

/** Asks until it is so; for what comes by itself. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await isSo()) return;
    await wait(systemClock, 10);
  }
  throw new Error("it did not come to be so within 5 s");
}

async function connected(url: string, log = new KeepingLog()): Promise<{ redis: RedisConnection; log: KeepingLog }> {
  const redis = new RedisConnection({ url, log, breaker: NO_BREAKER });
  await redis.start();
  return { redis, log };
}

const adapters: readonly (readonly [name: string, isSkipped: boolean, open: (limits: Readonly<Record<string, string>>) => Promise<{ limiter: RateLimiter; readonly close: () => Promise<void> }>])[] = [
  ["memory", false, (limits) => Promise.resolve({ limiter: new MemoryRateLimiter(limits, SUBJECTS_MAX), close: () => Promise.resolve() })],
  ["redis", REDIS === "", async (limits) => {
    const { redis } = await connected(REDIS);
    return { limiter: new RedisRateLimiter(limits, redis, SUBJECTS_MAX), close: () => redis.stop() };
  }],
];

describe.each(adapters)("limits in %s", (_, isSkipped, open) => {
  const closing: (() => Promise<void>)[] = [];
  const limiterOf = async (limits: Readonly<Record<string, string>> = {}): Promise<RateLimiter> => {
    const { limiter, close } = await open(limits);
    closing.push(close);
    return limiter;
  };
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  it.skipIf(isSkipped)("lets exactly the number through when all come at once, each subject and name apart", async () => {
    const limiter = await limiterOf({ default: "10/min" });
    const [one, other] = [subject(), subject()];
    const states = await Promise.all(Array.from({ length: 100 }, () => limiter.use("default", one)));
    expect(states.filter(({ isAllowed }) => isAllowed)).toHaveLength(10);
    expect(states.map(({ remaining }) => remaining).filter((remaining) => remaining > 0).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect((await limiter.use("default", other)).isAllowed).toBe(true);
    expect((await limiter.use("anonymous", one)).isAllowed).toBe(true);
  });

  it.skipIf(isSkipped)("looks without using", async () => {
    const limiter = await limiterOf({ default: "2/min" });
    const one = subject();
    for (let i = 0; i < 5; i++) expect(await limiter.look("default", one)).toEqual({ name: "default", limit: { max: 2, windowMs: 60_000 }, remaining: 2, resetMs: 0, isAllowed: true });
    await limiter.use("default", one);
    expect(await limiter.look("default", one)).toMatchObject({ remaining: 1, isAllowed: true });
  });

  it.skipIf(isSkipped)("opens a window at the first use, which refused ones do not prolong", async () => {
    const limiter = await limiterOf({ default: "2/s" });
    const one = subject();
    const first = await limiter.use("default", one);
    expect(first.resetMs).toBeGreaterThan(900);
    expect(first.resetMs).toBeLessThanOrEqual(1000);
    const began = systemClock.monotonicMs();
    let state: LimitState = first;
    do {
      await wait(systemClock, 20);
      state = await limiter.use("default", one);
    } while (state.remaining !== 1);
    expect(systemClock.monotonicMs() - began).toBeGreaterThan(900);
    expect(systemClock.monotonicMs() - began).toBeLessThan(1500);
  });
});

describe("the defaults", () => {
  it("are the protocol's", () => {
    const limiter = new MemoryRateLimiter({}, SUBJECTS_MAX);
    expect(Object.fromEntries(LIMIT_NAMES.map((name) => [name, limiter.limitOf(name)]))).toEqual(DEFAULT_LIMITS);
    expect(DEFAULT_LIMITS).toMatchObject({ default: { max: 100, windowMs: 60_000 }, "admin.write": { max: 5, windowMs: 3_600_000 }, "anonymous.hour": { max: 1000, windowMs: 3_600_000 } });
  });

  it("are replaced by name, with every unit", () => {
    const limiter = new MemoryRateLimiter({ default: "7/s", "orders.batch": "1000/min", "admin.write": "9/h" }, SUBJECTS_MAX);
    expect([limiter.limitOf("default"), limiter.limitOf("orders.batch"), limiter.limitOf("admin.write"), limiter.limitOf("anonymous")])
      .toEqual([{ max: 7, windowMs: 1000 }, { max: 1000, windowMs: 60_000 }, { max: 9, windowMs: 3_600_000 }, { max: 60, windowMs: 60_000 }]);
    for (const text of ["0/min", "-1/min", "1/m", "1.5/min", "1/day", "1000000000/s", "", "1", "/s"]) expect(limitOfText(text), text).toBeNull();
  });
});

describe("memory", () => {
  it("counts a bounded number of subjects apart; those beyond share one budget, those before keep theirs", async () => {
    const limiter = new MemoryRateLimiter({ default: "3/h" }, 50);
    const known = Array.from({ length: 50 }, (_, i) => `known-${i}`);
    for (const one of known) await limiter.use("default", one);
    const strangers = await Promise.all(Array.from({ length: 200 }, (_, i) => limiter.use("default", `stranger-${i}`)));
    expect(strangers.filter(({ isAllowed }) => isAllowed)).toHaveLength(3);
    for (const one of known) expect((await limiter.use("default", one)).remaining).toBe(1);
    expect(limiter.samples().find(({ name, labels }) => name === "ticker_rate_limit_shared_total" && labels["limit"] === "default")?.value).toBe(200);
  });

  it("counts them apart again once windows have ended", async () => {
    let limiter = new MemoryRateLimiter({ default: "1/s" }, 10);
    // On a busy machine a window may end too soon: then once more.
    await until(async () => {
      limiter = new MemoryRateLimiter({ default: "1/s" }, 10);
      for (let i = 0; i < 10; i++) await limiter.use("default", `a-${i}`);
      await limiter.use("default", "b");
      return !(await limiter.use("default", "c")).isAllowed;
    });
    await until(async () => (await limiter.look("default", "a-9")).remaining === 1);
    await Promise.all(Array.from({ length: 2100 }, (_, i) => limiter.use("default", `d-${i}`)));
    expect((await limiter.use("default", "e")).isAllowed || (await limiter.use("default", "f")).isAllowed).toBe(true);
  });

  it("lets through what a model lets through, whatever the order", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 }), async (max, uses) => {
      const limiter = new MemoryRateLimiter({ default: `${max}/h` }, SUBJECTS_MAX);
      const states = await Promise.all(uses.map((one) => limiter.use("default", String(one))));
      const seen = new Map<number, number>();
      for (const [i, one] of uses.entries()) {
        seen.set(one, (seen.get(one) ?? 0) + 1);
        expect(states[i]?.isAllowed).toBe((seen.get(one) ?? 0) <= max);
      }
    }));
  });
});

/** A way to Redis that can be cut, and one that can fall silent. */
class Wire {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isOpen = true;
  #isSilent = false;

  constructor(target: URL) {
    this.#server = createServer((client) => {
      if (!this.#isOpen) {
        client.destroy();
        return;
      }
      const upstream = connect(Number(target.port), target.hostname);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      upstream.pipe(client);
      client.on("data", (chunk: Buffer) => {
        if (!this.#isSilent) upstream.write(chunk);
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    return `redis://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  cut(): void {
    this.#isOpen = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    [this.#isOpen, this.#isSilent] = [true, false];
    for (const socket of this.#sockets) socket.destroy();
  }

  silence(): void {
    this.#isSilent = true;
  }

  close(): Promise<void> {
    this.cut();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

describe.skipIf(REDIS === "")("Redis that goes away", () => {
  let wire: Wire;
  let url: string;
  const started: RedisConnection[] = [];
  beforeEach(async () => {
    wire = new Wire(new URL(REDIS));
    url = await wire.listen();
  });
  afterEach(async () => {
    for (const redis of started.splice(0)) await redis.stop();
    await wire.close();
  });
  const begin = async (limits: Readonly<Record<string, string>>) => {
    const { redis, log } = await connected(url);
    started.push(redis);
    return { redis, log, limiter: new RedisRateLimiter(limits, redis, SUBJECTS_MAX) };
  };
  const fallbacks = (limiter: RateLimiter) => limiter.samples().find(({ name }) => name === "ticker_rate_limit_fallbacks_total")?.value ?? 0;
  const isUp = (redis: RedisConnection) => redis.samples().find(({ name }) => name === "ticker_redis_up")?.value === 1;

  it("leaves limits to this process, counted and said once, and is used again when it is back", async () => {
    const { redis, log, limiter } = await begin({ default: "5/h" });
    const one = subject();
    for (let i = 0; i < 3; i++) await limiter.use("default", one);
    wire.cut();
    await until(() => !isUp(redis));
    const away = await Promise.all(Array.from({ length: 20 }, () => limiter.use("default", one)));
    expect(away.filter(({ isAllowed }) => isAllowed)).toHaveLength(5);
    expect((await limiter.look("default", one)).remaining).toBe(0);
    expect(fallbacks(limiter)).toBe(21);
    wire.mend();
    await until(() => isUp(redis));
    expect(await limiter.use("default", one)).toMatchObject({ remaining: 1, isAllowed: true });
    expect(log.lines.map(({ level, message }) => [level, message])).toEqual([["warn", expect.stringContaining("Redis is away")], ["info", "Redis is back"]]);
  });

  it("is not waited for long when it falls silent", async () => {
    const { limiter } = await begin({ default: "5/h" });
    const one = subject();
    await limiter.use("default", one);
    wire.silence();
    const began = systemClock.monotonicMs();
    expect((await limiter.use("default", one)).remaining).toBe(4);
    expect(systemClock.monotonicMs() - began).toBeLessThan(1000);
    expect(fallbacks(limiter)).toBe(1);
  });

  it("does not keep the service from starting, and is found later", async () => {
    wire.cut();
    const { redis, limiter } = await begin({ default: "5/h" });
    expect((await limiter.use("default", "a")).remaining).toBe(4);
    await expect(redis.ping()).rejects.toThrow();
    wire.mend();
    await until(() => isUp(redis));
    await redis.ping();
  });

  it("never shows its address or password in a log line", async () => {
    wire.cut();
    const log = new KeepingLog();
    const redis = new RedisConnection({ url: url.replace("redis://", "redis://user:s3cret@"), log, breaker: NO_BREAKER });
    await redis.start();
    await redis.stop();
    expect(JSON.stringify(log.lines)).not.toContain("s3cret");
    expect(log.lines).toHaveLength(1);
  });
});
