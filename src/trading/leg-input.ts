/**
 * Reads one order from a request: every fault of its form and of what its instrument allows, and its terms when there is none.
 */
import type { InputFault } from "../core/errors.ts";
import type { Instrument } from "../market/instrument.ts";
import { formatScaled } from "../market/price.ts";
import { ORDER_SIDES, ORDER_TYPES, type OrderType, TIMES_IN_FORCE } from "../ports/broker.ts";
import type { OrderTerms } from "../ports/orders.ts";
import { amountFault, compare, decimal, isMultiple } from "./decimal.ts";
import type { LegAsked } from "./report.ts";

/** What validation needs to know of the market. */
export interface InstrumentLookup {
  /** By id or by the venue's own spelling. */
  find(spelling: string): Instrument | null;
  /** Ids that an unknown spelling may have meant. */
  suggest(spelling: string): readonly string[];
}

export interface ReadLeg {
  readonly asked: LegAsked;
  /** Null when there is a fault. An absent client order id is empty. */
  readonly terms: OrderTerms | null;
  readonly faults: readonly InputFault[];
}

export type Members = Readonly<Record<string, unknown>>;

const FIELDS = ["client_order_id", "symbol", "side", "type", "quantity", "limit_price", "stop_price", "time_in_force"] as const;
export const CLIENT_ORDER_ID_LENGTH_MAX = 128;
const CLIENT_ORDER_ID = /^[\x21-\x7e]+$/;
const SYMBOL_LENGTH_MAX = 100;
/** Unknown members that are named one by one. */
const UNKNOWN_NAMED_MAX = 20;

const NEEDS_LIMIT: readonly OrderType[] = ["limit", "stop_limit"];
const NEEDS_STOP: readonly OrderType[] = ["stop", "stop_limit"];

/** @param at path of the order in the request: `orders.0`; empty when the body is the order */
export function readLeg(value: unknown, at: string, instruments: InstrumentLookup): ReadLeg {
  const path = (name: string): string => (at === "" ? name : `${at}.${name}`);
  if (!isMembers(value)) {
    return { asked: NOTHING_READ, terms: null, faults: [{ path: at === "" ? "body" : at, message: `expected an object with ${FIELDS.join(", ")}, found ${kindOf(value)}` }] };
  }
  return new LegReader(value, path).read(instruments);
}

/** A JSON object. */
export function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** How a value of the wrong kind is called in a message. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "string") return `"${value.slice(0, 60)}"`;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "an object";
}

const NOTHING_READ: LegAsked = { client_order_id: null, symbol: null, side: null, type: null, quantity: null, limit_price: null, stop_price: null, time_in_force: null };

class LegReader {
  readonly #given: Members;
  readonly #path: (name: string) => string;
  readonly #faults: InputFault[] = [];

  constructor(given: Members, path: (name: string) => string) {
    this.#given = given;
    this.#path = path;
  }

  read(instruments: InstrumentLookup): ReadLeg {
    const clientOrderId = this.#clientOrderId();
    const instrument = this.#instrument(instruments);
    const side = this.#oneOf("side", ORDER_SIDES);
    const type = this.#oneOf("type", ORDER_TYPES);
    const quantity = this.#amount("quantity");
    const limitPrice = this.#price("limit_price", type, NEEDS_LIMIT);
    const stopPrice = this.#price("stop_price", type, NEEDS_STOP);
    const timeInForce = this.#given["time_in_force"] === undefined ? "gtc" : this.#oneOf("time_in_force", TIMES_IN_FORCE);
    this.#unknownMembers();
    if (instrument !== null) {
      this.#checkStep("quantity", quantity, instrument.lotSize, instrument.sizeScale, "lot size");
      for (const [name, price] of [["limit_price", limitPrice], ["stop_price", stopPrice]] as const) this.#checkStep(name, price, instrument.tickSize, instrument.priceScale, "tick size");
    }
    const isWhole = this.#faults.length === 0 && clientOrderId !== null && instrument !== null && side !== null && type !== null && quantity !== null && timeInForce !== null;
    return {
      asked: this.#asked(instrument), faults: this.#faults,
      terms: isWhole ? { clientOrderId, symbol: instrument.id, side, type, quantity, limitPrice, stopPrice, timeInForce } : null,
    };
  }

