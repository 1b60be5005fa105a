/**
 * One client connection: who it is, what it holds, and its budgets. State only; the rules stand beside it.
 *
 * Owns: its fields, written by the modules of its fan-out. Small on purpose: there are many thousands of them.
 */
import type { Scope } from "../ports/access.ts";
import type { Codec } from "../protocol/codec.ts";
import type { Command, EveryMs, ResumeEntry, ResumePosition, Sampling } from "../protocol/commands.ts";
import type { CommandId } from "../protocol/errors.ts";
import { jsonCodec } from "../protocol/json-codec.ts";
import type { Slot, TopicKey } from "../protocol/topic.ts";

/** What a session needs of its socket; the library's WebSocket fits as it is. */
export interface Socket {
  /** 0: queued, will drain; 1: written; 2: dropped. */
  send(payload: string | Uint8Array, isBinary?: boolean): number;
  subscribe(topic: string): boolean;
  unsubscribe(topic: string): boolean;
  ping(): number;
  /** Close frame with code and reason, after what is queued. */
  end(code: number, reason: string): void;
  /** Drops the connection without a close frame. */
  close(): void;
  getBufferedAmount(): number;
  cork(run: () => void): unknown;
}

/** A held `*` or `venue:*` of one channel with its options. */
export interface Wildcard {
  /** Null: every venue. */
  readonly venue: string | null;
  readonly slot: Slot;
  /** How its members are received; later ones, too. */
  readonly everyMs: Sampling;
  /** Its members are held one by one, because it is sampled or took over sampled ones; it holds nothing natively itself. */
  isLoose: boolean;
  /** Id of the command that made it: later instruments are announced under it. */
  id: CommandId;
  /** Native wildcard topics held for it (see subscriptions.ts). */
  readonly natives: number[];
  /** False while its members are still being started one by one. */
  active: boolean;
}

/** The books of a lagging session: bounded by its topics, not by the stream. */
export interface Lag {
  /** Last sequence sent, by topic. */
  readonly seqs: Map<TopicKey, number>;
  /** Events skipped on state topics, and events told as gaps, since `lagging`. */
  folded: number;
  lost: number;
  /** Events that went into summaries, less the summaries themselves. */
  condensed: number;
  /** How often it was sent newest values. */
  served: number;
  /** When a pong last showed that it reads. */
  progressMs: number;
  /** Since when unsent bytes are over the hard limit; 0: they are not. */
  overHardMs: number;
}

/** A session's hold of its owner's orders (order-topics.ts). */
export interface OrderHold {
  /** The last event that it was sent; while it is native, its topic's position stands for it. */
  epoch: string;
  seq: number;
  isNative: boolean;
  /** Events of its topic before it was native. */
  nativeSince: number;
  isAsking: boolean;
  /** Millisecond (monotonic, whole) in which it was last sent an event that was read for it. */
  sentMs: number;
  /** The command that is not acknowledged yet; null: it is. */
  begin: { readonly id: CommandId; readonly resume: ResumePosition | null } | null;
}

/** `closing`: the reason is said, the close waits for what is queued before it. */
export type Phase = "opening" | "redeeming" | "open" | "closing" | "closed";


export class Session {
  socket: Socket | null = null;
  readonly address: string;
  phase: Phase = "opening";
  /** JSON until `auth` says otherwise. */
  codec: Codec = jsonCodec;
  id = "";
  keyId = "";
  scopes: readonly Scope[] = [];
  /** Whether it counts among the sessions of its address. */
  hasPlace = false;
  /** Place in the list of all sessions. */
  place = -1;
  /** Milliseconds of the monotonic clock, whole. */
  openedMs = 0;
  lastByteMs = 0;
  lastPingMs = 0;
  /** Added to the sum of the sequences of what is held, this is the number of data messages since `auth`. */
  messagesBase = 0;
  /** When the oldest unanswered ping was sent; 0: all are answered. */
  pingOpenMs = 0;
  /** Its books while it is in the lagging lane. */
  lag: Lag | null = null;
  /** Command budget, in hundredths of a command. */
  tokens = 0;
  tokensAtMs = 0;
  refused = 0;
  refusedSinceMs = 0;
  malformed = 0;
  malformedSinceMs = 0;
  /** Topics held one by one. */
  readonly topics: TopicKey[] = [];
  /** Those of `topics` that are held for a loose wildcard. */
  members: Set<TopicKey> | null = null;
  /** Its phase: when it gets its samples and heartbeats; -1: not authenticated yet. */
  samplePhase = -1;
  /** The interval of each of `topics` that is sampled now. */
  samples: Map<TopicKey, EveryMs> | null = null;
  /** The mode that each of `topics` changes to at the next common boundary. */
  changes: Map<TopicKey, Sampling> | null = null;
  /** Sampled topics that join their group at the next boundary, with the position until then. */
  detached: Map<TopicKey, number> | null = null;
  wildcards: Wildcard[] | null = null;
  orders: OrderHold | null = null;
  /** `recent` of trade topics, where it is not 0. */
  recents: Map<TopicKey, number> | null = null;
  /** The subscription that is being started. */
  start: Start | null = null;
  /** Commands that wait until the subscriptions before them have begun. */
  waiting: Command[] | null = null;

  constructor(address: string) {
    this.address = address;
  }
}

/**
 * A control frame, in the session's encoding. A function, because the socket library hands back a copy of a session's
 * fields without its prototype.
 */
export function say(session: Session, json: string): void {
  session.socket?.send(session.codec.control(json), session.codec.isBinary);
}

/**
 * A subscription on its way: its topics begin chunk by chunk, as the socket takes them. What it takes over from earlier
 * subscriptions goes on as it is until the last topic has begun, and changes hands in that one turn.
 */
export interface Start {
  readonly id: CommandId;
  readonly keys: TopicKey[];
  /** How many of `keys` have begun. */
  done: number;
  readonly recent: number;
  readonly everyMs: Sampling;
  /** The wildcards that keys belong to; native when the last key has begun. */
  readonly wildcards: readonly Wildcard[];
  /** Topics that the session has already, alone or by a wildcard: acknowledged at their position, no snapshot. */
  readonly held: Set<TopicKey>;
  /** Topics that are native one by one only until their wildcard is. */
  readonly temporary: TopicKey[];
  /** Held wildcards that end with this subscription, because it claims members of them. */
  readonly replaced: readonly Wildcard[];
  /** Positions to resume from, of some of `keys`. */
  readonly resume: ReadonlyMap<TopicKey, ResumeEntry> | null;
  /** The last topic acknowledged, while its replay is on its way: native once it has reached the newest event. */
  replay: { readonly key: TopicKey; readonly sequence: number } | null;
  /** Members `rejected` and `replaced` of the last answer, as JSON with a leading comma. */
  readonly remarksJson: string;
}

export function covers(wildcard: Wildcard, venue: string, slot: Slot): boolean {
  return wildcard.slot === slot && (wildcard.venue === null || wildcard.venue === venue);
}

/** Forgets topics that were held one by one, with everything known of them; their native side has been released. */
export function dropTopics(session: Session, gone: ReadonlySet<TopicKey>): void {
  if (gone.size === 0) return;
  let kept = 0;
  for (const key of session.topics) if (!gone.has(key)) session.topics[kept++] = key;
  session.topics.length = kept;
  for (const key of gone) for (const map of [session.members, session.samples, session.changes, session.detached]) map?.delete(key);
}
