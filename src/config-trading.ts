/**
 * Limits of trading and the terms of the paper broker, as the configuration says them.
 */
import type { Settings } from "./config-schema.ts";

export type TradingConfig = ReturnType<typeof tradingOf>;

export function tradingOf(s: Settings) {
  return {
    limits: {
      legsMax: s.TICKER_BATCH_LEGS_MAX, timeoutMs: s.TICKER_BATCH_TIMEOUT_MS, timeoutMaxMs: s.TICKER_BATCH_TIMEOUT_MAX_MS, runningMax: s.TICKER_BATCHES_RUNNING_MAX,
      placeTimeoutMs: s.TICKER_ORDER_PLACE_TIMEOUT_MS, cancelTimeoutMs: s.TICKER_ORDER_CANCEL_TIMEOUT_MS, findTimeoutMs: s.TICKER_ORDER_FIND_TIMEOUT_MS,
      lookupsMax: s.TICKER_ORDER_LOOKUPS_MAX, lookupDelayMs: s.TICKER_ORDER_LOOKUP_DELAY_MS, absentSettleMs: s.TICKER_ORDER_ABSENT_SETTLE_MS,
      cancelAttemptsMax: s.TICKER_ROLLBACK_CANCELS_MAX, cancelDelayMs: s.TICKER_ROLLBACK_DELAY_MS, rollbackMaxMs: s.TICKER_ROLLBACK_MAX_MS,
      keysKeepMs: s.TICKER_IDEMPOTENCY_KEEP_MS, eventsKeepMs: s.TICKER_ORDER_EVENTS_KEEP_MS, pruneMs: s.TICKER_ORDER_PRUNE_MS,
      resumeMs: s.TICKER_BATCH_RESUME_MS, reconcileMs: s.TICKER_ORDER_RECONCILE_MS, stopMs: s.TICKER_TRADING_STOP_MS,
    },
    paper: {
      balance: s.PAPER_BALANCE, makerFee: s.TICKER_PAPER_MAKER_FEE, takerFee: s.TICKER_PAPER_TAKER_FEE, openPerOwnerMax: s.TICKER_PAPER_OPEN_PER_OWNER_MAX,
      openMax: s.TICKER_PAPER_OPEN_MAX, retryMs: s.TICKER_PAPER_RETRY_MS, currency: s.TICKER_PAPER_CURRENCY,
    },
  };
}
