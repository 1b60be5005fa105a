/**
 * Tests of the line reader: any cut of the bytes gives the same lines; the limit holds on both sides.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineReader } from "../../../src/feeds/push/line-reader.ts";

function reader(bytesMax: number) {
  const lines: string[] = [];
  return { lines, reader: new LineReader(bytesMax, (line) => lines.push(line)) };
}

describe("LineReader", () => {
  it("gives the same lines however the bytes are cut", () => {
    const anyLine = fc.string({ unit: "grapheme", maxLength: 30 }).map((text) => text.replaceAll(/[\r\n]/g, ""));
    fc.assert(fc.property(fc.array(anyLine), fc.array(fc.nat({ max: 40 }), { maxLength: 30 }), (texts, cuts) => {
      const bytes = Buffer.from(texts.map((text) => `${text}\n`).join("") + "rest");
      const { lines, reader: read } = reader(1000);
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        expect(read.read(bytes.subarray(at, at + cut))).toBe(true);
        at = Math.min(bytes.length, at + cut);
      }
      expect(lines).toEqual(texts.filter((text) => text !== ""));
      expect(read.unfinished).toBe(4);
    }));
  });

  it("takes a line of exactly the limit and refuses one byte more, whole or in pieces", () => {
    for (const [length, isFit] of [[100, true], [101, false]] as const) {
      const bytes = Buffer.from(`${"x".repeat(length)}\n`);
      expect(reader(100).reader.read(bytes), `${length} at once`).toBe(isFit);
      const { lines, reader: read } = reader(100);
      expect([bytes.subarray(0, 60), bytes.subarray(60)].every((part) => read.read(part)), `${length} in pieces`).toBe(isFit);
      expect(lines).toHaveLength(isFit ? 1 : 0);
    }
    expect(reader(100).reader.read(Buffer.from("x".repeat(101))), "without an end").toBe(false);
  });

  it("passes over blank lines and the carriage returns of other systems", () => {
    const { lines, reader: read } = reader(100);
    read.read(Buffer.from("\n\r\n{}\r\n\n[]\n"));
    expect(lines).toEqual(["{}\r", "[]"]);
  });

  it("keeps characters of several bytes whole across reads", () => {
    const { lines, reader: read } = reader(100);
    for (const byte of Buffer.from("é€😀\n")) read.read(Buffer.from([byte]));
    expect(lines).toEqual(["é€😀"]);
  });
});
