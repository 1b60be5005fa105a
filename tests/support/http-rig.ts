/**
 * The HTTP app on a real socket with keys, limits and routes of the test's choice; everything behind it is of the test.
 */
import { connect } from "node:net";
import { MemoryRateLimiter, type RateLimitSetting } from "../../src/adapters/rate-limiter.ts";
import { AddressSet } from "../../src/core/address.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { RefusedKey } from "../../src/http/guard.ts";
import { HttpServer } from "../../src/http/http-server.ts";
import type { Api } from "../../src/http/route.ts";
import { createHttpApp, type HttpApp } from "../../src/http/server.ts";
import type { Grant, KeyCheck, Scope } from "../../src/ports/access.ts";
import type { RateLimiter } from "../../src/ports/limits.ts";
import { HealthService } from "../../src/services/health-service.ts";
import { TicketService } from "../../src/services/ticket-service.ts";
import { KeepingLog } from "./silent-log.ts";

/** Texts of keys that every rig knows. */
export const KEYS = {
  read: `tk_${"r".repeat(32)}`, read2: `tk_${"s".repeat(32)}`, trade: `tk_${"t".repeat(32)}`, admin: `tk_${"a".repeat(32)}`, publish: `tk_${"p".repeat(32)}`,
} as const;

const SCOPES: Readonly<Record<keyof typeof KEYS, readonly Scope[]>> = {
  read: ["read"], read2: ["read"], trade: ["read", "trade"], admin: ["read", "trade", "admin", "publish"], publish: ["publish"],
};

export const KNOWN_KEYS: KeyCheck = {
  check: (secret) => {
    const name = entriesOf(KEYS).find(([, text]) => text === secret)?.[0];
    const grant: Grant | null = name === undefined ? null : { keyId: `key_${name}`, scopes: SCOPES[name], isBreakglass: false };
    return grant;
  },
};

export interface RigOptions {
  readonly rateLimits?: RateLimitSetting;
  /** Instead of one in memory. */
  readonly limiter?: RateLimiter;
  readonly allowedOrigins?: readonly string[];
  readonly trustedProxies?: readonly string[];
  readonly isKeylessAllowed?: boolean;
  readonly bodyBytesMax?: number;
  readonly requestMs?: number;
  readonly mount?: (api: Api) => void;
}

export interface HttpRig {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  readonly http: HttpApp;
  readonly server: HttpServer;
  readonly log: KeepingLog;
  readonly refused: readonly RefusedKey[];
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  stop(): Promise<void>;
}

export async function startHttp(options: RigOptions = {}): Promise<HttpRig> {
  const log = new KeepingLog();
  const refused: RefusedKey[] = [];
  const clock = systemClock;
  const health = new HealthService({ clock, readyWaitMs: 0, stream: () => ({ isListening: true, reason: "", feeds: [], workers: { listening: 1, wanted: 1 } }) });
  health.running();
  const http = createHttpApp({
    keys: KNOWN_KEYS, limiter: options.limiter ?? new MemoryRateLimiter(options.rateLimits ?? {}, 1000), onRefusedKey: (key) => refused.push(key), banner: () => null, breakglass: { used: () => Promise.resolve() }, log, clock,
    trustedProxies: new AddressSet(options.trustedProxies ?? []), streamPort: () => 8081, publicStreamUrl: null, health, version: "0.0.0",
    metrics: () => Promise.resolve({ contentType: "text/plain", body: "" }), metricsAllow: new AddressSet(["0.0.0.0/0"]),
    tickets: new TicketService({ clock, ttlMs: 60_000, ticketsMax: 1000 }), isKeylessAllowed: options.isKeylessAllowed ?? false,
    bodyBytesMax: options.bodyBytesMax ?? 1_048_576, allowedOrigins: options.allowedOrigins ?? [],
  }, options.mount ?? (() => undefined));
  const server = new HttpServer(http, { host: "127.0.0.1", port: 0, headersMs: Math.min(10_000, options.requestMs ?? 30_000), requestMs: options.requestMs ?? 30_000, connectionsMax: 1000, clock });
  await server.start();
  const url = `http://127.0.0.1:${server.port()}`;
  return { url, port: server.port(), http, server, log, refused, get: (path, headers = {}) => fetch(url + path, { headers }), stop: () => server.stop() };
}

const DEADLINE_MS = 5000;

/** Writes bytes to a server and reads until it closes the connection. */
export function rawHttp(port: number, ...parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    const deadline = systemClock.after(DEADLINE_MS, () => {
      socket.destroy();
      reject(new Error(`still open after ${DEADLINE_MS} ms, so far: ${answer}`));
    });
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString();
    });
    const end = (): void => {
      deadline.stop();
      resolve(answer);
    };
    socket.on("close", end);
    // A server that refuses a large body closes while we still write.
    socket.on("error", end);
    for (const part of parts) socket.write(part);
  });
}

function entriesOf<T extends object>(value: T): [keyof T, T[keyof T]][] {
  const entries: [keyof T, T[keyof T]][] = [];
  for (const name in value) entries.push([name, value[name]]);
  return entries;
}
