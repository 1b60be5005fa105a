/**
 * What the simulated exchange counts, as plain integers and as metric samples.
 */
import type { RejectReason } from "../../ports/records.ts";
import type { MetricSample } from "../../ports/telemetry.ts";

const KINDS = ["trade", "quote", "book", "ticker", "status"] as const;
type Kind = (typeof KINDS)[number];

export class SimCounts {
  readonly events: Record<Kind, number> = { trade: 0, quote: 0, book: 0, ticker: 0, status: 0 };
  /** Made and refused by ingest: always a mistake of ours. */
  rejected = 0;
  /** Owed by the rate, not made because the process came to it too late. */
  skipped = 0;

  count(kind: Kind, reason: RejectReason | null): void {
    if (reason === null) this.events[kind]++;
    else this.rejected++;
  }

  samples(): MetricSample[] {
    return [
      ...KINDS.map((kind): MetricSample => ({ name: "ticker_sim_events_total", help: "Events of the simulated exchange", type: "counter", labels: { kind }, value: this.events[kind] })),
      { name: "ticker_sim_rejected_total", help: "Events of the simulated exchange that ingest refused", type: "counter", labels: {}, value: this.rejected },
      { name: "ticker_sim_skipped_total", help: "Events that the configured rate asked for and that could not be made in time", type: "counter", labels: {}, value: Math.floor(this.skipped) },
    ];
  }
}
