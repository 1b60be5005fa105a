/**
 * Logging and metrics as the features see them: a logger, and samples that are read when somebody asks.
 */

export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log. Never called per tick. Secrets are redacted by field name, but do not pass them. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** One number with its name and labels, in Prometheus' terms. */
export interface MetricSample {
  /** `ticker_` and snake case; counters end in `_total`, units come last (`_seconds`, `_bytes`). */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Hot paths count in plain integers and hand them out here, at scrape time. */
export interface MetricSource {
  samples(): MetricSample[];
}
