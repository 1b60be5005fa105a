/**
 * What main does with a stream thread that serves, fails, hangs or never comes up; the thread is a stub.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startEmbedded } from "../support/start-embedded.ts";

const taken = () => new Promise<{ server: Server; port: number }>((resolve) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address();
    resolve({ server, port: typeof address === "object" && address ? address.port : 0 });
  });
});

it("hands keys to the thread at its start and pushes a revocation afterwards", async () => {
  const service = await startEmbedded({ TICKER_KEYS_POLL_MS: "20" });
  const key = service.firstKey();
  expect(key).toMatch(/^tk_/);
  const [keyId = ""] = /key_[0-9a-f]+/.exec(await service.said(/stub listens/)) ?? [];
  const answer = await fetch(`${service.page}/v1/admin/keys/${keyId}`, { method: "DELETE", headers: { "x-api-key": key ?? "" } });
  expect(answer.status).toBe(204);
  expect(await service.said(/stub keys/)).toContain(keyId);
  expect(await service.stop()).toBe(true);
});

it("writes what the thread logs into a file, without the key", async () => {
  const service = await startEmbedded({ DATA_DIR: join(tmpdir(), `ticker-log-${process.pid}`) });
  await service.said(/stub listens/);
  await service.stop();
  const folder = join(service.dataDir, "logs");
  const text = readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8")).join("");
  expect(text).toContain('"msg":"stub listens"');
  expect(text).not.toContain(service.firstKey() ?? "tk_");
});

it("starts a failed thread again and is ready again", async () => {
  const marker = join(tmpdir(), `ticker-fail-${process.pid}`);
  const service = await startEmbedded({}, `stub:fail-once=${marker}`);
  await service.said(/runs again/);
  expect(existsSync(marker)).toBe(true);
  expect((await fetch(`${service.page}/health/readiness`)).status).toBe(200);
  expect(await (await fetch(`${service.page}/metrics`)).text()).toContain("ticker_stream_restarts_total 1");
  expect(await service.stop()).toBe(true);
});

it("gives up on a thread that keeps failing", async () => {
  const service = await startEmbedded({ TICKER_STREAM_RESTARTS_PER_MINUTE_MAX: "1" }, "stub:fail-always");
  expect(await service.fatal).toMatch(/failed again after 1 restarts in a minute: stub failed/);
  expect((await fetch(`${service.page}/health/readiness`)).status).toBe(503);
  await service.stop();
});

it("sees a thread that says nothing any more", async () => {
  const service = await startEmbedded({ TICKER_STREAM_SILENCE_MS: "1000" }, "stub:mute");
  expect(await service.fatal).toMatch(/hangs: it has been silent for \d+ ms/);
  await service.stop();
});

it("is not ready while no worker of a listening stream takes connections", async () => {
  const service = await startEmbedded({ TICKER_READY_WAIT_MS: "0" }, "stub:no-workers");
  const answer = await fetch(`${service.page}/health/readiness`);
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ reason: "no worker takes connections: 0 of 2 listen" });
  await service.stop();
});

it("is not ready, and says so, while it drains", async () => {
  const service = await startEmbedded({}, "stub:slow-drain");
  const stopping = service.stop();
  const answer = await fetch(`${service.page}/health/readiness`);
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ status: "not_ready", phase: "draining" });
  expect((await fetch(`${service.page}/health/liveness`)).status).toBe(200);
  expect(await stopping).toBe(true);
  await expect(fetch(`${service.page}/health/readiness`)).rejects.toThrow("fetch failed");
});

it("does not start when the thread does not", async () => {
  await expect(startEmbedded({}, "stub:refuse")).rejects.toThrow("the stream thread cannot start: stub refuses");
});

it("does not start on ports that are taken, and names them all", async () => {
  const [http, stream, push] = await Promise.all([taken(), taken(), taken()]);
  const env = { FEEDS: "push", HTTP_PORT: String(http.port), STREAM_PORT: String(stream.port), PUSH_PORT: String(push.port) };
  await expect(startEmbedded(env)).rejects.toThrow(new RegExp(`HTTP_PORT ${http.port} .* in use[^]*STREAM_PORT ${stream.port}[^]*PUSH_PORT ${push.port}`));
  for (const { server } of [http, stream, push]) server.close();
});

it("does not start in production without a key", async () => {
  await expect(startEmbedded({ NODE_ENV: "production" })).rejects.toThrow(/BOOTSTRAP_API_KEYS: production needs a usable key/);
});
