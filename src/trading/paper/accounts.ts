/**
 * Cash by owner and currency, holdings by owner and instrument, and what open orders bind of both.
 *
 * Owns: the amounts. Nothing can be spent or bound that is not there: to try it is our mistake and throws.
 */
import { divideHalfEven } from "../../market/price.ts";
import type { PaperCash, PaperOrder, PaperPosition } from "../../ports/paper.ts";
import { boundBy, costOf, feeOf } from "./amounts.ts";

export interface Amount {
  readonly total: bigint;
  /** Of it, not bound by open orders. */
  readonly available: bigint;
}

interface Holding {
  readonly owner: string;
  /** Currency of cash, instrument of a position. */
  readonly name: string;
  total: bigint;
  bound: bigint;
  /** Of positions only. */
  cost: bigint;
  /** Whether the ledger has a row of it, or is about to. */
  isKept: boolean;
}

/** An execution as the account sees it. */
export interface Execution {
  readonly price: bigint;
  readonly quantity: bigint;
  readonly rate: bigint;
}

export class Accounts {
  readonly #startBalance: bigint;
  readonly #cash = new Map<string, Map<string, Holding>>();
  readonly #positions = new Map<string, Map<string, Holding>>();
  readonly #changedCash = new Set<Holding>();
  readonly #changedPositions = new Set<Holding>();

  /** @param startBalance money that every owner has of every currency at first */
  constructor(startBalance: bigint) {
    this.#startBalance = startBalance;
  }

  restore(cash: readonly PaperCash[], positions: readonly PaperPosition[]): void {
    for (const { owner, currency, total } of cash) Object.assign(this.#cashOf(owner, currency), { total, isKept: true });
    for (const { owner, symbol, quantity, cost } of positions) Object.assign(this.#positionOf(owner, symbol), { total: quantity, cost, isKept: true });
  }

  cash(owner: string, currency: string): Amount {
    const found = this.#cash.get(owner)?.get(currency);
    return found ? amountOf(found) : { total: this.#startBalance, available: this.#startBalance };
  }

  position(owner: string, symbol: string): Amount {
    const found = this.#positions.get(owner)?.get(symbol);
    return found ? amountOf(found) : { total: 0n, available: 0n };
  }

  /** Currencies that the owner has used. */
  currencies(owner: string): readonly string[] {
    return [...this.#cash.get(owner)?.keys() ?? []];
  }

  /** Of an owner, those that are not empty, by symbol. */
  positions(owner: string): readonly { readonly symbol: string; readonly quantity: bigint; readonly cost: bigint }[] {
    const all = [...this.#positions.get(owner)?.values() ?? []].filter(({ total }) => total !== 0n);
    return all.map(({ name, total, cost }) => ({ symbol: name, quantity: total, cost })).toSorted((a, b) => (a.symbol < b.symbol ? -1 : 1));
  }

  bind(order: PaperOrder): void {
    const holding = this.#holdingOf(order);
    holding.bound += boundBy(order);
    checked(holding);
    // So that another start balance after a restart takes nothing away that is bound.
    if (!holding.isKept && order.side === "buy") this.#changedCash.add(holding);
  }

  /** @param order as it was when it was bound */
  unbind(order: PaperOrder): void {
    const holding = this.#holdingOf(order);
    holding.bound -= boundBy(order);
    checked(holding);
  }

  /** Settles one execution of an order that is not bound at present; answers the fee. */
  settle({ owner, symbol, currency, side }: PaperOrder, { price, quantity, rate }: Execution): bigint {
    const cash = this.#cashOf(owner, currency);
    const position = this.#positionOf(owner, symbol);
    const cost = costOf(price, quantity);
    const fee = feeOf(price, quantity, rate);
    if (side === "buy") {
      cash.total -= cost + fee;
      position.total += quantity;
      position.cost += price * quantity;
    } else {
      cash.total += cost - fee;
      if (position.total > 0n) position.cost -= divideHalfEven(position.cost * quantity, position.total);
      position.total -= quantity;
    }
    checked(cash);
    checked(position);
    this.#changedCash.add(cash);
    this.#changedPositions.add(position);
    return fee;
  }

  /** Rows that changed since the last call. */
  take(nextRevision: () => number): { readonly cash: readonly PaperCash[]; readonly positions: readonly PaperPosition[] } {
    const cash = [...this.#changedCash].map(({ owner, name, total }) => ({ owner, currency: name, total, revision: nextRevision() }));
    const positions = [...this.#changedPositions].map(({ owner, name, total, cost }) => ({ owner, symbol: name, quantity: total, cost, revision: nextRevision() }));
    for (const holding of [...this.#changedCash, ...this.#changedPositions]) holding.isKept = true;
    this.#changedCash.clear();
    this.#changedPositions.clear();
    return { cash, positions };
  }

  #holdingOf({ owner, side, symbol, currency }: PaperOrder): Holding {
    return side === "buy" ? this.#cashOf(owner, currency) : this.#positionOf(owner, symbol);
  }

  #cashOf(owner: string, currency: string): Holding {
    return holdingIn(this.#cash, owner, currency, this.#startBalance);
  }

  #positionOf(owner: string, symbol: string): Holding {
    return holdingIn(this.#positions, owner, symbol, 0n);
  }
}

function holdingIn(all: Map<string, Map<string, Holding>>, owner: string, name: string, startTotal: bigint): Holding {
  let own = all.get(owner);
  if (!own) all.set(owner, own = new Map());
  let holding = own.get(name);
  if (!holding) own.set(name, holding = { owner, name, total: startTotal, bound: 0n, cost: 0n, isKept: false });
  return holding;
}

function amountOf({ total, bound }: Holding): Amount {
  return { total, available: total - bound };
}

function checked({ owner, name, total, bound }: Holding): void {
  if (total < bound || bound < 0n) throw new Error(`expected what is bound within what is there, found ${bound} of ${total} ${name} of ${owner}`);
}
