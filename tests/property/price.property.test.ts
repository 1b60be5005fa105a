/**
 * Prices read back as they were written, and are never rounded on the way in.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scaledNumber } from "../../src/feeds/foreign.ts";
import { decimalsOf, divideHalfEven, formatBig, formatScaled, parsePrice, scaledOrNaN, SCALE_MAX, unitsPerOne } from "../../src/market/price.ts";

const anyScale = fc.integer({ min: 0, max: SCALE_MAX });
const anyUnits = fc.integer({ min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });

describe("a price", () => {
  it("reads back as it was written, at every scale", () => {
    fc.assert(fc.property(anyUnits, anyScale, (units, scale) => {
      expect(scaledOrNaN(formatScaled(units, scale), scale) - units).toBe(0);
      expect(parsePrice(formatBig(BigInt(units), scale), scale) - units).toBe(0);
    }));
  });

  it("keeps its value with zeros after the last decimal, and needs no more decimals for them", () => {
    fc.assert(fc.property(anyUnits, fc.integer({ min: 1, max: SCALE_MAX }), fc.integer({ min: 0, max: 10 }), (units, scale, zeros) => {
      const text = formatScaled(units, scale) + "0".repeat(zeros);
      expect(scaledOrNaN(text, scale) - units).toBe(0);
      expect(decimalsOf(text)).toBeLessThanOrEqual(scale);
    }));
  });

  it("is never rounded: a digit beyond the scale makes it unreadable", () => {
    fc.assert(fc.property(anyUnits, fc.integer({ min: 0, max: SCALE_MAX }), fc.integer({ min: 1, max: 9 }), (units, scale, digit) => {
      const text = formatScaled(units, scale) + (scale === 0 ? "." : "") + String(digit);
      expect(scaledOrNaN(text, scale)).toBeNaN();
      expect(() => parsePrice(text, scale)).toThrow(RangeError);
    }));
  });

  it("is exact or unreadable beyond 2^53 units, never near it", () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 20n }), anyScale, (units, scale) => {
      const read = scaledOrNaN(formatBig(units, scale), scale);
      expect(Number.isNaN(read) ? null : BigInt(read)).toBe(units <= BigInt(Number.MAX_SAFE_INTEGER) ? units : null);
    }));
  });

  it("is no number for text that is no plain decimal", () => {
    fc.assert(fc.property(fc.string({ maxLength: 12 }), anyScale, (text, scale) => {
      fc.pre(!/^-?\d+(\.\d+)?$/.test(text));
      expect(scaledOrNaN(text, scale)).toBeNaN();
    }));
    for (const text of ["0.-10000", "1e5", "", "-", ".5", "5.", "1.2.3", " 1", "+1", "١"]) expect(scaledOrNaN(text, 8)).toBeNaN();
  });

  it("comes exactly out of a JSON number, or not at all", () => {
    const scale = fc.integer({ min: 0, max: 12 });
    fc.assert(fc.property(fc.oneof(fc.integer({ min: 0, max: 2 ** 52 - 1 }), fc.integer({ min: 2 ** 51, max: 2 ** 52 - 1 })), scale, (units, scale) => {
      expect(scaledNumber(JSON.parse(formatScaled(units, scale)), scale)).toBe(units);
    }), { numRuns: 500 });
    fc.assert(fc.property(fc.integer({ min: 2 ** 52, max: Number.MAX_SAFE_INTEGER }), scale, (units, scale) => {
      expect(scaledNumber(JSON.parse(formatScaled(units, scale)), scale)).toBeNaN();
    }));
    fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 48 }), scale, fc.integer({ min: 1, max: 9 }), (units, scale, digit) => {
      expect(scaledNumber(JSON.parse(`${formatScaled(units, scale)}${scale === 0 ? "." : ""}${digit}`), scale)).toBeNaN();
    }));
    expect([scaledNumber(45035996273704.95, 2), scaledNumber(45035996273704.96, 2)]).toEqual([2 ** 52 - 1, Number.NaN]);
    for (const value of ["1", null, Number.NaN, Number.POSITIVE_INFINITY, 1e300]) expect(scaledNumber(value, 2)).toBeNaN();
  });

  it("divides as IEEE 754 rounds ties to even", () => {
    fc.assert(fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.bigInt({ min: 1n, max: 10n ** 15n }), (numerator, denominator) => {
      const quotient = divideHalfEven(numerator, denominator);
      const twiceOff = 2n * (numerator - quotient * denominator);
      const distance = twiceOff < 0n ? -twiceOff : twiceOff;
      expect(distance < denominator || (distance === denominator && quotient % 2n === 0n)).toBe(true);
    }));
  });

  it("knows 0 to 15 decimals and refuses others by name", () => {
    expect(unitsPerOne(0)).toBe(1);
    expect(unitsPerOne(SCALE_MAX)).toBe(1e15);
    for (const scale of [-1, SCALE_MAX + 1, 0.5, Number.NaN]) expect(() => unitsPerOne(scale)).toThrow("expected a scale from 0 to 15");
  });
});
