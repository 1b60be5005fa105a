/**
 * Newest values, bars and history of a service: the main thread's copy of the market and what is answered from it.
 */
import { SqlBarStore } from "../adapters/postgres/bar-store.ts";
import type { Database } from "../adapters/postgres/database.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { StreamReport } from "../ports/stream-control.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { KIND_BAR } from "../protocol/record.ts";
import { BarRecorder } from "../services/bar-recorder.ts";
import { HistoryService } from "../services/history-service.ts";
import { MarketDataService } from "../services/market-data-service.ts";
import { MarketCopy } from "./newest-values.ts";

export interface MarketDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  /** Started before, stopped after. */
  readonly database: Database;
}

export interface Market extends MetricSource {
  /** Hears what the stream thread records. */
  readonly copy: MarketCopy;
  /** Started after the database and before the stream. */
  readonly parts: readonly Component[];
  /** What the HTTP side needs. */
  http(report: () => Promise<StreamReport | null>, uptimeMs: () => number): { readonly marketData: MarketDataService; readonly history: HistoryService };
}

/** Builds it without starting anything. */
export function createMarket({ config, clock, log, database }: MarketDeps): Market {
  const { ringTradesMax, ringBarsMax } = config.stream.fanout;
  const copy = new MarketCopy(clock, { ringTradesMax, ringBarsMax, ringBytesMax: config.mainRingBytesMax });
  const store = new SqlBarStore(database);
  const recorder = new BarRecorder({ store, clock, log, ...config.bars });
  copy.listen(KIND_BAR, recorder.record);
  return {
    copy,
    parts: [recorder],
    http: (report, uptimeMs) => ({ marketData: new MarketDataService({ values: copy, clock, report, uptimeMs }), history: new HistoryService(copy, store) }),
    samples: (): MetricSample[] => [...copy.samples(), ...recorder.samples()],
  };
}
