/**
 * The paper broker: the engine behind the Broker port, durable in its ledger before anybody hears of it.
 *
 * Owns: engine and ledger writer. Runs on: main thread. A new order costs one transaction, shared with others of the moment.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import { AppError, messageOf } from "../../core/errors.ts";
import type { Instrument } from "../../market/instrument.ts";
import { formatDecimal } from "../../market/decimal.ts";
import type { Broker, BrokerAccount, BrokerOrder, BrokerPosition, BrokerRequest, CancelOutcome, FindOutcome, OrderSide, PlaceOutcome } from "../../ports/broker.ts";
import { PAPER_MONEY_SCALE, PAPER_UNIT_SCALE, type PaperKey, type PaperLedger, type PaperOrder } from "../../ports/paper.ts";
import type { Logger, MetricSample, MetricSource } from "../../ports/telemetry.ts";
import type { Micros } from "../../core/time.ts";
import { averageText } from "./amounts.ts";
import { PaperEngine } from "./engine.ts";
import { KnownIds } from "./known-ids.ts";
import { LedgerWriter } from "./ledger-writer.ts";
import type { PaperMarket } from "./market-depth.ts";
import { readTerms, type ReadTerms, type Terms } from "./terms.ts";

export interface PaperOptions {
  /** Money of each currency that an owner begins with, in 10^-36. */
  readonly startBalance: bigint;
  /** Fee rates in 10^-6. */
  readonly makerRate: bigint;
  readonly takerRate: bigint;
  readonly openPerOwnerMax: number;
  readonly openMax: number;
  /** From a failed commit to the next try. */
  readonly retryMs: number;
  /** Of instruments that are no pair. */
  readonly currency: string;
}

export interface PaperBrokerDeps extends PaperOptions {
  readonly ledger: PaperLedger;
  readonly market: PaperMarket;
  readonly clock: Clock;
  readonly log: Logger;
  /** Unlike that of any other process. */
  readonly writer: string;
}

/** A trade of the venue, in units of its instrument. */
export interface VenueTrade {
  readonly instrument: Instrument;
  readonly price: number;
  readonly size: number;
  readonly side: OrderSide | "unknown";
  /** When we read it. */
  readonly received: Micros;
}

/** How often it is looked whether the day of day orders has ended. */
const DAY_CHECK_MS = 1000;

export class PaperBroker implements Broker, MetricSource {
  readonly name = "paper broker";
  readonly broker = "paper";
  readonly #deps: PaperBrokerDeps;
  readonly #engine: PaperEngine;
  readonly #writer: LedgerWriter;
  readonly #known = new KnownIds();
  /** Orders that are being placed, by key: of the same one the second waits for the first. */
  readonly #placing = new Map<string, Promise<PlaceOutcome>>();
  readonly #listeners: ((update: BrokerOrder) => void)[] = [];
  readonly #counts = { placed: 0, rejected: 0, repeated: 0, cancelled: 0, filled: 0, lookups: 0, trades: 0, passedOver: 0 };
  #isStarted = false;
  #timer: Timer | null = null;

  constructor(deps: PaperBrokerDeps) {
    const { ledger, clock, log, writer, retryMs, market } = deps;
    this.#deps = deps;
    this.#engine = new PaperEngine({ ...deps, depthOf: (symbol) => market.depthOf(symbol) });
    this.#writer = new LedgerWriter({ ledger, clock, log, writer, retryMs, onDurable: (order) => this.#tell(order) });
  }

  /** Takes the ledger over and rests its open orders again. */
  async start(): Promise<void> {
    const { ledger, writer, clock } = this.#deps;
    const state = await ledger.open(writer);
    await ledger.eachKey((keys) => {
      for (const key of keys) this.#known.add(key);
    });
    this.#engine.restore(state);
    this.#writer.restore(state.orders);
    this.#isStarted = true;
    this.#timer = clock.every(DAY_CHECK_MS, () => this.#endDays());
    this.#endDays();
  }

  async stop(): Promise<void> {
    this.#timer?.stop();
    this.#isStarted = false;
    await this.#writer.stop();
  }

  onUpdate(listener: (update: BrokerOrder) => void): void {
    this.#listeners.push(listener);
  }

