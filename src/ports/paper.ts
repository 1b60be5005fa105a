/**
 * The ledger of the paper broker: orders, fills, cash and positions; what one call commits is durable together or not at all.
 *
 * Amounts are bigints: prices and quantities in 10^-15, products of both in 10^-30, money in 10^-36, so that nothing is ever
 * rounded: a price and a size have at most 15 decimals each, and a fee rate 6.
 */
import type { Micros } from "../core/time.ts";
import type { BrokerOrderState, OrderSide, OrderType, TimeInForce } from "./broker.ts";

/** Decimals of prices and quantities. */
export const PAPER_UNIT_SCALE = 15;
/** Decimals of price times quantity. */
export const PAPER_NOTIONAL_SCALE = 30;
/** Decimals of a fee rate: 1 is a hundredth of a basis point. */
export const PAPER_RATE_SCALE = 6;
/** Decimals of cash and fees. */
export const PAPER_MONEY_SCALE = 36;

export interface PaperOrder {
  /** From 1, in the order of arrival at the broker; never reused. */
  readonly number: number;
  readonly owner: string;
  /** Unique per owner, for ever. */
  readonly clientOrderId: string;
  readonly symbol: string;
  readonly side: OrderSide;
  readonly type: OrderType;
  readonly timeInForce: TimeInForce;
  readonly quantity: bigint;
  readonly limitPrice: bigint | null;
  readonly stopPrice: bigint | null;
  /** What it is paid in. */
  readonly currency: string;
  /** Decimals of the instrument's prices; averages get four more. */
  readonly priceScale: number;
  /** Rates of fees, in 10^-6, as they were when it was placed. */
  readonly makerRate: bigint;
  readonly takerRate: bigint;
  readonly state: BrokerOrderState;
  /** Of orders that are not stops: true from the start. */
  readonly isTriggered: boolean;
  /** Place in line at its price: smaller is earlier. A triggered stop gets a new one. */
  readonly priority: number;
  /** Size that others have at its price and that trades first; what is known of the queue of the venue. */
  readonly ahead: bigint;
  /** Since when it rests, by our clock; trades received earlier are not its. */
  readonly restedAt: Micros;
  readonly filled: bigint;
  /** Sum of price times quantity of its fills. */
  readonly notional: bigint;
  readonly fees: bigint;
  readonly fillCount: number;
  /** Code of a rejection, otherwise null. */
  readonly code: string | null;
  /** Why it was rejected or cancelled by the broker, otherwise null. */
  readonly reason: string | null;
  readonly createdAt: Micros;
  readonly updatedAt: Micros;
  /** When a day order ends; null: it does not. */
  readonly expiresAt: Micros | null;
  /** Grows with every change of anything of the account; an older one never overwrites a newer. */
  readonly revision: number;
}

export interface PaperFill {
  readonly orderNumber: number;
  /** From 1, by order. */
  readonly n: number;
  readonly price: bigint;
  readonly quantity: bigint;
  readonly fee: bigint;
  readonly isMaker: boolean;
  readonly time: Micros;
}

export interface PaperCash {
  readonly owner: string;
  readonly currency: string;
  readonly total: bigint;
  readonly revision: number;
}

export interface PaperPosition {
  readonly owner: string;
  readonly symbol: string;
  readonly quantity: bigint;
  /** What the quantity was bought for, without fees, in 10^-30; sells take away their share of it, rounded half-even. */
  readonly cost: bigint;
  readonly revision: number;
}

/** What is to be durable together; of each row the newest. */
export interface PaperChanges {
  readonly orders: readonly PaperOrder[];
  readonly fills: readonly PaperFill[];
  readonly cash: readonly PaperCash[];
  readonly positions: readonly PaperPosition[];
  /** The largest revision among them. */
  readonly revision: number;
}

export interface PaperState {
  /** Open orders by number. */
  readonly orders: readonly PaperOrder[];
  readonly cash: readonly PaperCash[];
  readonly positions: readonly PaperPosition[];
  /** The largest that were ever used; 0: none was. */
  readonly orderNumber: number;
  readonly revision: number;
}

export interface PaperKey {
  readonly owner: string;
  readonly clientOrderId: string;
}

/** Durable. Every method @throws {StoreError} when the database is away; nothing is known to have changed then. */
export interface PaperLedger {
  /** Makes the caller the only writer, waiting for commits under way, and reads what is there. */
  open(writer: string): Promise<PaperState>;
  /** Hands over all client order ids, open or not, in slices. */
  eachKey(take: (keys: readonly PaperKey[]) => void): Promise<void>;
  /**
   * One transaction. The same changes may be committed again: rows that are newer stay, fills are kept once.
   * @throws {ConflictError} when another writer has opened the ledger since
   */
  commit(writer: string, changes: PaperChanges): Promise<void>;
  find(key: PaperKey): Promise<PaperOrder | null>;
}
