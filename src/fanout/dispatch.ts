/**
 * From a client's frame to what it asks for: size and rate budgets, authentication first, then the command.
 *
 * Protocol sections 2.1, 2.6 and 2.7. Runs on: the thread of its fan-out. Path: per command.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { unreachable } from "../core/types.ts";
import type { Grant, KeyCheck, RefusedSecret, TicketRedeemer } from "../ports/access.ts";
import type { Encoding, Payload } from "../protocol/codec.ts";
import { type Command, decodeCommand } from "../protocol/commands.ts";
import { closeCodeOf, type CommandId, idJson, STREAM_ERRORS, type StreamErrorCode } from "../protocol/errors.ts";
import type { FanoutCounters } from "./counters.ts";
import type { FanoutOptions } from "./options.ts";
import type { Outlets } from "./outlet.ts";
import type { Places } from "./places.ts";
import { sendError } from "./send-error.ts";
import { say, type Session } from "./session.ts";
import type { SubscribeCommands } from "./subscribe.ts";

/** Commands that may wait until a subscription has begun. */
const WAITING_MAX = 100;
const REFUSED_WINDOW_MS = 10_000;
const MALFORMED_WINDOW_MS = 60_000;
/** Characters of the key's place in the table of places: keys and addresses share it. */
const KEY_PLACE = "key ";
/** Characters of a refused key that others may know. */
const KEY_START = 8;

export interface DispatchParts {
  readonly clock: Clock;
  readonly options: FanoutOptions;
  readonly keys: KeyCheck;
  readonly redeem: TicketRedeemer;
  readonly places: Places;
  readonly subscribe: SubscribeCommands;
  readonly counters: FanoutCounters;
  readonly outlets: Outlets;
  readonly onAuthenticated: (session: Session) => void;
  /** For the audit. */
  readonly onRefusedKey?: (refused: RefusedSecret) => void;
}

export class Dispatch {
  readonly #parts: DispatchParts;
  readonly #byKey = new Map<string, Set<Session>>();
  readonly #closing = new Map<Session, { readonly closeCode: number; readonly reason: string; readonly sinceMs: number }>();

  constructor(parts: DispatchParts) {
    this.#parts = parts;
  }

