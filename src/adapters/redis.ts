/**
 * The one connection to Redis: bounded waits, a breaker around every call, its coming and going said once.
 *
 * Redis is never needed: whoever uses it decides what to do without. Runs on: main thread.
 */
import { Redis } from "ioredis";
import type { Component } from "../core/component.ts";
import { messageOf } from "../core/errors.ts";
import type { Breaker } from "../ports/breakers.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";

export interface RedisDeps {
  /** `redis://` or `rediss://`; may hold a password, is never logged. */
  readonly url: string;
  readonly log: Logger;
  /** Named `redis`. */
  readonly breaker: Breaker;
}

/** A command that takes longer has failed. */
const COMMAND_MS = 200;
/** A connection attempt that takes longer has failed. */
const CONNECT_MS = 2000;

export class RedisConnection implements Component, MetricSource {
  readonly name = "redis";
  /** For libraries that take a client; calls go through `run`. */
  readonly client: Redis;
  readonly #deps: RedisDeps;
  #isAway = false;
  #isStopping = false;
  #losses = 0;

  constructor(deps: RedisDeps) {
    this.#deps = deps;
    this.client = new Redis(deps.url, {
      maxRetriesPerRequest: 1, enableOfflineQueue: false, lazyConnect: true, commandTimeout: COMMAND_MS, connectTimeout: CONNECT_MS,
    });
    this.client.on("error", (error: unknown) => this.#away(messageOf(error)));
    this.client.on("close", () => this.#away("the connection was closed"));
    this.client.on("ready", () => this.#back());
  }

  /** Waits for the first attempt, not for its success: further ones follow by themselves. */
  async start(): Promise<void> {
    await this.client.connect().catch((error: unknown) => this.#away(messageOf(error)));
  }

  stop(): Promise<void> {
    this.#isStopping = true;
    this.client.disconnect();
    return Promise.resolve();
  }

  /** Calls Redis through the breaker. @throws {UnavailableError} while the breaker is open, else what the library says. */
  run<T>(call: () => Promise<T>): Promise<T> {
    return this.#deps.breaker.run(call);
  }

  /** One round trip. @throws when there is none within 200 ms. */
  async ping(): Promise<void> {
    await this.client.ping();
  }

  samples(): MetricSample[] {
    return [
      { name: "ticker_redis_up", help: "1 while Redis is connected", type: "gauge", labels: {}, value: this.client.status === "ready" ? 1 : 0 },
      { name: "ticker_redis_losses_total", help: "Times the connection to Redis was lost or could not be had", type: "counter", labels: {}, value: this.#losses },
    ];
  }

  #away(reason: string): void {
    if (this.#isAway || this.#isStopping) return;
    this.#isAway = true;
    this.#losses++;
    this.#deps.log.warn({ reason }, "Redis is away: limits are counted in this process until it is back");
  }

  #back(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#deps.log.info({}, "Redis is back");
  }
}
