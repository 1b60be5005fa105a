/**
 * Any exchange of ccxt as a broker for spot orders.
 *
 * ccxt is loaded when it is used (it is 67 MB), sends through our own way out, never repeats a request by itself and gets no
 * number that it would round. Source: docs.ccxt.com, "Manual". Owns: the exchange object with its markets. Path: cold.
 */
import type { Exchange } from "ccxt";
import { ConfigurationError } from "../../core/errors.ts";
import type { Clock } from "../../core/clock.ts";
import type { BrokerAccount, BrokerPosition, BrokerRequest } from "../../ports/broker.ts";
import { judgeCcxt, type CcxtErrors } from "./ccxt-errors.ts";
import { ccxtBalances, ccxtOrder } from "./ccxt-order.ts";
import { ccxtFaults, ccxtMarket, fundsFaults } from "./ccxt-rules.ts";
import { idWithin } from "./derived-id.ts";
import { isForeignRecord, memberOf } from "./foreign.ts";
import { outgoingFetch, tracedPart, type CallTrace } from "./outgoing.ts";
import { ok, unknown, type BrokerWire, type RequestFault, type WireAnswer, type WireOrder, type WireReference } from "./wire.ts";

export interface CcxtOptions {
  /** As ccxt names it: `binance`. */
  readonly exchange: string;
  /** Our venues whose instruments it trades; usually the exchange itself. */
  readonly venues: readonly string[];
  /** Scheme and host of every endpoint instead of the exchange's own, and then without its pace; null: its own. */
  readonly url: string | null;
  /** The exchange's own test system instead of the real one. Without effect beside `url`. */
  readonly isTest: boolean;
  readonly apiKey: string;
  readonly secret: string;
  /** A third credential that some exchanges ask for; empty: none. */
  readonly password: string;
  readonly clock: Clock;
  /** A request that reaches the exchange later than this is refused by it, where the exchange supports that. */
  readonly validMs: number;
}

/** Fits Binance's `^[\.A-Z\:/a-z0-9_-]{1,36}$` and what others allow. */
const CLIENT_ID = /^[A-Za-z0-9_-]{1,32}$/;
const DERIVED_CHARACTERS = 28;

export class CcxtWire implements BrokerWire {
  readonly broker: string;
  /** Exchanges refuse an id only while its first order is open (Binance, "New order", newClientOrderId). */
  readonly isIdempotent = false;
  readonly findAll = null;
  readonly #options: CcxtOptions;
  #loaded: { readonly exchange: Exchange; readonly errors: CcxtErrors } | null = null;
  #hasMarkets = false;

  constructor(options: CcxtOptions) {
    this.broker = `ccxt.${options.exchange}`;
    this.#options = options;
  }

  async load(): Promise<void> {
    if (this.#loaded !== null) return;
    const ccxt = await import("ccxt");
    const { exchange: name, apiKey, secret, password, isTest, url, validMs } = this.#options;
    const make: unknown = Reflect.get(ccxt.default, name);
    if (!ccxt.default.exchanges.includes(name) || typeof make !== "function") {
      throw new ConfigurationError([`TICKER_CCXT_EXCHANGE: expected an exchange of ccxt ${ccxt.default.version}, found "${name}"; see docs.ccxt.com for its names`]);
    }
    const exchange: unknown = Reflect.construct(make, [{
      apiKey, secret, ...(password === "" ? {} : { password }), enableRateLimit: url === null, options: optionsOf(name, validMs),
    }]);
    if (!(exchange instanceof ccxt.default.Exchange)) throw new ConfigurationError([`TICKER_CCXT_EXCHANGE: "${name}" is no exchange`]);
    if (isTest && url === null) useTestSystem(exchange, name);
    if (url !== null) Reflect.set(exchange.urls, "api", pointedAt(exchange.urls["api"], new URL(url).origin));
    exchange.fetchImplementation = outgoingFetch;
    // Documented by ccxt ("Numbers"): unified structures then keep the exchange's digits as text.
    Reflect.set(exchange, "number", String);
    this.#loaded = { exchange, errors: ccxt.default };
  }

  idOf(clientOrderId: string): string {
    return idWithin(clientOrderId, CLIENT_ID, DERIVED_CHARACTERS);
  }

  async open(): Promise<WireAnswer<null>> {
    if (this.#hasMarkets) return ok(null);
    return this.#ask(async (exchange) => {
      await exchange.loadMarkets();
      this.#hasMarkets = true;
      return ok(null);
    });
  }

