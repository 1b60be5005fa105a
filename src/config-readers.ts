/**
 * Readers of configuration text: each turns one environment variable into a value or says what it should have been.
 */
import { isIP } from "node:net";
import type { FeedSpec } from "./compose/stream-options.ts";
import { SCOPES, type Scope } from "./ports/access.ts";
import { LIMIT_NAMES, limitOfText } from "./ports/limits.ts";

/** A fault of one variable: the sentence says what was expected and what was found. */
export class SettingFault extends Error {
  override readonly name = "SettingFault";
}

/** Turns trimmed text into a value. @throws {SettingFault} */
export type Reader<T> = (text: string) => T;

const VENUES = ["binance", "coinbase", "kraken"] as const;
export type VenueName = (typeof VENUES)[number];

/** An entry of `FEEDS` before the venue's URLs are known. */
export type FeedName = Exclude<FeedSpec, { kind: "venue" }> | { readonly kind: "venue"; readonly venue: VenueName };

/** Refuses the text: "expected X, found Y". The found text is shown, so it is never used for secrets. */
export function refuse(expected: string, found: string): never {
  throw new SettingFault(`expected ${expected}, found "${found}"`);
}

/** A whole number between two limits, both allowed. Underscores may group digits. */
export function wholeNumber(min: number, max: number): Reader<number> {
  return (text) => {
    const value = /^-?\d[\d_]*$/.test(text) ? Number(text.replaceAll("_", "")) : Number.NaN;
    if (!Number.isSafeInteger(value) || value < min || value > max) refuse(`a whole number from ${min} to ${max}`, text);
    return value;
  };
}

/** A number between two limits, both allowed. */
export function decimalNumber(min: number, max: number): Reader<number> {
  return (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) refuse(`a number from ${min} to ${max}`, text);
    return value;
  };
}

/** Plain decimal text between two limits, both allowed, with at most so many digits after the point; kept as text, so exact. */
export function exactDecimal(min: number, max: number, decimalsMax: number): Reader<string> {
  return (text) => {
    const isRight = /^\d{1,16}(\.\d+)?$/.test(text) && (text.split(".")[1] ?? "").length <= decimalsMax && Number(text) >= min && Number(text) <= max;
    if (!isRight) refuse(`a number from ${min} to ${max} with at most ${decimalsMax} digits after the point`, text);
    return text;
  };
}

/** One of the words. */
export function oneOf<const T extends string>(words: readonly T[]): Reader<T> {
  return (text) => words.find((word) => word === text) ?? refuse(`one of ${words.join(", ")}`, text);
}

/** Text of one or more characters without line breaks. */
export function plainText(what: string): Reader<string> {
  return (text) => (text === "" || /[\r\n\0]/.test(text) ? refuse(what, text) : text);
}

/** Comma-separated entries, each read on its own; empty text is an empty list. */
export function listOf<T>(read: Reader<T>): Reader<readonly T[]> {
  return (text) => text.split(",").map((part) => part.trim()).filter((part) => part !== "").map(read);
}

/** Text that may be absent. */
export function optional<T>(read: Reader<T>): Reader<T | null> {
  return (text) => (text === "" ? null : read(text));
}

/** An absolute URL of one of the protocols (`ws:`, `https:`), without user or password. */
export function url(protocols: readonly string[]): Reader<string> {
  const expected = `a URL that starts with ${protocols.map((p) => `${p}//`).join(" or ")}, without user or password`;
  return (text) => {
    if (!URL.canParse(text)) refuse(expected, text);
    const parsed = new URL(text);
    if (!protocols.includes(parsed.protocol) || parsed.username !== "" || parsed.password !== "") refuse(expected, text);
    return text;
  };
}

/** The address of a server, which may hold a password: a fault does not repeat it. */
export function serverUrl(protocols: readonly string[]): Reader<string> {
  return (text) => {
    const isOne = URL.canParse(text) && protocols.includes(new URL(text).protocol) && new URL(text).hostname !== "";
    if (!isOne) throw new SettingFault(`expected a URL that starts with ${protocols.map((p) => `${p}//`).join(" or ")} and names a host; the value is not repeated here`);
    return text;
  };
}

/** A browser origin: scheme, host and port, nothing after them. */
export const origin: Reader<string> = (text) => {
  if (!URL.canParse(text) || new URL(text).origin !== text) refuse("an origin such as https://app.example.com (no path, no trailing slash)", text);
  return text;
};

/** An address or a network in CIDR form. */
export const cidr: Reader<string> = (text) => {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  const max = family === 4 ? 32 : 128;
  const isNetwork = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= max);
  if (family === 0 || !isNetwork || rest.length > 0) refuse("an address or network such as 10.0.0.0/8 or ::1", text);
  return text;
};

