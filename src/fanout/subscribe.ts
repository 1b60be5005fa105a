/**
 * What `subscribe`, `unsubscribe` and `list` mean: symbols resolved, caps checked, the later of two claims kept.
 *
 * Protocol section 2.2. Runs on: the thread of its fan-out. Path: per command.
 */
import type { InstrumentIndex } from "../market/instrument.ts";
import type { ResumePosition, TopicSelection } from "../protocol/commands.ts";
import { type CommandId, idJson, STREAM_ERRORS, type StreamErrorCode } from "../protocol/errors.ts";
import { instrumentOf, meaningOf, slotFor, slotOf, STATUS_SLOT, topicKey, TRADES_SLOT, type Slot, type TopicKey } from "../protocol/topic.ts";
import type { FanoutCounters } from "./counters.ts";
import type { Directory, Listing } from "./directory.ts";
import type { FanoutOptions } from "./options.ts";
import type { OrderTopics } from "./order-topics.ts";
import type { Outlets } from "./outlet.ts";
import type { Positions } from "./positions.ts";
import { sendError } from "./send-error.ts";
import type { Resumes } from "./resume.ts";
import { say, covers, dropTopics, type Session, type Wildcard } from "./session.ts";
import type { Starter } from "./starter.ts";
import { Subscriptions } from "./subscriptions.ts";

/** Rejected symbols of a frame that get suggestions. */
const SUGGESTED_MAX = 3;

interface Rejection {
  readonly symbol: string;
  readonly code: StreamErrorCode;
  readonly message: string;
  readonly suggestions: readonly string[];
}

/** A frame's symbols, resolved. */
interface Plan {
  readonly keys: TopicKey[];
  readonly held: Set<TopicKey>;
  /** What the session holds one by one: a set, because a frame may ask for it 3,000 times. */
  readonly alone: ReadonlySet<TopicKey>;
  readonly wildcards: Wildcard[];
  readonly rejections: Rejection[];
  /** Held wildcards that this frame ends, because it claims members of them with the same options. */
  readonly replaced: Wildcard[];
  /** Topics held alone that a new wildcard takes over. */
  readonly absorbed: Set<TopicKey>;
}

export class SubscribeCommands {
  readonly #options: FanoutOptions;
  readonly #directory: Directory;
  readonly #outlets: Outlets;
  readonly #positions: Positions;
  readonly #starter: Starter;
  readonly #resumes: Resumes;
  readonly #counters: FanoutCounters;
  readonly #orders: OrderTopics;
  /** Asks the feed of an instrument that is not delivering to carry it. */
  readonly #demand: (index: InstrumentIndex) => void;
  readonly #withWildcards = new Set<Session>();

  constructor(options: FanoutOptions, parts: { directory: Directory; outlets: Outlets; positions: Positions; starter: Starter; resumes: Resumes; counters: FanoutCounters; orders: OrderTopics }, demand: (index: InstrumentIndex) => void) {
    this.#options = options;
    this.#directory = parts.directory;
    this.#outlets = parts.outlets;
    this.#positions = parts.positions;
    this.#starter = parts.starter;
    this.#resumes = parts.resumes;
    this.#counters = parts.counters;
    this.#orders = parts.orders;
    this.#demand = demand;
  }

