/**
 * The push feed (protocol section 4): a TCP server to which local producers publish their own events.
 *
 * Owns: the listening socket, the connections, which producers each venue has. Runs on: stream thread.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Clock, Timer } from "../../core/clock.ts";
import { ResourceError } from "../../core/errors.ts";
import type { StatusState } from "../../market/market-event.ts";
import type { KeyCheck } from "../../ports/access.ts";
import type { CarryOutcome, Feed, FeedReport } from "../../ports/feeds.ts";
import type { EventSink } from "../../ports/records.ts";
import type { Logger, MetricSample } from "../../ports/telemetry.ts";
import { Producer, type ProducerContext } from "./producer.ts";
import { PushCounts } from "./push-counts.ts";
import { PushDecoder } from "./push-decoder.ts";
import { PushInstruments, type PushVenue, takenFault } from "./push-instruments.ts";

/** How often a producer that has sent something gets its totals, milliseconds. */
export const ACK_MS = 1000;
/** Connections above the limit that are told so at the same time; the rest is dropped without a word. */
const REFUSALS_MAX = 64;
/** Instruments that producers may create, unless told otherwise. */
export const PUSH_INSTRUMENTS_MAX = 20_000;

export interface PushFeedOptions {
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keys: KeyCheck;
  readonly host: string;
  /** 0 for any free one, see `port()`. */
  readonly port: number;
  /** Longest line without its newline; a longer one ends the connection. */
  readonly lineBytesMax: number;
  /** A further connection is told so and closed. */
  readonly connectionsMax: number;
  /** Venues that other feeds own; asked when an instrument is created and when a producer begins with a venue. */
  readonly venuesTaken: () => ReadonlySet<string>;
  /** Default 10000. */
  readonly authTimeoutMs?: number;
  /** Default 20000. */
  readonly instrumentsMax?: number;
}

export class PushFeed implements Feed {
  readonly name = "push";
  readonly #options: PushFeedOptions;
  readonly #instruments: PushInstruments;
  readonly #counts = new PushCounts();
  readonly #context: ProducerContext;
  readonly #producers = new Set<Producer>();
  readonly #producersOf = new Map<PushVenue, Set<Producer>>();
  #server: Server | null = null;
  #port = 0;
  #ackTimer: Timer | null = null;
  #lastReadMs: number | null = null;
  #bytesSeen = 0;

  constructor(options: PushFeedOptions) {
    const { sink, clock, log, keys, lineBytesMax, authTimeoutMs = 10_000, instrumentsMax = PUSH_INSTRUMENTS_MAX } = options;
    this.#options = options;
    this.#instruments = new PushInstruments(sink, instrumentsMax, options.venuesTaken);
    const decoder = new PushDecoder(this.#instruments, clock.nowMicros().toString(36));
    this.#context = {
      sink, clock, log, keys, decoder, lineBytesMax, authTimeoutMs, counts: this.#counts,
      join: (producer, venue) => {
        if (this.#instruments.isTaken(venue.name)) return takenFault(venue.name);
        this.#join(producer, venue);
        return null;
      },
      closed: (producer) => this.#closed(producer),
    };
  }

  /** @throws {ResourceError} when the port cannot be had. */
  async start(): Promise<void> {
    const { host, port, clock, log } = this.#options;
    // A producer that has sent its last line still gets the acknowledgement of it.
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    server.maxConnections = this.#options.connectionsMax + REFUSALS_MAX;
    server.on("drop", () => this.#counts.connectionsDropped++);
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(new ResourceError(`push: cannot listen on ${host}:${port} (${error.message}); set PUSH_HOST and PUSH_PORT to a free address`, { cause: error })));
      server.listen(port, host, resolve);
    });
    server.on("error", (error) => log.error({ error: error.message }, "push server failed"));
    const address = server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : port;
    this.#server = server;
    this.#ackTimer = clock.every(ACK_MS, () => this.#acknowledge());
    log.info({ host, port: this.#port }, "push listening");
  }

  /** Producers get their last acknowledgement; their venues become stale. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#ackTimer?.stop();
    if (!server) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const producer of this.#producers) producer.end();
    await closed;
  }

  /** The port in use, once started. */
  port(): number {
    return this.#port;
  }

  /** These keys no longer work: their connections end. */
  keysRevoked(ids: readonly string[]): void {
    for (const producer of this.#producers) {
      if (producer.keyId !== null && ids.includes(producer.keyId)) {
        producer.fail("key_revoked", "api_key", "expected a usable key; this one was revoked, use another");
      }
    }
  }

  report(): FeedReport {
    this.#noticeRead();
    const isLive = this.#server !== null;
    return {
      name: this.name, venues: this.#instruments.venues, state: isLive ? "live" : "down", reason: isLive ? "" : "not listening",
      ageMs: this.#lastReadMs === null ? null : this.#options.clock.monotonicMs() - this.#lastReadMs,
      reconnects: 0, instruments: this.#instruments.count, simulated: false,
    };
  }

  /** Producers decide what they publish. */
  demand(): void {}

  carry(id: string): CarryOutcome {
    return this.#instruments.find(id) === undefined ? "foreign" : "carried";
  }

  release(): void {}

  /** Producers create instruments; nobody can be asked for a list. */
  refresh(): Promise<null> {
    return Promise.resolve(null);
  }

  samples(): MetricSample[] {
    return [
      ...this.#counts.samples(),
      { name: "ticker_push_producers", help: "Open connections of producers", type: "gauge", labels: {}, value: this.#producers.size },
      { name: "ticker_push_instruments", help: "Instruments created by producers", type: "gauge", labels: {}, value: this.#instruments.count },
    ];
  }

  #accept(socket: Socket): void {
    this.#counts.connections++;
    const isFull = this.#producers.size >= this.#options.connectionsMax;
    const producer = new Producer(socket, this.#context);
    this.#producers.add(producer);
    if (isFull) producer.fail("connection_limit", "connection", `expected at most ${this.#options.connectionsMax} producers at a time; close one and try again`);
    else if (!this.#server) producer.end();
  }

  #join(producer: Producer, venue: PushVenue): void {
    const producers = this.#producersOf.get(venue) ?? new Set<Producer>();
    this.#producersOf.set(venue, producers);
    producers.add(producer);
    if (producers.size === 1) this.#status(venue, "live", "");
  }

  #closed(producer: Producer): void {
    this.#producers.delete(producer);
    for (const venue of producer.venues) {
      const producers = this.#producersOf.get(venue);
      producers?.delete(producer);
      if (producers?.size === 0) this.#status(venue, "stale", "no producer");
    }
    this.#options.sink.endOfRead(false);
  }

  #status(venue: PushVenue, state: StatusState, reason: string): void {
    const now = this.#options.clock.nowMicros();
    this.#options.sink.event({ kind: "status", instrument: venue.index, eventTime: now, receiveTime: now, state, reason });
    this.#options.log.info({ venue: venue.name, state }, "push venue changed state");
  }

  #acknowledge(): void {
    this.#noticeRead();
    for (const producer of this.#producers) producer.acknowledge();
  }

  /** The age is good to a second: looking at the counter costs the read path nothing. */
  #noticeRead(): void {
    if (this.#counts.bytes === this.#bytesSeen) return;
    this.#bytesSeen = this.#counts.bytes;
    this.#lastReadMs = this.#options.clock.monotonicMs();
  }
}
