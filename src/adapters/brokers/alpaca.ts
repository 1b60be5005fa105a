/**
 * Alpaca's Trading API v2 through the official SDK.
 *
 * Alpaca refuses a client order id that it had before, and finds orders by it. Source: docs.alpaca.markets, "Orders at
 * Alpaca"; the SDK's README, "Order-submission safety". Owns: the SDK's clients. Path: cold.
 */
import type { trading } from "@alpacahq/alpaca-trade-api/rest";
import { ConfigurationError } from "../../core/errors.ts";
import type { Clock } from "../../core/clock.ts";
import type { BrokerAccount, BrokerPosition, BrokerRequest } from "../../ports/broker.ts";
import { judgeAlpaca, type AlpacaErrors } from "./alpaca-errors.ts";
import { alpacaOrder, alpacaSymbol, ourSymbol } from "./alpaca-order.ts";
import { idWithin } from "./derived-id.ts";
import { addDecimals, compareDecimals, decimalText, multiplyDecimals } from "./foreign.ts";
import { outgoingFetch, tracedPart } from "./outgoing.ts";
import { ok, unknown, type BrokerWire, type RequestFault, type WireAnswer, type WireOrder, type WireReference } from "./wire.ts";

export interface AlpacaOptions {
  /** Instead of Alpaca's own hosts, without a trailing slash; null: by `isTest`. */
  readonly url: string | null;
  /** Alpaca's paper accounts instead of real money. */
  readonly isTest: boolean;
  /** Our venues whose instruments Alpaca trades. */
  readonly venues: readonly string[];
  readonly keyId: string;
  readonly secretKey: string;
  readonly clock: Clock;
}

/** "client_order_id: (<= 128 characters)". */
const CLIENT_ID = /^[\x21-\x7e]{1,128}$/;
const DERIVED_CHARACTERS = 48;

interface Clients {
  readonly orders: trading.OrdersApi;
  readonly account: trading.AccountsApi;
  readonly positions: trading.PositionsApi;
  readonly errors: AlpacaErrors;
}

export class AlpacaWire implements BrokerWire {
  readonly broker = "alpaca";
  readonly isIdempotent = true;
  readonly findAll = null;
  readonly #options: AlpacaOptions;
  #clients: Clients | null = null;

  constructor(options: AlpacaOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    if (this.#clients !== null) return;
    const { url, isTest, keyId, secretKey } = this.#options;
    const { trading, errors } = await import("@alpacahq/alpaca-trade-api/rest");
    // The deadline is ours; a bare Configuration neither repeats nor queues requests.
    const configuration = new trading.Configuration({
      basePath: url ?? (isTest ? trading.TRADING_PAPER_HOST : trading.TRADING_LIVE_HOST), keyId, secret: secretKey, timeoutMs: 0,
      fetchApi: (target, init) => outgoingFetch(target, { method: init?.method, headers: init?.headers, body: typeof init?.body === "string" ? init.body : null }),
    });
    this.#clients = {
      orders: new trading.OrdersApi(configuration), account: new trading.AccountsApi(configuration), positions: new trading.PositionsApi(configuration), errors,
    };
  }

  open(): Promise<WireAnswer<null>> {
    return Promise.resolve(ok(null));
  }

  idOf(clientOrderId: string): string {
    return idWithin(clientOrderId, CLIENT_ID, DERIVED_CHARACTERS);
  }

  faultsOf(request: BrokerRequest): readonly RequestFault[] {
    const { venues } = this.#options;
    const faults: RequestFault[] = [];
    const native = alpacaSymbol(request.symbol, venues);
    if (native === null) faults.push({ path: "symbol", message: `expected an instrument of ${venues.join(", ")}, found "${request.symbol}"` });
    if (native?.includes("/") === true && (request.timeInForce === "day" || request.timeInForce === "fok")) {
      faults.push({ path: "time_in_force", message: `expected gtc or ioc, which is all that Alpaca takes for crypto, found "${request.timeInForce}"` });
    }
    return faults;
  }

