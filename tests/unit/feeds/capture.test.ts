/**
 * Reading recordings: every field checked, every fault named.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { CAPTURE_LINE_MAX, decodeCaptureLine, readCapture, readCaptureSync, type CaptureRecord } from "../../../src/feeds/capture.ts";

const folder = mkdtempSync(join(tmpdir(), "capture-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

async function readAll(path: string): Promise<CaptureRecord[]> {
  const records: CaptureRecord[] = [];
  for await (const record of readCapture(path)) records.push(record);
  return records;
}

const lines = [
  { ts: 0, exchange: "V", conn: "setup", dir: "out", raw: "{}", kind: "config" },
  { ts: 1.5, exchange: "V", conn: "http.0", dir: "in", raw: "[\"ä\"]", kind: "http", url: "https://v/x" },
  { ts: 2, exchange: "V", conn: "ws.1", dir: "out", raw: "", kind: "open", url: "wss://v" },
  { ts: 3, exchange: "V", conn: "ws.1", dir: "in", raw: "AAEC", frame: "binary", enc: "base64", packed: "gzip" },
  { ts: 4, exchange: "V", conn: "ws.1", dir: "in", raw: "x".repeat(300_000) },
];
const good = file("good.gz", gzipSync(lines.map((line) => JSON.stringify(line)).join("\n") + "\n"));

describe("a recording", () => {
  it("is read record by record, with what is absent said plainly", async () => {
    const records = await readAll(good);
    expect(records.map(({ kind, conn, dir, url }) => [kind, conn, dir, url])).toEqual([
      ["config", "setup", "out", ""], ["http", "http.0", "in", "https://v/x"], ["open", "ws.1", "out", "wss://v"], ["message", "ws.1", "in", ""], ["message", "ws.1", "in", ""],
    ]);
    expect(records[1]?.raw).toBe("[\"ä\"]");
    expect([records[3]?.frame, records[3]?.encoding, records[3]?.packed]).toEqual(["binary", "base64", "gzip"]);
    expect([records[4]?.frame, records[4]?.encoding, records[4]?.packed, records[4]?.raw.length]).toEqual(["text", "text", "none", 300_000]);
    expect(readCaptureSync(good)).toEqual(records);
  });

  it("may end without a newline, and a reader may stop early", async () => {
    const path = file("open.gz", gzipSync(JSON.stringify(lines[0])));
    expect(await readAll(path)).toHaveLength(1);
    for await (const record of readCapture(good)) {
      expect(record.kind).toBe("config");
      break;
    }
  });

  it.each([
    ["not json", "expected one JSON object"],
    ["[1]", "expected one JSON object, found [1]"],
    [JSON.stringify({ ...lines[4], ts: "4" }), "expected \"ts\" to be milliseconds since 1970, found 4"],
    [JSON.stringify({ ...lines[4], dir: "up" }), "expected \"dir\" to be one of in, out, found up"],
    [JSON.stringify({ ...lines[4], kind: "ws" }), "expected \"kind\" to be one of message, open, http, config, found ws"],
    [JSON.stringify({ ...lines[4], raw: null }), "expected \"raw\" to be a string, found object"],
    [JSON.stringify({ ...lines[4], enc: "hex" }), "expected \"enc\" to be one of text, base64, found hex"],
  ])("names file, line and field of a fault: %.30s", async (line, fault) => {
    const path = file("bad.gz", gzipSync(`${JSON.stringify(lines[0])}\n${line}\n`));
    await expect(readAll(path)).rejects.toThrow(`recording ${path}, line 2: ${fault}`);
    expect(() => readCaptureSync(path)).toThrow(fault);
    expect(() => decodeCaptureLine(line, "p", 7)).toThrow("recording p, line 7: ");
  });

  it("that is no gzip, cut short or not there is an error that names it", async () => {
    for (const path of [file("plain", Buffer.from("{}")), file("cut.gz", gzipSync("x".repeat(1000)).subarray(0, 15)), join(folder, "absent")]) {
      await expect(readAll(path)).rejects.toThrow(`recording ${path}: expected a readable gzip file`);
      expect(() => readCaptureSync(path)).toThrow(`recording ${path}: expected a readable gzip file`);
    }
  });

  it("may have lines up to the limit and none beyond", async () => {
    const frame = JSON.stringify({ ...lines[4], raw: "" });
    const line = (length: number): string => frame.replace("\"raw\":\"\"", `"raw":"${"y".repeat(length - frame.length)}"`);
    expect((await readAll(file("long.gz", gzipSync(line(CAPTURE_LINE_MAX), { level: 1 }))))[0]?.raw.length).toBe(CAPTURE_LINE_MAX - frame.length);
    await expect(readAll(file("longer.gz", gzipSync(line(CAPTURE_LINE_MAX + 1), { level: 1 })))).rejects.toThrow(`more than ${CAPTURE_LINE_MAX} characters`);
  });
});
