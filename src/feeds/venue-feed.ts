/**
 * The feed of one live venue: its instruments, its connection, its state. What differs by venue is in a VenueProfile.
 *
 * Owns: connection, session (with the books), instrument set, status. Runs on: stream thread. Path: `message` and
 * `event` are hot.
 */
import type { Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Micros } from "../core/time.ts";
import type { InstrumentIndex } from "../market/instrument.ts";
import type { MarketEvent, Trade } from "../market/market-event.ts";
import type { CarryOutcome, Feed, FeedReport, ListOutcome } from "../ports/feeds.ts";
import type { MetricSample } from "../ports/telemetry.ts";
import type { Channel } from "../protocol/topic.ts";
import { Carriage } from "./carriage.ts";
import { holdsKind, maskOf } from "./channel-mask.ts";
import { FeedConnection, type ConnectionOwner, type DisconnectReason } from "./feed-connection.ts";
import { feedCounters, feedSamples, MalformedLog } from "./feed-counters.ts";
import { AWAITING_BOOK, FeedStatus } from "./feed-status.ts";
import type { InstrumentList } from "./instrument-list.ts";
import { InstrumentSet, venueInstrument, type Entry } from "./instrument-set.ts";
import type { MapperOutput } from "./mapper.ts";
import { CONNECTION_LIMITS } from "./reconnect-plan.ts";
import { ResyncPlan, RESYNC_LIMITS } from "./resync-plan.ts";
import { REST_LIMITS, VenueRest } from "./venue-rest.ts";
import { VENUE_FEED_DEFAULTS, type VenueFeedOptions } from "./venue-feed-options.ts";
import { VenueList } from "./venue-list.ts";
import type { SessionContext, VenueProfile, VenueSession } from "./venue-profile.ts";

/** Instruments asked for or left one by one are said to the venue together, this long after the first: venues limit messages per second. */
const CHANGE_MS = 250;
const SILENCE_CHECK_MS = 1_000;

export class VenueFeed implements Feed, ConnectionOwner, MapperOutput {
  readonly name: string;
  readonly counters = feedCounters();
  readonly #options: VenueFeedOptions;
  readonly #profile: VenueProfile;
  readonly #set: InstrumentSet;
  readonly #status: FeedStatus;
  readonly #rest: VenueRest;
  readonly #session: VenueSession;
  readonly #connection: FeedConnection;
  readonly #resyncs: ResyncPlan;
  readonly #malformed: MalformedLog;
  readonly #carriage: Carriage;
  readonly #list: VenueList;
  readonly #instrumentSilenceMs: number;
  #timers: Timer[] = [];
  #changeTimer: Timer | null = null;
  #lostBooks: Entry[] = [];
  /** What the address of the present connection subscribes to. */
  #addressed: readonly Entry[] = [];
  #isRunning = false;
  // Of the message being read.
  #nowMs = 0;
  #sawData = false;
  #text = "";

