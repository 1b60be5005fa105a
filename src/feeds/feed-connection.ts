/**
 * One upstream WebSocket that is kept alive: connects, watches for silence, backs off, reconnects.
 *
 * Owns: the socket, its timers and counters. Runs on: stream thread. Path: `#received` is hot: no promise or closure
 * per message.
 */
import { WebSocket, type RawData } from "ws";
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Micros } from "../core/time.ts";
import type { Logger } from "../ports/telemetry.ts";
import { ReconnectPlan, type ConnectionLimits } from "./reconnect-plan.ts";

/**
 * Why a connection ended. `connect`: it never came about. `closed`: by the other end or the network. `protocol`: a
 * frame that breaks RFC 6455 or our size limit. `silence`: no data for too long (a half-open socket looks like this).
 * `planned`: replaced because of its age or asked for by the feed. `stopped`: by us, for good.
 */
export const DISCONNECT_REASONS = ["connect", "closed", "protocol", "silence", "planned", "stopped"] as const;
export type DisconnectReason = (typeof DISCONNECT_REASONS)[number];

/** What the owner of a connection is told. Called on the stream thread, never re-entrantly from `send`. */
export interface ConnectionOwner {
  /** Where to connect; asked for before every attempt. */
  url(): string;
  opened(): void;
  /** One message; answers whether it is data, or a heartbeat that the venue promises. */
  message(text: string, receiveTime: Micros): boolean;
  /** The connection ended, or the attempt at one; `detail` is one sentence. After `stopped` nothing more is told. */
  closed(reason: DisconnectReason, detail: string): void;
}

/** Sees every message as it crosses the socket, byte for byte; for the recorder. */
export interface ConnectionTap {
  opened(url: string): void;
  received(bytes: Buffer, isBinary: boolean): void;
  sent(text: string): void;
}

export interface ConnectionOptions {
  readonly name: string;
  readonly owner: ConnectionOwner;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform from 0 to below 1; seeded in tests. */
  readonly random: () => number;
  readonly limits: ConnectionLimits;
  readonly tap?: ConnectionTap | undefined;
}

/** Plain integers, read at scrape time. */
export interface ConnectionCounters {
  attempts: number;
  connects: number;
  messages: number;
  bytes: number;
  binary: number;
  readonly disconnects: Record<DisconnectReason, number>;
}

/** A close handshake that the other end does not answer is cut off after this. */
const CLOSE_WAIT_MS = 500;
/** Silence is noticed at most this much late. */
const WATCH_MS_MAX = 1_000;

export class FeedConnection {
  readonly counters: ConnectionCounters = {
    attempts: 0, connects: 0, messages: 0, bytes: 0, binary: 0,
    disconnects: { connect: 0, closed: 0, protocol: 0, silence: 0, planned: 0, stopped: 0 },
  };
  readonly #options: ConnectionOptions;
  readonly #plan: ReconnectPlan;
  #socket: WebSocket | null = null;
  #isOpen = false;
  #isRunning = false;
  /** Why we ended the socket ourselves; null when the other end did. */
  #ending: { reason: DisconnectReason; detail: string } | null = null;
  #retry: Timer | null = null;
  #watch: Timer | null = null;
  #lastByteMs = Number.NaN;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#plan = new ReconnectPlan(options.limits, options.random);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Attempts since the last stable connection. */
  get attempt(): number {
    return this.#plan.attempt;
  }

