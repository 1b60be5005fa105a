/**
 * The books of a loopback broker: every order it took, which is the truth that reports are held against.
 */
import { addDecimals, compareDecimals, decimalText, multiplyDecimals } from "../../src/adapters/brokers/foreign.ts";

export interface LedgerOrder {
  readonly number: number;
  /** The client order id that the broker was given. */
  readonly clientId: string;
  /** In the broker's spelling. */
  readonly symbol: string;
  readonly side: "buy" | "sell";
  readonly isLimited: boolean;
  /** Waits for its stop price, which never comes here. */
  readonly isStop: boolean;
  readonly quantity: string;
  readonly price: string;
  /** Lower case: gtc, ioc, fok, day. */
  readonly timeInForce: string;
  state: "open" | "filled" | "cancelled" | "rejected";
  filled: string;
  averagePrice: string | null;
  updatedMs: number;
}

export type NewOrder = Pick<LedgerOrder, "clientId" | "symbol" | "side" | "isLimited" | "isStop" | "quantity" | "price" | "timeInForce">;

/** Which client order ids are refused: those that any order has, those of open orders (Binance), none (Kite). */
export type DuplicateRule = "any" | "open" | "none";

/** Where orders without a price are filled. */
export const MARKET_PRICE = "100";
const FUNDS = "1000000";

export class BrokerLedger {
  readonly orders: LedgerOrder[] = [];
  readonly #duplicates: DuplicateRule;

  constructor(duplicates: DuplicateRule) {
    this.#duplicates = duplicates;
  }

  /** The order, or why it is not taken. */
  place(order: NewOrder, nowMs: number): LedgerOrder | "duplicate" | "no_funds" {
    const known = this.byClient(order.clientId);
    if (known.some(({ state }) => this.#duplicates === "any" || (this.#duplicates === "open" && state === "open"))) return "duplicate";
    const price = order.isLimited ? order.price : MARKET_PRICE;
    if (compareDecimals(multiplyDecimals(plain(order.quantity), plain(price)), FUNDS) > 0) return "no_funds";
    const taken: LedgerOrder = { ...order, number: 1000 + this.orders.length, state: "open", filled: "0", averagePrice: null, updatedMs: nowMs };
    this.orders.push(taken);
    if (!order.isLimited && !order.isStop) this.fill(taken, order.quantity, nowMs);
    else if (order.timeInForce === "ioc" || order.timeInForce === "fok") taken.state = "cancelled";
    return taken;
  }

  /** Fills so much of it, at most what is open. */
  fill(order: LedgerOrder, quantity: string, nowMs: number): void {
    if (order.state !== "open") return;
    const sum = addDecimals(order.filled, plain(quantity));
    order.filled = compareDecimals(sum, plain(order.quantity)) > 0 ? plain(order.quantity) : sum;
    order.averagePrice = order.isLimited ? order.price : MARKET_PRICE;
    order.updatedMs = nowMs;
    if (compareDecimals(order.filled, plain(order.quantity)) === 0) order.state = "filled";
  }

  /** @returns false when there is nothing to cancel */
  cancel(order: LedgerOrder, nowMs: number): boolean {
    if (order.state !== "open") return false;
    order.state = "cancelled";
    order.updatedMs = nowMs;
    return true;
  }

  byClient(clientId: string): LedgerOrder[] {
    return this.orders.filter((order) => order.clientId === clientId);
  }

  byNumber(number: string): LedgerOrder | undefined {
    return this.orders.find((order) => String(order.number) === number);
  }
}

/** Text that the broker was sent as a decimal. */
export function plain(text: string): string {
  const found = decimalText(text);
  if (found === null) throw new Error(`expected a decimal, found "${text}"`);
  return found;
}
