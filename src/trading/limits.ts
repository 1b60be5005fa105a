/**
 * Every limit of trading, with its unit; defaults are in the configuration.
 */
export interface TradingLimits {
  /** Orders of a batch. */
  readonly legsMax: number;
  /** A batch whose request says nothing sends no leg after this time. */
  readonly timeoutMs: number;
  /** What a request may say at most. */
  readonly timeoutMaxMs: number;
  /** A placement that the broker does not answer within this time has an unknown outcome. */
  readonly placeTimeoutMs: number;
  readonly cancelTimeoutMs: number;
  readonly findTimeoutMs: number;
  /** Look-ups of one leg whose outcome is unknown. */
  readonly lookupsMax: number;
  /** Wait before the second look-up; doubled before each further one, up to eight times. */
  readonly lookupDelayMs: number;
  /** "No such order" is believed this long after the order was sent, and when it was said twice: what was sent may still be on its way. */
  readonly absentSettleMs: number;
  /** Requests to cancel one leg of a rollback. */
  readonly cancelAttemptsMax: number;
  /** Wait before another such request. */
  readonly cancelDelayMs: number;
  /** A rollback that takes longer tries everything that is left once. */
  readonly rollbackMaxMs: number;
  /** Batches and single orders that are executed at a time. */
  readonly runningMax: number;
  /** Idempotency keys are kept this long. */
  readonly keysKeepMs: number;
  /** Order events are kept this long. */
  readonly eventsKeepMs: number;
  /** Keys and events that are too old are removed this often. */
  readonly pruneMs: number;
  /** Batches that nobody executes are looked for this often. */
  readonly resumeMs: number;
  /** Orders whose state is not known are looked up this often. */
  readonly reconcileMs: number;
  /** A stop waits this long for calls to the broker that are under way. */
  readonly stopMs: number;
}
