/**
 * What the recorder writes from a live connection is what crossed it, and plays again.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import { readCaptureSync } from "../../../src/feeds/capture.ts";
import { Recorder } from "../../../src/feeds/recorder.ts";
import { ReplayFeed } from "../../../src/feeds/replay-feed.ts";
import { CollectingSink } from "../../support/collecting-sink.ts";
import { FeedHarness, KeepingLog, until } from "../../support/feed-harness.ts";
import { startLoopbackVenue } from "../../support/loopback-venue.ts";
import { capturePath, hasVenueData } from "../../support/venue-data.ts";

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "record-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

const BINANCE = ["NKN-USDT", "BLZ-ETH", "LRC-BTC", "RUNE-EUR"];

describe("Recorder", () => {
  it.skipIf(!hasVenueData)("writes every message byte for byte, and the file replays to the same events", async () => {
    const venue = await startLoopbackVenue({ capture: capturePath("BINANCE") });
    onTestFinished(() => venue.stop());
    const path = join(await folder(), "recorded.jsonl.gz");
    const recorder = new Recorder(path, "BINANCE", systemClock);
    const live = new FeedHarness("binance", venue, { instruments: BINANCE, tap: recorder });
    await live.feed.start();
    await until("the end of the recording", () => venue.isAtEnd && live.sample("ticker_feed_messages_total") === venue.totals.messages);
    await live.feed.stop();
    await recorder.close();
    const original = readCaptureSync(capturePath("BINANCE"));
    const again = readCaptureSync(path);
    const messages = (records: typeof original): string[] => records.filter((each) => each.dir === "in" && each.kind === "message").map((each) => each.raw);
    const answers = (records: typeof original): string[] => records.filter((each) => each.kind === "http").map((each) => each.raw).toSorted();
    expect(messages(again)).toEqual(messages(original));
    expect(answers(again)).toEqual(answers(original));
    expect(again.filter((each) => each.kind === "open").map((each) => new URL(each.url).pathname)).toEqual(["/stream"]);
    expect(recorder).toMatchObject({ dropped: 0, records: again.length });

    const sink = new CollectingSink();
    const replay = new ReplayFeed({ sink, clock: systemClock, log: new KeepingLog(), path, speed: 0 });
    onTestFinished(() => replay.stop());
    await replay.start();
    await until("the end of the replay", () => replay.report().reason === "end of recording");
    for (const kind of ["book", "quote", "trade"] as const) expect(sink.events.filter((event) => event.kind === kind)).toHaveLength(live.count(kind));
  });

  it("keeps the bytes of binary frames and of any text", async () => {
    const path = join(await folder(), "made.jsonl.gz");
    const recorder = new Recorder(path, "TEST", systemClock);
    recorder.opened("ws://127.0.0.1:1/stream");
    recorder.received(Buffer.from([0, 255, 128]), true);
    recorder.received(Buffer.from(' {"a" : 1.50,\n"é":"\\u00e9"}'), false);
    recorder.sent("hello");
    await recorder.close();
    const records = readCaptureSync(path);
    expect(records.map(({ conn, dir, kind, frame, encoding, raw }) => ({ conn, dir, kind, frame, encoding, raw }))).toEqual([
      { conn: "ws.1", dir: "out", kind: "open", frame: "text", encoding: "text", raw: "" },
      { conn: "ws.1", dir: "in", kind: "message", frame: "binary", encoding: "base64", raw: "AP+A" },
      { conn: "ws.1", dir: "in", kind: "message", frame: "text", encoding: "text", raw: ' {"a" : 1.50,\n"é":"\\u00e9"}' },
      { conn: "ws.1", dir: "out", kind: "message", frame: "text", encoding: "text", raw: "hello" },
    ]);
  });

  it("counts what it leaves out when the disk does not keep up, and after its end", async () => {
    const path = join(await folder(), "made.jsonl.gz");
    const recorder = new Recorder(path, "TEST", systemClock, 300);
    for (let i = 0; i < 10; i++) recorder.sent("x".repeat(50));
    expect(recorder.dropped).toBeGreaterThan(0);
    expect(recorder.records + recorder.dropped).toBe(10);
    await recorder.close();
    expect(readCaptureSync(path)).toHaveLength(recorder.records);
    recorder.sent("late");
    expect(recorder.records + recorder.dropped).toBe(11);
  });

  it("does not overwrite a recording", async () => {
    const path = join(await folder(), "made.jsonl.gz");
    await new Recorder(path, "TEST", systemClock).close();
    await expect(new Recorder(path, "TEST", systemClock).close()).rejects.toThrow(/EEXIST/);
  });
});

describe("the record command", () => {
  const command = fileURLToPath(new URL("../../../src/cli/record.ts", import.meta.url));
  const run = async (args: readonly string[]): Promise<{ code: number | null; output: string }> => {
    const child = spawn(process.execPath, [command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    onTestFinished(() => void child.kill());
    let output = "";
    child.stdout.on("data", (chunk) => (output += String(chunk)));
    child.stderr.on("data", (chunk) => (output += String(chunk)));
    const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
    return { code, output };
  };

  it.skipIf(!hasVenueData)("records a venue for the time asked", async () => {
    const venue = await startLoopbackVenue({ capture: capturePath("BINANCE") });
    onTestFinished(() => venue.stop());
    const path = join(await folder(), "recorded.jsonl.gz");
    const { code, output } = await run(["--venue", "binance", "--out", path, "--for", "1.5", "--instruments", BINANCE.join(","), "--ws-url", venue.wsUrl, "--rest-url", venue.restUrl]);
    expect(output).toContain("records in");
    expect(code).toBe(0);
    expect(readCaptureSync(path).filter((each) => each.dir === "in" && each.kind === "message")).toHaveLength(265);
  });

  it.each([
    [["--help"], 0, "FEEDS=replay:"],
    [["--out", "/tmp/x"], 1, "--venue: expected one of"],
    [["--venue", "binance", "--out", "/tmp/x", "--for", "0"], 1, "--for: expected seconds"],
  ])("%j answers with %i and says why", async (args, code, text) => {
    const result = await run(args);
    expect(result.output).toContain(text);
    expect(result.code).toBe(code);
  });
});
