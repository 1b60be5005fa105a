/**
 * Trades and quotes for a pipeline, no two with the same price.
 */
import type { Clock } from "../../src/core/clock.ts";
import { price, quantity } from "../../src/market/price.ts";
import type { InstrumentIndex } from "../../src/market/instrument.ts";
import type { EventSink } from "../../src/ports/records.ts";

export class EventSource {
  readonly #clock: Clock;
  readonly #sink: EventSink & { flush(): void };
  /** Price units of the last event. */
  units: number;

  constructor(clock: Clock, sink: EventSink & { flush(): void }, units = 100) {
    this.#clock = clock;
    this.#sink = sink;
    this.units = units;
  }

  /** So many events of one instrument, in one flush. */
  send(of: InstrumentIndex, count: number, isTrade: boolean): void {
    const now = this.#clock.nowMicros();
    for (let i = 0; i < count; i++) {
      const units = ++this.units;
      const stamps = { instrument: of, eventTime: now, receiveTime: now };
      if (isTrade) this.#sink.event({ kind: "trade", id: String(units), price: price(units), size: quantity(1), side: "buy", ...stamps });
      else this.#sink.event({ kind: "quote", bid: price(units), bidSize: quantity(1), ask: price(units + 1), askSize: quantity(1), ...stamps });
    }
    this.#sink.flush();
  }
}