  constructor(profile: VenueProfile, options: VenueFeedOptions) {
    const { clock, log, random, sink, tap } = options;
    this.name = profile.venue;
    this.#profile = profile;
    this.#options = options;
    this.#instrumentSilenceMs = options.instrumentSilenceMs ?? VENUE_FEED_DEFAULTS.instrumentSilenceMs;
    this.#set = new InstrumentSet(sink, options.instrumentsMax ?? VENUE_FEED_DEFAULTS.instrumentsMax, profile.spellings);
    this.#carriage = new Carriage(this.#set, { pulledInMax: options.pulledInMax ?? VENUE_FEED_DEFAULTS.pulledInMax, carriedMax: profile.carriedMax }, profile.upstream,
      (entry, before) => this.#carriageChanged(entry, before.hasBook));
    this.#set.adopt = (entry) => this.#carriage.demand(entry);
    this.#status = new FeedStatus(sink, clock, this.#set, sink.define(venueInstrument(profile.venue, "wall")));
    this.#rest = new VenueRest(options.restUrl ?? profile.restUrl, { ...REST_LIMITS, ...options.rest }, tap?.answered, options.breaker);
    this.#resyncs = new ResyncPlan(clock, random, (entry) => this.#ask(entry), { ...RESYNC_LIMITS, ...options.resync });
    this.#malformed = new MalformedLog(profile.venue, clock, log);
    this.#connection = new FeedConnection({
      name: profile.venue, owner: this, clock, log, random, tap,
      limits: { ...CONNECTION_LIMITS, ageMaxMs: profile.ageMaxMs, silenceMs: options.silenceMs ?? CONNECTION_LIMITS.silenceMs, ...options.connection },
    });
    this.#session = profile.session(this.#context());
    this.#list = new VenueList({
      venue: profile.venue, clock, random, refreshMs: options.listRefreshMs ?? VENUE_FEED_DEFAULTS.listRefreshMs, backoff: CONNECTION_LIMITS,
      ask: async () => profile.parseList(await this.#rest.get(profile.listPath)),
      take: (list) => this.#takeList(list), settled: (outcome) => this.#listSettled(outcome),
    });
  }

  start(): Promise<void> {
    if (this.#isRunning) return Promise.resolve();
    this.#isRunning = true;
    this.#rest.open();
    this.#status.venue("starting", "loading the list of instruments");
    this.#timers = [this.#options.clock.every(SILENCE_CHECK_MS, () => this.#checkSilence())];
    if (this.#takeCached()) {
      this.#carryConfigured();
      this.#connection.start();
    }
    this.#list.start();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    for (const timer of this.#timers) timer.stop();
    this.#list.stop();
    this.#changeTimer?.stop();
    this.#changeTimer = null;
    this.#rest.close();
    await this.#connection.stop();
    this.#resyncs.clear();
    this.#status.venue("down", "feed stopped");
  }

  report(): FeedReport {
    return {
      name: this.name,
      venues: [this.#profile.venue],
      state: this.#status.state,
      reason: this.#status.reason,
      ageMs: this.#connection.ageMs(),
      reconnects: Math.max(0, this.#connection.counters.connects - 1),
      instruments: this.#set.carried.length,
      simulated: false,
    };
  }

  samples(): MetricSample[] {
    const own = feedSamples(this.name, this.counters, this.#connection.counters, {
      state: this.#status.state, known: this.#set.size, carried: this.#set.carried.length, pulledIn: this.#carriage.pulledIn, waiting: this.#carriage.waiting, pullInsRefused: this.#carriage.refused,
      instrumentsRefused: this.#set.refused, resyncsAsked: this.#resyncs.asked, statuses: this.#status.told,
      restRequests: this.#rest.requests, restFailures: this.#rest.failures,
    });
    return [...own, ...this.#session.samples()];
  }

  demand(instrument: InstrumentIndex): void {
    const entry = this.#set.at(instrument);
    if (entry !== undefined) this.#carriage.demand(entry);
  }

  carry(id: string, channels: readonly Channel[]): CarryOutcome {
    const symbol = this.#symbolOf(id);
    return symbol === null ? "foreign" : this.#carriage.hold(symbol, maskOf(channels));
  }

  release(id: string, channels: readonly Channel[]): void {
    const symbol = this.#symbolOf(id);
    if (symbol !== null) this.#carriage.letGo(symbol, maskOf(channels));
  }

  refresh(): Promise<ListOutcome> {
    return this.#list.refresh();
  }

  // --- ConnectionOwner

  url(): string {
    this.#addressed = this.#set.carried.slice(0, this.#profile.addressedMax);
    this.#carriage.begin(this.#addressed);
    return this.#profile.url(this.#options.wsUrl ?? this.#profile.wsUrl, this.#addressed);
  }

  opened(): void {
    this.#status.forget();
    this.#status.venue("stale", "connected, waiting for data");
    this.#session.opened(this.#addressed);
    this.#carriage.touchAll();
    this.#sayChanges();
  }

  message(text: string, receiveTime: Micros): boolean {
    this.#sawData = false;
    this.#text = text;
    this.#nowMs = this.#options.clock.monotonicMs();
    const parsed = parsedOrUndefined(text);
    if (parsed === undefined) this.malformed("expected JSON");
    else this.#session.message(parsed, receiveTime);
    this.#options.sink.endOfRead(true);
    if (this.#sawData && this.#status.state !== "live") this.#status.venue("live", "");
    return this.#sawData;
  }

  closed(reason: DisconnectReason, detail: string): void {
    this.#session.reset();
    this.#resyncs.clear();
    this.#lostBooks.length = 0;
    for (const entry of this.#set.carried) {
      if (entry.hasUnnumberedTrades) this.#lost(entry, null);
      entry.hasUnnumberedTrades = false;
    }
    this.#status.forget();
    if (reason !== "stopped") this.#status.venue(reason === "connect" ? "down" : "stale", `${reason === "connect" ? "cannot connect" : "disconnected"}: ${detail}`);
  }

  // --- MapperOutput

  event(event: MarketEvent): void {
    this.#sawData = true;
    const entry = this.#set.at(event.instrument);
    if (entry === undefined) return;
    if (!holdsKind(entry.channels, event.kind)) {
      this.counters.unwanted++;
      return;
    }
    if (event.kind === "trade") this.#countMissed(entry, event);
    this.#options.sink.event(event);
    this.#status.dataSeen(entry, this.#nowMs);
  }

  resync(instrument: InstrumentIndex, reason: string): void {
    const entry = this.#set.at(instrument);
    if (entry === undefined) return;
    this.#sawData = true;
    if (!entry.hasBook) return this.#session.forgetBook(entry);
    // The first snapshot of a connection is asked for in the same way, but nothing was lost.
    if (entry.unsynced === "") {
      this.counters.resyncs++;
      this.#options.log.warn({ feed: this.name, instrument: entry.instrument.id, reason }, "book lost, asking for a snapshot");
      entry.unsynced = reason;
      this.#status.refresh(entry);
    } else if (entry.unsynced !== AWAITING_BOOK) this.counters.resyncsRepeated++;
    this.#resyncs.request(entry);
  }

  synced(instrument: InstrumentIndex): void {
    const entry = this.#set.at(instrument);
    if (entry === undefined) return;
    if (!entry.hasBook) return this.#session.forgetBook(entry);
    this.counters.synced++;
    this.#resyncs.synced(entry);
    entry.unsynced = "";
    this.#status.dataSeen(entry, this.#nowMs);
    this.#status.refresh(entry);
  }

  malformed(reason: string): void {
    this.counters.malformed++;
    this.#malformed.seen(reason, this.#text);
  }

  control(kind: "subscribed" | "heartbeat" | "error" | "other", detail: string): void {
    this.counters.control[kind]++;
    if (kind === "heartbeat") this.#sawData = true;
    else if (kind === "error") this.#options.log.warn({ feed: this.name, detail: detail.slice(0, 500) }, "the venue reports an error");
  }

  // ---

  #context(): SessionContext {
    const { clock, log, sink } = this.#options;
    return {
      set: this.#set, out: this, rest: this.#rest, clock, log,
      send: (text) => void this.#connection.send(text),
      resubscribe: () => {
        this.#carriage.begin([]);
        this.#carriage.touchAll();
        this.#sayChanges();
      },
      snapshotFailed: (entry, error) => {
        if (!this.#connection.isOpen || !entry.hasBook) return;
        log.warn({ feed: this.name, instrument: entry.instrument.id, error: messageOf(error) }, "no snapshot of the book");
        this.#resyncs.request(entry);
      },
      deliver: (run) => {
        this.#nowMs = clock.monotonicMs();
        this.#text = "";
        run();
        sink.endOfRead(true);
      },
    };
  }

  /** Books lost in one read are asked for together, after it. */
  #ask(entry: Entry): void {
    if (this.#lostBooks.push(entry) > 1) return;
    this.#options.clock.endOfTurn(() => {
      const entries = this.#lostBooks;
      this.#lostBooks = [];
      if (this.#connection.isOpen && entries.length > 0) this.#session.resync(entries);
    });
  }

  /** Trade numbers of these venues have no holes, so a jump is a count of trades that never came. */
  #countMissed(entry: Entry, trade: Trade): void {
    const number = trade.sourceSequence;
    if (number === undefined) {
      entry.hasUnnumberedTrades = true;
      return;
    }
    if (number > entry.tradeLast + 1) this.#lost(entry, number - entry.tradeLast - 1);
    if (!(number <= entry.tradeLast)) entry.tradeLast = number;
  }

  #lost(entry: Entry, missed: number | null): void {
    this.counters.tradesMissed += missed ?? 0;
    this.#options.sink.lost(entry.index, "trade", missed);
  }

  /** Another set of channels of it is carried: told to clients at once, to the venue together with what else changes. */
  #carriageChanged(entry: Entry, hadBook: boolean): void {
    if (!holdsKind(entry.channels, "trade")) {
      // What is not asked for is not missed.
      entry.tradeLast = Number.NaN;
      entry.hasUnnumberedTrades = false;
    }
    if (entry.hasBook !== hadBook) entry.unsynced = entry.hasBook ? AWAITING_BOOK : "";
    if (hadBook && !entry.hasBook) {
      this.#resyncs.drop(entry);
      this.#session.forgetBook(entry);
    }
    if (!entry.isCarried) {
      entry.lastMs = Number.NaN;
      entry.isSilent = false;
    }
    this.#status.refresh(entry);
    if (this.#connection.isOpen) this.#changeTimer ??= this.#options.clock.after(CHANGE_MS, () => this.#sayChanges());
  }

  #sayChanges(): void {
    this.#changeTimer?.stop();
    this.#changeTimer = null;
    if (!this.#connection.isOpen || !this.#session.isReady) return;
    const { leave, join } = this.#carriage.changes();
    for (const { entries, channels } of leave) this.#session.unsubscribe(entries, channels);
    for (const { entries, channels } of join) this.#session.subscribe(entries, channels);
  }

  #checkSilence(): void {
    this.counters.instrumentSilences += this.#status.checkSilence(this.#options.clock.monotonicMs(), this.#instrumentSilenceMs);
  }

  /** The list of an earlier run of this service; false when there is none of this venue. */
  #takeCached(): boolean {
    const own = (this.#options.cached ?? []).filter(({ venue }) => venue === this.#profile.venue);
    try {
      for (const instrument of own) this.#set.define(instrument);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#options.log.warn({ feed: this.name, error: error.message }, "not every instrument that is remembered has room");
    }
    return own.length > 0;
  }

  #takeList({ instruments, skipped }: InstrumentList): void {
    const listed = new Set(instruments.map(({ symbol }) => symbol.toUpperCase()));
    for (const instrument of instruments) this.#set.define(instrument);
    for (const entry of this.#set.all()) {
      const { instrument } = entry;
      if (instrument.state !== "inactive" && !listed.has(instrument.symbol.toUpperCase())) this.#set.define({ ...instrument, state: "inactive" });
    }
    this.counters.listSkipped = skipped;
    for (const entry of this.#set.carried) this.#status.refresh(entry);
  }

  #listSettled(outcome: ListOutcome): void {
    if (outcome.kind === "failed") {
      this.counters.listFailures++;
      this.#options.log.warn({ feed: this.name, error: outcome.failure, nextAt: outcome.nextAt }, "no list of instruments, going on with what is known");
    }
    this.#carryConfigured();
    this.#connection.start();
    this.#options.listed?.(outcome);
  }

  /** Repeated after every list: a name unknown before may be known now. What is configured has room before what subscriptions ask for. */
  #carryConfigured(): void {
    const { instruments, log } = this.#options;
    const names = instruments === undefined || instruments.length === 0 ? this.#profile.defaultSymbols : instruments;
    const unknown: string[] = [];
    for (const name of names) {
      const symbol = this.#symbolOf(name);
      if (symbol === null) continue;
      const entry = this.#set.find(symbol) ?? (this.#list.isListed ? undefined : this.#assume(symbol));
      if (entry === undefined || !this.#carriage.configure(entry)) unknown.push(name);
    }
    this.counters.configuredUnknown = unknown.length;
    if (unknown.length > 0) log.warn({ feed: this.name, instruments: unknown.slice(0, 20), count: unknown.length, carriedMax: this.#profile.carriedMax }, "configured instruments are unknown to the venue or over its limit");
    this.#carriage.learned();
    this.#sayChanges();
  }

  /** The part of an id behind the venue, or the whole name without one; null when the venue is another. */
  #symbolOf(name: string): string | null {
    const colon = name.indexOf(":");
    return colon >= 0 && name.slice(0, colon).toLowerCase() !== this.#profile.venue ? null : name.slice(colon + 1);
  }

  #assume(symbol: string): Entry | undefined {
    const instrument = this.#profile.assume(symbol);
    return instrument === null ? undefined : this.#set.define(instrument) ?? undefined;
  }
}

/** JSON.parse never answers undefined, so it can stand for failure. */
function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
