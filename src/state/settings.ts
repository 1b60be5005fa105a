/**
 * The runtime settings: every key with its type, default, and when a change of it takes effect.
 *
 * What needs a restart is configuration; what an operator may change while the service runs is here. Values are flat, by
 * dotted name, as protocol 3.3 writes them.
 */
import { z } from "zod";
import type { InputFault } from "../core/errors.ts";
import type { Json } from "../ports/audit.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What the configuration says, for this start of the service. */
export interface SettingsDefaults {
  /** Names of the configured feeds. */
  readonly feeds: readonly string[];
  readonly softLimitBytes: number;
  readonly hardLimitBytes: number;
  /** Above it the WebSocket library drops: the hard limit must stay below. */
  readonly nativeBackpressureMax: number;
  readonly ringBytesMax: number;
  readonly sessionsPerKeyMax: number;
  readonly logLevel: LogLevel;
  /** Characters of the maintenance banner. */
  readonly bannerLengthMax: number;
  /** Whether failures may be injected: never in production unless configured. */
  readonly isInjectionAllowed: boolean;
}

/** One key. */
export interface Setting {
  readonly name: string;
  readonly schema: z.ZodType;
  readonly default: Json;
  /** When a change takes effect, in words. */
  readonly effect: string;
  readonly isReasonRequired: boolean;
}

/** Control characters, and half surrogate pairs, which are no text. */
const NO_TEXT = /[\p{Cc}\p{Cs}]/u;

const InjectionSchema = z.strictObject({
  type: z.enum(["network", "database", "api", "timeout", "corruption"]),
  probability: z.number().min(0).max(1).exactOptional(),
  at_record: z.int().min(1).exactOptional(),
  target: z.string().min(1).max(200).refine((text) => !NO_TEXT.test(text), { error: "expected text without control characters" }).exactOptional(),
  ttl_s: z.int().min(1).max(86_400).exactOptional(),
  seed: z.int().min(0).exactOptional(),
}).refine((given) => (given.probability === undefined) !== (given.at_record === undefined), { error: "expected either probability or at_record" });

export type FailureInjection = z.output<typeof InjectionSchema>;

/** All settings with their values as code reads them. Frozen. */
export interface RuntimeValues {
  /** The kill switch: false refuses orders. */
  readonly ordersEnabled: boolean;
  /** By name of the feed. */
  readonly feedsEnabled: Readonly<Record<string, boolean>>;
  readonly softLimitBytes: number;
  readonly hardLimitBytes: number;
  readonly ringBytesMax: number;
  readonly sessionsPerKeyMax: number;
  readonly webhooksEnabled: boolean;
  readonly logLevel: LogLevel;
  /** Shown to everybody; null: none. */
  readonly banner: string | null;
  readonly failureInjection: FailureInjection | null;
}

/** Flat values by dotted name. */
export type SettingValues = Readonly<Record<string, Json>>;

const SESSIONS_MAX = 1_000_000;
const KIB = 1024;
const MIB = 1024 * KIB;

function feedKey(name: string): string {
  return `feeds.${name}.enabled`;
}

/** The table of keys for one configuration, in the order in which they are shown. */
export function settingsTable(defaults: SettingsDefaults): ReadonlyMap<string, Setting> {
  const wholeNumber = (min: number, max: number): z.ZodType => z.int({ error: `expected a whole number from ${min} to ${max}` }).min(min, `expected ${min} or more`).max(max, `expected ${max} or less`);
  const flag = z.boolean({ error: "expected true or false" });
  const banner = z.string({ error: "expected text or null" }).min(1, "expected text, or null for none").max(defaults.bannerLengthMax, `expected at most ${defaults.bannerLengthMax} characters`)
    .refine((text) => !NO_TEXT.test(text), { error: "expected text without control characters" });
  const injection = InjectionSchema.refine(() => defaults.isInjectionAllowed, { error: "failures are not injected in production; set TICKER_FAILURE_INJECTION=on to allow it" });
  const setting = (name: string, schema: z.ZodType, value: Json, effect: string, isReasonRequired = false): Setting => ({ name, schema, default: value, effect, isReasonRequired });
  const all = [
    setting("orders.enabled", flag, true, "at once: the next order, and the next leg of a batch", true),
    ...defaults.feeds.map((feed) => setting(feedKey(feed), flag, true, "within a second: the feed is stopped or started")),
    setting("stream.soft_limit_bytes", wholeNumber(KIB, 64 * MIB), defaults.softLimitBytes, "next look at the sockets, every 50 ms"),
    setting("stream.hard_limit_bytes", wholeNumber(4 * KIB, defaults.nativeBackpressureMax), defaults.hardLimitBytes, "next look at the sockets, every 50 ms"),
    setting("stream.ring_bytes", wholeNumber(MIB, 64 * KIB * MIB), defaults.ringBytesMax, "next trade: what is kept already stays, it grows no further"),
    setting("stream.sessions_per_key", wholeNumber(1, SESSIONS_MAX), defaults.sessionsPerKeyMax, "next session: those that are open stay"),
    setting("webhooks.enabled", flag, true, "at once; nothing delivers webhooks yet"),
    setting("log.level", z.enum(LOG_LEVELS, { error: `expected one of ${LOG_LEVELS.join(", ")}` }), defaults.logLevel, "at once, in every thread"),
    setting("maintenance.banner", banner, null, "next heartbeat, /health and page-config.json"),
    setting("failure_injection", injection, null, "at once; nothing injects failures yet"),
  ];
  return new Map(all.map((each) => [each.name, each]));
}

