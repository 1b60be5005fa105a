/**
 * What the main thread and a stream or worker thread say to each other. Plain data: it crosses by structured clone.
 */
import type { Grant, KeyChange, RefusedSecret } from "./access.ts";
import type { BreakerChange, BreakerOrder, BreakerReport } from "./breakers.ts";
import type { ConnectionList, ConnectionQuery, FoundConnection } from "./connections.ts";
import type { FeedNotice, FeedOrder } from "./feed-control.ts";
import type { FeedReport } from "./feeds.ts";
import type { MarketNotice } from "./market-notices.ts";
import type { OrderEvent, OrderEvents, OrderQuestion } from "./orders.ts";
import type { StreamApplied, StreamSettings } from "./stream-settings.ts";
import type { MetricSample } from "./telemetry.ts";

/** From main. */
export type StreamCommand =
  | { readonly type: "keys"; readonly change: KeyChange }
  | { readonly type: "redeemed"; readonly call: number; readonly grant: Grant | null }
  | { readonly type: "settings"; readonly settings: StreamSettings }
  /** Written just now, of owners whom somebody has asked about. */
  | { readonly type: "order_events"; readonly events: readonly OrderEvent[] }
  /** Null: they cannot be read at the moment. */
  | { readonly type: "orders"; readonly call: number; readonly answer: OrderEvents | null }
  | { readonly type: "report"; readonly call: number }
  | StreamQuestion
  | { readonly type: "feeds"; readonly order: FeedOrder }
  /** Sessions get `goodbye` and are closed with 1012 within `withinMs`; answered by `drained`. */
  | { readonly type: "drain"; readonly withinMs: number }
  | { readonly type: "stop" };

/** To main. */
export type StreamNotice =
  /** Listening; `port` is the one in use. */
  | { readonly type: "listening"; readonly port: number }
  | { readonly type: "redeem"; readonly call: number; readonly ticket: string }
  | { readonly type: "orders"; readonly call: number; readonly question: OrderQuestion }
  | { readonly type: "report"; readonly call: number; readonly report: StreamReport }
  /** A key or ticket was not accepted. */
  | { readonly type: "refused"; readonly refused: RefusedSecret }
  /** Sent on change: who works by which revision of the settings. */
  | { readonly type: "settings"; readonly applied: StreamApplied }
  | StreamAnswer
  | { readonly type: "feeds"; readonly notice: FeedNotice }
  | { readonly type: "breaker_changed"; readonly report: BreakerReport; readonly why: BreakerChange }
  /** Sent on change and every second: what readiness is judged by without asking. */
  | { readonly type: "state"; readonly feeds: readonly FeedReport[]; readonly workers: WorkerState; readonly breakers: readonly BreakerReport[] }
  | { readonly type: "drained"; readonly sessions: number }
  /** What was recorded, every few milliseconds. */
  | { readonly type: "market"; readonly notice: MarketNotice }
  | { readonly type: "stopped" }
  | { readonly type: "log"; readonly level: "debug" | "info" | "warn" | "error"; readonly fields: Readonly<Record<string, unknown>>; readonly message: string }
  /** It cannot go on; main decides. */
  | { readonly type: "failed"; readonly message: string };

/** What an administrator asks; each is answered by the notice of the same name and call. */
export type StreamQuestion =
  | { readonly type: "connections"; readonly call: number; readonly query: ConnectionQuery }
  | { readonly type: "connection"; readonly call: number; readonly id: string; /** Whether it is told goodbye and closed. */ readonly isDisconnected: boolean }
  | { readonly type: "breaker"; readonly call: number; readonly name: string; readonly order: BreakerOrder };

export type StreamAnswer =
  | { readonly type: "connections"; readonly call: number; readonly list: ConnectionList }
  | { readonly type: "connection"; readonly call: number; /** As it was before; null: there is none. */ readonly connection: FoundConnection | null }
  | { readonly type: "breaker"; readonly call: number; /** As it is now; null: there is none. */ readonly report: BreakerReport | null };

/** Fan-out threads. With `WORKERS=1` the stream thread itself is the one. */
export interface WorkerState {
  /** Those that take connections now. */
  readonly listening: number;
  readonly wanted: number;
}

export interface StreamReport {
  readonly feeds: readonly FeedReport[];
  readonly sessions: number;
  readonly samples: readonly MetricSample[];
}
