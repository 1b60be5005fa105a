/**
 * The channel `orders`: one topic per owner, published natively to sessions that stand where the topic stands.
 *
 * Events are pushed as they are written; the database is where everything else comes from: what a session missed, while it was away,
 * while it lagged or because a push went astray. A session is native only when it has everything up to the topic's
 * position, so nothing is sent twice and nothing is left out; none is ever folded. Protocol 2.2.
 * Owns: the topics of one fan-out. Runs on: its thread. Path: per order event, nothing per tick.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { OrderEvent, OrderEvents, OrderPosition, OrderReader } from "../ports/orders.ts";
import type { MetricSample } from "../ports/telemetry.ts";
import type { ResumePosition } from "../protocol/commands.ts";
import { type CommandId, idJson } from "../protocol/errors.ts";
import type { FanoutCounters } from "./counters.ts";
import type { FanoutOptions } from "./options.ts";
import type { Outlets } from "./outlet.ts";
import type { Publish } from "./publisher.ts";
import { sendError } from "./send-error.ts";
import { type OrderHold, say, type Session } from "./session.ts";

/** Events kept of a topic while a session is being brought up to it; beyond that it reads them once more. */
const TAIL_EVENTS_MAX = 256;
const CHECK_MS = 1_000;
/** A topic's position is compared with the database this long after the last time: a write whose answer was lost told nobody. */
const COMPARE_MS = 5_000;
/** Topics compared in one check. */
const COMPARED_MAX = 20;

interface Topic {
  readonly owner: string;
  readonly sessions: Set<Session>;
  /** Sessions that hold it natively. */
  natives: number;
  /** Null: not known yet. */
  at: OrderPosition | null;
  /** Its newest events, while there are sessions that are not native. */
  readonly tail: OrderEvent[];
  /** Events published or left to readers since it began. */
  events: number;
  isAsking: boolean;
  /** Something was heard that does not follow `at`. */
  hasHole: boolean;
  comparedMs: number;
  sentMs: number;
}

export interface OrderTopicsParts {
  readonly clock: Clock;
  readonly options: FanoutOptions;
  readonly outlets: Outlets;
  readonly counters: FanoutCounters;
  readonly publish: Publish;
  readonly read: OrderReader;
  /** The session's subscription has begun, or was refused: the commands behind it go on. */
  readonly started: (session: Session) => void;
}

export class OrderTopics {
  readonly #parts: OrderTopicsParts;
  readonly #topics = new Map<string, Topic>();
  #timer: Timer | null = null;
  #published = 0;
  #delivered = 0;
  #holes = 0;
  #unread = 0;
  readonly #begun = { new: 0, exact: 0, expired: 0, restart: 0 };
  readonly #gaps = { expired: 0, restart: 0 };

  constructor(parts: OrderTopicsParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = this.#parts.clock.every(CHECK_MS, () => this.#check());
  }

  stop(): void {
    this.#timer?.stop();
  }

  /** Acknowledged once the database has said where the events stand; at once when it is held already. */
  subscribe(session: Session, id: CommandId, resume: ResumePosition | null): void {
    if (session.orders !== null) return say(session, subscribedJson(id, this.entryJson(session)));
    const hold: OrderHold = { epoch: "", seq: 0, isNative: false, nativeSince: 0, isAsking: false, sentMs: 0, begin: { id, resume } };
    session.orders = hold;
    this.#topicOf(session.keyId).sessions.add(session);
    this.#read(session, hold);
  }

  /** Its entry in `topics`. */
  entryJson(session: Session, resumed = ""): string {
    const { epoch, seq } = this.#positionOf(session);
    return `{"channel":"orders","epoch":${JSON.stringify(epoch)},"seq":${seq},"live":true${resumed === "" ? "" : `,"resumed":"${resumed}"`}}`;
  }

  /** The session holds its orders no more, or is gone. */
  end(session: Session): void {
    const { orders: hold } = session;
    if (hold === null) return;
    this.park(session);
    session.orders = null;
    const topic = this.#topicOf(session.keyId);
    topic.sessions.delete(session);
    if (topic.sessions.size === 0) this.#topics.delete(topic.owner);
  }