/** An exact `host:port`. */
export const hostAndPort: Reader<string> = (text) => {
  const port = Number(/:(\d{1,5})$/.exec(text)?.[1] ?? Number.NaN);
  if (!/^[^\s/@]+:\d{1,5}$/.test(text) || !(port >= 1 && port <= 65535)) refuse("host:port", text);
  return text;
};

/** Durations with a unit: `250ms`, `5s`, `30min`, `2h`; the value is milliseconds. */
export const duration: Reader<number> = (text) => {
  const match = /^(\d+)(ms|s|min|m|h)$/.exec(text);
  const unitMs = { ms: 1, s: 1000, min: 60_000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ""];
  if (!match || unitMs === undefined) return refuse("a duration such as 250ms, 5s, 30min or 2h", text);
  return Number(match[1]) * unitMs;
};

const REPLAY_SPEED = /^(.+)@(\d+(?:\.\d+)?|max)$/;

/** An entry of `FEEDS` as far as it tells one feed from another: the same recording at another speed is the same feed. */
export function withoutSpeed(text: string): string {
  return text.startsWith("replay:") ? (REPLAY_SPEED.exec(text)?.[1] ?? text) : text;
}

/** One entry of `FEEDS`: `sim`, `push`, a venue, or `replay:PATH[@SPEED]` (1 is the recorded pace, 0 or `max` as fast as possible). */
export const feedName: Reader<FeedName> = (text) => {
  if (text === "sim" || text === "push") return { kind: text };
  const venue = VENUES.find((v) => v === text);
  if (venue) return { kind: "venue", venue };
  if (text.startsWith("replay:")) {
    const rest = text.slice("replay:".length);
    const match = REPLAY_SPEED.exec(rest);
    const path = match?.[1] ?? rest;
    if (path === "" || path.startsWith("@")) refuse("replay:PATH or replay:PATH@SPEED", text);
    return { kind: "replay", path, speed: match?.[2] === "max" ? 0 : Number(match?.[2] ?? 1) };
  }
  return refuse(`sim, push, ${VENUES.join(", ")} or replay:PATH[@SPEED]`, text);
};

/** A key that must exist after the start. `breakglass` is `admin` with its own limits (a later issue). */
export interface BootstrapKey {
  readonly scope: Scope | "breakglass";
  readonly key: string;
}

export const KEY_TEXT = /^tk_[A-Za-z0-9_-]{32,}$/;

/** `scope:tk_...`. What is wrong is said without repeating the key. */
export const bootstrapKey: Reader<BootstrapKey> = (text) => {
  const colon = text.indexOf(":");
  const scope = [...SCOPES, "breakglass" as const].find((s) => s === text.slice(0, colon));
  const key = text.slice(colon + 1);
  if (scope === undefined) throw new SettingFault(`expected entries scope:tk_... with scope ${SCOPES.join(", ")} or breakglass, found an entry without such a scope (its text is not shown: it may hold a key)`);
  if (!KEY_TEXT.test(key)) throw new SettingFault(`expected tk_ and at least 32 of A-Z a-z 0-9 _ - after "${scope}:", found ${key.length} characters of another form (not shown)`);
  return { scope, key };
};

/** `off`, or JSON by name: `{"orders.batch":"1000/min"}`. */
export const rateLimits: Reader<"off" | Readonly<Record<string, string>>> = (text) => {
  if (text === "off") return "off";
  const expected = `off, or JSON such as {"orders.batch":"1000/min"}`;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return refuse(expected, text);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return refuse(expected, text);
  const limits: Record<string, string> = {};
  for (const [name, rate] of Object.entries(parsed)) {
    if (!LIMIT_NAMES.some((known) => known === name)) throw new SettingFault(`expected names of limits (${LIMIT_NAMES.join(", ")}), found "${name}"`);
    if (typeof rate !== "string" || limitOfText(rate) === null) throw new SettingFault(`expected a rate such as 10/s, 1000/min or 5/h for "${name}", found ${JSON.stringify(rate)}`);
    limits[name] = rate;
  }
  return limits;
};