  /** Milliseconds since the last message; null before the first. */
  ageMs(): number | null {
    return Number.isNaN(this.#lastByteMs) ? null : this.#options.clock.monotonicMs() - this.#lastByteMs;
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#connect();
  }

  /** Resolves when the socket is closed and no timer is left. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#retry?.stop();
    this.#retry = null;
    const socket = this.#socket;
    if (socket === null) return;
    this.#ending = { reason: "stopped", detail: "stopped by us" };
    await new Promise<void>((resolve) => {
      socket.once("close", () => resolve());
      const cut = this.#options.clock.after(CLOSE_WAIT_MS, () => socket.terminate());
      socket.once("close", () => cut.stop());
      if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
      else socket.close(1000);
    });
  }

  /** False when there is no open socket: the owner subscribes anew when it is told `opened`. */
  send(text: string): boolean {
    if (this.#socket === null || !this.#isOpen) return false;
    this.#options.tap?.sent(text);
    this.#socket.send(text);
    return true;
  }

  /** Gives the present connection up and opens another after the usual back-off. */
  reconnect(detail: string): void {
    this.#end("planned", detail);
  }

  #connect(): void {
    this.#retry = null;
    if (!this.#isRunning) return;
    const { limits, owner, tap } = this.#options;
    this.counters.attempts++;
    this.#ending = null;
    let failure: Error | null = null;
    let socket: WebSocket;
    const url = owner.url();
    try {
      socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: limits.handshakeMs, maxPayload: limits.messageBytesMax });
    } catch (error) {
      this.#lost("connect", messageOf(error));
      return;
    }
    this.#socket = socket;
    socket.on("open", () => {
      tap?.opened(url);
      this.#opened();
    });
    socket.on("message", (data, isBinary) => this.#received(data, isBinary));
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("close", (code, reason) => this.#closed(code, reason.toString(), failure));
  }

  #opened(): void {
    const { clock, limits, owner } = this.#options;
    this.counters.connects++;
    this.#isOpen = true;
    this.#plan.opened(clock.monotonicMs());
    this.#watch = clock.every(Math.min(WATCH_MS_MAX, limits.silenceMs / 4), () => this.#check());
    owner.opened();
  }

  #received(data: RawData, isBinary: boolean): void {
    if (this.#ending !== null) return;
    const { clock, owner, tap } = this.#options;
    const bytes = Buffer.isBuffer(data) ? data : bufferOf(data);
    this.counters.messages++;
    this.counters.bytes += bytes.length;
    if (isBinary) this.counters.binary++;
    tap?.received(bytes, isBinary);
    const nowMs = clock.monotonicMs();
    this.#lastByteMs = nowMs;
    if (owner.message(bytes.toString(), clock.nowMicros())) this.#plan.data(nowMs);
  }

  #check(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#plan.isSilent(nowMs)) this.#end("silence", `no data for ${this.#options.limits.silenceMs} ms`);
    else if (this.#plan.isOld(nowMs)) this.#end("planned", `connection reached its age of ${this.#options.limits.ageMaxMs} ms`);
  }

  /** Without a close handshake: a half-open socket would never answer it. */
  #end(reason: DisconnectReason, detail: string): void {
    if (this.#socket === null || this.#ending !== null) return;
    this.#ending = { reason, detail };
    this.#socket.terminate();
  }

  #closed(code: number, text: string, failure: Error | null): void {
    const wasOpen = this.#isOpen;
    this.#socket = null;
    this.#isOpen = false;
    this.#watch?.stop();
    this.#watch = null;
    if (this.#ending !== null) this.#lost(this.#ending.reason, this.#ending.detail);
    else if (!wasOpen) this.#lost("connect", failure === null ? `closed with ${code} before it was open` : messageOf(failure));
    else if (failure !== null) this.#lost(isProtocolError(failure) ? "protocol" : "closed", messageOf(failure));
    else this.#lost("closed", `closed by the venue with ${code}${text === "" ? "" : ` ${text.slice(0, 80)}`}`);
  }

  #lost(reason: DisconnectReason, detail: string): void {
    const { clock, log, name, owner } = this.#options;
    this.counters.disconnects[reason]++;
    const delayMs = this.#plan.closed(clock.monotonicMs());
    if (this.#isRunning) {
      this.#retry = clock.after(delayMs, () => this.#connect());
      log.warn({ feed: name, reason, detail, attempt: this.#plan.attempt, retryMs: Math.round(delayMs) }, "upstream connection lost");
    }
    owner.closed(reason, detail);
  }
}

/** Errors that `ws` raises for frames it refuses carry a code of their own. */
function isProtocolError(error: Error): boolean {
  return "code" in error && typeof error.code === "string" && error.code.startsWith("WS_ERR_");
}

function bufferOf(data: Buffer[] | ArrayBuffer | Buffer): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? Buffer.from(data) : data;
}