  async check(requests: readonly BrokerRequest[]): Promise<readonly { readonly index: number; readonly path: string; readonly message: string }[]> {
    const faults: { index: number; path: string; message: string }[] = [];
    const readable: { readonly index: number; readonly terms: Terms }[] = [];
    for (const [index, request] of requests.entries()) {
      const read = this.#read(request);
      if (read.type === "terms") readable.push({ index, terms: read.terms });
      else faults.push(...read.faults.map((fault) => ({ index, ...fault })));
    }
    for (const [i, refusal] of this.#engine.faultsOf(readable.map(({ terms }) => terms)).entries()) {
      if (refusal) faults.push({ index: readable[i]?.index ?? 0, path: refusal.path, message: refusal.reason });
    }
    return faults.toSorted((a, b) => a.index - b.index);
  }

  async place(request: BrokerRequest): Promise<PlaceOutcome> {
    const key = keyText(request);
    for (let earlier = this.#placing.get(key); earlier; earlier = this.#placing.get(key)) await earlier;
    const placing = this.#place(request);
    this.#placing.set(key, placing);
    try {
      return await placing;
    } finally {
      this.#placing.delete(key);
    }
  }

  async cancel(key: PaperKey): Promise<CancelOutcome> {
    try {
      await this.#placing.get(keyText(key));
      if (this.#writer.isBehind) await this.#writer.settled();
      const cancelled = this.#engine.cancel(key, this.#deps.clock.nowMicros());
      if (cancelled) {
        await this.#commit();
        return { type: "cancelled", order: brokerOrder(cancelled) };
      }
      await this.#writer.settled();
      const order = await this.#deps.ledger.find(key);
      if (order === null) return { type: "refused", reason: "the paper account has no order with this client order id", order: null };
      if (order.state === "cancelled") return { type: "cancelled", order: brokerOrder(order) };
      return { type: "refused", reason: `the order is ${order.state}`, order: brokerOrder(order) };
    } catch (error) {
      return this.#unknown(error);
    }
  }

  async find(key: PaperKey): Promise<FindOutcome> {
    try {
      await this.#placing.get(keyText(key));
      const order = await this.#find(key);
      return order ? { type: "found", order: brokerOrder(order) } : { type: "absent" };
    } catch (error) {
      return this.#unknown(error);
    }
  }

  /** @throws {StoreError} when the ledger is behind */
  async positions(owner: string): Promise<readonly BrokerPosition[]> {
    await this.#writer.settled();
    return this.#engine.accounts.positions(owner).map(({ symbol, quantity, cost }) => ({
      symbol, quantity: formatDecimal(quantity, PAPER_UNIT_SCALE), averagePrice: averageText(cost, quantity, this.#deps.market.find(symbol)?.priceScale ?? PAPER_UNIT_SCALE),
    }));
  }

  /** @throws {StoreError} when the ledger is behind */
  async account(owner: string): Promise<BrokerAccount> {
    await this.#writer.settled();
    const { accounts } = this.#engine;
    const { market, currency } = this.#deps;
    const currencies = [...new Set([...market.currencies(), ...accounts.currencies(owner)])].toSorted();
    const balances = (currencies.length > 0 ? currencies : [currency]).map((each) => {
      const { total, available } = accounts.cash(owner, each);
      return { currency: each, total: formatDecimal(total, PAPER_MONEY_SCALE), available: formatDecimal(available, PAPER_MONEY_SCALE) };
    });
    return { balances };
  }

