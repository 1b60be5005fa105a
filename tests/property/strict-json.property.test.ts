/**
 * Strict JSON against JSON.parse: what it takes is the same value, what JSON.parse refuses it refuses, and each trick is found.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEPTH_MAX, parseStrict } from "../../src/http/strict-json.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
/** A value, or the sentence that refuses it. */
const outcome = (text: string): { readonly value: unknown } | { readonly refused: string } => {
  try {
    return { value: parseStrict(bytes(text)) };
  } catch (error) {
    if (error instanceof Error && "status" in error && error.status === 400) return { refused: error.message };
    throw error;
  }
};
const FORBIDDEN = new Set(["__proto__", "constructor", "prototype"]);
const name = fc.string({ maxLength: 10 }).filter((text) => !FORBIDDEN.has(text) && !text.includes("\0"));
const text = fc.string({ unit: "grapheme", maxLength: 10 }).filter((one) => one.isWellFormed() && !one.includes("\0"));
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof({ maxDepth: 5 }, fc.constant(null), fc.boolean(), text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(),
    fc.array(tie("value"), { maxLength: 4 }), fc.dictionary(name, tie("value"), { maxKeys: 4, noNullPrototype: true })),
}));

describe("strict JSON", () => {
  it("reads what JSON.stringify writes, with any blanks", () => {
    fc.assert(fc.property(value, fc.constantFrom(undefined, 1, "\t"), (given, indent) => {
      const written = JSON.stringify(given, null, indent);
      expect(outcome(written)).toEqual({ value: JSON.parse(written) });
    }));
  });

  it("refuses whatever JSON.parse refuses, and otherwise finds the same value or a trick", () => {
    const pieces = fc.constantFrom("{", "}", "[", "]", ",", ":", '"a"', '"b"', "1", "-0", "1e5", "01", "1.", "null", "true", "//x\n", "/**/", " ", "'a'", "NaN", "\\", "\u2028");
    fc.assert(fc.property(fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join("")), (written) => {
      const strict = outcome(written);
      let parsed: unknown;
      try {
        parsed = JSON.parse(written);
      } catch {
        expect(strict).toHaveProperty("refused");
        return;
      }
      if ("value" in strict) expect(strict.value).toEqual(parsed);
      else expect(strict.refused).toMatch(/twice|range of a double/);
    }), { numRuns: 2000 });
  });

  it("finds a member that is there twice, wherever it is, and says where", () => {
    fc.assert(fc.property(fc.array(fc.constantFrom("a", "b", 0), { maxLength: 8 }), name.filter((one) => one !== ""), (path, twice) => {
      const member = JSON.stringify(twice);
      const inner = `{${member}:1,${member}:2}`;
      const written = path.reduceRight((within: string, step) => (typeof step === "number" ? `[${within}]` : `{"${step}":${within}}`), inner);
      const found = outcome(written);
      expect(found).toEqual({ refused: `${["body", ...path, twice].join(".")}: the member is there twice; send it once` });
    }));
  });

  it(`takes ${DEPTH_MAX} levels and no more, whatever they are made of`, () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: DEPTH_MAX * 2 }), fc.infiniteStream(fc.boolean()), (depth, kinds) => {
      const levels = [...kinds.take(depth)];
      const written = levels.reduceRight((within, isArray) => (isArray ? `[${within}]` : `{"a":${within}}`), "1");
      expect("value" in outcome(written)).toBe(depth <= DEPTH_MAX);
    }));
  });

  it("never fails in another way, whatever bytes come", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (raw) => {
      try {
        parseStrict(raw);
      } catch (error) {
        expect(error).toMatchObject({ status: 400 });
      }
    }), { numRuns: 2000 });
  });
});