  #fault(name: string, message: string): null {
    this.#faults.push({ path: this.#path(name), message });
    return null;
  }

  #clientOrderId(): string | null {
    const given = this.#given["client_order_id"];
    if (given === undefined || given === null) return "";
    const isFit = typeof given === "string" && given.length <= CLIENT_ORDER_ID_LENGTH_MAX && CLIENT_ORDER_ID.test(given);
    return isFit ? given : this.#fault("client_order_id", `expected 1 to ${CLIENT_ORDER_ID_LENGTH_MAX} printable ASCII characters without spaces, found ${kindOf(given)}`);
  }

  #instrument(instruments: InstrumentLookup): Instrument | null {
    const given = this.#given["symbol"];
    if (typeof given !== "string" || given === "" || given.length > SYMBOL_LENGTH_MAX) return this.#fault("symbol", `expected an instrument id such as "sim:BTC-USD", found ${kindOf(given)}`);
    const instrument = instruments.find(given);
    if (instrument === null || instrument.symbol === "*") {
      const meant = instruments.suggest(given);
      return this.#fault("symbol", `unknown instrument "${given}"${meant.length === 0 ? "; GET /v1/instruments lists all" : `; did you mean ${meant.join(" or ")}?`}`);
    }
    return instrument.state === "active" ? instrument : this.#fault("symbol", `expected an active instrument, found ${instrument.id}, which is ${instrument.state}`);
  }

  #oneOf<const T extends string>(name: string, words: readonly T[]): T | null {
    const given = this.#given[name];
    return words.find((word) => word === given) ?? this.#fault(name, `expected one of ${words.join(", ")}, found ${kindOf(given)}`);
  }

  #amount(name: string): string | null {
    const given = this.#given[name];
    if (typeof given !== "string") return this.#fault(name, `expected a decimal as text such as "0.25" (a JSON number would lose digits), found ${kindOf(given)}`);
    const fault = amountFault(given);
    return fault === null ? given : this.#fault(name, fault);
  }

  #price(name: string, type: OrderType | null, needed: readonly OrderType[]): string | null {
    const given = this.#given[name];
    const isGiven = given !== undefined && given !== null;
    if (type === null) return isGiven ? this.#amount(name) : null;
    if (needed.includes(type)) return isGiven ? this.#amount(name) : this.#fault(name, `an order of type ${type} needs it; found none`);
    return isGiven ? this.#fault(name, `an order of type ${type} has none; leave it out`) : null;
  }

  /** Values that are refused already are left alone. */
  #checkStep(name: string, text: string | null, step: number, scale: number, what: string): void {
    if (text === null) return;
    const shown = formatScaled(step, scale);
    const value = decimal(text);
    if (!isMultiple(value, step, scale)) this.#fault(name, `expected a multiple of the ${what} ${shown}, found ${text}`);
    else if (compare(value, { units: BigInt(Number.MAX_SAFE_INTEGER), scale }) > 0) this.#fault(name, `expected at most ${formatScaled(Number.MAX_SAFE_INTEGER, scale)}, found ${text}`);
  }

  #unknownMembers(): void {
    const unknown = Object.keys(this.#given).filter((name) => !FIELDS.some((field) => field === name));
    for (const name of unknown.slice(0, UNKNOWN_NAMED_MAX)) this.#fault(name.slice(0, 100), `unknown field; known are ${FIELDS.join(", ")}`);
  }

  #asked(instrument: Instrument | null): LegAsked {
    const text = (name: string): string | null => {
      const given = this.#given[name];
      return typeof given === "string" ? given.slice(0, 200) : null;
    };
    return {
      client_order_id: text("client_order_id"), symbol: instrument?.id ?? text("symbol"), side: text("side"), type: text("type"), quantity: text("quantity"),
      limit_price: text("limit_price"), stop_price: text("stop_price"), time_in_force: text("time_in_force"),
    };
  }
}
