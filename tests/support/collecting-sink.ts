/**
 * An EventSink that keeps what a feed hands over, for tests of feeds alone. Books are copied, because they change.
 */
import type { Instrument, InstrumentIndex } from "../../src/market/instrument.ts";
import type { MarketEvent } from "../../src/market/market-event.ts";
import type { EventSink, RejectReason } from "../../src/ports/records.ts";

export class CollectingSink implements EventSink {
  readonly instruments: Instrument[] = [];
  readonly events: MarketEvent[] = [];
  readonly losses: { index: InstrumentIndex; missed: number | null }[] = [];
  reads = 0;
  /** Called with each event as it arrives; for waiting. */
  onEvent: ((event: MarketEvent) => void) | null = null;

  define(instrument: Instrument): InstrumentIndex {
    const known = this.instruments.findIndex((i) => i.id === instrument.id);
    if (known >= 0) {
      this.instruments[known] = instrument;
      return known;
    }
    return this.instruments.push(instrument) - 1;
  }

  event(event: MarketEvent): RejectReason | null {
    const kept = event.kind === "book"
      ? { ...event, bids: copy(event.bids), asks: copy(event.asks) }
      : event;
    this.events.push(kept);
    this.onEvent?.(kept);
    return null;
  }

  lost(index: InstrumentIndex, _kind: "trade", missed: number | null): void {
    this.losses.push({ index, missed });
  }

  endOfRead(_more: boolean): void {
    this.reads++;
  }

  /** The id of an event's instrument. */
  idOf(event: MarketEvent): string {
    return this.instruments[event.instrument]?.id ?? "?";
  }
}

function copy(side: { count: number; prices: Float64Array; sizes: Float64Array }): typeof side {
  return { count: side.count, prices: side.prices.slice(0, side.count), sizes: side.sizes.slice(0, side.count) };
}
