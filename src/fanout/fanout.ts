/**
 * One fan-out: records in, sockets out. Wires its parts and keeps the list of sessions; knows nothing of threads.
 *
 * Owns: the list of sessions. Runs on: the stream thread when it is the only one, otherwise a thread of its own.
 */
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { KeyChange, RefusedSecret, TicketRedeemer } from "../ports/access.ts";
import type { Connection } from "../ports/connections.ts";
import type { OrderEvent, OrderReader } from "../ports/orders.ts";
import type { RecordBatch, RecordSink } from "../ports/records.ts";
import type { FanoutSettings } from "../ports/stream-settings.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { Payload } from "../protocol/codec.ts";
import { STREAM_ERRORS } from "../protocol/errors.ts";
import { msgpackCodec } from "../protocol/codecs/msgpack.ts";
import { jsonCodec } from "../protocol/json-codec.ts";
import { topicKey, TRADES_SLOT } from "../protocol/topic.ts";
import { Connections } from "./connections.ts";
import { FanoutCounters } from "./counters.ts";
import { Directory } from "./directory.ts";
import { Dispatch } from "./dispatch.ts";
import type { KeyTable } from "./key-table.ts";
import { LaggingLane } from "./lagging.ts";
import { LiveOptions } from "./live-options.ts";
import { OpenPings } from "./open-pings.ts";
import type { FanoutOptions } from "./options.ts";
import { OrderTopics } from "./order-topics.ts";
import { Outlets } from "./outlet.ts";
import { Places } from "./places.ts";
import { Positions } from "./positions.ts";
import { type Publish, Publisher } from "./publisher.ts";
import { RecordCache, type RecordSnapshot } from "./record-cache.ts";
import { Resumes } from "./resume.ts";
import { SampleCatchUp } from "./sample-catch-up.ts";
import { Sampler } from "./sampler.ts";
import { SamplingChanges } from "./sampling-changes.ts";
import { say, type Session } from "./session.ts";
import { type ClientServer, SocketServer, type SocketEvents } from "./socket-server.ts";
import { Starter } from "./starter.ts";
import { SubscribeCommands } from "./subscribe.ts";
import { Upkeep } from "./upkeep.ts";

/** Sessions told to go in one turn of a drain. */
const DRAIN_SLICE = 200;
const DRAIN_TURN_MS = 10;
const ADDRESS_PLACE = "address ";

export interface FanoutParts {
  readonly clock: Clock;
  readonly options: FanoutOptions;
  readonly epoch: string;
  readonly keys: KeyTable;
  readonly redeem: TicketRedeemer;
  readonly placeTable: SharedArrayBuffer;
  /** Asks the feed of an instrument to carry it. */
  readonly demand: (index: InstrumentIndex) => void;
  /** A key or ticket was not accepted; for the audit. */
  readonly onRefusedKey?: (refused: RefusedSecret) => void;
  /** What the channel `orders` is served from; without it orders cannot be read. */
  readonly readOrders?: OrderReader;
  /** Another server than the real one: for tests on a clock of their own. */
  readonly createServer?: (options: FanoutOptions, events: SocketEvents) => ClientServer;
}

export class Fanout implements RecordSink, Component, MetricSource {
  readonly name = "fanout";
  readonly #parts: FanoutParts;
  readonly #sessions: Session[] = [];
  readonly #counters = new FanoutCounters();
  readonly #directory = new Directory();
  readonly #outlets = new Outlets([jsonCodec, msgpackCodec]);
  readonly #cache: RecordCache;
  readonly #places: Places;
  readonly #positions: Positions;
  readonly #sampler: Sampler;
  readonly #changes: SamplingChanges;
  readonly #publisher: Publisher;
  readonly #resumes: Resumes;
  readonly #starter: Starter;
  readonly #subscribe: SubscribeCommands;
  readonly #orders: OrderTopics;
  readonly #dispatch: Dispatch;
  readonly #upkeep: Upkeep;
  readonly #lagging: LaggingLane;
  readonly connections: Connections;
  readonly #server: ClientServer;
  readonly #live: LiveOptions;
  /** Not authenticated yet, oldest first. */
  readonly #opening = new Set<Session>();
  #draining = false;

