/**
 * Embedded mode: one process without external services. PGlite in a folder of DATA_DIR, limits in memory.
 */
import { join } from "node:path";
import { Database, embeddedPool } from "../adapters/postgres/database.ts";
import { MemoryRateLimiter } from "../adapters/rate-limiter.ts";
import type { Backing, BackingDeps } from "./backing.ts";
import { buildService, type Service, type ServiceOptions } from "./service.ts";

/** Builds the parts without starting them, but for the log. @throws {ResourceError} when the data folder cannot be used. */
export function embedded(options: ServiceOptions): Promise<Service> {
  return buildService(options, embeddedBacking);
}

function embeddedBacking({ config, clock, breakers }: BackingDeps): Backing {
  const database = new Database({
    open: () => embeddedPool(join(config.dataDir, "postgres"), clock), clock, breaker: breakers.of("database"), timeoutMs: config.databaseTimeoutMs,
  });
  return { mode: "embedded", parts: [database], database, limiter: new MemoryRateLimiter(config.rateLimits, config.rateLimitSubjectsMax), pingRedis: null };
}
