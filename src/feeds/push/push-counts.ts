/**
 * What the push feed counts, as plain integers and as metric samples.
 */
import type { MarketEventKind } from "../../market/market-event.ts";
import type { MetricSample } from "../../ports/telemetry.ts";
import type { PushCode } from "./push-fault.ts";

export class PushCounts {
  bytes = 0;
  lines = 0;
  linesTooLong = 0;
  /** The connection ended within a line. */
  linesUnfinished = 0;
  /** The producer does not read its acknowledgements. */
  acksSkipped = 0;
  connections = 0;
  /** Closed without a word, far above the limit. */
  connectionsDropped = 0;
  readonly accepted: Record<MarketEventKind, number> = { trade: 0, quote: 0, book: 0, ticker: 0, bar: 0, status: 0 };
  /** Events, by reason. */
  readonly rejected: Record<PushCode, number> = noneOfAny();
  /** Connections that we ended, by reason. */
  readonly connectionsFailed: Record<PushCode, number> = noneOfAny();

  samples(): MetricSample[] {
    return [
      counter("bytes", "Bytes read from producers", this.bytes),
      counter("lines", "Lines read from producers", this.lines),
      counter("lines_too_long", "Lines above the limit; each ended its connection", this.linesTooLong),
      counter("lines_unfinished", "Connections that ended within a line", this.linesUnfinished),
      counter("acks_skipped", "Acknowledgements not sent because the producer does not read", this.acksSkipped),
      counter("connections", "Connections accepted", this.connections),
      counter("connections_dropped", "Connections far above the limit, dropped without an answer", this.connectionsDropped),
      ...(["trade", "quote", "book", "ticker"] as const).map((kind) => counter("events", "Events of producers accepted by ingest", this.accepted[kind], { kind })),
      ...Object.entries(this.rejected).filter(([, value]) => value > 0).map(([reason, value]) => counter("rejected", "Events of producers refused", value, { reason })),
      ...Object.entries(this.connectionsFailed).filter(([, value]) => value > 0).map(([reason, value]) => counter("connections_failed", "Connections ended by us", value, { reason })),
    ];
  }
}

function counter(name: string, help: string, value: number, labels: Record<string, string> = {}): MetricSample {
  return { name: `ticker_push_${name}_total`, help, type: "counter", labels, value };
}

function noneOfAny(): Record<PushCode, number> {
  return {
    stale: 0, crossed: 0, non_positive: 0, malformed: 0, future: 0, unknown_instrument: 0, wrong_venue: 0, invalid_syntax: 0, limit: 0, not_authenticated: 0,
    auth_failed: 0, already_authenticated: 0, insufficient_scope: 0, auth_timeout: 0, key_revoked: 0, line_too_long: 0, connection_limit: 0,
  };
}
