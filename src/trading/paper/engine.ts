/**
 * The paper market: matches orders against the visible depth when they come, and against the tape while they rest.
 *
 * Owns: open orders and accounts, in memory. Pure: no clock, no promise, no float; the same calls in the same order give the
 * same orders, fills and balances. What changed is handed out by `take`, for the ledger.
 */
import type { Micros } from "../../core/time.ts";
import { micros } from "../../core/time.ts";
import type { OrderSide } from "../../ports/broker.ts";
import type { PaperChanges, PaperFill, PaperKey, PaperOrder, PaperState } from "../../ports/paper.ts";
import { Accounts } from "./accounts.ts";
import { costOf, dearestRate, feeOf, type Rates } from "./amounts.ts";
import { type Depth, type DepthLevel, sizeAt, TakenDepth } from "./depth.ts";
import { Resting } from "./resting.ts";
import type { Terms } from "./terms.ts";

export interface EngineOptions {
  readonly startBalance: bigint;
  /** In 10^-6. */
  readonly makerRate: bigint;
  readonly takerRate: bigint;
  /** Open orders of one owner, and of all. */
  readonly openPerOwnerMax: number;
  readonly openMax: number;
  /** The book of an instrument as it stands; null: none, or its feed does not deliver. */
  readonly depthOf: (symbol: string) => Depth | null;
}

/** An execution on the tape. */
export interface TapeTrade {
  readonly symbol: string;
  readonly price: bigint;
  readonly quantity: bigint;
  /** The aggressor's. */
  readonly side: OrderSide | "unknown";
  /** When we read it, by our clock; null where times are a recording's. */
  readonly received: Micros | null;
}

const DAY_MICROS = 86_400_000_000;

