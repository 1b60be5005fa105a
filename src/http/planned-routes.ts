/**
 * The protocol's routes that are not built: each checks key, scope and limit, and answers 501. One that somebody has added
 * before is left alone, so this list holds whatever may be missing.
 */
import type { Api, Method } from "./route.ts";
import type { RouteRules } from "./route-rules.ts";

type Planned = readonly [method: Method, path: string, summary: string];

const READ: RouteRules = { scope: "read", limit: "default" };
const TRADE: RouteRules = { scope: "trade", limit: "default" };
const ADMIN: RouteRules = { scope: "admin", limit: "default" };
const ADMIN_WRITE: RouteRules = { scope: "admin", limit: "default", charges: "admin.write" };

const PLANNED: readonly (readonly [rules: RouteRules, routes: readonly Planned[]])[] = [
  [{ scope: null, limit: "anonymous" }, [["get", "/data", "Newest ticker of every instrument"]]],
  [READ, [
    ["get", "/health/detailed", "Health of every dependency"], ["get", "/v1/stats", "Counts of the service"], ["get", "/stats", "Alias of /v1/stats"],
    ["get", "/v1/instruments", "Instruments"], ["get", "/v1/instruments/{id}", "One instrument"], ["get", "/v1/instruments/status", "State of the registry"],
    ["get", "/v1/quotes", "Newest quotes"], ["get", "/v1/trades", "Newest trades"], ["get", "/v1/book/{id}", "Newest book"], ["get", "/v1/ticker", "Newest tickers"],
    ["get", "/v1/history/bars", "Bars that are kept"], ["get", "/v1/history/trades", "Trades that are kept"],
    ["get", "/v1/subscriptions", "What the feeds carry"],
    ["get", "/v1/runs", "Ingestion runs"], ["get", "/runs", "Alias of /v1/runs"], ["get", "/v1/runs/compare", "Two runs compared"],
    ["get", "/compare-runs", "Alias of /v1/runs/compare"], ["get", "/v1/runs/{id}", "One run"], ["get", "/v1/drift", "Drift of schemas"],
  ]],
  [{ scope: "trade", limit: "subscriptions.write" }, [["post", "/v1/subscriptions", "Carry instruments"], ["delete", "/v1/subscriptions/{id}", "Carry them no longer"]]],
  [{ scope: "trade", limit: "orders.batch" }, [["post", "/v1/orders/batch", "Orders together"]]],
  [TRADE, [
    ["get", "/v1/orders/batch/{id}", "A batch"], ["get", "/v1/orders", "Orders"], ["post", "/v1/orders", "An order"], ["get", "/v1/orders/{id}", "One order"],
    ["delete", "/v1/orders/{id}", "Cancel an order"], ["get", "/v1/account", "The account"], ["get", "/v1/positions", "Positions"],
    ["get", "/v1/webhooks", "Endpoints"], ["get", "/v1/webhooks/{id}", "One endpoint"], ["get", "/v1/webhooks/{id}/deliveries", "Deliveries of an endpoint"],
    ["get", "/v1/alerts", "Price alerts"],
  ]],
  [{ scope: "trade", limit: "webhooks.write" }, [
    ["post", "/v1/webhooks", "Add an endpoint"], ["patch", "/v1/webhooks/{id}", "Change an endpoint"], ["delete", "/v1/webhooks/{id}", "Remove an endpoint"],
    ["post", "/v1/webhooks/{id}/verify", "Verify an endpoint"], ["post", "/v1/webhooks/{id}/rotate-secret", "Another secret"], ["post", "/v1/webhooks/{id}/test", "Send a test"],
    ["post", "/v1/webhooks/{id}/replay", "Send again since a time"], ["post", "/v1/webhooks/{id}/deliveries/{delivery}/replay", "Send one again"],
  ]],
  [{ scope: "trade", limit: "alerts.write" }, [["post", "/v1/alerts", "Add a price alert"], ["delete", "/v1/alerts/{id}", "Remove a price alert"]]],
  [ADMIN, [
    ["get", "/v1/admin/runtime-state", "Runtime settings"], ["get", "/v1/admin/audit", "The audit chain"], ["get", "/v1/admin/audit/verify", "Verify the chain"],
    ["get", "/v1/admin/breakers", "Circuit breakers"], ["get", "/v1/admin/keys", "Keys"], ["get", "/v1/admin/connections", "Sessions of the stream"],
    ["get", "/v1/admin/failure-injection", "What is injected"], ["get", "/admin/queues", "Queues of jobs"],
    ["post", "/v1/admin/drain", "Drain and stop"],
  ]],
  [{ scope: "admin", limit: "breakers.reset" }, [["post", "/v1/admin/breakers/{name}/reset", "Close a breaker"]]],
  [ADMIN_WRITE, [
    ["patch", "/v1/admin/runtime-state", "Change runtime settings"], ["post", "/v1/admin/runtime-state/rollback", "Back to a revision"],
    ["post", "/v1/admin/breakers/{name}/trip", "Open a breaker"], ["post", "/v1/admin/instruments/refresh", "Ask the venues for their lists"],
    ["post", "/v1/admin/runs", "Start a run"], ["post", "/v1/admin/backups", "Make a backup"], ["put", "/v1/admin/log-level", "Log level for a time"],
    ["post", "/v1/admin/keys", "Create a key"], ["delete", "/v1/admin/keys/{id}", "Revoke a key"], ["post", "/v1/admin/keys/{id}/rotate", "Rotate a key"],
    ["delete", "/v1/admin/connections/{id}", "Disconnect a session"],
    ["put", "/v1/admin/failure-injection", "Inject failures"], ["delete", "/v1/admin/failure-injection", "Inject nothing"],
  ]],
];

/** To be called after every route that is built. */
export function mountPlanned(api: Api): void {
  const built = new Set(api.table.map(({ method, path }) => shapeOf(method, path)));
  for (const [rules, routes] of PLANNED) {
    for (const [method, path, summary] of routes) if (!built.has(shapeOf(method, path))) api.announce(rules, method, path, summary);
  }
}

/** Names of path parameters do not tell routes apart. */
function shapeOf(method: string, path: string): string {
  return `${method.toUpperCase()} ${path.replaceAll(/\{[^}]*\}/g, "{}")}`;
}
