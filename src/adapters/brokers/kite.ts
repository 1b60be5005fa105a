/**
 * Zerodha's Kite Connect v3 over plain HTTP.
 *
 * Kite has no client order id: an order carries a `tag` derived from ours, and is found again in the order book of the
 * day by it. Kite does not refuse a tag it has seen, and forgets all orders overnight; see docs/brokers.md for what follows.
 * Source: Kite Connect 3 documentation, "Orders", "Exceptions and errors". Owns: nothing. Path: cold.
 */
import type { Clock } from "../../core/clock.ts";
import type { BrokerAccount, BrokerPosition, BrokerRequest } from "../../ports/broker.ts";
import { derivedId } from "./derived-id.ts";
import { addDecimals, compareDecimals, decimalOf, isForeignRecord, memberOf, textOf } from "./foreign.ts";
import { KiteHttp, type KiteAccess } from "./kite-http.ts";
import { kiteOrder } from "./kite-order.ts";
import { indianDay } from "./kite-time.ts";
import { ok, unknown, type BrokerWire, type RequestFault, type WireAnswer, type WireOrder, type WireReference } from "./wire.ts";

export const KITE_URL = "https://api.kite.trade";
/** "A tag of at most 20 characters, alphanumeric". */
export const TAG_CHARACTERS_MAX = 20;
const EXCHANGES: readonly string[] = ["nse", "bse", "nfo", "bfo", "cds", "bcd", "mcx"];
const ORDER_TYPES = { market: "MARKET", limit: "LIMIT", stop: "SL-M", stop_limit: "SL" } as const;

/** Refusals that are about what was asked, not about who asks. */
const ABOUT_ORDERS: readonly string[] = ["input", "margin", "order", "holding"];

export interface KiteOptions extends KiteAccess {
  /** CNC delivery, NRML overnight futures and options, MIS intraday. */
  readonly product: "CNC" | "NRML" | "MIS";
  readonly clock: Clock;
}

/** `nse:INFY` as Kite spells it; null when it is no instrument of Kite. */
function nativeOf(symbol: string): { readonly exchange: string; readonly tradingsymbol: string } | null {
  const colon = symbol.indexOf(":");
  const venue = symbol.slice(0, colon);
  return colon > 0 && EXCHANGES.includes(venue) ? { exchange: venue.toUpperCase(), tradingsymbol: symbol.slice(colon + 1) } : null;
}

export class KiteWire implements BrokerWire {
  readonly broker = "kite";
  readonly isIdempotent = false;
  readonly #options: KiteOptions;
  readonly #http: KiteHttp;

  constructor(options: KiteOptions) {
    this.#options = options;
    this.#http = new KiteHttp(options);
  }

  load(): Promise<void> {
    return Promise.resolve();
  }

  open(): Promise<WireAnswer<null>> {
    return Promise.resolve(ok(null));
  }

  idOf(clientOrderId: string): string {
    return derivedId(clientOrderId, TAG_CHARACTERS_MAX);
  }

  faultsOf(request: BrokerRequest): readonly RequestFault[] {
    const faults: RequestFault[] = [];
    if (nativeOf(request.symbol) === null) faults.push({ path: "symbol", message: `expected an instrument of ${EXCHANGES.join(", ")}, found "${request.symbol}"` });
    if (!/^0*[1-9]\d{0,9}(\.0*)?$/.test(request.quantity)) faults.push({ path: "quantity", message: `expected a whole number from 1, which is all that Kite takes, found "${request.quantity}"` });
    if (request.timeInForce !== "day" && request.timeInForce !== "ioc") {
      faults.push({ path: "time_in_force", message: `expected day or ioc, which is all that Kite takes, found "${request.timeInForce}"` });
    }
    return faults;
  }

