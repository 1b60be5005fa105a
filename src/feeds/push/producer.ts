/**
 * One connection of a producer: authentication, its lines into ingest, acknowledgements back.
 *
 * Owns: the connection's counts and errors since the last acknowledgement. Runs on: stream thread. Path: hot; no promise,
 * closure or log per event. Nothing is queued, so a producer that is too fast is slowed down by TCP.
 */
import type { Socket } from "node:net";
import { plainAddress } from "../../core/address.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { Micros } from "../../core/time.ts";
import type { MarketEvent } from "../../market/market-event.ts";
import type { KeyCheck } from "../../ports/access.ts";
import type { EventSink } from "../../ports/records.ts";
import type { Logger } from "../../ports/telemetry.ts";
import { LineReader } from "./line-reader.ts";
import type { PushCounts } from "./push-counts.ts";
import { isFields, type PushDecoder } from "./push-decoder.ts";
import { fault, found, type PushFault, rejection } from "./push-fault.ts";
import type { PushVenue } from "./push-instruments.ts";

/** Longest line before authentication, bytes. */
export const AUTH_LINE_BYTES_MAX = 4096;
/** Errors listed in one acknowledgement; all are counted. */
export const ACK_ERRORS_MAX = 10;
/** Unread acknowledgements, bytes, above which further ones are left out: the counts are running totals. */
const ACK_UNSENT_BYTES_MAX = 65_536;
/** How long a peer may take to close after we did, milliseconds. */
const CLOSE_GRACE_MS = 1000;

export interface ProducerContext {
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keys: KeyCheck;
  readonly decoder: PushDecoder;
  readonly counts: PushCounts;
  readonly lineBytesMax: number;
  readonly authTimeoutMs: number;
  /** The first event of this producer for the venue; the fault when another feed owns it. */
  join(producer: Producer, venue: PushVenue): PushFault | null;
  /** The connection is over. */
  closed(producer: Producer): void;
}

interface AckError {
  /** Position of the event among all of this connection, from 0; null when the connection itself is meant. */
  readonly index: number | null;
  readonly code: string;
  readonly field: string;
  readonly message: string;
}

export class Producer {
  /** Null until authenticated. */
  keyId: string | null = null;
  /** Venues it has published for. */
  readonly venues = new Set<PushVenue>();
  readonly #context: ProducerContext;
  readonly #socket: Socket;
  readonly #lines: LineReader;
  #authTimer: Timer | null;
  #venue: PushVenue | null = null;
  #receiveTime: Micros;
  #received = 0;
  #accepted = 0;
  #acknowledged = 0;
  #errors: AckError[] = [];
  #hasError = false;
  #isEnding = false;