  subscribe(session: Session, id: CommandId, wanted: TopicSelection): void {
    const slot = slotFor(wanted.channel, wanted.interval, wanted.depth);
    const plan = this.#plan(session, id, wanted, slot);
    if (typeof plan === "string") return sendError(this.#counters, session, 405, plan, id);
    const [first] = plan.rejections;
    if (wanted.atomic && first) {
      const message = `nothing was subscribed, because \`atomic\` is true: ${first.symbol}: ${first.message}`;
      return sendError(this.#counters, session, first.code, message, id, rejectedJson(plan.rejections));
    }
    if (plan.wildcards.length > 0) {
      (session.wildcards ??= []).push(...plan.wildcards);
      this.#withWildcards.add(session);
    }
    for (const key of plan.keys) {
      if (slot === TRADES_SLOT) rememberRecent(session, key, wanted.recent);
      const listing = this.#directory.at(instrumentOf(key));
      // A live instrument may be carried without this channel: then nothing was ever said in it.
      if (listing && !plan.held.has(key) && (!this.#positions.isLive(listing) || this.#positions.sequenceOf(key) === 0)) this.#demand(listing.index);
    }
    const resume = wanted.resume.length === 0 ? null : this.#resumes.positionsOf(wanted.resume, slot, new Set(plan.keys.filter((key) => !plan.held.has(key))));
    const remarksJson = rejectedJson(plan.rejections) + this.#replacedJson(session, plan);
    this.#starter.begin(session, { id, keys: plan.keys, done: 0, recent: wanted.recent, everyMs: wanted.everyMs, wildcards: plan.wildcards, held: plan.held, temporary: [], replaced: plan.replaced, resume, replay: null, remarksJson });
  }

  subscribeOrders(session: Session, id: CommandId, resume: ResumePosition | null): void {
    const isFull = this.#countOf(session) >= this.#options.topicsPerSessionMax || this.#outlets.total >= this.#options.subscriptionsMax;
    if (session.orders === null && isFull) return sendError(this.#counters, session, 405, `a session may hold ${this.#options.topicsPerSessionMax} topics: unsubscribe some`, id);
    this.#orders.subscribe(session, id, resume);
  }

  unsubscribeOrders(session: Session, id: CommandId): void {
    if (session.orders === null) return sendError(this.#counters, session, 417, "`orders` is not subscribed: see `list`", id);
    const entry = this.#orders.entryJson(session);
    this.#orders.end(session);
    this.#answer(session, "unsubscribed", id, [entry], rejectedJson([]));
  }

  unsubscribe(session: Session, id: CommandId, wanted: TopicSelection | null): void {
    const entries: string[] = [];
    const rejections: Rejection[] = [];
    const before = this.#positions.sumOf(session);
    if (wanted === null) {
      for (const key of aloneIn(session)) entries.push(this.#endTopic(session, key));
      for (const wildcard of [...(session.wildcards ?? [])]) entries.push(...this.#endWildcard(session, wildcard));
      if (session.orders !== null) entries.push(this.#orders.entryJson(session));
      this.#orders.end(session);
    } else {
      const slot = slotFor(wanted.channel, wanted.interval, wanted.depth);
      for (const symbol of new Set(wanted.symbols)) this.#endSymbol(session, symbol, slot, entries, rejections);
    }
    session.messagesBase += before - this.#positions.sumOf(session);
    this.#answer(session, "unsubscribed", id, entries, rejectedJson(rejections));
  }

  list(session: Session, id: CommandId): void {
    const entries = aloneIn(session).map((key) => this.#positions.entryJson(key, session.recents?.get(key) ?? 0, session));
    for (const wildcard of session.wildcards ?? []) {
      for (const key of this.#positions.membersOf(wildcard.venue, wildcard.slot)) entries.push(this.#positions.entryJson(key, session.recents?.get(key) ?? 0, session));
    }
    if (session.orders !== null) entries.push(this.#orders.entryJson(session));
    const wildcards = (session.wildcards ?? []).map((wildcard) => wildcardJson(wildcard)).join(",");
    this.#answer(session, "subscriptions", id, entries, wildcards === "" ? "" : `,"wildcards":[${wildcards}]`);
  }

  /** A new instrument: announced to whoever holds a wildcard of it, before its data. */
  defined(listing: Listing): void {
    this.#outlets.reserve(topicKey(this.#directory.size, 0), this.#directory.venues().length);
    for (const session of this.#withWildcards) {
      for (const wildcard of session.wildcards ?? []) this.#announce(session, wildcard, listing);
    }
  }

  #announce(session: Session, wildcard: Wildcard, listing: Listing): void {
    if (!covers(wildcard, listing.venue.name, wildcard.slot) || !hasSlot(listing, wildcard.slot)) return;
    const key = topicKey(listing.index, wildcard.slot);
    if (!wildcard.active) {
      const byAnother = session.wildcards?.some((held) => held.active && covers(held, listing.venue.name, wildcard.slot));
      if (byAnother) session.start?.held.add(key);
      session.start?.keys.push(key);
      return;
    }
    if (wildcard.isLoose) return this.#starter.admit(session, wildcard, key);
    say(session, `{"type":"subscribed"${idJson(wildcard.id)},"topics":[${this.#positions.entryJson(key, 0)}],"rejected":[],"more":false}`);
    const native = Subscriptions.wildcardKey(listing.venue.number, wildcard.slot);
    if (!wildcard.natives.includes(native)) this.#outlets.subscriptionsOf(session).holdWildcard(session, wildcard, listing.venue.number);
  }

  /** Data messages handed to the session since `auth`, snapshots not counted. */
  messagesOf(session: Session): number {
    return session.messagesBase + this.#positions.sumOf(session) + this.#orders.messagesOf(session);
  }

  /** Topics that it holds, matches of its wildcards among them. */
  topicsOf(session: Session): number {
    return this.#countOf(session);
  }

  /** The session gets no more data: its close must not starve behind them. */
  closing(session: Session): void {
    const subscriptions = this.#outlets.subscriptionsOf(session);
    session.socket?.unsubscribe(subscriptions.beatOf(session));
    for (const key of session.topics) subscriptions.release(session, key);
    for (const key of session.start?.temporary ?? []) subscriptions.release(session, key);
    for (const wildcard of session.wildcards ?? []) subscriptions.releaseWildcard(session, wildcard);
    this.#orders.end(session);
    dropTopics(session, new Set(session.topics));
    session.wildcards = null;
    session.start = null;
  }

  /** The session is gone. */
  closed(session: Session): void {
    this.#withWildcards.delete(session);
    this.#orders.end(session);
    this.#outlets.subscriptionsOf(session).forget(session);
  }

  #plan(session: Session, id: CommandId, wanted: TopicSelection, slot: Slot): Plan | string {
    const plan: Plan = { keys: [], held: new Set(), alone: new Set(aloneIn(session)), wildcards: [], rejections: [], replaced: [], absorbed: new Set() };
    const seen = new Set<TopicKey>();
    let room = Math.min(this.#options.topicsPerSessionMax - this.#countOf(session), this.#options.subscriptionsMax - this.#outlets.total);
    for (const symbol of new Set(wanted.symbols)) {
      const venue = symbol === "*" ? null : symbol.endsWith(":*") ? symbol.slice(0, -2) : undefined;
      if (venue !== undefined) {
        if (venue !== null && !this.#directory.venue(venue)) plan.rejections.push(this.#unknown(symbol, plan.rejections.length));
        else {
          room -= this.#planWildcard(session, plan, seen, { venue, slot, everyMs: wanted.everyMs, isLoose: false, id, natives: [], active: false });
          if (room < 0) return `\`${symbol}\` matches more topics than the ${this.#options.topicsPerSessionMax} that a session may hold`;
        }
        continue;
      }
      const listing = this.#directory.find(symbol);
      if (!listing || !hasSlot(listing, slot)) {
        plan.rejections.push(this.#unknown(symbol, plan.rejections.length));
        continue;
      }
      const key = topicKey(listing.index, slot);
      if (seen.has(key)) continue;
      const isHeld = this.#planTopic(session, plan, key, listing, slot);
      if (!isHeld && room <= 0) plan.rejections.push({ symbol, code: 405, message: `a session may hold ${this.#options.topicsPerSessionMax} topics: unsubscribe some`, suggestions: [] });
      else {
        seen.add(key);
        plan.keys.push(key);
        if (!isHeld) room--;
      }
    }
    return plan;
  }

  /** Whether the topic is held already, alone or by a wildcard, which then ends. */
  #planTopic(session: Session, plan: Plan, key: TopicKey, listing: Listing, slot: Slot): boolean {
    if (plan.alone.has(key)) {
      plan.held.add(key);
      return true;
    }
    const wildcard = session.wildcards?.find((held) => covers(held, listing.venue.name, slot));
    if (!wildcard) return false;
    plan.held.add(key);
    if (!plan.replaced.includes(wildcard)) plan.replaced.push(wildcard);
    return true;
  }

  /** How many topics the wildcard adds to what is held. */
  #planWildcard(session: Session, plan: Plan, seen: Set<TopicKey>, wildcard: Wildcard): number {
    let added = 0;
    for (const held of session.wildcards ?? []) {
      const overlaps = held.slot === wildcard.slot && (held.venue === wildcard.venue || held.venue === null || wildcard.venue === null);
      if (overlaps && !plan.replaced.includes(held)) plan.replaced.push(held);
    }
    for (const key of this.#positions.membersOf(wildcard.venue, wildcard.slot)) {
      const listing = this.#directory.at(instrumentOf(key));
      const alone = plan.alone.has(key);
      if (alone) plan.absorbed.add(key);
      if (seen.has(key) || !listing) continue;
      seen.add(key);
      plan.keys.push(key);
      if (alone || session.wildcards?.some((held) => covers(held, listing.venue.name, wildcard.slot))) plan.held.add(key);
      else added++;
    }
    // Within one frame the wider of two wildcards stands for both.
    if (wildcard.venue === null) plan.wildcards.length = 0;
    if (!plan.wildcards.some((wider) => covers(wider, wildcard.venue ?? "", wildcard.slot))) plan.wildcards.push(wildcard);
    return added;
  }

  #endSymbol(session: Session, symbol: string, slot: Slot, entries: string[], rejections: Rejection[]): void {
    const venue = symbol === "*" ? null : symbol.endsWith(":*") ? symbol.slice(0, -2) : undefined;
    if (venue !== undefined) {
      const wildcard = session.wildcards?.find((held) => held.slot === slot && held.venue === venue);
      if (wildcard) entries.push(...this.#endWildcard(session, wildcard));
      else rejections.push({ symbol, code: 417, message: "not subscribed with these options: see `list`", suggestions: [] });
      return;
    }
    const listing = this.#directory.find(symbol);
    const key = listing ? topicKey(listing.index, slot) : -1;
    if (session.topics.includes(key) && !session.members?.has(key)) entries.push(this.#endTopic(session, key));
    else if (listing && session.wildcards?.some((held) => covers(held, listing.venue.name, slot))) {
      rejections.push({ symbol, code: 414, message: "a member of a wildcard cannot end alone: unsubscribe the wildcard", suggestions: [] });
    } else if (listing) rejections.push({ symbol, code: 417, message: "not subscribed with these options: see `list`", suggestions: [] });
    else rejections.push(this.#unknown(symbol, rejections.length));
  }

  #endTopic(session: Session, key: TopicKey): string {
    const entry = this.#positions.entryJson(key, session.recents?.get(key) ?? 0, session);
    session.lag?.seqs.delete(key);
    this.#outlets.subscriptionsOf(session).release(session, key);
    dropTopics(session, new Set([key]));
    session.recents?.delete(key);
    return entry;
  }

  #endWildcard(session: Session, wildcard: Wildcard): string[] {
    const subscriptions = this.#outlets.subscriptionsOf(session);
    const members = this.#positions.membersOf(wildcard.venue, wildcard.slot);
    const entries = members.map((key) => this.#positions.entryJson(key, 0, session));
    if (wildcard.isLoose) {
      for (const key of members) subscriptions.release(session, key);
      dropTopics(session, new Set(members));
    }
    subscriptions.releaseWildcard(session, wildcard);
    session.wildcards?.splice(session.wildcards.indexOf(wildcard), 1);
    if (session.wildcards?.length === 0) this.#withWildcards.delete(session);
    return entries;
  }

  #countOf(session: Session): number {
    let count = session.topics.length - (session.members?.size ?? 0) + (session.orders === null ? 0 : 1);
    for (const wildcard of session.wildcards ?? []) count += this.#positions.membersOf(wildcard.venue, wildcard.slot).length;
    return count;
  }

  #unknown(symbol: string, before: number): Rejection {
    const suggestions = before < SUGGESTED_MAX ? this.#directory.suggest(symbol) : [];
    return { symbol: symbol.slice(0, 100), code: 411, message: "no such instrument", suggestions };
  }

  #replacedJson(session: Session, plan: Plan): string {
    const replaced = [...plan.replaced.map((wildcard) => wildcardJson(wildcard)), ...[...plan.absorbed].map((key) => this.#positions.entryJson(key, 0, session))];
    return replaced.length === 0 ? "" : `,"replaced":[${replaced.join(",")}]`;
  }

  #answer(session: Session, type: string, id: CommandId, entries: readonly string[], remarksJson: string): void {
    const size = this.#options.topicsPerAnswerMax;
    let from = 0;
    do {
      const more = from + size < entries.length;
      say(session, `{"type":"${type}"${idJson(id)},"topics":[${entries.slice(from, from + size).join(",")}]${more ? "" : remarksJson},"more":${more}}`);
      from += size;
    } while (from < entries.length);
  }
}

/** The venue itself has a status and nothing else. */
function hasSlot(listing: Listing, slot: Slot): boolean {
  return listing.venue.self !== listing.index || slot === STATUS_SLOT;
}

/** Topics that are held alone, not for a wildcard. */
function aloneIn(session: Session): TopicKey[] {
  return session.topics.filter((key) => !session.members?.has(key));
}

function rememberRecent(session: Session, key: TopicKey, recent: number): void {
  if (recent > 0) (session.recents ??= new Map()).set(key, recent);
  else session.recents?.delete(key);
}

function wildcardJson(wildcard: Wildcard): string {
  const meaning = meaningOf(slotOf(wildcard.slot));
  return `{"channel":"${meaning.channel}","symbol":"${wildcard.venue === null ? "*" : `${wildcard.venue}:*`}"${meaning.optionsJson}${wildcard.everyMs > 0 ? `,"every_ms":${wildcard.everyMs}` : ""}}`;
}

function rejectedJson(rejections: readonly Rejection[]): string {
  const entries = rejections.map((r) => JSON.stringify({
    symbol: r.symbol, code: r.code, name: STREAM_ERRORS[r.code], message: r.message, ...(r.suggestions.length > 0 ? { did_you_mean: r.suggestions } : {}),
  }));
  return `,"rejected":[${entries.join(",")}]`;
}
