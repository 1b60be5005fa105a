/**
 * The routes that are built beyond health, page, tickets and documentation: one line each, so that a new one is seen.
 */
import { type AdminRoutesDeps, mountAdmin } from "./admin-routes.ts";
import { type AuditRoutesDeps, mountAudit } from "./audit-routes.ts";
import { type BreakerRoutesDeps, mountBreakers } from "./breaker-routes.ts";
import { type DetailedHealthDeps, mountDetailedHealth } from "./health-detail-routes.ts";
import { type HistoryDeps, mountHistory } from "./history-routes.ts";
import { type InstrumentRoutesDeps, mountInstruments } from "./instrument-routes.ts";
import { type KeyRoutesDeps, mountKeys } from "./key-routes.ts";
import { type MarketDataDeps, mountMarketData } from "./market-data-routes.ts";
import { mountOrders, type OrderRoutesDeps } from "./order-routes.ts";
import type { Api } from "./route.ts";
import { mountRuntimeState, type RuntimeStateRoutesDeps } from "./runtime-state-routes.ts";
import { mountSubscriptions, type SubscriptionRoutesDeps } from "./subscription-routes.ts";

export interface RoutesDeps extends AdminRoutesDeps, AuditRoutesDeps, RuntimeStateRoutesDeps, BreakerRoutesDeps, DetailedHealthDeps, HistoryDeps, KeyRoutesDeps, MarketDataDeps, InstrumentRoutesDeps, OrderRoutesDeps, SubscriptionRoutesDeps {}

export function mountRoutes(api: Api, deps: RoutesDeps): void {
  mountMarketData(api, deps);
  mountHistory(api, deps);
  mountInstruments(api, deps);
  mountSubscriptions(api, deps);
  mountOrders(api, deps);
  mountKeys(api, deps);
  mountBreakers(api, deps);
  mountAdmin(api, deps);
  mountRuntimeState(api, deps);
  mountAudit(api, deps);
  mountDetailedHealth(api, deps);
}
