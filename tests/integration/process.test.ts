/**
 * The service as a process: what it says, what signals do, what survives, what a wrong start gets.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { restartablePorts, type RunningService, spawnService, startService, stubbedInstallation } from "../support/start-service.ts";
import { openStream } from "../support/stream-session.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const services: RunningService[] = [];
const folders: string[] = [];
afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop("SIGKILL")));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
const start = async (env: Readonly<Record<string, string>> = {}, dataDir?: string): Promise<RunningService> => {
  const service = await startService({ env, ...(dataDir === undefined ? {} : { dataDir }) });
  services.push(service);
  return service;
};
const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "ticker-process-"));
  folders.push(folder);
  return folder;
};
/** A run to its end: exit code and all output. */
const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => new Promise<{ code: number; output: string }>((resolve) => {
  execFile(process.execPath, args, { cwd: ROOT, env: { PATH: process.env["PATH"] ?? "", ...env } }, (error, stdout, stderr) => {
    resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, output: stdout + stderr });
  });
});
const ticketOf = async (service: RunningService): Promise<string> => {
  const body: unknown = await (await fetch(`${service.page}/v1/stream-tickets`, { method: "POST" })).json();
  if (typeof body === "object" && body !== null && "ticket" in body && typeof body.ticket === "string") return body.ticket;
  throw new Error(`no ticket in ${JSON.stringify(body)}`);
};

/** One service for the tests that leave it as it was. */
const ADMIN = `tk_admin${"a".repeat(32)}`;
let shared: RunningService;
beforeAll(async () => {
  shared = await startService({ env: { BOOTSTRAP_API_KEYS: `admin:${ADMIN}` } });
});
afterAll(() => shared.stop());