  /** Events of any owners as they were written. */
  hear(events: readonly OrderEvent[]): void {
    for (let from = 0, to = 0; from < events.length; from = to) {
      const owner = events[from]?.owner ?? "";
      while (to < events.length && events[to]?.owner === owner) to++;
      const topic = this.#topics.get(owner);
      if (topic !== undefined) this.#hear(topic, events.slice(from, to));
    }
  }

  /** The session leaves the native topic where that stands now: it lags, or ends. */
  park(session: Session): void {
    const hold = session.orders;
    if (hold === null || !hold.isNative) return;
    const topic = this.#topicOf(session.keyId);
    session.messagesBase += topic.events - hold.nativeSince;
    ({ epoch: hold.epoch, seq: hold.seq } = topic.at ?? hold);
    hold.isNative = false;
    topic.natives--;
    this.#parts.outlets.subscriptionsOf(session).releaseOwner(session, topic.owner);
  }

  /** A session that is not native has room again, or lags no more: it goes on reading, or is native. */
  goOn(session: Session): void {
    if (session.orders !== null) this.#advance(session, session.orders, this.#topicOf(session.keyId));
  }

  /** Millisecond in which the session was last sent an order event. */
  sentMs({ orders, keyId }: Session): number {
    if (orders === null) return 0;
    return Math.max(orders.sentMs, orders.isNative ? this.#topics.get(keyId)?.sentMs ?? 0 : 0);
  }

  /** Events that it was sent natively, since it is native. */
  messagesOf({ orders, keyId }: Session): number {
    return orders?.isNative ? (this.#topics.get(keyId)?.events ?? 0) - orders.nativeSince : 0;
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number, labels: Record<string, string> = {}): MetricSample => ({ name, help, type: "counter", labels, value });
    const sessions = [...this.#topics.values()].reduce((sum, topic) => sum + topic.sessions.size, 0);
    return [
      { name: "ticker_stream_orders_sessions", help: "Sessions that hold the orders of their owner", type: "gauge", labels: {}, value: sessions },
      { name: "ticker_stream_orders_owners", help: "Owners whose orders somebody holds", type: "gauge", labels: {}, value: this.#topics.size },
      counter("ticker_stream_orders_published_total", "Frames of order events published natively", this.#published),
      counter("ticker_stream_orders_delivered_total", "Order events handed to the socket library, once per subscriber", this.#delivered),
      counter("ticker_stream_orders_holes_total", "Times that order events did not follow one another and were read from the database", this.#holes),
      counter("ticker_stream_orders_unread_total", "Times that order events could not be read", this.#unread),
      ...Object.entries(this.#begun).map(([outcome, value]) => counter("ticker_stream_orders_subscribed_total", "Subscriptions of orders begun", value, { outcome })),
      ...Object.entries(this.#gaps).map(([reason, value]) => counter("ticker_stream_orders_gaps_total", "Gaps of orders told to sessions", value, { reason })),
    ];
  }

  #topicOf(owner: string): Topic {
    const known = this.#topics.get(owner);
    if (known !== undefined) return known;
    const topic: Topic = { owner, sessions: new Set(), natives: 0, at: null, tail: [], events: 0, isAsking: false, hasHole: false, comparedMs: this.#nowMs(), sentMs: 0 };
    this.#topics.set(owner, topic);
    return topic;
  }

  #positionOf(session: Session): OrderPosition {
    const { orders } = session;
    const at = orders?.isNative ? this.#topics.get(session.keyId)?.at : orders;
    return { epoch: at?.epoch ?? "", seq: at?.seq ?? 0 };
  }

  #hear(topic: Topic, events: readonly OrderEvent[]): void {
    const fresh: OrderEvent[] = [];
    let hasHole = topic.at === null;
    for (const event of events) {
      const next = (fresh.at(-1)?.seq ?? topic.at?.seq ?? 0) + 1;
      if (event.epoch !== topic.at?.epoch || event.seq > next) hasHole = true;
      else if (event.seq === next) fresh.push(event);
    }
    this.#move(topic, fresh);
    if (hasHole) this.#compare(topic);
  }

  /** Events that follow the topic's position: to all native sessions at once, and to those that are about to be. */
  #move(topic: Topic, events: readonly OrderEvent[]): void {
    const last = events.at(-1);
    if (last === undefined) return;
    if (topic.natives > 0) this.#publish(topic, events);
    if (topic.natives === topic.sessions.size) topic.tail.length = 0;
    else topic.tail.push(...events);
    if (topic.tail.length > TAIL_EVENTS_MAX) topic.tail.splice(0, topic.tail.length - TAIL_EVENTS_MAX);
    topic.at = { epoch: last.epoch, seq: last.seq };
    topic.events += events.length;
    this.#advanceAll(topic);
  }

  #publish(topic: Topic, events: readonly OrderEvent[]): void {
    topic.sentMs = this.#nowMs();
    for (const { codec, subscriptions } of this.#parts.outlets.all) {
      const holders = subscriptions.owners.get(topic.owner) ?? 0;
      if (holders === 0) continue;
      this.#parts.publish(subscriptions.ownerNameOf(topic.owner), codec.frame(events.map(messageOf).join(","), events.length), codec.isBinary);
      this.#published++;
      this.#delivered += events.length * holders;
    }
  }

  /** Reads what follows the topic's position; once more when something was heard meanwhile. */
  #compare(topic: Topic): void {
    if (topic.isAsking || topic.at === null) {
      topic.hasHole = true;
      return;
    }
    topic.isAsking = true;
    topic.hasHole = false;
    topic.comparedMs = this.#nowMs();
    this.#parts.read({ owner: topic.owner, from: topic.at }, (answer) => {
      topic.isAsking = false;
      if (this.#topics.get(topic.owner) === topic) this.#compared(topic, answer);
    });
  }

  #compared(topic: Topic, answer: OrderEvents | null): void {
    if (answer === null) {
      this.#unread++;
      topic.comparedMs += CHECK_MS - COMPARE_MS;
      return;
    }
    const before = topic.at;
    if (answer.type === "gap") this.#jump(topic, answer);
    else {
      this.#move(topic, answer.events.filter((event) => event.epoch === before?.epoch && event.seq > (before?.seq ?? 0)));
      if (topic.at !== before) this.#holes++;
    }
    if (topic.hasHole || (topic.at !== null && answer.position.epoch === topic.at.epoch && answer.position.seq > topic.at.seq)) this.#compare(topic);
    else this.#advanceAll(topic, true);
  }

  /** Events between the topic's position and what is kept are gone: native sessions are told, and count anew from there. */
  #jump(topic: Topic, gap: Extract<OrderEvents, { readonly type: "gap" }>): void {
    const from = topic.at?.seq ?? 0;
    topic.at = gap.reason === "restart" ? gap.position : { epoch: gap.position.epoch, seq: gap.pruned };
    topic.tail.length = 0;
    this.#gaps[gap.reason]++;
    const json = gapJson(gap, from);
    for (const { codec, subscriptions } of this.#parts.outlets.all) {
      if (subscriptions.owners.has(topic.owner)) this.#parts.publish(subscriptions.ownerNameOf(topic.owner), codec.control(json), codec.isBinary);
    }
  }

  /** @param isNewest whether the database has just said that the topic's position is the newest */
  #advanceAll(topic: Topic, isNewest = false): void {
    if (topic.natives === topic.sessions.size) return;
    for (const session of [...topic.sessions]) {
      if (session.lag === null && session.orders !== null) this.#advance(session, session.orders, topic, isNewest);
    }
  }

