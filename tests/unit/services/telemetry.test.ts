/**
 * Logs and metrics as an operator reads them.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLog } from "../../../src/adapters/telemetry-log.ts";
import { MetricsRenderer } from "../../../src/adapters/telemetry-metrics.ts";
import type { MetricSample } from "../../../src/ports/telemetry.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ticker-log-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = async (isProduction: boolean) => {
  const lines: string[] = [];
  const log = await openLog({ folder, level: "info", isProduction, fileBytesMax: 1 << 20, console: (line) => void lines.push(line) });
  return { ...log, lines };
};
const fileText = () => readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8")).join("");

it("writes JSON into the file and a short line onto the console", async () => {
  const { log, lines, close } = await open(false);
  log.info({ port: 8081, feeds: ["sim"] }, "the stream listens");
  log.debug({}, "too quiet");
  await close();
  expect(lines).toEqual([expect.stringMatching(/^\d\d:\d\d:\d\d info {2}the stream listens port=8081 feeds=\["sim"\]\n$/)]);
  expect(JSON.parse(fileText())).toMatchObject({ level: 30, port: 8081, msg: "the stream listens" });
});

it("writes JSON onto the console in production", async () => {
  const { log, lines, close } = await open(true);
  log.warn({ reason: "x" }, "careful");
  await close();
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: 40, reason: "x", msg: "careful" });
});

it("never writes a secret, at its own level or one below, in any place", async () => {
  const { log, lines, close } = await open(true);
  log.error({ apiKey: "tk_1", request: { authorization: "tk_2", ticket: "tk_3" }, headers: { "x-api-key": "tk_4" }, password: "tk_5" }, "leaky");
  await close();
  expect(lines.join("") + fileText()).not.toMatch(/tk_\d/);
  expect(fileText()).toContain("[redacted]");
});

it("keeps every line that was logged before it was closed", async () => {
  const { log, close } = await open(true);
  for (let i = 0; i < 2000; i++) log.info({ i }, "line");
  await close();
  expect(fileText().trim().split("\n")).toHaveLength(2000);
});

it("renders samples of one name as one metric, with labels, counters and gauges", async () => {
  const sample = (name: string, type: MetricSample["type"], labels: Readonly<Record<string, string>>, value: number): MetricSample => ({ name, help: `About ${name}`, type, labels, value });
  const { body, contentType } = await new MetricsRenderer().render([
    sample("ticker_a_total", "counter", { reason: "stale" }, 3), sample("ticker_b", "gauge", {}, -1.5), sample("ticker_a_total", "counter", { reason: 'cro"ssed' }, 0),
  ]);
  expect(contentType).toMatch(/^text\/plain/);
  expect(body).toContain('# HELP ticker_a_total About ticker_a_total\n# TYPE ticker_a_total counter\nticker_a_total{reason="stale"} 3\nticker_a_total{reason="cro\\"ssed"} 0\n');
  expect(body).toContain("# TYPE ticker_b gauge\nticker_b -1.5\n");
  expect(body).toContain("nodejs_eventloop_lag_seconds");
});