  constructor(socket: Socket, context: ProducerContext) {
    this.#context = context;
    this.#socket = socket;
    this.#receiveTime = context.clock.nowMicros();
    this.#lines = new LineReader(Math.min(AUTH_LINE_BYTES_MAX, context.lineBytesMax), (text) => this.#line(text));
    this.#authTimer = context.clock.after(context.authTimeoutMs, () => this.fail("auth_timeout", "line", `expected an auth line within ${context.authTimeoutMs} ms; send {"type":"auth","api_key":"tk_..."} first`));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("end", () => this.#ended());
    socket.on("error", (error) => context.log.debug({ keyId: this.keyId, error: error.message }, "producer connection failed"));
    socket.on("close", () => this.#closed());
  }

  /** Sends the running totals if anything was received since they were last sent. */
  acknowledge(): void {
    if (this.#received !== this.#acknowledged || this.#errors.length > 0) this.#sendAck();
  }

  /** Tells the producer why and ends the connection. */
  fail(code: PushFault["code"], field: string, message: string): void {
    if (this.#isEnding) return;
    this.#context.counts.connectionsFailed[code]++;
    this.#note({ index: null, code, field, message });
    this.#context.log.warn({ keyId: this.keyId, code }, "producer connection ended");
    this.end();
  }

  /** Acknowledges what is open and ends the connection. */
  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.acknowledge();
    this.#lines.stop();
    this.#authTimer?.stop();
    this.#socket.end();
    // Until then its bytes are read and thrown away: closing on unread bytes would reset the connection and lose the answer.
    this.#authTimer = this.#context.clock.after(CLOSE_GRACE_MS, () => this.#socket.destroy());
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    const { counts, sink, clock, lineBytesMax } = this.#context;
    counts.bytes += chunk.length;
    if (this.#isEnding) return;
    this.#receiveTime = clock.nowMicros();
    const isFit = this.#lines.read(chunk);
    sink.endOfRead(false);
    if (!isFit) {
      counts.linesTooLong++;
      this.fail("line_too_long", "line", `expected lines of at most ${this.keyId === null ? AUTH_LINE_BYTES_MAX : lineBytesMax} bytes; send fewer events a line`);
    } else if (this.#hasError) {
      this.#sendAck();
    }
  }

  #line(text: string): void {
    this.#context.counts.lines++;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // A line that is no JSON is answered like any other wrong event.
      value = undefined;
    }
    if (this.keyId === null) {
      this.#authenticate(value);
    } else if (value === undefined) {
      this.#received++;
      this.#reject(fault("invalid_syntax", "line", `expected one JSON value a line, found ${found(text)}; end each with a newline`));
    } else if (Array.isArray(value)) {
      for (const item of value) this.#event(item);
    } else {
      this.#event(value);
    }
  }

  #event(value: unknown): void {
    this.#received++;
    const { decoder, sink, counts } = this.#context;
    const event = decoder.decode(value, this.#receiveTime);
    if (event.kind === "fault") return this.#reject(event);
    const venue = decoder.instrument?.venue ?? null;
    if (venue !== this.#venue) {
      const refused = this.#enter(venue);
      if (refused) return this.#reject(refused);
    }
    const reason = sink.event(event);
    if (reason !== null) return this.#reject(rejection(reason));
    this.#accepted++;
    countAccepted(counts, event);
  }

  #enter(venue: PushVenue | null): PushFault | null {
    if (venue && !this.venues.has(venue)) {
      const refused = this.#context.join(this, venue);
      if (refused) return refused;
      this.venues.add(venue);
    }
    this.#venue = venue;
    return null;
  }

  #authenticate(value: unknown): void {
    if (!isFields(value) || value["type"] !== "auth" || typeof value["api_key"] !== "string") {
      return this.fail("not_authenticated", "line", "expected an auth line first; send {\"type\":\"auth\",\"api_key\":\"tk_...\"}");
    }
    const grant = this.#context.keys.check(value["api_key"], plainAddress(this.#socket.remoteAddress ?? ""));
    if (!grant) return this.fail("auth_failed", "api_key", "expected a known key; check it for typing errors and revocation");
    if (!grant.scopes.includes("publish")) {
      return this.fail("insufficient_scope", "api_key", `expected a key with the scope publish, found ${grant.scopes.join(", ")}; create one`);
    }
    this.keyId = grant.keyId;
    this.#lines.bytesMax = this.#context.lineBytesMax;
    this.#authTimer?.stop();
    this.#context.log.info({ keyId: grant.keyId }, "producer authenticated");
  }

  #reject(reason: PushFault): void {
    this.#context.counts.rejected[reason.code]++;
    this.#note({ index: this.#received - 1, code: reason.code, field: reason.field, message: reason.message });
  }

  #note(error: AckError): void {
    this.#hasError = true;
    if (this.#errors.length < ACK_ERRORS_MAX) this.#errors.push(error);
  }

  #sendAck(): void {
    this.#hasError = false;
    if (!this.#socket.writable || this.#socket.writableLength > ACK_UNSENT_BYTES_MAX) {
      this.#context.counts.acksSkipped++;
      return;
    }
    this.#acknowledged = this.#received;
    const ack = { type: "ack", received: this.#received, accepted: this.#accepted, rejected: this.#received - this.#accepted, errors: this.#errors };
    this.#errors = [];
    this.#socket.write(`${JSON.stringify(ack)}\n`);
  }

  /** The producer has sent its last byte. */
  #ended(): void {
    if (this.#lines.unfinished > 0) {
      this.#context.counts.linesUnfinished++;
      this.#note({ index: null, code: "invalid_syntax", field: "line", message: `expected a newline at the end, found ${this.#lines.unfinished} bytes without; they were not read` });
    }
    this.end();
  }

  #closed(): void {
    this.#authTimer?.stop();
    if (!this.#isEnding && this.#lines.unfinished > 0) this.#context.counts.linesUnfinished++;
    this.#isEnding = true;
    this.#lines.stop();
    this.#context.closed(this);
  }
}

function countAccepted(counts: PushCounts, event: MarketEvent): void {
  counts.accepted[event.kind]++;
}
