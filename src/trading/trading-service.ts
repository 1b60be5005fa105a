/**
 * Trading as the HTTP side reaches it: posting goes to the desk, reading and cancelling is here.
 */
import type { Clock } from "../core/clock.ts";
import { BrokerError, ConflictError, messageOf, NotFoundError } from "../core/errors.ts";
import type { BrokerPosition } from "../ports/broker.ts";
import type { BatchStore, Order, OrderStore } from "../ports/orders.ts";
import type { OrderListQuery, OrderResource, PostedOrders, Trader, Trading, TradingAnswer } from "../ports/trading.ts";
import { cancelInputs } from "./batch-run.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import type { OrderDesk } from "./order-desk.ts";
import { isTerminal, type OrderInput, step } from "./order-machine.ts";
import { reportOf, resourceOf } from "./report.ts";

export interface TradingServiceDeps {
  readonly orders: OrderStore;
  readonly batches: BatchStore;
  readonly desk: OrderDesk;
  /** By name. */
  readonly brokers: ReadonlyMap<string, BrokerCalls>;
  /** Whose account and positions are shown. */
  readonly broker: BrokerCalls;
  readonly clock: Clock;
  /** By id or by the venue's own spelling; null: unknown. */
  readonly symbolOf: (spelling: string) => string | null;
}

/** Others that change the same order at the same time lose or win; nobody can win so often. */
const CONFLICTS_MAX = 50;

export class TradingService implements Trading {
  readonly #deps: TradingServiceDeps;

  constructor(deps: TradingServiceDeps) {
    this.#deps = deps;
  }

  async isKnownKey(owner: string, key: string): Promise<boolean> {
    return await this.#deps.desk.known(owner, key) !== null;
  }

  postBatch(posted: PostedOrders, trader: Trader): Promise<TradingAnswer> {
    return this.#deps.desk.postBatch(posted, trader);
  }

  postOrder(posted: Omit<PostedOrders, "key"> & { readonly key: string | null }, trader: Trader): Promise<TradingAnswer> {
    return this.#deps.desk.postOrder(posted, trader);
  }

  async batch(id: string, trader: Trader): Promise<string> {
    const loaded = await this.#deps.batches.load(id);
    if (loaded === null || loaded.batch.kind === "single" || !maySee(loaded.batch.owner, trader)) throw new NotFoundError(`there is no batch "${id.slice(0, 64)}"`);
    if (loaded.report !== null) return loaded.report;
    return JSON.stringify(reportOf({ id, mode: loaded.batch.mode, state: loaded.batch.state }, await this.#deps.orders.ofBatch(id)));
  }

  async order(id: string, trader: Trader): Promise<OrderResource> {
    return resourceOf(await this.#visible(id, trader));
  }

  async orders(query: OrderListQuery, trader: Trader): ReturnType<Trading["orders"]> {
    const { orders, symbolOf } = this.#deps;
    const position = await orders.position(trader.owner);
    const symbols = query.symbols.map((spelling) => symbolOf(spelling) ?? spelling);
    const found = await orders.list({ ...query, symbols, owner: trader.isAdmin ? null : trader.owner, limit: query.limit + 1 });
    const page = found.slice(0, query.limit);
    return { items: page.map(resourceOf), next: found.length > query.limit ? page.at(-1)?.id ?? null : null, position };
  }

  async cancel(id: string, trader: Trader): Promise<OrderResource> {
    let order = await this.#visible(id, trader);
    if (isTerminal(order.state)) throw new ConflictError(`the order has ended: it is ${order.state}`, "order_final", { order: resourceOf(order) });
    order = await this.#change(order, { type: "skip", why: { code: "cancelled_by_client", message: "cancelled before it was sent" } }, "client.cancel");
    if (order.state === "sent") throw new ConflictError("the order is on its way to the broker; cancel it when its state is known", "order_in_flight", { order: resourceOf(order) });
    order = await this.#change(order, { type: "cancel" }, "client.cancel");
    if (order.state === "cancel_pending") order = await this.#cancelled(order);
    if (order.state === "cancelled" || !isRefused(order)) return resourceOf(order);
    throw new ConflictError(`the broker did not cancel the order: ${order.error?.message ?? `it is ${order.state}`}`, "cancel_rejected", { order: resourceOf(order) });
  }

  async account({ owner }: Trader): ReturnType<Trading["account"]> {
    const { broker } = this.#deps.broker;
    return { broker: broker.broker, account: await answered(broker.account(owner)) };
  }

  positions({ owner }: Trader): Promise<readonly BrokerPosition[]> {
    return answered(this.#deps.broker.broker.positions(owner));
  }

  async #cancelled(order: Order): Promise<Order> {
    const calls = this.#deps.brokers.get(order.broker);
    if (calls === undefined) throw new BrokerError(`this service has no broker ${order.broker}; configure it and try again`);
    const outcome = await calls.cancel(order);
    let after = order;
    const found = outcome.type === "refused" && outcome.order === null ? await calls.find(order) : null;
    const inputs: readonly OrderInput[] = found?.type === "found" ? [{ type: "report", order: found.order }, ...cancelInputs(outcome)] : cancelInputs(outcome);
    for (const input of inputs) after = await this.#change(after, input, "broker.cancel");
    return after;
  }

  /** Changes an order as it is by now. */
  async #change(order: Order, input: OrderInput, cause: string): Promise<Order> {
    const { orders, clock } = this.#deps;
    let current = order;
    for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
      const next = step(current, input, clock.nowMicros());
      if (next === current) return current;
      const written = await orders.write([{ order: next, cause }]);
      if (written.has(order.id)) return { ...next, version: next.version + 1 };
      current = (await orders.byIds([order.id]))[0] ?? current;
    }
    throw new ConflictError("the order changes too often at the moment; try again", "order_busy");
  }

  async #visible(id: string, trader: Trader): Promise<Order> {
    const [order] = await this.#deps.orders.byIds([id]);
    if (order === undefined || !maySee(order.owner, trader)) throw new NotFoundError(`there is no order "${id.slice(0, 64)}"`);
    return order;
  }
}

function maySee(owner: string, trader: Trader): boolean {
  return trader.isAdmin || trader.owner === owner;
}

function isRefused({ state }: Order): boolean {
  return state === "cancel_rejected" || state === "filled" || state === "rejected";
}

/** @throws {BrokerError} */
async function answered<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => {
    throw new BrokerError(`the broker does not answer: ${messageOf(error)}`, { cause: error });
  });
}
