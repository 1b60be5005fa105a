/**
 * The commands of clients (protocol section 2) and their hand-written decoder: foreign text in, a command or an error out.
 */
import { BAR_INTERVALS, BOOK_DEPTHS, type BarInterval, type BookDepth } from "../market/market-event.ts";
import { type Encoding, ENCODINGS } from "./codec.ts";
import type { CommandId, StreamErrorCode } from "./errors.ts";
import { type Channel, CHANNELS } from "./topic.ts";

/** The intervals a topic can be sampled at, milliseconds. */
export const EVERY_MS = [100, 250, 1000, 5000] as const;
export type EveryMs = (typeof EVERY_MS)[number];
/** How a topic is received: sampled at an interval, or 0: every event. */
export type Sampling = EveryMs | 0;

export interface TopicSelection {
  readonly channel: Channel;
  readonly symbols: readonly string[];
  readonly interval: BarInterval;
  readonly depth: BookDepth;
  /** How many past trades the snapshot holds. */
  readonly recent: number;
  readonly everyMs: Sampling;
  /** All or nothing. */
  readonly atomic: boolean;
  /** Where the client stopped before; only of `subscribe`. Entries of symbols that do not begin with it mean nothing. */
  readonly resume: readonly ResumeEntry[];
}

/** The last event of a topic that the client has, as it was told: not checked against anything. */
export interface ResumeEntry {
  readonly symbol: string;
  readonly epoch: string;
  /** Whole, from 0 to 2^53 - 1. */
  readonly sequence: number;
}

/** Where a client stands in its orders, as it was told: not checked against anything. */
export type ResumePosition = Omit<ResumeEntry, "symbol">;

export type Command =
  | { readonly type: "auth"; readonly id: CommandId; readonly apiKey: string; readonly encoding: Encoding }
  | { readonly type: "subscribe"; readonly id: CommandId; readonly topics: TopicSelection }
  /** `topics` null: all. */
  | { readonly type: "unsubscribe"; readonly id: CommandId; readonly topics: TopicSelection | null }
  /** The owner's orders, from after where the client stopped before. */
  | { readonly type: "subscribe_orders"; readonly id: CommandId; readonly resume: ResumePosition | null }
  | { readonly type: "unsubscribe_orders"; readonly id: CommandId }
  | { readonly type: "list"; readonly id: CommandId }
  | { readonly type: "ping"; readonly id: CommandId }
  /** `during` is the type of the command that has the fault; empty when it could not be told. */
  | { readonly type: "fault"; readonly id: CommandId; readonly code: StreamErrorCode; readonly message: string; readonly during: string };

export interface CommandLimits {
  readonly symbolsPerFrameMax: number;
  readonly recentTradesMax: number;
  /** Also how many entries `resume` may have: a topic each. */
  readonly topicsPerSessionMax: number;
}

type Fields = { readonly [name: string]: unknown };

function fault(id: CommandId, code: StreamErrorCode, message: string, during = ""): Command {
  return { type: "fault", id, code, message, during };
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Never throws: what cannot be read is a `fault` with its code. */
export function decodeCommand(text: string, limits: CommandLimits): Command {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return fault(null, 400, `a frame must be one JSON object: ${error instanceof Error ? error.message.slice(0, 120) : "not JSON"}`);
  }
  if (!isFields(parsed)) return fault(null, 400, "a frame must be one JSON object with a member `type`");
  const given = parsed["id"];
  if (given !== undefined && given !== null && typeof given !== "string" && typeof given !== "number") {
    return fault(null, 400, "`id` must be a number or a string");
  }
  // Beyond that a number is echoed as another one, and 1e400 not at all.
  if (typeof given === "number" && !(Math.abs(given) <= Number.MAX_SAFE_INTEGER)) return fault(null, 400, "`id` as a number must lie within 2^53: use a string");
  if (typeof given === "string" && given.length > 128) return fault(null, 400, "`id` must have at most 128 characters");
  const id: CommandId = given ?? null;
  switch (parsed["type"]) {
    case "auth": return decodeAuth(parsed, id);
    case "subscribe": return decodeSubscribe(parsed, id, limits);
    case "unsubscribe": return decodeUnsubscribe(parsed, id, limits);
    case "list": return { type: "list", id };
    case "ping": return { type: "ping", id };
    default: return fault(id, 400, "`type` must be one of auth, subscribe, unsubscribe, list, ping");
  }
}

