/**
 * Real servers for all tests of a run: a Postgres and a Redis of the machine's binaries on loopback, or those of
 * TEST_DATABASE_URL and TEST_REDIS_URL. Without either, tests that need one are skipped, counted, and the reason is printed.
 */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { TestProject } from "vitest/node";
import pg from "pg";
import { Redis } from "ioredis";
import { Database, embeddedPool } from "../../src/adapters/postgres/database.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TEMPLATE_VARIABLE } from "./data-folder.ts";
import { NO_BREAKER } from "./no-breaker.ts";

export type Server = { readonly url: string; stop(): Promise<void> } | { readonly skip: string };

declare module "vitest" {
  export interface ProvidedContext {
    /** `postgres://...` of a server on which databases may be made; empty: none. */
    postgres: string;
    /** `redis://...`; empty: none. */
    redis: string;
  }
}

const START_MS = 20_000;

let started: readonly Server[] = [];

/** Before all tests of a run. @throws when REQUIRE_SERVERS=1 and one cannot be had. */
export async function setup(project: TestProject): Promise<void> {
  const found = { postgres: await postgres(), redis: await redis() };
  for (const [name, server] of Object.entries(found)) {
    if ("skip" in server && process.env["REQUIRE_SERVERS"] === "1") throw new Error(`REQUIRE_SERVERS=1: ${server.skip}`);
    if ("skip" in server) console.log(`SKIPPED: tests with a real ${name}: ${server.skip}`);
  }
  project.provide("postgres", "url" in found.postgres ? found.postgres.url : "");
  project.provide("redis", "url" in found.redis ? found.redis.url : "");
  started = Object.values(found);
  process.env[TEMPLATE_VARIABLE] = await embeddedTemplate();
}

export async function teardown(): Promise<void> {
  rmSync(process.env[TEMPLATE_VARIABLE] ?? "", { recursive: true, force: true });
  for (const server of started) if ("stop" in server) await server.stop();
}

/** @param isDurable as in production: a commit is on disk */
export async function postgres(isDurable = false): Promise<Server> {
  const given = process.env["TEST_DATABASE_URL"];
  if (given !== undefined && given !== "") return { url: given, stop: () => Promise.resolve() };
  const bin = postgresFolder();
  if (bin === null) return { skip: "no postgres and initdb on PATH or in Debian's folders, TEST_DATABASE_URL is not set" };
  const folder = mkdtempSync(join(tmpdir(), "ticker-postgres-"));
  // Postgres refuses to run as root.
  const user = process.getuid?.() === 0 ? ownerOf() : null;
  if (user !== null) chownSync(folder, user.uid, user.gid);
  const owner = user ?? {};
  chmodSync(folder, 0o700);
  const port = await freePort();
  const data = join(folder, "data");
  execFileSync(join(bin, "initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"], { ...owner, cwd: folder, stdio: "pipe" });
  const settings = { port: String(port), listen_addresses: "127.0.0.1", unix_socket_directories: folder, max_connections: "300", fsync: isDurable ? "on" : "off", shared_buffers: "64MB" };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(join(bin, "postgres"), ["-D", data, ...args], { ...owner, cwd: folder, stdio: "ignore" });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await until(async () => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.end();
  }, "postgres");
  return { url, stop: () => stopped(child, "SIGINT", folder) };
}

async function redis(): Promise<Server> {
  const given = process.env["TEST_REDIS_URL"];
  if (given !== undefined && given !== "") return { url: given, stop: () => Promise.resolve() };
  const binary = onPath("redis-server");
  if (binary === null) return { skip: "no redis-server on PATH, TEST_REDIS_URL is not set" };
  const folder = mkdtempSync(join(tmpdir(), "ticker-redis-"));
  const port = await freePort();
  const child = spawn(binary, ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder], { stdio: "ignore" });
  await until(async () => {
    const client = new Redis(port, "127.0.0.1", { lazyConnect: true, retryStrategy: () => null });
    client.on("error", () => undefined);
    await client.connect();
    client.disconnect();
  }, "redis-server");
  return { url: `redis://127.0.0.1:${port}`, stop: () => stopped(child, "SIGTERM", folder) };
}

async function embeddedTemplate(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "ticker-template-"));
  const database = new Database({ open: () => embeddedPool(folder, systemClock), clock: systemClock, breaker: NO_BREAKER, timeoutMs: 60_000 });
  await database.start();
  await database.stop();
  return folder;
}

function onPath(name: string): string | null {
  return (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** Where `postgres` and `initdb` are: Debian keeps them off PATH, by version. */
function postgresFolder(): string | null {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)).map((version) => join(debian, version, "bin")) : [];
  const folders = [...versions, ...(process.env["PATH"] ?? "").split(delimiter)];
  return folders.find((folder) => existsSync(join(folder, "postgres")) && existsSync(join(folder, "initdb"))) ?? null;
}

function ownerOf(): { readonly uid: number; readonly gid: number } {
  const idOf = (flag: string): number => {
    for (const user of ["postgres", "nobody"]) {
      try {
        return Number(execFileSync("id", [flag, user], { stdio: ["ignore", "pipe", "ignore"] }).toString());
      } catch {
        continue;
      }
    }
    throw new Error("expected a user postgres or nobody to run Postgres as");
  };
  return { uid: idOf("-u"), gid: idOf("-g") };
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function until(attempt: () => Promise<void>, what: string): Promise<void> {
  const endsMs = Date.now() + START_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > endsMs) throw new Error(`${what} did not take connections within ${START_MS} ms`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function stopped(child: ReturnType<typeof spawn>, signal: NodeJS.Signals, folder: string): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => {
      rmSync(folder, { recursive: true, force: true });
      resolve();
    });
    child.kill(signal);
  });
}
