/**
 * Single values of venue messages: read exactly, or not at all.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  isForeignRecord, microsOfMillis, microsOfSecondsText, microsOfUtcText, positiveNumberText, positiveText, shownText,
} from "../../../src/feeds/foreign.ts";

describe("a venue's time", () => {
  it("is read to the microsecond from UTC text with none to nine decimals", () => {
    const date = fc.date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true });
    fc.assert(fc.property(date, fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 999_999_999 }), (when, decimals, nanos) => {
      const fraction = String(nanos).padStart(9, "0").slice(0, decimals);
      const text = `${when.toISOString().slice(0, 19)}${decimals === 0 ? "" : `.${fraction}`}Z`;
      const seconds = Math.floor(when.getTime() / 1000);
      expect(microsOfUtcText(text)).toBe(seconds * 1e6 + Number(fraction.padEnd(6, "0").slice(0, 6)));
    }));
  });

  it("is no number for anything else", () => {
    for (const text of [
      "", "2021-04-17", "2021-04-17T16:43:37", "2021-04-17 16:43:37Z", "2021-04-17T16:43:37+00:00", "2021-13-17T16:43:37Z", "2021-00-17T16:43:37Z",
      "2021-04-32T16:43:37Z", "2021-04-17T16:43:37.Z", "2021-04-17T16:43:37.1234567890Z", "2021-04-17T16:43:37.12x456789Z", "2021-04-17T16:43:37.12345678xZ",
      "2o21-04-17T16:43:37Z", 1, null, undefined,
    ]) expect(microsOfUtcText(text), String(text)).toBeNaN();
  });

  it("is read from epoch seconds and milliseconds", () => {
    expect(microsOfSecondsText("1561939201.587070")).toBe(1_561_939_201_587_070);
    expect(microsOfSecondsText(1561939201)).toBeNaN();
    expect(microsOfMillis(1_633_998_512_068)).toBe(1_633_998_512_068_000);
    expect(microsOfMillis("1633998512068")).toBeNaN();
  });
});

describe("a decimal of a ticker", () => {
  it("is kept as it was spelled when it is greater than zero", () => {
    for (const text of ["0.1", "4095.00000000", "1", "0.00000001"]) expect(positiveText(text)).toBe(text);
    for (const text of ["0", "0.000", "-1", "1e5", ".5", "5.", "1.2.3", "", "NaN", 1, null]) expect(positiveText(text), String(text)).toBeNull();
  });

  it("has no exponent when it was a JSON number", () => {
    expect(positiveNumberText(100.1)).toBe("100.1");
    expect(positiveNumberText(1e-7)).toBe("0.000000100000000");
    for (const value of [0, -1, 1e21, 1e-20, Number.NaN, "1", null]) expect(positiveNumberText(value), String(value)).toBeNull();
  });
});

it("tells an object from a list, null and the rest", () => {
  expect([{}, [], null, "x", 1, undefined].map(isForeignRecord)).toEqual([true, false, false, false, false, false]);
});

it("shows any value to people, shortened, without calling into it", () => {
  expect(["x", 1.5, true, undefined, null, { toString: 1 }, []].map(shownText)).toEqual(["x", "1.5", "true", "", "object", "object", "object"]);
  expect([shownText("y".repeat(200)).length, shownText("y".repeat(201)).length]).toEqual([200, 200]);
});