  /** From the tail when it reaches back to where the session stands, otherwise from the database; native as soon as it has everything. */
  #advance(session: Session, hold: OrderHold, topic: Topic, isNewest = false): void {
    if (hold.isNative || hold.isAsking || hold.begin !== null || session.phase !== "open") return;
    const { at, tail } = topic;
    if (at === null) return;
    if (hold.epoch === at.epoch && hold.seq > at.seq) return isNewest ? this.#read(session, hold) : this.#compare(topic);
    const missing = hold.epoch === at.epoch ? at.seq - hold.seq : Number.POSITIVE_INFINITY;
    if (missing > 0 && (session.socket?.getBufferedAmount() ?? 0) > this.#parts.options.softLimitBytes) return;
    if (missing > tail.length) return this.#read(session, hold);
    if (missing > 0) this.#send(session, hold, tail.slice(tail.length - missing));
    if (session.lag !== null || !this.#parts.outlets.subscriptionsOf(session).holdOwner(session, topic.owner)) return;
    hold.isNative = true;
    hold.nativeSince = topic.events;
    topic.natives++;
  }

  #read(session: Session, hold: OrderHold): void {
    const { resume } = hold.begin ?? { resume: { epoch: hold.epoch, sequence: hold.seq } };
    hold.isAsking = true;
    this.#parts.read({ owner: session.keyId, from: resume === null ? null : { epoch: resume.epoch, seq: resume.sequence } }, (answer) => {
      hold.isAsking = false;
      if (session.orders === hold && session.phase === "open") this.#answered(session, hold, answer);
    });
  }

  #answered(session: Session, hold: OrderHold, answer: OrderEvents | null): void {
    const topic = this.#topicOf(session.keyId);
    const { begin } = hold;
    if (answer === null) {
      this.#unread++;
      if (begin !== null) this.#refuse(session, begin.id);
      return;
    }
    topic.at ??= answer.position;
    if (answer.position.epoch !== topic.at.epoch || topic.hasHole) this.#compare(topic);
    if (begin === null) this.#take(session, hold, answer);
    else this.#begin(session, hold, begin, answer);
    this.#advance(session, hold, topic);
    if (begin !== null) this.#parts.started(session);
  }

  #begin(session: Session, hold: OrderHold, { id, resume }: NonNullable<OrderHold["begin"]>, answer: OrderEvents): void {
    const outcome = resume === null ? "new" : answer.type === "gap" ? answer.reason : "exact";
    hold.begin = null;
    hold.epoch = answer.position.epoch;
    hold.seq = resume === null || outcome === "restart" ? answer.position.seq : resume.sequence;
    this.#begun[outcome]++;
    say(session, subscribedJson(id, this.entryJson(session, outcome === "new" ? "" : outcome === "exact" ? "exact" : "gap")));
    if (resume !== null) this.#take(session, hold, answer);
  }

  /** What was read for the session. */
  #take(session: Session, hold: OrderHold, answer: OrderEvents): void {
    if (answer.type === "events") return this.#send(session, hold, answer.events);
    this.#gaps[answer.reason]++;
    say(session, gapJson(answer, hold.seq));
    hold.epoch = answer.position.epoch;
    hold.seq = answer.reason === "restart" ? answer.position.seq : answer.pruned;
  }

  #send(session: Session, hold: OrderHold, events: readonly OrderEvent[]): void {
    const last = events.at(-1);
    if (last === undefined) return;
    const { codec } = session;
    session.socket?.send(codec.frame(events.map(messageOf).join(","), events.length), codec.isBinary);
    hold.seq = last.seq;
    hold.sentMs = this.#nowMs();
    session.messagesBase += events.length;
    this.#delivered += events.length;
  }

  #refuse(session: Session, id: CommandId): void {
    this.end(session);
    sendError(this.#parts.counters, session, 504, "orders cannot be read at the moment: subscribe again in a second", id);
    this.#parts.started(session);
  }

  #check(): void {
    const nowMs = this.#nowMs();
    let compared = 0;
    for (const topic of this.#topics.values()) {
      if (compared >= COMPARED_MAX) return;
      if (topic.at === null || topic.isAsking || nowMs - topic.comparedMs < COMPARE_MS) continue;
      compared++;
      this.#compare(topic);
    }
  }

  #nowMs(): number {
    return Math.floor(this.#parts.clock.monotonicMs());
  }
}

function messageOf({ seq, epoch, json }: OrderEvent): string {
  return `{"type":"order","seq":${seq},"epoch":${JSON.stringify(epoch)},"order":${json}}`;
}

function subscribedJson(id: CommandId, entryJson: string): string {
  return `{"type":"subscribed"${idJson(id)},"topics":[${entryJson}],"rejected":[],"more":false}`;
}

/** @param from the last event before the gap */
function gapJson(gap: Extract<OrderEvents, { readonly type: "gap" }>, from: number): string {
  const range = gap.reason === "expired" ? `"from":${from + 1},"to":${gap.pruned}` : `"seq":${gap.position.seq}`;
  return `{"type":"gap","channel":"orders","epoch":${JSON.stringify(gap.position.epoch)},${range},"reason":"${gap.reason}"}`;
}
