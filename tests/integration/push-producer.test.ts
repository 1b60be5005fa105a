/**
 * Tests of the example producer against a real push feed.
 */
import { execFile } from "node:child_process";
import { describe, expect, it } from "vitest";
import { startPush } from "../support/start-push.ts";

const SCRIPT = new URL("../support/push-producer.ts", import.meta.url).pathname;

function runProducer(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], { timeout: 15_000 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err });
    });
  });
}

describe("push-producer", () => {
  it("explains itself", async () => {
    const { code, out } = await runProducer("--help");
    expect(code).toBe(0);
    expect(out).toContain("--seconds N");
    expect((await runProducer("--key", "tk_publisher", "--rate", "none")).err).toContain("--rate, --seconds");
  });

  it("publishes its walk and ends when every event was accepted", async () => {
    const { feed, of } = await startPush();
    const { code, out } = await runProducer("--key", "tk_publisher", "--port", String(feed.port()), "--rate", "1000", "--seconds", "0.2");
    expect(out.trim().split("\n").at(-1)).toBe("{\"type\":\"ack\",\"received\":200,\"accepted\":200,\"rejected\":0,\"errors\":[]}");
    expect(code).toBe(0);
    expect(of("trade").length + of("quote").length).toBe(200);
  });

  it("says why when it is refused", async () => {
    const { feed } = await startPush();
    const { code, out } = await runProducer("--key", "tk_reader", "--port", String(feed.port()), "--seconds", "5");
    expect(out).toContain("insufficient_scope");
    expect(code).toBe(1);
  });
});