function decodeAuth(from: Fields, id: CommandId): Command {
  const apiKey = from["api_key"];
  if (typeof apiKey !== "string") return fault(id, 400, "`api_key` must be a string: a key (tk_...) or a ticket (tt_...)", "auth");
  const encoding = from["encoding"] === undefined ? "json" : ENCODINGS.find((name) => name === from["encoding"]);
  if (encoding === undefined) return fault(id, 414, `\`encoding\` must be one of ${ENCODINGS.join(", ")}`, "auth");
  return { type: "auth", id, apiKey, encoding };
}

function decodeSubscribe(from: Fields, id: CommandId, limits: CommandLimits): Command {
  if (from["channel"] === "orders") return decodeOrders(from, id);
  const topics = decodeSelection(from, id, limits);
  if ("type" in topics) return topics;
  const resume = decodeResume(from["resume"], limits);
  if (typeof resume === "string") return fault(id, 414, resume);
  return { type: "subscribe", id, topics: { ...topics, resume } };
}

function decodeUnsubscribe(from: Fields, id: CommandId, limits: CommandLimits): Command {
  if (from["all"] === true) return { type: "unsubscribe", id, topics: null };
  if (from["all"] !== undefined && from["all"] !== false) return fault(id, 414, "`all` must be true or absent");
  if (from["channel"] === "orders") return foreignOption(from, id) ?? { type: "unsubscribe_orders", id };
  const topics = decodeSelection(from, id, limits);
  return "type" in topics ? topics : { type: "unsubscribe", id, topics };
}

/** Options of other channels: orders are neither chosen by symbol nor sampled. */
const FOREIGN_TO_ORDERS = ["symbols", "every_ms", "interval", "depth", "recent"] as const;

function foreignOption(from: Fields, id: CommandId): Command | null {
  const found = FOREIGN_TO_ORDERS.find((name) => from[name] !== undefined);
  return found === undefined ? null : fault(id, 414, `\`${found}\` is no option of orders, which are all orders of your key: leave it out`);
}

function decodeOrders(from: Fields, id: CommandId): Command {
  const refusal = foreignOption(from, id);
  if (refusal !== null) return refusal;
  if (typeof (from["atomic"] ?? false) !== "boolean") return fault(id, 414, "`atomic` must be true or false");
  const entries = from["resume"] ?? [];
  if (!Array.isArray(entries) || entries.length > 1) return fault(id, 414, '`resume` of orders must be an array of one {"epoch","seq"}: leave it out to start with what happens next');
  if (entries.length === 0) return { type: "subscribe_orders", id, resume: null };
  const fields: Fields = isFields(entries[0]) ? entries[0] : {};
  const resume = decodePosition(fields, 0);
  return typeof resume === "string" ? fault(id, 414, resume) : { type: "subscribe_orders", id, resume };
}

function decodeSelection(from: Fields, id: CommandId, limits: CommandLimits): TopicSelection | Command {
  const channel = CHANNELS.find((name) => name === from["channel"]);
  if (channel === undefined) {
    return typeof from["channel"] === "string"
      ? fault(id, 410, `\`channel\` must be one of ${CHANNELS.join(", ")}, orders`)
      : fault(id, 400, `\`channel\` is missing: one of ${CHANNELS.join(", ")}, orders`);
  }
  const symbols = stringsOf(from["symbols"]);
  if (symbols === null || symbols.length === 0) return fault(id, 400, "`symbols` must be a non-empty array of strings such as \"sim:BTC-USD\"");
  if (symbols.length > limits.symbolsPerFrameMax) return fault(id, 414, `\`symbols\` must have at most ${limits.symbolsPerFrameMax} entries, found ${symbols.length}: send several frames`);
  const options = decodeOptions(from, id, channel, limits);
  return "type" in options ? options : { channel, symbols, resume: [], ...options };
}

