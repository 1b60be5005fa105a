/**
 * Instruments and subscriptions of a service: the registry, what the feeds are asked to carry, and the way to the feeds.
 */
import { randomUUID } from "node:crypto";
import { SqlAuditLog } from "../adapters/postgres/audit-log.ts";
import { SqlInstrumentStore } from "../adapters/postgres/instrument-store.ts";
import { SqlSubscriptionStore } from "../adapters/postgres/subscription-store.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { FeedMemory, FeedNotice, FeedOrder } from "../ports/feed-control.ts";
import type { NewestValues } from "../ports/newest-values.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { adminCharge } from "../services/admin-charge.ts";
import { InstrumentRefresh } from "../services/instrument-refresh.ts";
import { InstrumentRegistry } from "../services/instrument-registry.ts";
import { SubscriptionService } from "../services/subscription-service.ts";
import type { Backing } from "./backing.ts";
import { ThreadFeedControl } from "./feed-control.ts";

export interface RegistryDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly backing: Pick<Backing, "database" | "limiter">;
  readonly values: Pick<NewestValues, "instruments">;
  /** Posts to the stream thread; false when it does not listen. */
  readonly order: (order: FeedOrder) => boolean;
}

export interface Registry extends MetricSource {
  /** In the order of starting: after the database, before the stream. */
  readonly parts: readonly Component[];
  /** What the HTTP side needs. */
  readonly http: { readonly registry: InstrumentRegistry; readonly refresh: InstrumentRefresh; readonly subscriptions: SubscriptionService };
  /** What the feeds say. */
  hear(notice: FeedNotice): void;
  /** For a stream thread that starts now; to be called once for each. */
  memory(): FeedMemory;
}

/** Builds it without starting anything. */
export function createRegistry({ config, clock, log, backing, values, order }: RegistryDeps): Registry {
  const { feeds: specs, feedListRefreshMs: refreshMs, instrumentsMax } = config.stream;
  const feeds = new ThreadFeedControl({ clock, order });
  const registry = new InstrumentRegistry({
    store: new SqlInstrumentStore(backing.database), clock, log, values, refreshMs, instrumentsMax,
    listVenues: specs.flatMap((spec) => (spec.kind === "venue" ? [spec.venue] : [])), madeVenues: specs.some(({ kind }) => kind === "sim") ? ["sim"] : [],
  });
  const subscriptions = new SubscriptionService({
    store: new SqlSubscriptionStore(backing.database, clock), registry, feeds, clock, log, newId: () => `sub_${randomUUID()}`, subscriptionsMax: config.carriedSubscriptionsMax,
  });
  const refresh = new InstrumentRefresh({ registry, feeds, audit: new SqlAuditLog(backing.database, clock), chargeOf: (actor) => adminCharge(backing.limiter, actor) });
  return {
    parts: [registry, subscriptions], http: { registry, refresh, subscriptions },
    hear: (notice) => (notice.type === "listed" ? registry.hear(notice.outcome) : feeds.hear(notice)),
    memory: () => {
      feeds.threadStarts();
      return { instruments: registry.remembered(), carried: subscriptions.list() };
    },
    samples: (): MetricSample[] => [...registry.samples(), ...subscriptions.samples()],
  };
}