  /** Kite computes the margin of all orders together, with its own rules for what they bind. */
  async checkFunds(requests: readonly BrokerRequest[]): Promise<WireAnswer<readonly (RequestFault & { readonly index: number })[]>> {
    const orders = requests.map((request) => Object.fromEntries(this.#form(request, null)));
    const [margin, funds] = [await this.#http.post("/margins/basket?consider_positions=true", orders), await this.#http.get("/user/margins")];
    if (margin.type === "refused" && ABOUT_ORDERS.includes(margin.code)) return ok(requests.map((_, index) => ({ index, path: "", message: `Kite refuses the orders together: ${margin.reason}` })));
    if (margin.type !== "ok") return margin;
    if (funds.type !== "ok") return funds;
    const needed = decimalOf(memberOf(margin.value, "final"), "total");
    const isCommodity = requests.every(({ symbol }) => symbol.startsWith("mcx:"));
    const available = decimalOf(memberOf(funds.value, isCommodity ? "commodity" : "equity"), "net");
    if (needed === null || available === null) return unknown("nonsense: expected final.total and net as numbers");
    if (compareDecimals(needed, available) <= 0) return ok([]);
    return ok(requests.map((_, index) => ({ index, path: "quantity", message: `expected orders that need at most ${available} together, found ${needed}` })));
  }

  async place(request: BrokerRequest, id: string): Promise<WireAnswer<WireOrder>> {
    const answer = await this.#http.form("POST", "/orders/regular", this.#form(request, id));
    if (answer.type !== "ok") return answer;
    const brokerOrderId = textOf(answer.value, "order_id");
    if (brokerOrderId === null) return unknown("nonsense: expected order_id in the answer to an order");
    return ok({ id, brokerOrderId, state: "accepted", filled: "0", averagePrice: null, reason: null, updatedAt: this.#options.clock.nowMicros(), isPending: true });
  }

  async cancel(order: WireReference): Promise<WireAnswer<null>> {
    const answer = await this.#http.form("DELETE", `/orders/regular/${encodeURIComponent(order.brokerOrderId ?? "")}`, new URLSearchParams());
    return answer.type === "ok" ? ok(null) : answer;
  }

  /** `absent` only of an order that was sent today: of earlier days Kite shows nothing. */
  async find(order: WireReference): Promise<WireAnswer<WireOrder>> {
    const book = await this.findAll();
    if (book.type !== "ok") return book;
    const found = book.value.filter(({ id }) => id === order.id);
    if (found.length > 1) return unknown(`${found.length} orders carry the tag ${order.id}`);
    if (found[0] !== undefined) return ok(found[0]);
    if (order.sentAt !== null && indianDay(order.sentAt) === indianDay(this.#options.clock.nowMicros())) return { type: "absent" };
    return unknown(`Kite shows the orders of the day only, and it is not known that the order was sent today`);
  }

  readonly findAll = async (): Promise<WireAnswer<readonly WireOrder[]>> => {
    const answer = await this.#http.get("/orders");
    if (answer.type !== "ok") return answer;
    if (!Array.isArray(answer.value)) return unknown("nonsense: expected the orders as a list");
    const orders: WireOrder[] = [];
    for (const each of answer.value) {
      if (textOf(each, "tag") === null) continue;
      const order = kiteOrder(each, this.#options.clock.nowMicros());
      if (order === null) return unknown("nonsense: expected orders with order_id, status and quantities");
      orders.push(order);
    }
    return ok(orders);
  };

  async positions(): Promise<WireAnswer<readonly BrokerPosition[]>> {
    const answer = await this.#http.get("/portfolio/positions");
    if (answer.type !== "ok") return answer;
    const net = memberOf(answer.value, "net");
    if (!Array.isArray(net)) return unknown("nonsense: expected net positions as a list");
    return ok(net.flatMap((each: unknown) => {
      const [exchange, symbol, quantity] = [textOf(each, "exchange"), textOf(each, "tradingsymbol"), decimalOf(each, "quantity")];
      if (exchange === null || symbol === null || quantity === null || quantity === "0") return [];
      return [{ symbol: `${exchange.toLowerCase()}:${symbol}`, quantity, averagePrice: decimalOf(each, "average_price") }];
    }));
  }

  /** Equity and commodity funds are one account in rupees. */
  async account(): Promise<WireAnswer<BrokerAccount>> {
    const answer = await this.#http.get("/user/margins");
    if (answer.type !== "ok") return answer;
    let [total, available] = ["0", "0"];
    for (const segment of ["equity", "commodity"]) {
      const funds = memberOf(answer.value, segment);
      if (!isForeignRecord(funds) || funds["enabled"] === false) continue;
      const [cash, net] = [decimalOf(memberOf(funds, "available"), "cash"), decimalOf(funds, "net")];
      if (cash === null || net === null) return unknown(`nonsense: expected available.cash and net of ${segment} as numbers`);
      [total, available] = [addDecimals(total, cash), addDecimals(available, net)];
    }
    return ok({ balances: [{ currency: "INR", total, available }] });
  }

  #form(request: BrokerRequest, tag: string | null): URLSearchParams {
    const native = nativeOf(request.symbol) ?? { exchange: "", tradingsymbol: "" };
    const form = new URLSearchParams({
      ...native, transaction_type: request.side.toUpperCase(), order_type: ORDER_TYPES[request.type],
      quantity: String(Number(request.quantity)), product: this.#options.product, validity: request.timeInForce.toUpperCase(),
    });
    if (request.limitPrice !== null) form.set("price", request.limitPrice);
    if (request.stopPrice !== null) form.set("trigger_price", request.stopPrice);
    if (tag === null) form.set("variety", "regular");
    else form.set("tag", tag);
    return form;
  }
}
