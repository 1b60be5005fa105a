/**
 * The table of runtime settings: what a value may be, on both sides of each limit, and what code reads.
 */
import { describe, expect, it } from "vitest";
import { changeJsonSchema, faultsAcross, faultsOfChange, settingsTable, typedValues, withDefaults } from "../../../src/state/settings.ts";
import { SETTINGS_DEFAULTS } from "../../support/settings-rig.ts";

const table = settingsTable(SETTINGS_DEFAULTS);
const faults = (given: Readonly<Record<string, unknown>>): string[] => faultsOfChange(table, given).map(({ path }) => path);

it("has the keys of the protocol, one for each configured feed, each with its effect", () => {
  expect([...table.keys()]).toEqual([
    "orders.enabled", "feeds.sim.enabled", "feeds.kraken.enabled", "stream.soft_limit_bytes", "stream.hard_limit_bytes", "stream.ring_bytes", "stream.sessions_per_key",
    "webhooks.enabled", "log.level", "maintenance.banner", "failure_injection",
  ]);
  for (const { effect } of table.values()) expect(effect).not.toBe("");
  expect([...table.values()].filter((setting) => setting.isReasonRequired).map(({ name }) => name)).toEqual(["orders.enabled"]);
});

describe("a value", () => {
  it.each([
    ["stream.soft_limit_bytes", 1024, 64 * 1024 * 1024], ["stream.hard_limit_bytes", 4096, SETTINGS_DEFAULTS.nativeBackpressureMax],
    ["stream.ring_bytes", 1024 * 1024, 64 * 1024 ** 3], ["stream.sessions_per_key", 1, 1_000_000],
  ])("of %s is a whole number from %d to %d", (name, min, max) => {
    for (const good of [min, max, null]) expect(faults({ [name]: good })).toEqual([]);
    for (const bad of [min - 1, max + 1, min + 0.5, String(min), true, {}, [], Number.NaN, Number.POSITIVE_INFINITY]) expect(faults({ [name]: bad }), JSON.stringify(bad)).toEqual([name]);
  });

  it.each(["orders.enabled", "feeds.sim.enabled", "webhooks.enabled"])("of %s is true or false", (name) => {
    for (const good of [true, false, null]) expect(faults({ [name]: good })).toEqual([]);
    for (const bad of [0, 1, "true", "", [], {}]) expect(faults({ [name]: bad })).toEqual([name]);
  });

  it("of log.level is one of four words", () => {
    for (const good of ["debug", "info", "warn", "error", null]) expect(faults({ "log.level": good })).toEqual([]);
    for (const bad of ["DEBUG", "trace", "", 10]) expect(faults({ "log.level": bad })).toEqual(["log.level"]);
  });

  it("of maintenance.banner is text of one line and bounded length, or nothing", () => {
    for (const good of ["back at 18:00", "x".repeat(300), "Wartung um 18 Uhr \u{1F6A7}", null]) expect(faults({ "maintenance.banner": good })).toEqual([]);
    for (const bad of ["", "x".repeat(301), "two\nlines", "\0", "\ud800", 7, false]) expect(faults({ "maintenance.banner": bad })).toEqual(["maintenance.banner"]);
  });

  it("of failure_injection names each member that is wrong", () => {
    expect(faults({ failure_injection: { type: "api", probability: 0.5, target: "kraken", ttl_s: 60, seed: 1 } })).toEqual([]);
    expect(faults({ failure_injection: { type: "timeout", at_record: 3 } })).toEqual([]);
    expect(faults({ failure_injection: { type: "fire", probability: 2, more: 1 } }).toSorted()).toEqual(["failure_injection.more", "failure_injection.probability", "failure_injection.type"]);
    expect(faults({ failure_injection: { type: "api" } })).toEqual(["failure_injection"]);
    expect(faults({ failure_injection: { type: "api", probability: 1, at_record: 1 } })).toEqual(["failure_injection"]);
  });

  it("of failure_injection is refused in production unless it is allowed there", () => {
    const production = settingsTable({ ...SETTINGS_DEFAULTS, isInjectionAllowed: false });
    const [fault] = faultsOfChange(production, { failure_injection: { type: "api", probability: 1 } });
    expect(fault?.message).toContain("TICKER_FAILURE_INJECTION");
    expect(faultsOfChange(production, { failure_injection: null })).toEqual([]);
  });

  it("of an unknown key is refused, whatever it is", () => {
    expect(faults({ "orders.enabled ": true, "feeds.coinbase.enabled": true, toString: null, "": 1 })).toEqual(["orders.enabled ", "feeds.coinbase.enabled", "toString", ""]);
  });
});

it("lists every fault of a change", () => {
  expect(faults({ "orders.enabled": 1, "log.level": 1, unknown: 1, "stream.ring_bytes": 2 ** 20 })).toEqual(["orders.enabled", "log.level", "unknown"]);
});

it("finds a soft limit above the hard limit, and not one at it", () => {
  const values = (soft: number, hard: number) => withDefaults(table, { "stream.soft_limit_bytes": soft, "stream.hard_limit_bytes": hard });
  expect(faultsAcross(values(8192, 8192))).toEqual([]);
  expect(faultsAcross(values(8193, 8192))[0]).toMatchObject({ path: "stream.soft_limit_bytes", keys: ["stream.soft_limit_bytes", "stream.hard_limit_bytes"] });
});

it("is read by code with its types", () => {
  const values = withDefaults(table, { "orders.enabled": false, "feeds.kraken.enabled": false, "maintenance.banner": "soon", failure_injection: { type: "api", at_record: 2 } });
  expect(typedValues(values, SETTINGS_DEFAULTS.feeds)).toEqual({
    ordersEnabled: false, feedsEnabled: { sim: true, kraken: false }, softLimitBytes: 65_536, hardLimitBytes: 1_048_576, ringBytesMax: 268_435_456, sessionsPerKeyMax: 100,
    webhooksEnabled: true, logLevel: "info", banner: "soon", failureInjection: { type: "api", at_record: 2 },
  });
});

it("is documented key by key", () => {
  const schema = JSON.stringify(changeJsonSchema(table));
  for (const name of table.keys()) expect(schema).toContain(`"${name}"`);
  expect(schema).toContain('"additionalProperties":false');
});
