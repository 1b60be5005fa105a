/**
 * What differs from broker to broker: one request and its answer each, sorted by what it proves about the order.
 *
 * Everything else (deadlines, breaker, look-ups before and after, confirmation, polling) is in remote-broker.ts.
 */
import type { Micros } from "../../core/time.ts";
import type { BrokerAccount, BrokerOrderState, BrokerPosition, BrokerRequest } from "../../ports/broker.ts";

/**
 * `refused`: the broker understood and said no; it did nothing. `duplicate`: it has the client order id already.
 * `absent`: it says that it has no such order. `unknown`: it may have done it. `not_sent`: nothing has left this process.
 */
export type WireAnswer<T> =
  | { readonly type: "ok"; readonly value: T }
  | { readonly type: "refused"; readonly code: string; readonly reason: string }
  | { readonly type: "duplicate"; readonly reason: string }
  | { readonly type: "absent" }
  | WireUnknown
  | { readonly type: "not_sent"; readonly code: string; readonly reason: string; readonly waitMs: number };

export interface WireUnknown {
  readonly type: "unknown";
  readonly reason: string;
  /** Milliseconds that the broker asks to wait, 0: it said nothing. */
  readonly waitMs: number;
  /** 429: it is at work and wants less of it; no failure for the breaker. */
  readonly isThrottled: boolean;
}

/** An order as the broker tells of it, under the id that the broker was given. */
export interface WireOrder {
  readonly id: string;
  readonly brokerOrderId: string;
  readonly state: BrokerOrderState;
  readonly filled: string;
  readonly averagePrice: string | null;
  readonly reason: string | null;
  readonly updatedAt: Micros;
  /** The broker has it but has not decided whether it takes it. */
  readonly isPending: boolean;
}

/** Which order: the broker's own id where it is known. */
export interface WireReference {
  readonly id: string;
  readonly brokerOrderId: string | null;
  readonly symbol: string;
  /** When it was first sent, null: not known. */
  readonly sentAt: Micros | null;
}

/** A reason why a request cannot be sent: path within the order, and what was expected and found. */
export interface RequestFault {
  readonly path: string;
  readonly message: string;
}

export interface BrokerWire {
  /** As in the port: `ccxt.<exchange>`, `alpaca`, `kite`. */
  readonly broker: string;
  /** Whether the broker itself refuses a client order id that it had before, whatever became of that order. */
  readonly isIdempotent: boolean;
  /** Loads the vendor's code; no network. @throws {ConfigurationError} when the broker cannot be used as configured */
  load(): Promise<void>;
  /** What the broker is given as client order id: the same text every time, within the broker's alphabet and length. */
  idOf(clientOrderId: string): string;
  /** Loads what `faultsOf` needs. Called before each use; does nothing once it is loaded. */
  open(): Promise<WireAnswer<null>>;
  /** Faults of one request that show without asking the broker. */
  faultsOf(request: BrokerRequest): readonly RequestFault[];
  /** Faults that the account shows, by index of the request. */
  checkFunds(requests: readonly BrokerRequest[]): Promise<WireAnswer<readonly (RequestFault & { readonly index: number })[]>>;
  place(request: BrokerRequest, id: string): Promise<WireAnswer<WireOrder>>;
  /** `ok`: the request to cancel was taken, which does not say that the order is cancelled. */
  cancel(order: WireReference): Promise<WireAnswer<null>>;
  find(order: WireReference): Promise<WireAnswer<WireOrder>>;
  /** All orders that the broker shows at once, where one request brings them; null: ask one by one. */
  readonly findAll: (() => Promise<WireAnswer<readonly WireOrder[]>>) | null;
  positions(): Promise<WireAnswer<readonly BrokerPosition[]>>;
  account(): Promise<WireAnswer<BrokerAccount>>;
}

export function ok<T>(value: T): WireAnswer<T> {
  return { type: "ok", value };
}

export function unknown(reason: string, waitMs = 0, isThrottled = false): WireUnknown {
  return { type: "unknown", reason, waitMs, isThrottled };
}