describe("a first start", () => {
  it("shows a key once, streams to its holder, becomes ready, and does not show the key again", async () => {
    const dataDir = newFolder();
    const first = await start({}, dataDir);
    const [, key = ""] = await first.said(/first key.*(tk_\S+)/);
    expect(first.output()).toContain(`npm run cli -- tail sim:BTC-USD --http ${first.page} --stream ${first.stream}`);
    expect((await fetch(`${first.page}/health/readiness`)).status).toBe(200);
    const session = await openStream(first.stream, key);
    expect(session.authenticated).toMatchObject({ scopes: ["read", "trade", "admin", "publish"] });
    session.socket.terminate();
    await first.stop();
    const second = await start({}, dataDir);
    expect(second.output()).not.toContain("first key");
    (await openStream(second.stream, key)).socket.terminate();
  });

  it("gives the command line of the banner something to show", async () => {
    const service = shared;
    const { code, output } = await run(["src/cli/main.ts", "tail", "sim:BTC-USD", "--count", "5", "--http", service.page, "--stream", service.stream]);
    expect(output).toMatch(/^(quote|trade) sim:BTC-USD #\d+ /m);
    expect(code).toBe(0);
    const wrong = await run(["src/cli/main.ts", "tail", "sim:BTC-USDD", "--http", service.page, "--stream", service.stream]);
    expect(wrong).toMatchObject({ code: 1, output: expect.stringMatching(/unknown_symbol.*sim:BTC-USD/) });
  });
});

describe("a ticket", () => {
  it("opens one session, for reading", async () => {
    const service = shared;
    const ticket = await ticketOf(service);
    const session = await openStream(service.stream, ticket);
    expect(session.authenticated).toMatchObject({ scopes: ["read"] });
    await expect(openStream(service.stream, ticket)).rejects.toThrow(/402/);
    session.socket.terminate();
  });
});

describe("a revoked key", () => {
  it("closes its sessions with 4418 within a second", async () => {
    const service = shared;
    const admin = ["--key", ADMIN, "--http", service.page];
    const without = await run(["src/cli/main.ts", "keys", "create", "--scope", "read"], { DATA_DIR: service.dataDir });
    expect(without).toMatchObject({ code: 1, output: expect.stringMatching(/a service holds .*name an admin key with --key, or stop the service/) });
    const created = await run(["src/cli/main.ts", "keys", "create", "--scope", "read", ...admin], { DATA_DIR: service.dataDir });
    const [keyId = "", key = ""] = created.output.trim().split("\n");
    await expect.poll(() => openStream(service.stream, key).then((session) => session.socket.terminate(), (error: unknown) => String(error)), { timeout: 2000 }).toBeUndefined();
    const session = await openStream(service.stream, key);
    const revoked = await run(["src/cli/main.ts", "keys", "revoke", keyId, ...admin], { DATA_DIR: service.dataDir });
    const fromMs = systemClock.monotonicMs();
    expect(revoked).toEqual({ code: 0, output: `${keyId} revoked\n` });
    expect(await session.closed).toBe(4418);
    expect(systemClock.monotonicMs() - fromMs).toBeLessThan(1000);
    expect((await run(["src/cli/main.ts", "keys", "list", ...admin], { DATA_DIR: service.dataDir })).output).toMatch(new RegExp(`${keyId} .* revoked`));
  });
});

describe("a stop signal", () => {
  it("says goodbye, closes with 1012 and ends with 0, however often npm repeats it, and can be started again at once", async () => {
    const ports = await restartablePorts();
    const service = await start(ports);
    const session = await openStream(service.stream, await ticketOf(service));
    service.signal("SIGTERM");
    service.signal("SIGTERM");
    service.signal("SIGINT");
    expect(await session.closed).toBe(1012);
    expect(session.messages).toContainEqual(expect.objectContaining({ type: "goodbye", code: 503, reason: "draining", reconnect: true }));
    expect(await service.exited).toBe(0);
    expect(service.output()).toContain("stopped");
    // The kernel still keeps the session's closed connection on that port.
    const next = await start(ports);
    expect(next.stream).toBe(service.stream);
  });

  it("also ends a start that is under way", async () => {
    const service = spawnService({ dataDir: newFolder() });
    services.push(service);
    await expect.poll(() => existsSync(join(service.dataDir, "postgres", "PG_VERSION")), { interval: 5, timeout: 10_000 }).toBe(true);
    service.signal("SIGINT");
    expect(await service.exited).toBe(0);
  });

  it("is not held up by a client that reads nothing and answers nothing", async () => {
    const service = await start({ TICKER_SHUTDOWN_MS: "4000" });
    const { port } = new URL(service.stream);
    const socket = connect(Number(port), "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.write("GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    service.signal("SIGTERM");
    expect(await service.exited).toBe(0);
    socket.destroy();
  });
});

describe("a stream thread that does not stop", () => {
  const stubborn = async (shutdownMs: string): Promise<RunningService> => {
    const root = stubbedInstallation();
    folders.push(root);
    const service = await startService({ root, env: { FEED_INSTRUMENTS: "stub:stubborn", TICKER_SHUTDOWN_MS: shutdownMs } });
    services.push(service);
    return service;
  };

  it("lets a later Ctrl-C force exit code 1, but not one within two seconds", async () => {
    const service = await stubborn("60000");
    const fromMs = systemClock.monotonicMs();
    service.signal("SIGTERM");
    // None while the process is being left: it would then end by the signal.
    const pressing = systemClock.every(150, () => service.signal("SIGINT"));
    const letGo = systemClock.after(1_850, () => pressing.stop());
    const later = systemClock.after(2_600, () => service.signal("SIGINT"));
    expect(await service.exited).toBe(1);
    for (const timer of [pressing, letGo, later]) timer.stop();
    expect(systemClock.monotonicMs() - fromMs).toBeGreaterThan(2_550);
  });

  it("is left behind with exit code 1 when the time is over", async () => {
    const service = await stubborn("500");
    service.signal("SIGTERM");
    expect(await service.exited).toBe(1);
    expect(service.output()).toContain("not stopped within 500 ms");
  });

  it("ends the process with 1 when it hangs", async () => {
    const root = stubbedInstallation();
    folders.push(root);
    const service = await startService({ root, env: { FEED_INSTRUMENTS: "stub:hang", TICKER_STREAM_SILENCE_MS: "1000" } });
    services.push(service);
    expect(await service.exited).toBe(1);
    expect(service.output()).toMatch(/the stream thread hangs: it has been silent for \d+ ms/);
  });
});

describe("a killed process", () => {
  it("leaves its data folder and its ports to the next one", async () => {
    const dataDir = newFolder();
    const ports = await restartablePorts();
    const first = await start(ports, dataDir);
    const session = await openStream(first.stream, (await first.said(/first key.*(tk_\S+)/))[1] ?? "");
    first.signal("SIGKILL");
    await first.exited;
    expect(await session.closed).toBe(1006);
    const second = await start(ports, dataDir);
    expect(new URL(second.stream).port).toBe(ports.STREAM_PORT);
  });
});

describe("a second instance", () => {
  it("is refused with a sentence on the same folder and on the same ports", async () => {
    const first = shared;
    const sameFolder = await run(["src/main.ts"], { DATA_DIR: first.dataDir, HTTP_PORT: "0", STREAM_PORT: "0" });
    expect(sameFolder).toMatchObject({ code: 1, output: expect.stringMatching(/^DATA_DIR .* is in use by another ticker-service/m) });
    const { port } = new URL(first.stream);
    const samePort = await run(["src/main.ts"], { DATA_DIR: newFolder(), HTTP_PORT: "0", STREAM_PORT: port });
    expect(samePort).toMatchObject({ code: 1, output: expect.stringMatching(new RegExp(`^STREAM_PORT ${port} on 127\\.0\\.0\\.1 is in use`, "m")) });
  });
});

describe("the command line", () => {
  it("shows help and configuration without starting", async () => {
    expect(await run(["src/main.ts", "--help"])).toMatchObject({ code: 0, output: expect.stringContaining("BOOTSTRAP_API_KEYS [empty]") });
    expect(await run(["src/main.ts", "--print-config"], { LOG_LEVEL: "warn" })).toMatchObject({ code: 0, output: expect.stringMatching(/^LOG_LEVEL=warn$/m) });
    expect(await run(["src/main.ts", "--what"])).toMatchObject({ code: 2, output: expect.stringContaining("unknown option --what") });
  });

  it("names its commands and the recorder", async () => {
    expect(await run(["src/cli/main.ts", "--help"])).toMatchObject({ code: 0, output: expect.stringMatching(/tail SYMBOL[^]*keys list[^]*node src\/cli\/record\.ts --help/) });
  });

  it("names two feeds that own one venue and ends with 1", async () => {
    const folder = newFolder();
    const paths = ["a.jsonl.gz", "b.jsonl.gz"].map((name) => join(folder, name));
    for (const path of paths) writeFileSync(path, gzipSync(`${JSON.stringify({ ts: 1, exchange: "KRAKEN", conn: "ws.1", dir: "in", raw: "{}" })}\n`));
    const { code, output } = await run(["src/main.ts"], { DATA_DIR: folder, HTTP_PORT: "0", STREAM_PORT: "0", FEEDS: paths.map((path) => `replay:${path}`).join(",") });
    expect(output).toMatch(/FEEDS: "replay:\S*a\.jsonl\.gz" and "replay:\S*b\.jsonl\.gz" are both of the venue kraken; keep one of them\n$/);
    expect(output).not.toContain("    at ");
    expect(code).toBe(1);
  });

  it("names every fault of the configuration and ends with 1", async () => {
    const { code, output } = await run(["src/main.ts"], { HTTP_PORT: "x", TICKER_IDLE: "1" });
    expect(code).toBe(1);
    expect(output).toMatch(/configuration: 2 faults\n  - HTTP_PORT: .*\n  - TICKER_IDLE: unknown variable; did you mean TICKER_IDLE_MS\?\n/);
  });

  it("says in one sentence that Node is the wrong one", async () => {
    expect(await run(["scripts/check-node.cjs"])).toEqual({ code: 0, output: "" });
    const { code, output } = await run(["-e", 'Object.defineProperty(process.versions, "node", { value: "20.1.0" }); require("./scripts/check-node.cjs")']);
    expect(code).toBe(1);
    expect(output).toMatch(/^ticker-service needs Node 22\.18 or a later 22, this is 20\.1\.0; .*\n$/);
  });
});
