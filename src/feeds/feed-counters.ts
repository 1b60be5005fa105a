/**
 * Counts what a venue's feed saw, as metric samples and as a sampled log of unreadable messages.
 */
import type { Clock } from "../core/clock.ts";
import type { FeedState } from "../ports/feeds.ts";
import type { Logger, MetricSample } from "../ports/telemetry.ts";
import type { ConnectionCounters } from "./feed-connection.ts";

/** Plain integers, read at scrape time. */
export interface FeedCounters {
  malformed: number;
  /** Books lost and asked for again. */
  resyncs: number;
  /** Snapshots that did not make the book whole. */
  resyncsRepeated: number;
  synced: number;
  tradesMissed: number;
  instrumentSilences: number;
  /** Events of channels that nobody asks for. */
  unwanted: number;
  listFailures: number;
  listSkipped: number;
  configuredUnknown: number;
  readonly control: Record<"subscribed" | "heartbeat" | "error" | "other", number>;
}

export function feedCounters(): FeedCounters {
  return {
    malformed: 0, resyncs: 0, resyncsRepeated: 0, synced: 0, tradesMissed: 0, instrumentSilences: 0, unwanted: 0,
    listFailures: 0, listSkipped: 0, configuredUnknown: 0, control: { subscribed: 0, heartbeat: 0, error: 0, other: 0 },
  };
}

/** What is read from the parts of a feed rather than counted by it. */
export interface FeedGauges {
  readonly state: FeedState;
  readonly known: number;
  readonly carried: number;
  readonly pulledIn: number;
  /** Asked for by subscriptions and not carried: unknown, or no room. */
  readonly waiting: number;
  readonly pullInsRefused: number;
  readonly instrumentsRefused: number;
  readonly resyncsAsked: number;
  readonly statuses: number;
  readonly restRequests: number;
  readonly restFailures: number;
}

/** All numbers of one feed, labelled with its name. */
export function feedSamples(feed: string, counters: FeedCounters, connection: ConnectionCounters, gauges: FeedGauges): MetricSample[] {
  const sample = (type: "counter" | "gauge", name: string, help: string, value: number, labels: Record<string, string> = {}): MetricSample =>
    ({ name: `ticker_feed_${name}`, help, type, labels: { feed, ...labels }, value });
  const samples = [
    sample("gauge", "live", "1 while the feed is live", gauges.state === "live" ? 1 : 0),
    sample("gauge", "instruments_known", "Instruments of the venue that clients can find", gauges.known),
    sample("gauge", "instruments_carried", "Instruments subscribed to at the venue", gauges.carried),
    sample("gauge", "instruments_pulled_in", "Of these, carried because a client or a subscription asked", gauges.pulledIn),
    sample("gauge", "instruments_waiting", "Instruments of subscriptions that are unknown to the venue or have no room", gauges.waiting),
    sample("counter", "unwanted_total", "Events of channels that nobody asks for, passed over", counters.unwanted),
    sample("counter", "attempts_total", "Attempts to connect", connection.attempts),
    sample("counter", "connects_total", "Connections that were opened", connection.connects),
    sample("counter", "messages_total", "Messages received", connection.messages),
    sample("counter", "received_bytes_total", "Bytes of messages received", connection.bytes),
    sample("counter", "binary_messages_total", "Binary messages received", connection.binary),
    sample("counter", "malformed_total", "Messages or parts that could not be read", counters.malformed),
    sample("counter", "resyncs_total", "Books lost by a gap, a checksum or an impossible update", counters.resyncs),
    sample("counter", "resyncs_repeated_total", "Snapshots that did not make the book whole", counters.resyncsRepeated),
    sample("counter", "resyncs_asked_total", "Snapshots asked for", gauges.resyncsAsked),
    sample("counter", "books_synced_total", "Books made whole by a snapshot", counters.synced),
    sample("counter", "trades_missed_total", "Trades that the venue numbered and that never came", counters.tradesMissed),
    sample("counter", "instrument_silences_total", "Instruments that became stale for want of data", counters.instrumentSilences),
    sample("counter", "pull_ins_refused_total", "Instruments not pulled in because of a limit", gauges.pullInsRefused),
    sample("counter", "instruments_refused_total", "Instruments of the list beyond the limit", gauges.instrumentsRefused),
    sample("counter", "list_failures_total", "Instrument lists that did not come or could not be read", counters.listFailures),
    sample("gauge", "list_skipped", "Entries of the newest instrument list that could not be read", counters.listSkipped),
    sample("gauge", "configured_unknown", "Configured instruments that are not carried", counters.configuredUnknown),
    sample("counter", "statuses_total", "Status events told", gauges.statuses),
    sample("counter", "rest_requests_total", "Questions to the venue's REST side", gauges.restRequests),
    sample("counter", "rest_failures_total", "Of these, without a usable answer", gauges.restFailures),
  ];
  for (const [reason, value] of Object.entries(connection.disconnects)) samples.push(sample("counter", "disconnects_total", "Connections that ended, by reason", value, { reason }));
  for (const [kind, value] of Object.entries(counters.control)) samples.push(sample("counter", "control_messages_total", "Messages that are no market data", value, { kind }));
  return samples;
}

/** One unreadable message is shown per this many milliseconds. */
const SHOWN_EVERY_MS = 10_000;
const SHOWN_LENGTH_MAX = 500;

/** Shows a sample of what could not be read; counts the rest. */
export class MalformedLog {
  readonly #feed: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  #nextMs = Number.NEGATIVE_INFINITY;
  #hidden = 0;

  constructor(feed: string, clock: Clock, log: Logger) {
    this.#feed = feed;
    this.#clock = clock;
    this.#log = log;
  }

  seen(reason: string, message: string): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#nextMs) {
      this.#hidden++;
      return;
    }
    this.#log.warn({ feed: this.#feed, reason, message: message.slice(0, SHOWN_LENGTH_MAX), notShown: this.#hidden }, "message of the venue could not be read");
    this.#nextMs = nowMs + SHOWN_EVERY_MS;
    this.#hidden = 0;
  }
}
