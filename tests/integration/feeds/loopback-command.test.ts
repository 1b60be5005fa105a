/**
 * The loopback venue as people start it: a command that prints where to point the service.
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { CountingSink, FeedHarness, until } from "../../support/feed-harness.ts";
import { capturePath, hasVenueData } from "../../support/venue-data.ts";

const command = fileURLToPath(new URL("../../support/loopback-venue.ts", import.meta.url));

function start(args: readonly string[]): { child: ChildProcessByStdio<null, Readable, Readable>; output: () => string } {
  const child = spawn(process.execPath, [command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill());
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  return { child, output: () => output };
}

describe("the loopback venue as a command", () => {
  it.skipIf(!hasVenueData)("prints the variables that point the service at it, and serves", async () => {
    const { output } = start(["--capture", capturePath("KRAKEN"), "--port", "0", "--speed", "0"]);
    await until("the addresses", () => output().includes("KRAKEN_REST_URL="));
    const [, wsUrl = "", restUrl = ""] = /^KRAKEN_WS_URL=(\S+)\nKRAKEN_REST_URL=(\S+)\n$/.exec(output()) ?? [];
    const harness = new FeedHarness("kraken", { wsUrl, restUrl }, { instruments: ["BTC-CHF"] }, new CountingSink());
    onTestFinished(() => harness.feed.stop());
    await harness.feed.start();
    await until("a live book", () => harness.states("kraken:BTC-CHF").at(-1) === "live");
    expect(harness.count("book")).toBeGreaterThan(0);
  });

  it.each([[[], "--capture PATH"], [["--capture", "x", "--speed", "fast"], '--speed: expected a number from 0, found "fast"']])("refuses %j with a sentence", async (args, text) => {
    const { child, output } = start(args);
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(code).not.toBe(0);
    expect(output()).toContain(text);
  });
});