  constructor(given: FanoutParts) {
    this.#live = new LiveOptions(given.options);
    const parts = { ...given, options: this.#live.options };
    const { clock, options } = parts;
    this.#parts = parts;
    this.#cache = new RecordCache(options);
    this.#places = new Places(parts.placeTable);
    const sending = { clock, options, sessions: this.#sessions, pings: new OpenPings(), banner: () => this.#live.banner };
    const kept = { directory: this.#directory, cache: this.#cache };
    const publish: Publish = (topic, frame, isBinary) => this.#server.publish(topic, frame, isBinary);
    this.#sampler = new Sampler({ clock, epoch: parts.epoch, ...kept, outlets: this.#outlets, publish });
    this.#positions = new Positions(this.#directory, this.#cache, this.#sampler, parts.epoch);
    this.#resumes = new Resumes(kept, parts.epoch);
    const sampleCatchUp = new SampleCatchUp({ ...kept, resumes: this.#resumes }, parts.epoch);
    this.#changes = new SamplingChanges({ sampler: this.#sampler, outlets: this.#outlets, positions: this.#positions, catchUp: sampleCatchUp });
    const held = { ...kept, outlets: this.#outlets, positions: this.#positions, resumes: this.#resumes, sampler: this.#sampler, changes: this.#changes };
    this.#publisher = new Publisher(this.#directory, this.#cache, this.#outlets, this.#sampler, publish);
    this.#starter = new Starter(clock, options, held, (session) => this.#dispatch.started(session));
    const readOrders: OrderReader = parts.readOrders ?? ((_question, done) => done(null));
    this.#orders = new OrderTopics({ clock, options, outlets: this.#outlets, counters: this.#counters, publish, read: readOrders, started: (session) => this.#dispatch.started(session) });
    this.#subscribe = new SubscribeCommands(options, { ...held, orders: this.#orders, starter: this.#starter, counters: this.#counters }, parts.demand);
    this.#dispatch = new Dispatch({ ...parts, places: this.#places, subscribe: this.#subscribe, counters: this.#counters, outlets: this.#outlets, onAuthenticated: (session) => this.#authenticated(session) });
    this.#upkeep = new Upkeep({ ...sending, dispatch: this.#dispatch, directory: this.#directory, cache: this.#cache, publisher: this.#publisher, counters: this.#counters, orders: this.#orders });
    this.#lagging = new LaggingLane({ ...sending, epoch: parts.epoch, ...kept, outlets: this.#outlets, positions: this.#positions, changes: this.#changes, sampleCatchUp, dispatch: this.#dispatch, orders: this.#orders });
    this.connections = new Connections({ clock, sessions: this.#sessions, topicsOf: (session) => this.#subscribe.topicsOf(session), messagesOf: (session) => this.#subscribe.messagesOf(session) });
    this.#server = (parts.createServer ?? ((o, e) => new SocketServer(o, e)))(options, this.#socketEvents());
  }

  /** What this fan-out has kept, for whoever makes snapshots on its thread. */
  get cache(): RecordCache {
    return this.#cache;
  }

  async start(): Promise<void> {
    this.#upkeep.start();
    this.#lagging.start();
    this.#orders.start();
  }

  /** Resolves with the port in use. */
  listen(host: string, port: number): Promise<number> {
    return this.#server.listen(host, port);
  }

  async stop(): Promise<void> {
    this.#upkeep.stop();
    this.#lagging.stop();
    this.#orders.stop();
    this.#sampler.stop();
    this.#server.close();
  }

  define(index: InstrumentIndex, instrument: Instrument): void {
    const isNew = this.#directory.define(index, instrument);
    const listing = this.#directory.at(index);
    if (isNew && listing) this.#subscribe.defined(listing);
  }

  batch(batch: RecordBatch): void {
    this.#publisher.batch(batch, Math.floor(this.#parts.clock.monotonicMs()));
  }

  /**
   * Goes on after a hole: every session is told `lagging`, is brought up to date from what is kept, and is told `caught_up`.
   * @param snapshot what moved on without this fan-out, or a part of it
   * @param ageMs for how long it was sent nothing
   * @param isLast no further part follows: batches do
   */
  resync(snapshot: RecordSnapshot, ageMs: number, isLast: boolean): void {
    const nowMs = Math.floor(this.#parts.clock.monotonicMs());
    this.#lagging.enterAll(nowMs, ageMs);
    this.#publisher.restore(snapshot, nowMs);
    if (isLast) this.#lagging.serveAll();
  }

  lost(index: InstrumentIndex, kind: "trade", missed: number | null): void {
    const listing = this.#directory.at(index);
    if (!listing || kind !== "trade") return;
    const frame = `{"type":"gap","channel":"trades","symbol":${JSON.stringify(listing.instrument.id)},"epoch":"${this.#parts.epoch}","missed":${missed},"reason":"upstream"}`;
    this.#publisher.notice(topicKey(index, TRADES_SLOT), listing, frame);
    this.#lagging.notice(topicKey(index, TRADES_SLOT), frame);
  }

  /** Events of orders as they were written, of any owners. */
  orderEvents(events: readonly OrderEvent[]): void {
    this.#orders.hear(events);
  }

  /** Works by these from now on: no session is judged anew before its next look. */
  applySettings(settings: FanoutSettings): void {
    this.#live.apply(settings);
  }

  /** Revision of the settings that were applied last; 0: none. */
  get settingsRevision(): number {
    return this.#live.revision;
  }

  changeKeys(change: KeyChange): void {
    this.#parts.keys.apply(change);
    const gone = new Set(change.revoked);
    for (const added of change.added) gone.delete(added.keyId);
    this.#dispatch.revoke([...gone]);
  }

  get sessionCount(): number {
    return this.#sessions.length;
  }

  /** Says goodbye to every session and closes it with 1012, slice by slice; resolves with how many there were. */
  drain(withinMs: number): Promise<number> {
    this.#draining = true;
    this.#server.stopListening();
    const total = this.#sessions.length;
    const slices = Math.max(1, Math.ceil(total / DRAIN_SLICE));
    const pauseMs = Math.min(DRAIN_TURN_MS, withinMs / slices);
    return new Promise((resolve) => {
      const slice = (): void => {
        for (const session of this.#sessions.slice(-DRAIN_SLICE)) this.#goodbye(session, total);
        if (this.#sessions.length > 0) this.#parts.clock.after(pauseMs, slice);
        else resolve(total);
      };
      slice();
    });
  }

  /** The session of that id as it is; null when there is none. @param isDisconnected whether it is then told goodbye and closed with 1012 */
  connection(id: string, isDisconnected: boolean): Connection | null {
    const session = this.connections.find(id);
    const found = session === null ? null : this.connections.row(session);
    if (isDisconnected && session?.phase === "open") this.#goodbye(session, 1);
    return found;
  }

  samples(): MetricSample[] {
    const gauge = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "gauge", labels: {}, value });
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    return [
      ...this.#counters.samples(),
      ...this.#lagging.samples(),
      ...this.#resumes.samples(),
      ...this.#sampler.samples(),
      ...this.#changes.samples(),
      ...this.#orders.samples(),
      gauge("ticker_stream_sessions", "Connections open", this.#sessions.length),
      gauge("ticker_stream_sessions_unauthenticated", "Connections before authentication", this.#opening.size),
      gauge("ticker_stream_sessions_deflating", "Connections that asked for compression", this.#server.deflating ?? 0),
      gauge("ticker_stream_subscriptions", "Topics held by sessions, a wildcard counted once per venue", this.#outlets.total),
      gauge("ticker_stream_ring_bytes", "Bytes of kept trades and closed bars", this.#cache.ringBytes),
      counter("ticker_stream_records_total", "Records taken in", this.#publisher.records),
      ...this.#outlets.all.map(({ codec, encoded }): MetricSample => ({ name: "ticker_stream_encoded_total", help: "Messages encoded, once for all their subscribers", type: "counter", labels: { encoding: codec.encoding }, value: encoded })),
      counter("ticker_stream_published_total", "Frames published natively", this.#publisher.published + this.#sampler.published),
      counter("ticker_stream_delivered_total", "Messages handed to the socket library, once per subscriber", this.#publisher.delivered + this.#sampler.delivered),
      counter("ticker_stream_snapshots_total", "Snapshots sent", this.#starter.snapshots),
      counter("ticker_stream_subscriptions_paced_total", "Times a large subscription waited for its socket", this.#starter.paced),
      counter("ticker_stream_subscriptions_deferred_total", "Times a subscription waited for a later turn of the loop", this.#starter.deferred),
      counter("ticker_stream_places_overflowed_total", "Keys or addresses counted by one thread alone because the table was full", this.#places.overflowed),
    ];
  }

  #goodbye(session: Session, total: number): void {
    const afterMs = 500 + Math.floor(Math.random() * Math.min(30_000, 500 + total * 2));
    say(session, `{"type":"goodbye","code":503,"reason":"draining","reconnect":true,"reconnect_after_ms":${afterMs}}`);
    this.#dispatch.end(session, 1012, STREAM_ERRORS[503]);
  }

  #authenticated(session: Session): void {
    this.#opening.delete(session);
    this.#sampler.phaseOf(session);
  }

  #socketEvents(): SocketEvents {
    const { clock } = this.#parts;
    const nowMs = (): number => Math.floor(clock.monotonicMs());
    return {
      admit: () => this.#admit(),
      opened: (session) => this.#opened(session, nowMs()),
      frame: (session, payload, bytes) => this.#frame(session, payload, bytes, nowMs()),
      pong: (session, isPong) => this.#heard(session, isPong, nowMs()),
      drained: (session) => this.#drained(session),
      dropped: (session) => this.#dropped(session),
      closed: (session) => this.#closed(session),
      refused: (reason) => this.#counters.refuse(reason),
    };
  }

  #drained(session: Session): void {
    if (session.start !== null) this.#starter.go(session);
    if (session.lag === null) this.#orders.goOn(session);
  }

  #heard(session: Session, isPong: boolean, nowMs: number): void {
    session.lastByteMs = nowMs;
    if (isPong) this.#lagging.pong(session, nowMs);
  }

  /** The library dropped a frame: nobody knows what the client has. It must start anew; not inside this callback. */
  #dropped(session: Session): void {
    this.#counters.dropped++;
    this.#parts.clock.endOfTurn(() => session.socket?.close());
  }

  #admit(): ReturnType<SocketEvents["admit"]> {
    if (this.#draining) return { status: "503 Service Unavailable", reason: "draining", message: "this node is draining: connect again in a second" };
    if (this.#sessions.length >= this.#parts.options.sessionsMax) {
      return { status: "503 Service Unavailable", reason: "sessions", message: `${this.#parts.options.sessionsMax} sessions are the limit of this worker` };
    }
    return null;
  }

  #opened(session: Session, nowMs: number): void {
    const { options, clock } = this.#parts;
    session.place = this.#sessions.push(session) - 1;
    session.openedMs = nowMs;
    session.lastByteMs = nowMs;
    session.lastPingMs = nowMs;
    this.#counters.opened++;
    this.#opening.add(session);
    if (!this.#places.take(ADDRESS_PLACE + session.address, options.sessionsPerAddressMax)) {
      return this.#dispatch.fail(session, 406, `an address may have ${options.sessionsPerAddressMax} sessions at once: close some`);
    }
    session.hasPlace = true;
    say(session, `{"type":"welcome","protocol":1,"server":${JSON.stringify(options.server)},"auth_timeout_ms":${options.authTimeoutMs},"time":${clock.nowMicros()}}`);
    if (this.#opening.size > options.unauthenticatedMax) this.#evictOldest();
  }

  /** Unauthenticated sockets take a share of the places: when it is full, the oldest of them goes. */
  #evictOldest(): void {
    const [oldest] = this.#opening;
    if (oldest) this.#dispatch.fail(oldest, 404, "too many connections wait for `auth`: send it at once");
  }

  #frame(session: Session, payload: Payload, bytes: number, nowMs: number): void {
    try {
      this.#dispatch.frame(session, payload, bytes, nowMs);
    } catch (error) {
      this.#dispatch.fail(session, 500, "internal error: the connection ends, subscribe again on a new one");
      throw error;
    }
  }

  #closed(session: Session): void {
    this.#counters.closed++;
    this.#opening.delete(session);
    session.phase = "closed";
    if (session.hasPlace) this.#places.release(ADDRESS_PLACE + session.address);
    this.#subscribe.closed(session);
    this.#lagging.closed(session);
    this.#dispatch.closed(session);
    const last = this.#sessions.pop();
    if (last !== undefined && last !== session) {
      this.#sessions[session.place] = last;
      last.place = session.place;
    }
  }
}
