/**
 * The rules of the paper market written once more, naively: small whole numbers, lists that are sorted anew, sums that are made anew.
 */

export interface ModelLevel {
  readonly price: number;
  readonly size: number;
}

export interface ModelTerms {
  readonly owner: string;
  readonly side: "buy" | "sell";
  readonly type: "market" | "limit" | "stop" | "stop_limit";
  readonly tif: "gtc" | "ioc" | "fok" | "day";
  readonly quantity: number;
  readonly limit: number | null;
  readonly stop: number | null;
}

export interface ModelOrder extends ModelTerms {
  readonly number: number;
  state: "accepted" | "partially_filled" | "filled" | "cancelled" | "rejected";
  filled: number;
  isTriggered: boolean;
  priority: number;
  ahead: number;
}

/** Money is in millionths of a unit of price, so that rates in 10^-6 stay whole. */
const ONE = 1_000_000;

export class PaperModel {
  readonly orders: ModelOrder[] = [];
  readonly cash = new Map<string, number>();
  readonly held = new Map<string, number>();
  bids: ModelLevel[] = [];
  asks: ModelLevel[] = [];
  readonly #start: number;
  readonly #maker: number;
  readonly #taker: number;
  #priority = 0;

  constructor(options: { readonly start: number; readonly maker: number; readonly taker: number }) {
    this.#start = options.start * ONE;
    this.#maker = options.maker;
    this.#taker = options.taker;
  }

  book(bids: readonly ModelLevel[], asks: readonly ModelLevel[]): void {
    this.bids = bids.map((level) => ({ ...level }));
    this.asks = asks.map((level) => ({ ...level }));
    this.#shown = { buy: new Map(bids.map(({ price, size }) => [price, size])), sell: new Map(asks.map(({ price, size }) => [price, size])) };
  }

  #shown: { buy: Map<number, number>; sell: Map<number, number> } = { buy: new Map(), sell: new Map() };

  place(terms: ModelTerms): ModelOrder {
    const order: ModelOrder = { ...terms, number: this.orders.length + 1, state: "accepted", filled: 0, isTriggered: terms.stop === null, priority: ++this.#priority, ahead: 0 };
    const takes = order.isTriggered ? this.#reachable(order) : [];
    const isRefused = (order.type === "market" && takes.length === 0) || this.#need(order, takes) > this.available(order);
    if (isRefused) order.state = "rejected";
    this.orders.push(order);
    if (!isRefused && order.isTriggered) this.#run(order, takes);
    return order;
  }

  cancel(number: number): void {
    const order = this.orders[number - 1];
    if (order && isOpen(order)) order.state = "cancelled";
  }

  endDay(): void {
    for (const order of this.orders) if (isOpen(order) && order.tif === "day") order.state = "cancelled";
  }

  trade(price: number, size: number, aggressor: "buy" | "sell" | "unknown"): void {
    for (const side of ["buy", "sell"] as const) {
      const sign = side === "buy" ? 1 : -1;
      const line = this.orders.filter((order) => isOpen(order) && order.isTriggered && order.side === side && sign * (Number(order.limit) - price) >= 0)
        .toSorted((a, b) => sign * (Number(b.limit) - Number(a.limit)) || a.priority - b.priority);
      let used = 0;
      for (const order of line) {
        const isThrough = order.limit !== price;
        if (!isThrough && aggressor === side) continue;
        const before = isThrough ? 0 : order.ahead;
        const part = Math.min(size - before - used, order.quantity - order.filled);
        order.ahead = Math.max(0, before - size);
        if (part <= 0) continue;
        used += part;
        this.#fill(order, [{ price: Number(order.limit), size: part }], this.#maker);
      }
    }
    const triggered = this.orders.filter((order) => isOpen(order) && !order.isTriggered && (order.side === "buy" ? Number(order.stop) <= price : Number(order.stop) >= price)).toSorted((a, b) => a.priority - b.priority);
    for (const order of triggered) {
      const takes = this.#reachable(order);
      order.isTriggered = true;
      order.priority = ++this.#priority;
      order.state = "cancelled"; // While it is looked at, it binds nothing.
      if (order.limit === null && takes.length === 0) continue;
      if (this.#need({ ...order, stop: null }, takes) > this.available(order)) continue;
      order.state = "accepted";
      this.#run(order, takes);
    }
  }

  /** What the owner can still use for an order: money for a buy, quantity for a sell. */
  available({ owner, side }: { readonly owner: string; readonly side: "buy" | "sell" }): number {
    const total = side === "buy" ? this.cash.get(owner) ?? this.#start : this.held.get(owner) ?? 0;
    const bound = this.orders.filter((order) => isOpen(order) && order.owner === owner && order.side === side).reduce((sum, order) => {
      const left = order.quantity - order.filled;
      return sum + (side === "sell" ? left : left * Number(order.limit ?? order.stop) * (ONE + Math.max(this.#maker, this.#taker)));
    }, 0);
    return total - bound;
  }

  #reachable(order: ModelOrder): ModelLevel[] {
    let left = order.quantity;
    return (order.side === "buy" ? this.asks : this.bids).flatMap(({ price, size }) => {
      const isWithin = order.limit === null || (order.side === "buy" ? price <= order.limit : price >= order.limit);
      const part = isWithin ? Math.min(left, size) : 0;
      left -= part;
      return part > 0 ? [{ price, size: part }] : [];
    });
  }

  #need(order: ModelOrder, takes: readonly ModelLevel[]): number {
    if (order.side === "sell") return order.quantity;
    const taken = takes.reduce((sum, { price, size }) => sum + price * size * (ONE + this.#taker), 0);
    const isLeft = order.stop !== null || (order.limit !== null && (order.tif === "gtc" || order.tif === "day"));
    const left = isLeft ? order.quantity - takes.reduce((sum, { size }) => sum + size, 0) : 0;
    return taken + left * Number(order.limit ?? order.stop) * (ONE + Math.max(this.#maker, this.#taker));
  }

  #run(order: ModelOrder, takes: readonly ModelLevel[]): void {
    const quantity = takes.reduce((sum, { size }) => sum + size, 0);
    if (order.tif === "fok" && quantity < order.quantity) {
      order.state = "cancelled";
      return;
    }
    const side = order.side === "buy" ? this.asks : this.bids;
    for (const { price, size } of takes) for (const [i, level] of side.entries()) if (level.price === price) side[i] = { price, size: level.size - size };
    if (takes.length > 0) this.#fill(order, takes, this.#taker);
    if (order.state === "filled") return;
    if (order.limit === null || order.tif === "ioc" || order.tif === "fok") {
      order.state = "cancelled";
      return;
    }
    const earlier = this.orders.filter((other) => isOpen(other) && other !== order && other.isTriggered && other.side === order.side && other.limit === order.limit);
    order.ahead = Math.max(this.#shown[order.side].get(order.limit) ?? 0, ...earlier.map(({ ahead }) => ahead));
  }

  #fill(order: ModelOrder, parts: readonly ModelLevel[], rate: number): void {
    const sign = order.side === "buy" ? -1 : 1;
    for (const { price, size } of parts) {
      this.cash.set(order.owner, (this.cash.get(order.owner) ?? this.#start) + sign * price * size * ONE - price * size * rate);
      this.held.set(order.owner, (this.held.get(order.owner) ?? 0) - sign * size);
      order.filled += size;
    }
    order.state = order.filled === order.quantity ? "filled" : "partially_filled";
  }
}

function isOpen({ state }: ModelOrder): boolean {
  return state === "accepted" || state === "partially_filled";
}