export class PaperEngine {
  readonly #options: EngineOptions;
  readonly #accounts: Accounts;
  readonly #taken = new TakenDepth();
  readonly #open = new Map<number, PaperOrder>();
  readonly #numbers = new Map<string, number>();
  readonly #openOf = new Map<string, number>();
  readonly #resting = new Map<string, Resting>();
  #orderNumber = 0;
  #priority = 0;
  #revision = 0;
  #transitions: PaperOrder[] = [];
  #fills: PaperFill[] = [];

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#accounts = new Accounts(options.startBalance);
  }

  get accounts(): Accounts {
    return this.#accounts;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Rests again what the ledger says is open. */
  restore({ orders, cash, positions, orderNumber, revision }: PaperState): void {
    this.#accounts.restore(cash, positions);
    this.#orderNumber = orderNumber;
    this.#revision = revision;
    for (const order of orders) {
      this.#priority = Math.max(this.#priority, order.priority);
      this.#rest(order);
    }
  }

  /** An order that is not ended. */
  openOrder({ owner, clientOrderId }: PaperKey): PaperOrder | null {
    return this.#open.get(this.#numbers.get(keyOf(owner, clientOrderId)) ?? 0) ?? null;
  }

  /** Whether trades of an instrument can change anything. */
  isWatched(symbol: string): boolean {
    return this.#resting.has(symbol);
  }

  /** What stands against the terms, all together, in the order given; null: nothing. Changes nothing. */
  faultsOf(all: readonly Terms[]): (Refusal | null)[] {
    const taken = this.#taken.copy();
    const spent = new Map<string, bigint>();
    return all.map((terms, i) => {
      const depth = this.#options.depthOf(terms.symbol);
      const parts = this.#entryParts(terms, depth, taken);
      if (depth) taken.take(terms.symbol, depth, terms.side, parts);
      const spending = `${terms.side} ${terms.owner} ${terms.side === "buy" ? terms.currency : terms.symbol}`;
      const before = spent.get(spending) ?? 0n;
      spent.set(spending, before + needOf(terms, parts, this.#options));
      return this.#limitFault(terms.owner, all.slice(0, i).filter(({ owner }) => owner === terms.owner).length) ?? this.#refusal(terms, depth, parts, before);
    });
  }

  /** Takes an order in; the client order id must be new. Answers it as it stands then: rejected, resting, filled or cancelled. */
  place(terms: Terms, now: Micros): PaperOrder {
    const depth = this.#options.depthOf(terms.symbol);
    const order = this.#newOrder(terms, now);
    const parts = this.#entryParts(terms, depth, this.#taken);
    const refusal = this.#limitFault(terms.owner, 0) ?? this.#refusal(terms, depth, parts, 0n);
    if (refusal) return this.#change(order, { state: "rejected", code: refusal.code, reason: refusal.reason }, now);
    const accepted = this.#change(order, {}, now);
    return accepted.isTriggered ? this.#execute(accepted, depth, parts, now) : this.#rest(accepted);
  }

  /** Null when there is no such open order. */
  cancel(key: PaperKey, now: Micros): PaperOrder | null {
    const order = this.openOrder(key);
    return order && this.#change(this.#unrest(order), { state: "cancelled" }, now);
  }

  /** Fills and triggers what the execution reaches. At most its size is filled on each side. */
  trade(trade: TapeTrade, now: Micros): void {
    const resting = this.#resting.get(trade.symbol);
    if (!resting) return;
    this.#fillSide(resting, "buy", trade, now);
    this.#fillSide(resting, "sell", trade, now);
    const triggered = [...resting.buyStops.upTo(trade.price), ...resting.sellStops.upTo(trade.price)].toSorted((a, b) => a.priority - b.priority);
    for (const { order } of triggered) this.#trigger(this.#required(order), trade, now);
  }

  /** Ends the day orders whose day is over. */
  expire(now: Micros): void {
    for (const order of [...this.#open.values()]) {
      if (order.expiresAt !== null && order.expiresAt <= now) this.#change(this.#unrest(order), { state: "cancelled", reason: "the day of the order has ended" }, now);
    }
  }

  /** What changed since the last call: every state that orders went through, in order, and the newest rows. Null: nothing did. */
  take(): { readonly transitions: readonly PaperOrder[]; readonly changes: PaperChanges } | null {
    const transitions = this.#transitions;
    if (transitions.length === 0) return null;
    const { cash, positions } = this.#accounts.take(() => ++this.#revision);
    const newest = new Map(transitions.map((order) => [order.number, order]));
    const changes = { orders: [...newest.values()], fills: this.#fills, cash, positions, revision: this.#revision };
    this.#transitions = [];
    this.#fills = [];
    return { transitions, changes };
  }

  #newOrder(terms: Terms, now: Micros): PaperOrder {
    const { makerRate, takerRate } = this.#options;
    return {
      ...terms, number: ++this.#orderNumber, makerRate, takerRate, state: "accepted", isTriggered: terms.stopPrice === null, priority: ++this.#priority, ahead: 0n,
      restedAt: now, filled: 0n, notional: 0n, fees: 0n, fillCount: 0, code: null, reason: null, createdAt: now, updatedAt: now, revision: 0,
      expiresAt: terms.timeInForce === "day" ? micros((Math.floor(now / DAY_MICROS) + 1) * DAY_MICROS) : null,
    };
  }

  /** What an order would take at once. */
  #entryParts(terms: Terms, depth: Depth | null, taken: TakenDepth): DepthLevel[] {
    return depth === null || terms.stopPrice !== null ? [] : taken.walk(terms.symbol, depth, terms.side, terms.quantity, terms.limitPrice);
  }

  #limitFault(owner: string, more: number): Refusal | null {
    const { openPerOwnerMax, openMax } = this.#options;
    if ((this.#openOf.get(owner) ?? 0) + more >= openPerOwnerMax) return { code: "too_many_open_orders", path: "", reason: `at most ${openPerOwnerMax} open orders an owner; cancel one or wait` };
    if (this.#open.size + more >= openMax) return { code: "too_many_open_orders", path: "", reason: `at most ${openMax} open orders in all; try again later` };
    return null;
  }

  /** @param spent of the same amount, by orders before it that are not placed yet */
  #refusal(terms: Terms, depth: Depth | null, parts: readonly DepthLevel[], spent: bigint): Refusal | null {
    const { owner, symbol, side, currency } = terms;
    if (terms.type === "market" && (depth === null || parts.length === 0)) return { code: "no_market", path: "symbol", reason: `${symbol} has no ${side === "buy" ? "asks" : "bids"} to trade with now; use a limit order or try again` };
    const { available } = side === "buy" ? this.#accounts.cash(owner, currency) : this.#accounts.position(owner, symbol);
    if (spent + needOf(terms, parts, this.#options) <= available) return null;
    return side === "buy"
      ? { code: "insufficient_funds", path: "quantity", reason: `the order needs more ${currency} with its fees than is available; buy less or cancel other orders` }
      : { code: "insufficient_position", path: "quantity", reason: `the account has less of ${symbol} available than is sold, and there is no short selling; sell less or cancel other orders` };
  }

  /** Takes what it can of the depth; the rest of it rests or is cancelled. */
  #execute(order: PaperOrder, depth: Depth | null, parts: readonly DepthLevel[], now: Micros): PaperOrder {
    const quantity = parts.reduce((sum, part) => sum + part.quantity, 0n);
    if (order.timeInForce === "fok" && quantity < order.quantity) return this.#change(order, { state: "cancelled", reason: "fill or kill: the visible depth is not enough for all of it" }, now);
    if (depth) this.#taken.take(order.symbol, depth, order.side, parts);
    const taken = parts.length === 0 ? order : this.#fill(order, parts, false, now);
    if (taken.state === "filled") return taken;
    if (order.limitPrice !== null && canRest(order)) return this.#rest(this.#joined(taken, order.limitPrice, depth, now));
    return this.#change(taken, { state: "cancelled", reason: order.limitPrice === null ? "the visible depth was not enough for the rest" : "immediate or cancel: the rest was not to be had within the limit" }, now);
  }

  /** At the end of the line: behind the size that the venue shows at its price, and never before a paper order that was there first. */
  #joined(order: PaperOrder, limit: bigint, depth: Depth | null, now: Micros): PaperOrder {
    const shown = depth ? sizeAt(depth, order.side, limit) : 0n;
    const resting = this.#resting.get(order.symbol);
    const others = (order.side === "buy" ? resting?.buys : resting?.sells)?.at(limit) ?? [];
    const ahead = others.reduce((most, rung) => {
      const other = this.#required(rung.order).ahead;
      return other > most ? other : most;
    }, shown);
    return this.#replace({ ...order, ahead, restedAt: now });
  }

  #fillSide(resting: Resting, side: OrderSide, { price, quantity, side: aggressor, received }: TapeTrade, now: Micros): void {
    let used = 0n;
    for (const rung of (side === "buy" ? resting.buys : resting.sells).upTo(price)) {
      const isThrough = rung.price !== price;
      // At our very price the one who rested was on our side only when the aggressor was on the other.
      if (!isThrough && aggressor === side) return;
      const order = this.#required(rung.order);
      if (received !== null && order.restedAt > received) continue;
      const before = isThrough ? 0n : order.ahead;
      const free = quantity - before - used;
      const ahead = before > quantity ? before - quantity : 0n;
      const left = order.quantity - order.filled;
      const part = free < left ? free : left;
      if (part <= 0n) {
        if (ahead !== order.ahead) this.#open.set(order.number, { ...order, ahead });
        continue;
      }
      used += part;
      const filled = this.#fill({ ...this.#unrest(order), ahead }, [{ price: rung.price, quantity: part }], true, now);
      if (filled.state !== "filled") this.#rest(filled);
    }
  }

  #trigger(order: PaperOrder, { received }: TapeTrade, now: Micros): void {
    if (received !== null && order.restedAt > received) return;
    const free = this.#unrest(order);
    const depth = this.#options.depthOf(order.symbol);
    const parts = depth === null ? [] : this.#taken.walk(order.symbol, depth, order.side, order.quantity, order.limitPrice);
    const triggered = { ...free, isTriggered: true, priority: ++this.#priority, restedAt: now };
    if (order.limitPrice === null && parts.length === 0) return void this.#change(triggered, { state: "cancelled", reason: "the stop was triggered and the book had nothing to trade with" }, now);
    if (needOf({ ...triggered, stopPrice: null }, parts, order) > this.#availableFor(order)) return void this.#change(triggered, { state: "cancelled", reason: "the stop was triggered and the account cannot pay what the book asks" }, now);
    this.#execute(this.#change(triggered, {}, now), depth, parts, now);
  }

  #availableFor({ side, owner, currency, symbol }: PaperOrder): bigint {
    return (side === "buy" ? this.#accounts.cash(owner, currency) : this.#accounts.position(owner, symbol)).available;
  }

  /** Settles executions of an order that is not bound; one transition for all of them. */
  #fill(order: PaperOrder, parts: readonly DepthLevel[], isMaker: boolean, now: Micros): PaperOrder {
    const rate = isMaker ? order.makerRate : order.takerRate;
    let { filled, notional, fees, fillCount } = order;
    for (const { price, quantity } of parts) {
      const fee = this.#accounts.settle(order, { price, quantity, rate });
      filled += quantity;
      notional += price * quantity;
      fees += fee;
      this.#fills.push({ orderNumber: order.number, n: ++fillCount, price, quantity, fee, isMaker, time: now });
    }
    return this.#change(order, { filled, notional, fees, fillCount, state: filled === order.quantity ? "filled" : "partially_filled" }, now);
  }

  /** A transition. */
  #change(order: PaperOrder, change: Partial<PaperOrder>, now: Micros): PaperOrder {
    const next = { ...order, ...change, updatedAt: now, revision: ++this.#revision };
    this.#transitions.push(next);
    return next;
  }

  /** The last transition as it is to be kept. */
  #replace(order: PaperOrder): PaperOrder {
    const next = { ...order, revision: ++this.#revision };
    this.#transitions[this.#transitions.length - 1] = next;
    return next;
  }

  #rest(order: PaperOrder): PaperOrder {
    this.#open.set(order.number, order);
    this.#numbers.set(keyOf(order.owner, order.clientOrderId), order.number);
    this.#openOf.set(order.owner, (this.#openOf.get(order.owner) ?? 0) + 1);
    let resting = this.#resting.get(order.symbol);
    if (!resting) this.#resting.set(order.symbol, resting = new Resting());
    resting.add(order);
    this.#accounts.bind(order);
    return order;
  }

  #unrest(order: PaperOrder): PaperOrder {
    this.#open.delete(order.number);
    this.#numbers.delete(keyOf(order.owner, order.clientOrderId));
    const left = (this.#openOf.get(order.owner) ?? 1) - 1;
    if (left > 0) this.#openOf.set(order.owner, left);
    else this.#openOf.delete(order.owner);
    const resting = this.#resting.get(order.symbol);
    resting?.remove(order);
    if (resting?.isEmpty) this.#resting.delete(order.symbol);
    this.#accounts.unbind(order);
    return order;
  }

  #required(number: number): PaperOrder {
    const order = this.#open.get(number);
    if (!order) throw new Error(`expected order ${number} to be open`);
    return order;
  }
}

/** Why an order is not taken. */
export interface Refusal {
  readonly code: string;
  /** The member that it is about; empty: none. */
  readonly path: string;
  readonly reason: string;
}

/** What an order uses and binds: money of a buy, quantity of a sell. */
function needOf(terms: Terms, parts: readonly DepthLevel[], rates: Rates): bigint {
  if (terms.side === "sell") return terms.quantity;
  const taken = parts.reduce((sum, { price, quantity }) => sum + costOf(price, quantity) + feeOf(price, quantity, rates.takerRate), 0n);
  const isLeft = terms.stopPrice !== null || (terms.limitPrice !== null && canRest(terms));
  const left = isLeft ? terms.quantity - parts.reduce((sum, { quantity }) => sum + quantity, 0n) : 0n;
  const worst = terms.limitPrice ?? terms.stopPrice ?? 0n;
  return taken + costOf(worst, left) + feeOf(worst, left, dearestRate(rates));
}

function canRest({ timeInForce }: Pick<PaperOrder, "timeInForce">): boolean {
  return timeInForce === "gtc" || timeInForce === "day";
}

function keyOf(owner: string, clientOrderId: string): string {
  return `${owner}\n${clientOrderId}`;
}
