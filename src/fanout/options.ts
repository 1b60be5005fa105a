/**
 * The limits and periods of a fan-out instance, as plain values; defaults and units are in `config.ts`.
 */

export interface FanoutOptions {
  /** Sent in `welcome`, e.g. `ticker-service/0.1.0`. */
  readonly server: string;
  readonly authTimeoutMs: number;
  readonly heartbeatMs: number;
  /** WebSocket ping to sessions that were sent data since the last. */
  readonly pingMs: number;
  /** WebSocket ping to all others. */
  readonly pingIdleMs: number;
  /** Pings a worker sends in a second, at most; `pingMs` is stretched to fit. */
  readonly pingsPerSMax: number;
  /** No client byte for this long closes with 4419. */
  readonly idleMs: number;
  readonly topicsPerSessionMax: number;
  readonly symbolsPerFrameMax: number;
  readonly topicsPerAnswerMax: number;
  readonly subscriptionsMax: number;
  readonly sessionsMax: number;
  readonly unauthenticatedMax: number;
  readonly sessionsPerKeyMax: number;
  readonly sessionsPerAddressMax: number;
  /** Error 413 and close 1009 above it. */
  readonly frameBytesMax: number;
  /** The engine drops the connection above it. */
  readonly frameBytesDropped: number;
  readonly frameBytesBeforeAuthMax: number;
  readonly commandsPerS: number;
  readonly commandsBurst: number;
  /** Refused commands within 10 s after which the session is closed with 4429. */
  readonly commandsRefusedMax: number;
  /** Malformed frames within a minute after which the session is closed with 4400. */
  readonly malformedPerMinuteMax: number;
  readonly recentTradesMax: number;
  /** Trades kept per topic. */
  readonly ringTradesMax: number;
  /** Closed bars kept per topic. */
  readonly ringBarsMax: number;
  readonly ringBytesMax: number;
  /** Batches sent to a worker and not taken in yet; at so many it is sent no more, and then a snapshot. */
  readonly batchesInFlightMax: number;
  /** Unsent bytes above which a session goes to the lagging lane. */
  readonly softLimitBytes: number;
  /** Unsent bytes above which, for `hardLimitMs`, a session is closed with 4407. */
  readonly hardLimitBytes: number;
  readonly hardLimitMs: number;
  /** An unanswered ping older than this sends a session to the lagging lane. */
  readonly pingAgeMaxMs: number;
  /** A lagging session that reads nothing for this long is closed with 4407. */
  readonly stuckMs: number;
  /** How long a close may wait for what is queued before it; then the connection is dropped. */
  readonly closeWaitMs: number;
  /** Milliseconds of a turn of the loop that go to beginning subscriptions; the rest begin in the next turn, answers in order. */
  readonly startTurnMs: number;
  /** Unsent bytes above which a large subscription waits for the socket. */
  readonly startPacingBytes: number;
  /** Unsent bytes above which the native library drops: far above every limit of ours. */
  readonly nativeBackpressureMax: number;
  /** Exact origins; empty: any port of the same host. */
  readonly allowedOrigins: readonly string[];
  readonly trustedProxies: readonly string[];
}
