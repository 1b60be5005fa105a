/**
 * Trading of a service: the configured broker, the executor behind it, and what the HTTP side and the stream need of both.
 */
import { SqlBatchStore } from "../adapters/postgres/batch-store.ts";
import type { Database } from "../adapters/postgres/database.ts";
import { SqlOrderStore } from "../adapters/postgres/order-store.ts";
import type { BrokerConfig } from "../config-broker.ts";
import type { TradingConfig } from "../config-trading.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { Breakers } from "../ports/breakers.ts";
import type { Order, OrderEvent, OrderReader } from "../ports/orders.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { Trading } from "../ports/trading.ts";
import { BatchExecutor } from "../trading/batch-executor.ts";
import { BrokerCalls } from "../trading/broker-calls.ts";
import { OrderChannel } from "../trading/order-channel.ts";
import { OrderDesk } from "../trading/order-desk.ts";
import { resourceOf } from "../trading/report.ts";
import { TradingService } from "../trading/trading-service.ts";
import { createRemoteBroker } from "./broker.ts";
import type { MarketCopy } from "./newest-values.ts";
import { createPaperBroker } from "./paper.ts";

export interface TradingDeps {
  readonly config: { readonly broker: BrokerConfig; readonly trading: TradingConfig };
  readonly clock: Clock;
  readonly log: Logger;
  readonly database: Database;
  readonly breakers: Breakers;
  readonly market: MarketCopy;
  /** The setting `orders.enabled`. */
  readonly isEnabled: () => boolean;
  /** Events of orders as they were written, for the stream. */
  readonly tell: (events: readonly OrderEvent[]) => void;
}

export interface TradingParts extends MetricSource {
  /** The broker: started after the database, before HTTP. */
  readonly broker: Component;
  /** Started last, stopped first: a stop lets requests be answered while HTTP still is there. */
  readonly executor: Component;
  /** What the HTTP side needs. */
  readonly http: { readonly trading: Trading };
  /** What the channel `orders` is served from. */
  readonly readOrders: OrderReader;
}

/** Builds it without starting anything. */
export function createTrading({ config, clock, log, database, breakers, market, isEnabled, tell }: TradingDeps): TradingParts {
  const { limits } = config.trading;
  const broker = createRemoteBroker({ config, clock, breakers, log }) ?? createPaperBroker({ config, clock, log, database, market });
  const calls = new BrokerCalls({ broker, breaker: breakers.of(`broker.${broker.broker}`), clock, log, limits });
  const payloadOf = (order: Order): string => JSON.stringify(resourceOf(order));
  const orders = new SqlOrderStore(database, payloadOf);
  const channel = new OrderChannel({ events: orders, tell, log });
  const batches = new SqlBatchStore({ database, clock, orders, payloadOf });
  const brokers = new Map([[broker.broker, calls]]);
  const executor = new BatchExecutor({ orders, batches, brokers, clock, log, limits, isEnabled });
  const desk = new OrderDesk({ orders, batches, executor, instruments: market, brokerOf: () => calls, clock, limits, isEnabled });
  const trading = new TradingService({ orders, batches, desk, brokers, broker: calls, clock, symbolOf: (spelling) => market.find(spelling)?.id ?? null });
  return {
    broker, executor, http: { trading }, readOrders: (question, done) => channel.read(question, done),
    samples: (): MetricSample[] => [...executor.samples(), ...broker.samples(), ...channel.samples()],
  };
}