  /** A trade of a venue, as it is heard. While the ledger is behind it changes nothing and is counted. */
  trade({ instrument, price, size, side, received }: VenueTrade): void {
    if (!this.#isStarted || !this.#engine.isWatched(instrument.id)) return;
    if (this.#writer.isBehind) return void this.#counts.passedOver++;
    this.#counts.trades++;
    this.#engine.trade({
      symbol: instrument.id, side, received: instrument.timeBase === "wall" ? received : null,
      price: BigInt(price) * 10n ** BigInt(PAPER_UNIT_SCALE - instrument.priceScale), quantity: BigInt(size) * 10n ** BigInt(PAPER_UNIT_SCALE - instrument.sizeScale),
    }, this.#deps.clock.nowMicros());
    this.#gather();
  }

  samples(): MetricSample[] {
    const { placed, rejected, repeated, cancelled, filled, lookups, trades, passedOver } = this.#counts;
    const outcome = (state: string, value: number): MetricSample => ({ name: "ticker_paper_orders_total", help: "Orders of the paper broker by what became of them; placed counts all, repeated those whose id was used before", type: "counter", labels: { state }, value });
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      outcome("placed", placed), outcome("rejected", rejected), outcome("repeated", repeated), outcome("cancelled", cancelled), outcome("filled", filled),
      { name: "ticker_paper_open_orders", help: "Open orders of the paper broker", type: "gauge", labels: {}, value: this.#engine.openCount },
      counter("ticker_paper_trades_total", "Trades of venues that were matched with open paper orders", trades),
      counter("ticker_paper_trades_passed_over_total", "Trades that open paper orders missed because the ledger was behind", passedOver),
      counter("ticker_paper_id_lookups_total", "Client order ids that had to be looked up in the ledger before an order", lookups),
      counter("ticker_paper_commits_total", "Transactions of the paper ledger", this.#writer.commits),
      counter("ticker_paper_commit_failures_total", "Transactions of the paper ledger that failed and are repeated", this.#writer.failures),
    ];
  }

  async #place(request: BrokerRequest): Promise<PlaceOutcome> {
    try {
      const existing = this.#known.mayHave(request) ? await this.#find(request) : null;
      if (existing) {
        this.#counts.repeated++;
        return outcomeOf(existing);
      }
    } catch (error) {
      return this.#unknown(error);
    }
    this.#counts.placed++;
    const read = this.#read(request);
    if (read.type === "faults") return this.#rejected("invalid_order", read.faults.map(({ path, message }) => `${path}: ${message}`).join("; "));
    if (!this.#isStarted || this.#writer.isBehind) return this.#rejected("broker_unavailable", "the ledger of the paper account does not take changes at present; try again later");
    this.#known.add(request);
    const order = this.#engine.place(read.terms, this.#deps.clock.nowMicros());
    try {
      await this.#commit();
    } catch (error) {
      return this.#unknown(error);
    }
    return outcomeOf(order);
  }

  /** The order as it is in the ledger. */
  async #find(key: PaperKey): Promise<PaperOrder | null> {
    const durable = this.#writer.durable(key);
    if (durable) return durable;
    await this.#writer.settled();
    this.#counts.lookups++;
    return this.#writer.durable(key) ?? this.#deps.ledger.find(key);
  }

  #read(request: BrokerRequest): ReadTerms {
    const { market, currency } = this.#deps;
    const instrument = market.find(request.symbol);
    const refuse = (message: string): ReadTerms => ({ type: "faults", faults: [{ path: "symbol", message }] });
    if (!instrument) return refuse(`unknown instrument "${request.symbol}"; see GET /v1/instruments`);
    if (instrument.state !== "active") return refuse(`${instrument.id} is ${instrument.state}; only active instruments are traded`);
    return readTerms(request, instrument, currency);
  }

  #endDays(): void {
    if (this.#writer.isBehind) return;
    this.#engine.expire(this.#deps.clock.nowMicros());
    this.#gather();
  }

  #gather(): void {
    const taken = this.#engine.take();
    if (taken) this.#writer.add(taken.transitions, taken.changes);
  }

  #commit(): Promise<void> {
    this.#gather();
    return this.#writer.settled();
  }

  #tell(order: PaperOrder): void {
    if (order.state === "filled" || order.state === "cancelled" || order.state === "rejected") this.#counts[order.state]++;
    const update = brokerOrder(order);
    for (const listener of this.#listeners) listener(update);
  }

  #rejected(code: string, reason: string): PlaceOutcome {
    this.#counts.rejected++;
    return { type: "rejected", code, reason };
  }

  #unknown(error: unknown): { readonly type: "unknown"; readonly reason: string; readonly waitMs: number } {
    if (!(error instanceof AppError)) throw error;
    return { type: "unknown", reason: messageOf(error), waitMs: this.#deps.retryMs };
  }
}

function keyText({ owner, clientOrderId }: PaperKey): string {
  return `${owner}\n${clientOrderId}`;
}

function outcomeOf(order: PaperOrder): PlaceOutcome {
  if (order.state !== "rejected") return { type: "accepted", order: brokerOrder(order) };
  return { type: "rejected", code: order.code ?? "rejected", reason: order.reason ?? "rejected" };
}

function brokerOrder({ clientOrderId, number, state, filled, notional, priceScale, reason, updatedAt }: PaperOrder): BrokerOrder {
  return {
    clientOrderId, brokerOrderId: `paper-${number}`, state, filled: formatDecimal(filled, PAPER_UNIT_SCALE), averagePrice: averageText(notional, filled, priceScale), reason, updatedAt,
  };
}