  faultsOf(request: BrokerRequest): readonly RequestFault[] {
    return ccxtFaults(this.#exchange(), this.#options.venues, request);
  }

  checkFunds(requests: readonly BrokerRequest[]): Promise<WireAnswer<readonly (RequestFault & { readonly index: number })[]>> {
    return this.#ask(async (exchange) => {
      const balances = ccxtBalances(await exchange.fetchBalance());
      return balances === null ? unknown("nonsense: expected balances by currency") : ok(fundsFaults(exchange, this.#options.venues, requests, balances));
    });
  }

  place(request: BrokerRequest, id: string): Promise<WireAnswer<WireOrder>> {
    return this.#ask(async (exchange, trace) => {
      const market = ccxtMarket(exchange, this.#options.venues, request.symbol);
      if (market === null) return { type: "refused", code: "unknown_symbol", reason: `no market ${request.symbol}` };
      const isLimited = request.limitPrice !== null;
      const answer: unknown = await exchange.createOrder(
        market.symbol, isLimited ? "limit" : "market", request.side, Number(request.quantity), isLimited ? Number(request.limitPrice) : undefined,
        {
          clientOrderId: id, ...(isLimited ? { timeInForce: request.timeInForce.toUpperCase() } : {}),
          ...(request.stopPrice === null ? {} : { triggerPrice: Number(request.stopPrice) }),
        },
      );
      const order = ccxtOrder(answer, this.#options.clock.nowMicros());
      if (order === null) return unknown("nonsense: expected the new order with its ids and status");
      return trace.requests === 0 ? unknown("nonsense: nothing was sent") : ok(order);
    });
  }

  cancel(order: WireReference): Promise<WireAnswer<null>> {
    return this.#ask(async (exchange) => {
      const market = ccxtMarket(exchange, this.#options.venues, order.symbol);
      if (market === null) return unknown(`no market ${order.symbol}`);
      await exchange.cancelOrder(order.brokerOrderId ?? "", market.symbol, order.brokerOrderId === null ? { clientOrderId: order.id } : {});
      return ok(null);
    });
  }

  find(order: WireReference): Promise<WireAnswer<WireOrder>> {
    return this.#ask(async (exchange) => {
      const market = ccxtMarket(exchange, this.#options.venues, order.symbol);
      if (market === null) return unknown(`no market ${order.symbol}`);
      if (memberOf(exchange.has, "fetchOrder") !== true) return unknown(`${this.broker} cannot look up an order by its client order id`);
      const found: unknown = order.brokerOrderId === null
        ? await exchange.fetchOrderWithClientOrderId(order.id, market.symbol)
        : await exchange.fetchOrder(order.brokerOrderId, market.symbol);
      const read = ccxtOrder(found, this.#options.clock.nowMicros());
      return read === null ? unknown("nonsense: expected the order with its ids and status") : ok(read);
    });
  }

  /** Spot has balances, no positions: see {@link account}. */
  positions(): Promise<WireAnswer<readonly BrokerPosition[]>> {
    return Promise.resolve(ok([]));
  }

  account(): Promise<WireAnswer<BrokerAccount>> {
    return this.#ask(async (exchange) => {
      const balances = ccxtBalances(await exchange.fetchBalance());
      return balances === null ? unknown("nonsense: expected balances by currency") : ok({ balances });
    });
  }

  #exchange(): Exchange {
    if (this.#loaded === null) throw new ConfigurationError([`${this.broker} is used before it is started`]);
    return this.#loaded.exchange;
  }

  async #ask<T>(run: (exchange: Exchange, trace: CallTrace) => Promise<WireAnswer<T>>): Promise<WireAnswer<T>> {
    const exchange = this.#exchange();
    const { errors } = this.#loaded ?? {};
    return tracedPart(async (trace) => {
      try {
        return await run(exchange, trace);
      } catch (error) {
        if (errors === undefined) throw error;
        return judgeCcxt(errors, error, trace);
      }
    });
  }
}

/** What an exchange of ccxt is told beyond credentials; Binance would else load three markets and the list of coins. */
function optionsOf(name: string, validMs: number): Record<string, unknown> {
  const common = { defaultType: "spot", recvWindow: validMs, maxRetriesOnFailure: 0 };
  return name.startsWith("binance") ? { ...common, fetchMarkets: { types: ["spot"] }, fetchCurrencies: false, fetchMargins: false, warnOnFetchOpenOrdersWithoutSymbol: false } : common;
}

/**
 * ccxt's own switch does not refuse where there is no test system: it leaves no address, or the real one. So all three places where
 * it describes one are asked before.
 */
function useTestSystem(exchange: Exchange, name: string): void {
  const tests: unknown = exchange.urls["test"];
  const isForSpot = memberOf(memberOf(memberOf(exchange, "features"), "spot"), "sandbox") !== false;
  if (memberOf(exchange.has, "sandbox") !== true || !isForSpot || !isForeignRecord(tests) || Object.keys(tests).length === 0) {
    throw new ConfigurationError([`TICKER_BROKER_TEST_MODE: ${name} has no test system for spot orders in ccxt; set it to off to trade with real money`]);
  }
  exchange.setSandboxMode(true);
}

/** Every address of a tree of addresses with another scheme and host. */
function pointedAt(urls: unknown, origin: string): unknown {
  if (typeof urls === "string") return urls.replace(/^\w+:\/\/[^/]+/, origin);
  if (!isForeignRecord(urls)) return urls;
  return Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, pointedAt(url, origin)]));
}
