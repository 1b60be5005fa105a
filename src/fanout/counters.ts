/**
 * What a fan-out counts besides its traffic: plain integers, read when somebody scrapes.
 */
import type { MetricSample } from "../ports/telemetry.ts";
import type { StreamErrorCode } from "../protocol/errors.ts";

export class FanoutCounters {
  opened = 0;
  closed = 0;
  authenticated = 0;
  commands = 0;
  pings = 0;
  dropped = 0;
  refusedUpgrades = new Map<string, number>();
  /** Error frames sent, by code. */
  errors = new Map<StreamErrorCode, number>();
  /** Connections that we ended, by close code. */
  ended = new Map<number, number>();

  error(code: StreamErrorCode): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }

  refuse(reason: string): void {
    this.refusedUpgrades.set(reason, (this.refusedUpgrades.get(reason) ?? 0) + 1);
  }

  end(code: number): void {
    this.ended.set(code, (this.ended.get(code) ?? 0) + 1);
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number, labels: Record<string, string> = {}): MetricSample => ({ name, help, type: "counter", labels, value });
    return [
      counter("ticker_stream_sessions_opened_total", "Connections upgraded", this.opened),
      counter("ticker_stream_sessions_closed_total", "Connections gone", this.closed),
      counter("ticker_stream_authenticated_total", "Sessions authenticated", this.authenticated),
      counter("ticker_stream_commands_total", "Client frames read", this.commands),
      counter("ticker_stream_pings_total", "WebSocket pings sent", this.pings),
      counter("ticker_stream_dropped_total", "Frames the socket library dropped", this.dropped),
      ...[...this.refusedUpgrades].map(([reason, value]) => counter("ticker_stream_upgrades_refused_total", "Upgrades refused", value, { reason })),
      ...[...this.errors].map(([code, value]) => counter("ticker_stream_errors_total", "Error frames sent", value, { code: String(code) })),
      ...[...this.ended].map(([code, value]) => counter("ticker_stream_ended_total", "Connections ended by the server", value, { code: String(code) })),
    ];
  }
}
