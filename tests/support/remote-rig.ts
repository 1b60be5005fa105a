/**
 * A remote broker in front of its loopback broker, with short limits: for tests of what an adapter makes of faults.
 */
import { systemClock, type Clock } from "../../src/core/clock.ts";
import { AlpacaWire } from "../../src/adapters/brokers/alpaca.ts";
import { CcxtWire } from "../../src/adapters/brokers/ccxt.ts";
import { KiteWire } from "../../src/adapters/brokers/kite.ts";
import { Redaction } from "../../src/adapters/brokers/redaction.ts";
import { RemoteBroker, type RemoteLimits } from "../../src/adapters/brokers/remote-broker.ts";
import type { BrokerWire } from "../../src/adapters/brokers/wire.ts";
import { CircuitBreakers } from "../../src/adapters/breaker.ts";
import type { BrokerRequest, TimeInForce } from "../../src/ports/broker.ts";
import type { LogFields, Logger } from "../../src/ports/telemetry.ts";
import { ALPACA_KEY, ALPACA_SECRET, startLoopbackAlpaca } from "./loopback-broker-alpaca.ts";
import { BINANCE_KEY, BINANCE_SECRET, startLoopbackBinance } from "./loopback-broker-binance.ts";
import { KITE_KEY, KITE_TOKEN, startLoopbackKite } from "./loopback-broker-kite.ts";
import type { LoopbackBroker } from "./loopback-broker.ts";

/** What differs between the three. */
export interface Vendor {
  readonly name: string;
  readonly symbol: string;
  readonly quantity: string;
  readonly parts: readonly [first: string, second: string];
  readonly limitPrice: string;
  /** Of an order that rests. */
  readonly timeInForce: TimeInForce;
  readonly refused: Partial<BrokerRequest>;
  readonly secrets: readonly string[];
  start(port?: number): Promise<LoopbackBroker>;
  wire(url: string, clock: Clock, secrets?: readonly string[]): BrokerWire;
}

export const CCXT: Vendor = {
  name: "ccxt.binance", symbol: "binance:BTC-USDT", quantity: "0.3", parts: ["0.1", "0.2"], limitPrice: "90.50", timeInForce: "gtc",
  refused: { quantity: "8000", limitPrice: "900000" }, secrets: [BINANCE_KEY, BINANCE_SECRET], start: startLoopbackBinance,
  wire: (url, clock, [apiKey = BINANCE_KEY, secret = BINANCE_SECRET] = []) => new CcxtWire({ exchange: "binance", venues: ["binance"], url, isTest: true, apiKey, secret, password: "", clock, validMs: 5000 }),
};

export const ALPACA: Vendor = {
  name: "alpaca", symbol: "nasdaq:AAPL", quantity: "0.3", parts: ["0.1", "0.2"], limitPrice: "90.50", timeInForce: "gtc",
  refused: { quantity: "90000" }, secrets: [ALPACA_KEY, ALPACA_SECRET], start: startLoopbackAlpaca,
  wire: (url, clock, [keyId = ALPACA_KEY, secretKey = ALPACA_SECRET] = []) => new AlpacaWire({ url, isTest: true, venues: ["alpaca", "nasdaq"], keyId, secretKey, clock }),
};

export const KITE: Vendor = {
  name: "kite", symbol: "nse:INFY", quantity: "3", parts: ["1", "2"], limitPrice: "90.5", timeInForce: "day",
  refused: { quantity: "90000" }, secrets: [KITE_KEY, KITE_TOKEN], start: startLoopbackKite,
  wire: (url, clock, [apiKey = KITE_KEY, accessToken = KITE_TOKEN] = []) => new KiteWire({ url, apiKey, accessToken, product: "CNC", clock }),
};

export const LIMITS: RemoteLimits = {
  deadlineMs: 250, callsMax: 32, confirmMs: 400, confirmEveryMs: 10, settleMs: 300, pollMs: 20, pollOrdersMax: 50, ordersMax: 1000,
};

export interface RemoteRig {
  readonly broker: RemoteBroker;
  readonly loopback: LoopbackBroker;
  readonly breakers: CircuitBreakers;
  /** Everything that was logged, as JSON. */
  readonly logged: readonly string[];
  /** What the broker is given for one of our ids. */
  idOf(clientOrderId: string): string;
  request(more?: Partial<BrokerRequest>): BrokerRequest;
  stop(): Promise<void>;
}

export interface RigOptions {
  readonly limits?: Partial<RemoteLimits>;
  readonly secrets?: readonly string[];
  /** Instead of a loopback broker of its own. */
  readonly loopback?: LoopbackBroker;
  readonly clock?: Clock;
  /** Calls before the breaker may open. */
  readonly breakerCallsMin?: number;
  readonly breakerProbeMs?: number;
}

let requests = 0;

/** Starts both. The adapter polls, and was made long enough ago for `absent` to be believed. */
export async function openRig(vendor: Vendor, options: RigOptions = {}): Promise<RemoteRig> {
  const { clock = systemClock } = options;
  const loopback = options.loopback ?? await vendor.start();
  const wire = vendor.wire(loopback.url, clock, options.secrets);
  const breakers = new CircuitBreakers({ clock, limits: { callsMin: options.breakerCallsMin ?? 1_000_000, failedPct: 50, windowMs: 60_000, probeMs: options.breakerProbeMs ?? 60_000, probeStoresMs: 5000 } });
  const logged: string[] = [];
  const broker = new RemoteBroker({
    wire, clock, breaker: breakers.of(`broker.${wire.broker}`), log: keepingLog(logged), limits: { ...LIMITS, ...options.limits },
    redaction: new Redaction(options.secrets ?? vendor.secrets),
  });
  await broker.start();
  return {
    broker, loopback, breakers, logged,
    idOf: (clientOrderId) => wire.idOf(clientOrderId),
    request: (more = {}) => ({
      clientOrderId: `rig/${process.pid}/${++requests}`, owner: "owner-1", symbol: vendor.symbol, side: "buy", type: "limit", quantity: vendor.quantity,
      limitPrice: vendor.limitPrice, stopPrice: null, timeInForce: vendor.timeInForce, ...more,
    }),
    stop: async () => {
      await broker.stop();
      await breakers.stop();
      if (options.loopback === undefined) await loopback.stop();
    },
  };
}

function keepingLog(lines: string[]): Logger {
  const keep = (fields: LogFields, message: string): void => void lines.push(`${JSON.stringify(fields, (_, value: unknown) => (value instanceof Error ? `${value.stack ?? ""} ${String(value.cause)}` : value))} ${message}`);
  return { debug: keep, info: keep, warn: keep, error: keep };
}
