/**
 * Trading on a real database and a scripted broker, without HTTP: started, killed and started again by a test.
 */
import { SqlBatchStore } from "../../src/adapters/postgres/batch-store.ts";
import type { Database } from "../../src/adapters/postgres/database.ts";
import { SqlOrderStore } from "../../src/adapters/postgres/order-store.ts";
import { type Clock, systemClock, wait } from "../../src/core/clock.ts";
import type { Instrument } from "../../src/market/instrument.ts";
import { price, quantity } from "../../src/market/price.ts";
import type { Breaker } from "../../src/ports/breakers.ts";
import type { Broker } from "../../src/ports/broker.ts";
import type { Trader } from "../../src/ports/trading.ts";
import { BatchExecutor } from "../../src/trading/batch-executor.ts";
import { BrokerCalls } from "../../src/trading/broker-calls.ts";
import type { TradingLimits } from "../../src/trading/limits.ts";
import { OrderDesk } from "../../src/trading/order-desk.ts";
import { resourceOf } from "../../src/trading/report.ts";
import { CrashPoint } from "./crash-point.ts";
import { NO_BREAKER } from "./no-breaker.ts";
import { KeepingLog } from "./silent-log.ts";

export const FAST_LIMITS: TradingLimits = {
  legsMax: 20, timeoutMs: 30_000, timeoutMaxMs: 120_000, placeTimeoutMs: 20, cancelTimeoutMs: 200, findTimeoutMs: 200, lookupsMax: 6, lookupDelayMs: 1,
  absentSettleMs: 15, cancelAttemptsMax: 3, cancelDelayMs: 1, rollbackMaxMs: 5000, runningMax: 200, keysKeepMs: 86_400_000, eventsKeepMs: 86_400_000,
  pruneMs: 3_600_000, resumeMs: 20, reconcileMs: 3_600_000, stopMs: 100,
};

export const INSTRUMENT: Instrument = {
  id: "sim:BTC-USD", venue: "sim", symbol: "BTC-USD", native: "BTC-USD", priceScale: 2, sizeScale: 4, tickSize: price(1), lotSize: quantity(1), state: "active",
  simulated: true, mayCross: false, timeBase: "wall",
};
export const ETHER: Instrument = { ...INSTRUMENT, id: "sim:ETH-USD", symbol: "ETH-USD", native: "ETHUSD" };

export const INSTRUMENTS = {
  find: (spelling: string) => [INSTRUMENT, ETHER].find(({ id, venue, native }) => id === spelling || `${venue}:${native}` === spelling) ?? null,
  suggest: (spelling: string) => (spelling.startsWith("sim:BTC") ? [INSTRUMENT.id] : []),
};

export interface RigOptions {
  readonly database: Database;
  readonly broker: Broker;
  readonly crash?: CrashPoint;
  readonly limits?: Partial<TradingLimits>;
  readonly breaker?: Breaker;
  readonly isEnabled?: () => boolean;
  readonly clock?: Clock;
}

export interface TradingRig {
  readonly desk: OrderDesk;
  readonly executor: BatchExecutor;
  readonly orders: SqlOrderStore;
  readonly batches: SqlBatchStore;
  readonly calls: BrokerCalls;
  readonly log: KeepingLog;
}

/** Trading as it would be after a start of the process; `start` of its executor takes up what is not final. */
export function tradingRig({ database, broker, crash = new CrashPoint(Number.POSITIVE_INFINITY, true), limits: more = {}, breaker = NO_BREAKER, isEnabled = () => true, clock = systemClock }: RigOptions): TradingRig {
  const limits = { ...FAST_LIMITS, ...more };
  const log = new KeepingLog();
  const payloadOf = (order: Parameters<typeof resourceOf>[0]): string => JSON.stringify(resourceOf(order));
  const plain = new SqlOrderStore(database, payloadOf);
  const orders = crash.store(plain);
  const batches = crash.store(new SqlBatchStore({ database, clock, orders: plain, payloadOf }));
  const calls = new BrokerCalls({ broker: crash.broker(broker), breaker, clock, log, limits });
  const executor = new BatchExecutor({ orders, batches, brokers: new Map([[broker.broker, calls]]), clock, log, limits, isEnabled });
  const desk = new OrderDesk({ orders, batches, executor, instruments: INSTRUMENTS, brokerOf: () => calls, clock, limits, isEnabled });
  return { desk, executor, orders, batches, calls, log };
}

let owners = 0;

/** An owner whom nobody else has. */
export function newTrader(): Trader {
  const n = ++owners;
  return { owner: `owner-${process.pid}-${n}`, isAdmin: false, requestId: `r-${n}`, correlationId: `c-${n}` };
}

const DEADLINE_MS = 15_000;

/** Resolves when the condition holds; looks again every few milliseconds. */
export async function until(what: string, isTrue: () => Promise<boolean> | boolean, deadlineMs = DEADLINE_MS): Promise<void> {
  for (const ends = systemClock.monotonicMs() + deadlineMs; !(await isTrue());) {
    if (systemClock.monotonicMs() > ends) throw new Error(`${what} did not come within ${deadlineMs} ms`);
    await wait(systemClock, 2);
  }
}