  /** One frame, its payload in force during the call only. `bytes` is its size, inflated where it was compressed. */
  frame(session: Session, payload: Payload, bytes: number, nowMs: number): void {
    const { options, counters } = this.#parts;
    if (session.phase === "closed" || session.phase === "closing") return;
    session.lastByteMs = nowMs;
    counters.commands++;
    if (session.phase !== "open") return this.#beforeAuth(session, payload, bytes, nowMs);
    if (bytes > options.frameBytesMax) return this.fail(session, 413, `a frame may have ${options.frameBytesMax} bytes, found ${bytes}: send several frames`);
    if (!this.#takeToken(session, nowMs)) return;
    if (payload === "ping") return void session.socket?.send("pong");
    const command = typeof payload === "string" ? decodeCommand(payload, options) : this.#binary(session, payload);
    if (!isBeginning(session) && session.waiting === null) this.#run(session, command, nowMs);
    else this.#wait(session, command);
  }

  /** Ends the session with an error and its close code. */
  fail(session: Session, code: StreamErrorCode, message: string): void {
    if (session.phase === "closed" || session.phase === "closing") return;
    sendError(this.#parts.counters, session, code, message);
    this.end(session, closeCodeOf(code), STREAM_ERRORS[code]);
  }

  /** The close follows what is queued; a connection that does not take it in time is dropped. */
  end(session: Session, closeCode: number, reason: string): void {
    const { counters, clock, subscribe } = this.#parts;
    counters.end(closeCode);
    if (session.phase === "open" && (session.socket?.getBufferedAmount() ?? 0) > 0) {
      subscribe.closing(session);
      session.phase = "closing";
      this.#closing.set(session, { closeCode, reason, sinceMs: Math.floor(clock.monotonicMs()) });
    } else {
      session.socket?.end(closeCode, reason);
    }
  }

  /** Sessions whose close waits: those that have taken everything are closed, those that take too long are dropped. */
  tendClosing(nowMs: number): void {
    for (const [session, { closeCode, reason, sinceMs }] of this.#closing) {
      const unsentBytes = session.socket?.getBufferedAmount() ?? 0;
      if (unsentBytes > 0 && nowMs - sinceMs < this.#parts.options.closeWaitMs) continue;
      this.#closing.delete(session);
      if (unsentBytes > 0) session.socket?.close();
      else session.socket?.end(closeCode, reason);
    }
  }

  /** Sessions of keys that no longer work. */
  revoke(keyIds: readonly string[]): void {
    for (const id of keyIds) {
      for (const session of [...(this.#byKey.get(id) ?? [])]) this.fail(session, 418, "this key has been revoked: ask for another one");
    }
  }

  /** What waited for a subscription to begin. */
  started(session: Session): void {
    while (!isBeginning(session) && session.waiting !== null && session.phase === "open") {
      const command = session.waiting.shift();
      if (command === undefined) session.waiting = null;
      else this.#run(session, command, Math.floor(this.#parts.clock.monotonicMs()));
    }
  }

  closed(session: Session): void {
    this.#closing.delete(session);
    if (session.keyId === "") return;
    this.#parts.places.release(KEY_PLACE + session.keyId);
    const sessions = this.#byKey.get(session.keyId);
    sessions?.delete(session);
    if (sessions?.size === 0) this.#byKey.delete(session.keyId);
  }

  #binary(session: Session, frame: Uint8Array): Command {
    const { read } = session.codec;
    const unreadable = (message: string): Command => ({ type: "fault", id: null, code: 400, message, during: "" });
    if (read === null) return unreadable("frames must be text: binary frames are not used with the encoding json");
    try {
      return decodeCommand(read(frame), this.#parts.options);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return unreadable(`a binary frame must be one MessagePack map: ${error.message}`);
    }
  }

  #beforeAuth(session: Session, payload: Payload, bytes: number, nowMs: number): void {
    const { options } = this.#parts;
    if (bytes > options.frameBytesBeforeAuthMax) {
      return this.fail(session, 401, `before authentication a frame may have ${options.frameBytesBeforeAuthMax} bytes, found ${bytes}`);
    }
    const command = typeof payload === "string" ? decodeCommand(payload, options) : null;
    if (command?.type === "fault" && command.during === "auth") return this.#malformed(session, nowMs, command.id, command.message, command.code);
    if (command?.type !== "auth") return this.fail(session, 401, 'the first frame must be {"type":"auth","api_key":"tk_..."}');
    if (session.phase === "redeeming") return this.fail(session, 401, "wait for the answer to `auth` before the next frame");
    if (command.apiKey.startsWith("tt_")) {
      session.phase = "redeeming";
      this.#parts.redeem(command.apiKey, (grant) => this.#authenticated(session, command, grant));
    } else {
      this.#authenticated(session, command, this.#parts.keys.check(command.apiKey, session.address));
    }
  }

  #authenticated(session: Session, { id, apiKey, encoding }: { readonly id: CommandId; readonly apiKey: string; readonly encoding: Encoding }, grant: Grant | null): void {
    const { options, places, counters, outlets } = this.#parts;
    if (session.phase === "closed") return;
    if (grant === null) {
      this.#parts.onRefusedKey?.({ address: session.address, keyStart: apiKey.slice(0, KEY_START) });
      return this.fail(session, 402, "the key or ticket is unknown, revoked, used or expired");
    }
    if (!places.take(KEY_PLACE + grant.keyId, options.sessionsPerKeyMax)) {
      return this.fail(session, 406, `a key may have ${options.sessionsPerKeyMax} sessions at once: close one or use another key`);
    }
    session.phase = "open";
    session.codec = outlets.of(encoding).codec;
    session.id = randomUUID();
    session.keyId = grant.keyId;
    session.scopes = grant.scopes;
    session.tokens = options.commandsBurst * 100;
    session.tokensAtMs = session.lastByteMs;
    const sessions = this.#byKey.get(grant.keyId);
    if (sessions) sessions.add(session);
    else this.#byKey.set(grant.keyId, new Set([session]));
    counters.authenticated++;
    this.#parts.onAuthenticated(session);
    say(session, `{"type":"authenticated"${idJson(id)},"session":"${session.id}","key_id":${JSON.stringify(grant.keyId)},"scopes":${
      JSON.stringify(grant.scopes)},"encoding":"${session.codec.encoding}","heartbeat_ms":${options.heartbeatMs},"limits":{"topics":${options.topicsPerSessionMax},"frame_bytes":${
      options.frameBytesMax},"commands_per_s":${options.commandsPerS}}}`);
    session.socket?.subscribe(outlets.subscriptionsOf(session).beatOf(session));
  }

  #run(session: Session, command: Command, nowMs: number): void {
    switch (command.type) {
      case "ping": return this.#pong(session, command.id);
      case "auth": return this.#fault(session, command.id, 403, "this session is authenticated: open another connection for another key");
      case "fault": return command.code === 400 ? this.#malformed(session, nowMs, command.id, command.message) : this.#fault(session, command.id, command.code, command.message);
      case "subscribe":
      case "unsubscribe":
      case "subscribe_orders":
      case "unsubscribe_orders":
      case "list": return this.#subscription(session, command);
      default: return unreachable(command);
    }
  }

  /** Answers come in the order of the commands, also while a large subscription is still beginning. */
  #wait(session: Session, command: Command): void {
    const waiting = (session.waiting ??= []);
    if (waiting.length >= WAITING_MAX) this.#fault(session, command.id, 429, `${WAITING_MAX} commands wait for a subscription that is still beginning: wait for its answer`);
    else waiting.push(command);
  }

  #subscription(session: Session, command: Extract<Command, { readonly type: "subscribe" | "unsubscribe" | "subscribe_orders" | "unsubscribe_orders" | "list" }>): void {
    if (!session.scopes.includes("read")) return this.#fault(session, command.id, 409, "the scope `read` is needed: use a key that has it");
    const { subscribe } = this.#parts;
    const isOfOrders = command.type === "subscribe_orders" || command.type === "unsubscribe_orders";
    if (isOfOrders && !session.scopes.includes("trade")) return this.#fault(session, command.id, 409, "the scope `trade` is needed for `orders`: use a key that has it");
    if (command.type === "subscribe_orders") subscribe.subscribeOrders(session, command.id, command.resume);
    else if (command.type === "unsubscribe_orders") subscribe.unsubscribeOrders(session, command.id);
    else if (command.type === "subscribe") subscribe.subscribe(session, command.id, command.topics);
    else if (command.type === "unsubscribe") subscribe.unsubscribe(session, command.id, command.topics);
    else subscribe.list(session, command.id);
  }

  #pong(session: Session, id: CommandId): void {
    const unsentBytes = session.socket?.getBufferedAmount() ?? 0;
    say(session, `{"type":"pong"${idJson(id)},"time":${this.#parts.clock.nowMicros()},"messages":${this.#parts.subscribe.messagesOf(session)},"unsent_bytes":${unsentBytes},"lane":"${session.lag === null ? "live" : "lagging"}"}`);
  }

