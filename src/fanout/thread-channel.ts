/**
 * What the stream thread and a fan-out thread say to each other, and the acknowledgements they share.
 *
 * A flush is one message per worker: words and offsets of the batch, moved, not copied again. Acknowledgements are a
 * counter in shared memory (a message back per batch would cost more than the batch). A worker that is new or has fallen
 * behind gets snapshots instead of batches.
 */
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { Grant, KeyChange, KeyRecord, RefusedSecret } from "../ports/access.ts";
import type { Connection, ConnectionPage, ConnectionQuery } from "../ports/connections.ts";
import type { OrderEvent, OrderEvents, OrderQuestion } from "../ports/orders.ts";
import type { FanoutSettings } from "../ports/stream-settings.ts";
import type { MetricSample } from "../ports/telemetry.ts";
import type { FanoutOptions } from "./options.ts";
import type { RecordSnapshot } from "./record-cache.ts";

export interface WorkerInit {
  readonly options: FanoutOptions;
  readonly epoch: string;
  /** Null: none were applied yet. */
  readonly settings: FanoutSettings | null;
  readonly keys: readonly KeyRecord[];
  readonly placeTable: SharedArrayBuffer;
  /** One Int32: batches and snapshots that the worker has taken in. */
  readonly acknowledged: SharedArrayBuffer;
  readonly host: string;
  readonly port: number;
}

export type ToWorker =
  | { readonly type: "define"; readonly index: InstrumentIndex; readonly instrument: Instrument }
  | { readonly type: "batch"; readonly count: number; readonly words: Float64Array; readonly offsets: Uint32Array }
  /** What moved without the worker in the last `ageMs`. After the last one it listens, and gets every batch. */
  | { readonly type: "resync"; readonly snapshot: RecordSnapshot; readonly ageMs: number; readonly isLast: boolean }
  | { readonly type: "lost"; readonly index: InstrumentIndex; readonly missed: number | null }
  | { readonly type: "keys"; readonly change: KeyChange }
  | { readonly type: "redeemed"; readonly call: number; readonly grant: Grant | null }
  | { readonly type: "settings"; readonly settings: FanoutSettings }
  | { readonly type: "order_events"; readonly events: readonly OrderEvent[] }
  /** Null: they cannot be read at the moment. */
  | { readonly type: "orders"; readonly call: number; readonly answer: OrderEvents | null }
  | { readonly type: "report"; readonly call: number }
  | { readonly type: "connections"; readonly call: number; readonly query: ConnectionQuery }
  | { readonly type: "connection"; readonly call: number; readonly id: string; readonly isDisconnected: boolean }
  | { readonly type: "drain"; readonly withinMs: number }
  | { readonly type: "stop" };

export type FromWorker =
  /** It takes messages, and has nothing yet. */
  | { readonly type: "ready" }
  /** It works by the settings of this revision. */
  | { readonly type: "settled"; readonly revision: number }
  | { readonly type: "listening"; readonly port: number }
  | { readonly type: "redeem"; readonly call: number; readonly ticket: string }
  | { readonly type: "refused"; readonly refused: RefusedSecret }
  | { readonly type: "demand"; readonly index: InstrumentIndex }
  | { readonly type: "orders"; readonly call: number; readonly question: OrderQuestion }
  | { readonly type: "report"; readonly call: number; readonly sessions: number; readonly samples: readonly MetricSample[] }
  | { readonly type: "connections"; readonly call: number; readonly page: ConnectionPage }
  /** Null: it has none of that id. */
  | { readonly type: "connection"; readonly call: number; readonly connection: Connection | null }
  | { readonly type: "drained"; readonly sessions: number }
  | { readonly type: "stopped" }
  | { readonly type: "failed"; readonly message: string };

/** Calls across a thread boundary that are waiting for their answer, by number. */
export class Calls<Answer> {
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #last = 0;

  /** The number to send along; `done` gets the answer. */
  open(done: (answer: Answer) => void): number {
    this.#waiting.set(++this.#last, done);
    return this.#last;
  }

  /** An answer to a call that nobody waits for any more is ignored. */
  answer(call: number, answer: Answer): void {
    const done = this.#waiting.get(call);
    this.#waiting.delete(call);
    done?.(answer);
  }
}
