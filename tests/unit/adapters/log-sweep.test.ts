/**
 * The log folder after some days, with real files and a clock that the test moves.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LogSweep, type LogSweepOptions } from "../../../src/adapters/log-sweep.ts";
import { openLog } from "../../../src/adapters/telemetry-log.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog } from "../../support/silent-log.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
let folder = "";
let clock: FakeClock;
let log: KeepingLog;
let sweep: LogSweep;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ticker-sweep-"));
  clock = new FakeClock();
  log = new KeepingLog();
  make();
});
afterEach(async () => {
  await sweep.stop();
  rmSync(folder, { recursive: true });
});

function make(options: Partial<LogSweepOptions> = {}): void {
  sweep = new LogSweep({ folder, written: () => "app.2026-01-03.1.log", clock, log, everyMs: MINUTE_MS, keepMs: 7 * DAY_MS, filesMax: 100, ...options });
}
/** A file last written so long ago. */
function file(name: string, ageMs: number, text = `lines of ${name}\n`): void {
  writeFileSync(join(folder, name), text);
  const seconds = (clock.nowMicros() / 1000 - ageMs) / 1000;
  utimesSync(join(folder, name), seconds, seconds);
}
const files = (): string[] => readdirSync(folder).toSorted();
const sample = (name: string, reason?: string): number | undefined => sweep.samples().find((each) => each.name === name && each.labels["reason"] === reason)?.value;

it("packs every rolled file but the newest, keeps its lines and its time, and counts", async () => {
  file("app.2026-01-02.9.log", 2 * DAY_MS);
  file("app.2026-01-02.10.log", DAY_MS);
  file("app.2026-01-03.1.log", 5 * MINUTE_MS);
  await sweep.sweep();
  expect(files()).toEqual(["app.2026-01-02.10.log.gz", "app.2026-01-02.9.log.gz", "app.2026-01-03.1.log"]);
  expect(gunzipSync(readFileSync(join(folder, "app.2026-01-02.9.log.gz"))).toString()).toBe("lines of app.2026-01-02.9.log\n");
  expect(statSync(join(folder, "app.2026-01-02.9.log.gz")).mtimeMs).toBe(clock.nowMicros() / 1000 - 2 * DAY_MS);
  expect(sample("ticker_log_files_packed_total")).toBe(2);
});

it("sweeps at the start and then every minute; a file that was written within the minute waits", async () => {
  file("app.2026-01-02.1.log", MINUTE_MS - 1);
  file("app.2026-01-03.1.log", 0);
  await sweep.start();
  await sweep.sweep();
  expect(files()).toContain("app.2026-01-02.1.log");
  clock.advance(MINUTE_MS - 1);
  await sweep.stop();
  expect(files()).toContain("app.2026-01-02.1.log");
  await sweep.start();
  await expect.poll(files, { timeout: 5_000 }).toEqual(["app.2026-01-02.1.log.gz", "app.2026-01-03.1.log"]);
  file("app.2026-01-01.1.log", DAY_MS);
  await sweep.sweep();
  file("app.2025-12-31.1.log", DAY_MS);
  clock.advance(MINUTE_MS);
  await expect.poll(files, { timeout: 5_000 }).toContain("app.2025-12-31.1.log.gz");
});

it("removes what is older than seven days, packed or not, and nothing younger", async () => {
  file("app.2025-12-26.1.log", 7 * DAY_MS + 1);
  file("app.2025-12-26.2.log.gz", 7 * DAY_MS + 1);
  file("app.2025-12-27.1.log.gz", 7 * DAY_MS);
  file("app.2026-01-03.1.log", 8 * DAY_MS);
  await sweep.sweep();
  expect(files()).toEqual(["app.2025-12-27.1.log.gz", "app.2026-01-03.1.log"]);
  expect(sample("ticker_log_files_removed_total", "age")).toBe(2);
});

it("keeps as many as the limit says besides the newest, and removes the oldest", async () => {
  make({ filesMax: 2 });
  for (const number of [1, 2, 3]) file(`app.2026-01-02.${number}.log.gz`, DAY_MS);
  file("app.2026-01-03.1.log", 0);
  await sweep.sweep();
  expect(files()).toEqual(["app.2026-01-02.2.log.gz", "app.2026-01-02.3.log.gz", "app.2026-01-03.1.log"]);
  await sweep.sweep();
  expect(sample("ticker_log_files_removed_total", "count")).toBe(1);
});

it("cleans up after a crash: half a packed file goes, a packed one whose original stayed is packed again", async () => {
  file("app.2026-01-01.1.log.gz.tmp", 0, "half");
  file("app.2026-01-02.1.log", DAY_MS, "whole\n");
  file("app.2026-01-02.1.log.gz", DAY_MS, "whatever");
  file("app.2026-01-03.1.log", 0);
  await sweep.sweep();
  expect(files()).toEqual(["app.2026-01-02.1.log.gz", "app.2026-01-03.1.log"]);
  expect(gunzipSync(readFileSync(join(folder, "app.2026-01-02.1.log.gz"))).toString()).toBe("whole\n");
});

it("leaves alone what is not a log file of ours, and what is written although a later date exists", async () => {
  file("app.2026-01-04.1.log", 2 * DAY_MS);
  file("app.2026-01-03.1.log", 2 * DAY_MS);
  file("keys.json", 30 * DAY_MS);
  file("app.2025-01-01.log", 30 * DAY_MS);
  file("notes.gz.tmp", 30 * DAY_MS);
  await sweep.sweep();
  expect(files()).toEqual(["app.2025-01-01.log", "app.2026-01-03.1.log", "app.2026-01-04.1.log", "keys.json", "notes.gz.tmp"]);
});

it("counts and logs what it cannot do and goes on with the rest", async () => {
  rmSync(folder, { recursive: true });
  await sweep.sweep();
  expect(sample("ticker_log_sweep_failures_total")).toBe(1);
  expect(log.lines).toEqual([expect.objectContaining({ level: "warn", fields: { file: "the folder", reason: expect.stringContaining("ENOENT") } })]);
  folder = mkdtempSync(join(tmpdir(), "ticker-sweep-"));
});

it("loses no line of a logger that rolls while it sweeps", async () => {
  const opened = await openLog({ folder, level: "info", isProduction: true, fileBytesMax: 20_000, console: () => {} });
  make({ written: opened.written, clock: systemClock, everyMs: 0 });
  let before = opened.written();
  for (let i = 0; i < 4_000; i++) {
    opened.log.info({ i }, "a line of some length, so that files are rolled");
    if (i % 200 !== 199) continue;
    await Promise.all([sweep.sweep(), expect.poll(opened.written, { timeout: 5_000, interval: 2 }).not.toBe(before)]);
    before = opened.written();
  }
  await opened.close();
  await sweep.sweep();
  const packed = files().filter((name) => name.endsWith(".gz"));
  expect(packed.length).toBeGreaterThan(10);
  const text = files().map((name) => readFileSync(join(folder, name))).map((bytes, i) => (files()[i]?.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString()).join("");
  const numbers = text.trim().split("\n").map((line) => Number(/"i":(\d+)/.exec(line)?.[1]));
  expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 4_000 }, (_, i) => i));
  expect(log.lines).toEqual([]);
});
