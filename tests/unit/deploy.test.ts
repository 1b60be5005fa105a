/**
 * The files of `deploy/` agree with the defaults of the configuration.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { loadConfig } from "../../src/config.ts";

const { httpPort, shutdownMs, stream } = loadConfig({});
/** What stands behind a setting, as a number. */
function setting(file: string, pattern: RegExp): number {
  const text = readFileSync(new URL(`../../deploy/${file}`, import.meta.url), "utf8");
  return Number(pattern.exec(text)?.[1] ?? Number.NaN);
}

it("gives a drain its time and every client a descriptor under systemd", () => {
  const unit = "systemd/ticker-service.service";
  expect(setting(unit, /^TimeoutStopSec=(\d+)$/m) * 1000).toBeGreaterThan(shutdownMs);
  expect(setting(unit, /^LimitNOFILE=(\d+)$/m)).toBeGreaterThan(stream.fanout.sessionsMax + 1000);
});

it("has nginx ask the right ports and leave idle clients to the service", () => {
  const conf = "nginx/stream.conf";
  expect(setting(conf, /ticker_http \{\s+server 127\.0\.0\.1:(\d+);/)).toBe(httpPort);
  expect(setting(conf, /ticker_stream \{\s+server 127\.0\.0\.1:(\d+);/)).toBe(stream.streamPort);
  expect(setting(conf, /proxy_read_timeout (\d+)s;\s+proxy_send_timeout/) * 1000).toBeGreaterThan(stream.fanout.idleMs);
});

it("lets as many connections wait as the service asks for", () => {
  expect(setting("sysctl/ticker-service.conf", /^net\.core\.somaxconn = (\d+)$/m)).toBeGreaterThanOrEqual(512);
});