  checkFunds(requests: readonly BrokerRequest[]): Promise<WireAnswer<readonly (RequestFault & { readonly index: number })[]>> {
    return this.#ask(async ({ account }) => {
      const { tradingBlocked, accountBlocked, tradeSuspendedByUser, buyingPower } = await account.getAccount();
      if (tradingBlocked === true || accountBlocked === true || tradeSuspendedByUser === true) {
        return ok(requests.map((_, index) => ({ index, path: "", message: "expected an account that may trade, found that Alpaca has blocked it" })));
      }
      const available = decimalText(buyingPower);
      if (available === null) return unknown("nonsense: expected buying_power as a decimal");
      let needed = "0";
      return ok(requests.flatMap(({ side, quantity, limitPrice }, index) => {
        const [amount, price] = [decimalText(quantity), decimalText(limitPrice)];
        if (side === "sell" || amount === null || price === null) return [];
        needed = addDecimals(needed, multiplyDecimals(amount, price));
        return compareDecimals(needed, available) <= 0 ? []
          : [{ index, path: "quantity", message: `expected buys up to here to need at most ${available}, found ${needed}` }];
      }));
    });
  }

  place(request: BrokerRequest, id: string): Promise<WireAnswer<WireOrder>> {
    return this.#ask(async ({ orders }) => {
      const symbol = alpacaSymbol(request.symbol, this.#options.venues);
      if (symbol === null) return { type: "refused", code: "unknown_symbol", reason: `no instrument ${request.symbol}` };
      const answer = await orders.postOrder({
        postOrderRequest: {
          symbol, qty: request.quantity, side: request.side, type: request.type, timeInForce: request.timeInForce, clientOrderId: id,
          ...(request.limitPrice === null ? {} : { limitPrice: request.limitPrice }), ...(request.stopPrice === null ? {} : { stopPrice: request.stopPrice }),
        },
      });
      return this.#read(answer);
    });
  }

  cancel(order: WireReference): Promise<WireAnswer<null>> {
    return this.#ask(async ({ orders }) => {
      await orders.deleteOrderByOrderID({ orderId: order.brokerOrderId ?? "" });
      return ok(null);
    });
  }

  find(order: WireReference): Promise<WireAnswer<WireOrder>> {
    return this.#ask(async ({ orders }) => this.#read(await orders.getOrderByClientOrderId({ clientOrderId: order.id })));
  }

  positions(): Promise<WireAnswer<readonly BrokerPosition[]>> {
    return this.#ask(async ({ positions }) => {
      const all = await positions.getAllOpenPositions();
      return ok(all.flatMap(({ symbol, qty, side, exchange, avgEntryPrice }) => {
        const quantity = decimalText(qty);
        if (quantity === null || quantity === "0") return [];
        const signed = side === "short" && !quantity.startsWith("-") ? `-${quantity}` : quantity;
        return [{ symbol: ourSymbol(symbol, exchange ?? "", this.#options.venues), quantity: signed, averagePrice: decimalText(avgEntryPrice) }];
      }));
    });
  }

  account(): Promise<WireAnswer<BrokerAccount>> {
    return this.#ask(async ({ account }) => {
      const { cash, currency, nonMarginableBuyingPower } = await account.getAccount();
      const total = decimalText(cash);
      if (total === null || currency === undefined) return unknown("nonsense: expected cash and currency");
      return ok({ balances: [{ currency, total, available: decimalText(nonMarginableBuyingPower) ?? total }] });
    });
  }

  #read(answer: unknown): WireAnswer<WireOrder> {
    const order = alpacaOrder(answer, this.#options.clock.nowMicros());
    return order === null ? unknown("nonsense: expected an order with its ids and status") : ok(order);
  }

  async #ask<T>(run: (clients: Clients) => Promise<WireAnswer<T>>): Promise<WireAnswer<T>> {
    const clients = this.#clients;
    if (clients === null) throw new ConfigurationError(["alpaca is used before it is started"]);
    return tracedPart(async (trace) => {
      try {
        return await run(clients);
      } catch (error) {
        return judgeAlpaca(clients.errors, error, trace);
      }
    });
  }
}