type Options = Pick<TopicSelection, "interval" | "depth" | "recent" | "everyMs" | "atomic">;

function decodeOptions(from: Fields, id: CommandId, channel: Channel, limits: CommandLimits): Options | Command {
  const interval = from["interval"] === undefined ? "1m" : BAR_INTERVALS.find((name) => name === from["interval"]);
  if (interval === undefined) return fault(id, 414, `\`interval\` must be one of ${BAR_INTERVALS.join(", ")}`);
  if (from["interval"] !== undefined && channel !== "bars") return fault(id, 414, "`interval` is an option of bars only");
  const depth = from["depth"] === undefined ? 10 : BOOK_DEPTHS.find((levels) => levels === from["depth"]);
  if (depth === undefined) return fault(id, 414, `\`depth\` must be one of ${BOOK_DEPTHS.join(", ")}`);
  if (from["depth"] !== undefined && channel !== "book") return fault(id, 414, "`depth` is an option of book only");
  const recent = from["recent"] ?? 0;
  if (typeof recent !== "number" || !Number.isInteger(recent) || recent < 0 || recent > limits.recentTradesMax) {
    return fault(id, 414, `\`recent\` must be a whole number from 0 to ${limits.recentTradesMax}`);
  }
  if (from["recent"] !== undefined && channel !== "trades") return fault(id, 414, "`recent` is an option of trades only");
  const everyMs = from["every_ms"] === undefined ? 0 : EVERY_MS.find((interval) => interval === from["every_ms"]);
  if (everyMs === undefined) return fault(id, 414, `\`every_ms\` must be one of ${EVERY_MS.join(", ")}: leave it out to get every event`);
  if (everyMs !== 0 && channel === "status") return fault(id, 414, "`every_ms` is no option of status: leave it out");
  const atomic = from["atomic"] ?? false;
  if (typeof atomic !== "boolean") return fault(id, 414, "`atomic` must be true or false");
  return { interval, depth, recent, everyMs, atomic };
}

/** The entries, or a sentence about what is wrong with them. */
function decodeResume(value: unknown, limits: CommandLimits): ResumeEntry[] | string {
  if (value === undefined) return [];
  const entries: ResumeEntry[] = [];
  if (!Array.isArray(value)) return '`resume` must be an array of {"symbol","epoch","seq"}: leave it out to start with a snapshot';
  if (value.length > limits.topicsPerSessionMax) return `\`resume\` must have at most ${limits.topicsPerSessionMax} entries, found ${value.length}: a session may hold as many topics`;
  for (const [i, entry] of value.entries()) {
    const fields: Fields = isFields(entry) ? entry : {};
    const { symbol } = fields;
    if (typeof symbol !== "string") return `\`resume[${i}].symbol\` must be a string such as "sim:BTC-USD"`;
    const position = decodePosition(fields, i);
    if (typeof position === "string") return position;
    entries.push({ symbol, ...position });
  }
  return entries;
}

function decodePosition({ epoch, seq }: Fields, i: number): ResumePosition | string {
  if (typeof epoch !== "string") return `\`resume[${i}].epoch\` must be a string: the \`epoch\` of the topic's acknowledgement`;
  if (typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 0) return `\`resume[${i}].seq\` must be a whole number from 0 to 2^53 - 1: the last \`seq\` that you have`;
  return { epoch, sequence: seq };
}

function stringsOf(value: unknown): string[] | null {
  if (!Array.isArray(value)) return null;
  const strings: string[] = [];
  for (const entry of value) {
    if (typeof entry !== "string") return null;
    strings.push(entry);
  }
  return strings;
}