  #fault(session: Session, id: CommandId, code: StreamErrorCode, message: string): void {
    sendError(this.#parts.counters, session, code, message, id);
  }

  /** The fifth in a minute ends the session. Before `auth` every faulty `auth` counts, because no rate limits those. */
  #malformed(session: Session, nowMs: number, id: CommandId, message: string, code: StreamErrorCode = 400): void {
    if (nowMs - session.malformedSinceMs > MALFORMED_WINDOW_MS) {
      session.malformedSinceMs = nowMs;
      session.malformed = 0;
    }
    if (++session.malformed >= this.#parts.options.malformedPerMinuteMax) return this.fail(session, 400, message);
    this.#fault(session, id, code, message);
  }

  #takeToken(session: Session, nowMs: number): boolean {
    const { options } = this.#parts;
    const refill = Math.floor(((nowMs - session.tokensAtMs) * options.commandsPerS) / 10);
    session.tokens = Math.min(options.commandsBurst * 100, session.tokens + refill);
    session.tokensAtMs = nowMs;
    if (session.tokens >= 100) {
      session.tokens -= 100;
      return true;
    }
    if (nowMs - session.refusedSinceMs > REFUSED_WINDOW_MS) {
      session.refusedSinceMs = nowMs;
      session.refused = 0;
    }
    const message = `${options.commandsPerS} commands a second, ${options.commandsBurst} at once, are the limit: wait a second`;
    if (++session.refused >= options.commandsRefusedMax) this.fail(session, 429, message);
    else this.#fault(session, null, 429, message);
    return false;
  }
}

/** Whether a subscription is on its way: commands behind it wait. */
function isBeginning({ start, orders }: Session): boolean {
  return start !== null || (orders !== null && orders.begin !== null);
}
