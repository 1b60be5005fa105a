/**
 * Served mode: one node on a Postgres server, with limits in Redis when there is one.
 */
import { Database, serverPool } from "../adapters/postgres/database.ts";
import { MemoryRateLimiter, RedisRateLimiter } from "../adapters/rate-limiter.ts";
import { RedisConnection } from "../adapters/redis.ts";
import type { Backing, BackingDeps } from "./backing.ts";
import { buildService, type Service, type ServiceOptions } from "./service.ts";

/** Builds the parts without starting them, but for the log. @throws {ResourceError} when the data folder cannot be used. */
export function served(options: ServiceOptions): Promise<Service> {
  return buildService(options, servedBacking);
}

function servedBacking({ config, clock, log, breakers }: BackingDeps): Backing {
  const { databaseUrl, redisUrl, databaseTimeoutMs, databaseConnectionsMax, rateLimits } = config;
  if (databaseUrl === null) throw new Error("served mode without DATABASE_URL");
  const database = new Database({
    open: () => Promise.resolve(serverPool(databaseUrl, databaseTimeoutMs, databaseConnectionsMax)), clock, breaker: breakers.of("database"), timeoutMs: databaseTimeoutMs,
  });
  if (redisUrl === null) return { mode: "served", parts: [database], database, limiter: new MemoryRateLimiter(rateLimits, config.rateLimitSubjectsMax), pingRedis: null };
  const redis = new RedisConnection({ url: redisUrl, log, breaker: breakers.of("redis") });
  return { mode: "served", parts: [database, redis], database, limiter: new RedisRateLimiter(rateLimits, redis, config.rateLimitSubjectsMax), pingRedis: () => redis.ping() };
}