/** A value of a key: null stands for the default. */
function faultsOf(name: string, setting: Setting | undefined, value: unknown): InputFault[] {
  if (setting === undefined) return [{ path: name, message: "unknown setting; GET /v1/admin/runtime-state lists all" }];
  if (value === null) return [];
  const parsed = setting.schema.safeParse(value);
  return parsed.success ? [] : parsed.error.issues.flatMap((issue): InputFault[] => {
    const path = [name, ...issue.path].join(".");
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => ({ path: `${path}.${key.slice(0, 100)}`, message: "unknown member; leave it out" }));
    return [{ path, message: issue.path.length === 0 ? `${issue.message}, found ${found(value)}` : issue.message }];
  });
}

function found(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

/** Faults of a change, each key on its own; then, when there are none, of all values together. */
export function faultsOfChange(table: ReadonlyMap<string, Setting>, given: Readonly<Record<string, unknown>>): InputFault[] {
  return Object.entries(given).flatMap(([name, value]) => faultsOf(name, table.get(name), value));
}

/** Pairs of which the first must not be more than the second. */
const IN_ORDER = [["stream.soft_limit_bytes", "stream.hard_limit_bytes"]] as const;

/** Faults that only show when all values are seen together. */
export function faultsAcross(values: SettingValues): (InputFault & { readonly keys: readonly string[] })[] {
  return IN_ORDER.filter(([low, high]) => Number(values[low]) > Number(values[high])).map(([low, high]) => (
    { path: low, message: `expected at most ${high} (${Number(values[high])}), found ${Number(values[low])}; lower the one or raise the other`, keys: [low, high] }
  ));
}

/** A value as the schema read it, with the members in the order of the schema. */
export function readValue(setting: Setting, value: unknown): Json {
  return jsonOf(setting.schema.parse(value));
}

function jsonOf(value: unknown): Json {
  if (value === null || typeof value === "boolean" || typeof value === "number" || typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, jsonOf(member)]));
  throw new TypeError(`expected a JSON value, found ${typeof value}`);
}

/** All values: defaults, and over them what was changed. */
export function withDefaults(table: ReadonlyMap<string, Setting>, overrides: SettingValues): SettingValues {
  return Object.fromEntries([...table.values()].map(({ name, default: value }) => [name, overrides[name] ?? value]));
}

/** Reads flat values, which must have been checked. */
export function typedValues(values: SettingValues, feeds: readonly string[]): RuntimeValues {
  const read = Readers.parse(values);
  const injection = values["failure_injection"];
  return {
    ordersEnabled: read["orders.enabled"], feedsEnabled: Object.fromEntries(feeds.map((feed) => [feed, values[feedKey(feed)] !== false])),
    softLimitBytes: read["stream.soft_limit_bytes"], hardLimitBytes: read["stream.hard_limit_bytes"], ringBytesMax: read["stream.ring_bytes"],
    sessionsPerKeyMax: read["stream.sessions_per_key"], webhooksEnabled: read["webhooks.enabled"], logLevel: read["log.level"], banner: read["maintenance.banner"],
    failureInjection: injection === null ? null : InjectionSchema.parse(injection),
  };
}

const Readers = z.object({
  "orders.enabled": z.boolean(), "stream.soft_limit_bytes": z.number(), "stream.hard_limit_bytes": z.number(), "stream.ring_bytes": z.number(),
  "stream.sessions_per_key": z.number(), "webhooks.enabled": z.boolean(), "log.level": z.enum(LOG_LEVELS), "maintenance.banner": z.string().nullable(),
});

/** What a change may hold, as JSON Schema, for the documentation. */
export function changeJsonSchema(table: ReadonlyMap<string, Setting>): Readonly<Record<string, unknown>> {
  const properties = [...table.values()].map(({ name, schema, effect }) => [name, { ...z.toJSONSchema(schema.nullable(), { target: "openapi-3.0", io: "input", unrepresentable: "any" }), description: `Takes effect: ${effect}` }]);
  return { type: "object", properties: { ...Object.fromEntries(properties), _reason: { type: "string" } }, additionalProperties: false };
}
