/**
 * The feed of one live venue: its instruments, its connection, its state. What differs by venue is in a VenueProfile.
 *
 * Owns: connection, session (with the books), instrument set, status. Runs on: stream thread. Path: `message` and
 * `event` are hot.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Micros } from "../core/time.ts";
import type { InstrumentIndex } from "../market/instrument.ts";
import type { MarketEvent, Trade } from "../market/market-event.ts";
import type { Feed, FeedReport } from "../ports/feeds.ts";
import type { EventSink } from "../ports/records.ts";
import type { Logger, MetricSample } from "../ports/telemetry.ts";
import { FeedConnection, type ConnectionOwner, type ConnectionTap, type DisconnectReason } from "./feed-connection.ts";
import { feedCounters, feedSamples, MalformedLog } from "./feed-counters.ts";
import { AWAITING_BOOK, FeedStatus } from "./feed-status.ts";
import { InstrumentSet, venueInstrument, type Entry } from "./instrument-set.ts";
import type { MapperOutput } from "./mapper.ts";
import { backoffMs, CONNECTION_LIMITS, type ConnectionLimits } from "./reconnect-plan.ts";
import { ResyncPlan, RESYNC_LIMITS, type ResyncLimits } from "./resync-plan.ts";
import { REST_LIMITS, VenueRest, type RestLimits, type RestTap } from "./venue-rest.ts";
import type { SessionContext, VenueProfile, VenueSession } from "./venue-profile.ts";

/** What a venue's feed needs; everything optional has the default named here. */
export interface VenueFeedOptions {
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform from 0 to below 1, for back-off. */
  readonly random: () => number;
  /** Default: the venue's public production address. */
  readonly wsUrl?: string | undefined;
  readonly restUrl?: string | undefined;
  /** Symbols, native spellings or ids; those of other venues are passed over. Default: the venue's BTC and ETH pairs. */
  readonly instruments?: readonly string[] | undefined;
  /** A connection without data for this long is replaced. Default 10,000. */
  readonly silenceMs?: number | undefined;
  /** An instrument without data for this long is stale. Default 60,000. */
  readonly instrumentSilenceMs?: number | undefined;
  /** Most instruments pulled in beyond the configured ones. Default 200. */
  readonly pulledInMax?: number | undefined;
  /** Most instruments made known. Default 10,000. */
  readonly instrumentsMax?: number | undefined;
  /** The instrument list is read again this often; its halts become statuses. Default 600,000. */
  readonly listRefreshMs?: number | undefined;
  readonly connection?: Partial<ConnectionLimits> | undefined;
  readonly resync?: Partial<ResyncLimits> | undefined;
  readonly rest?: Partial<RestLimits> | undefined;
  readonly tap?: (ConnectionTap & { readonly answered: RestTap }) | undefined;
}

export const VENUE_FEED_DEFAULTS = {
  instrumentSilenceMs: 60_000, pulledInMax: 200, instrumentsMax: 10_000, listRefreshMs: 600_000,
} as const;

/** Instruments asked for one by one are subscribed together, this long after the first: venues limit messages per second. */
const PULL_IN_MS = 250;
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
  readonly #instrumentSilenceMs: number;
  readonly #pulledInMax: number;
  #timers: Timer[] = [];
  #listTimer: Timer | null = null;
  #listFailures = 0;
  #pulledIn = 0;
  #added: Entry[] = [];
  #addTimer: Timer | null = null;
  #lostBooks: Entry[] = [];
  /** How many were carried when the address of the present connection was made. */
  #addressed = 0;
  #isRunning = false;
  /** Grows with each start: what an earlier run still awaits no longer counts. */
  #run = 0;
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
    this.#pulledInMax = options.pulledInMax ?? VENUE_FEED_DEFAULTS.pulledInMax;
    this.#set = new InstrumentSet(sink, options.instrumentsMax ?? VENUE_FEED_DEFAULTS.instrumentsMax, profile.spellings);
    this.#set.adopt = (entry) => this.#pullIn(entry);
    this.#status = new FeedStatus(sink, clock, this.#set, sink.define(venueInstrument(profile.venue, "wall")));
    this.#rest = new VenueRest(options.restUrl ?? profile.restUrl, { ...REST_LIMITS, ...options.rest }, tap?.answered);
    this.#resyncs = new ResyncPlan(clock, random, (entry) => this.#ask(entry), { ...RESYNC_LIMITS, ...options.resync });
    this.#malformed = new MalformedLog(profile.venue, clock, log);
    this.#connection = new FeedConnection({
      name: profile.venue, owner: this, clock, log, random, tap,
      limits: { ...CONNECTION_LIMITS, ageMaxMs: profile.ageMaxMs, silenceMs: options.silenceMs ?? CONNECTION_LIMITS.silenceMs, ...options.connection },
    });
    this.#session = profile.session(this.#context());
  }

  start(): Promise<void> {
    if (this.#isRunning) return Promise.resolve();
    this.#isRunning = true;
    this.#run++;
    this.#rest.open();
    this.#status.venue("starting", "loading the list of instruments");
    this.#timers = [this.#options.clock.every(SILENCE_CHECK_MS, () => this.#checkSilence())];
    void this.#loadList();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    for (const timer of this.#timers) timer.stop();
    this.#listTimer?.stop();
    this.#addTimer?.stop();
    this.#addTimer = null;
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
      state: this.#status.state, known: this.#set.size, carried: this.#set.carried.length, pulledIn: this.#pulledIn,
      instrumentsRefused: this.#set.refused, resyncsAsked: this.#resyncs.asked, statuses: this.#status.told,
      restRequests: this.#rest.requests, restFailures: this.#rest.failures,
    });
    return [...own, ...this.#session.samples()];
  }

  demand(instrument: InstrumentIndex): void {
    const entry = this.#set.at(instrument);
    if (entry === undefined || entry.isCarried || !this.#pullIn(entry)) return;
    if (!this.#connection.isOpen) return;
    this.#added.push(entry);
    this.#addTimer ??= this.#options.clock.after(PULL_IN_MS, () => this.#subscribeAdded());
  }

  // --- ConnectionOwner

  url(): string {
    this.#addressed = this.#set.carried.length;
    return this.#profile.url(this.#options.wsUrl ?? this.#profile.wsUrl, this.#set.carried);
  }

  opened(): void {
    this.#added = [];
    this.#status.forget();
    this.#status.venue("stale", "connected, waiting for data");
    this.#session.opened(this.#addressed);
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
    this.#added = [];
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
    if (event.kind === "trade") this.#countMissed(entry, event);
    this.#options.sink.event(event);
    this.#status.dataSeen(entry, this.#nowMs);
  }

  resync(instrument: InstrumentIndex, reason: string): void {
    const entry = this.#set.at(instrument);
    if (entry === undefined) return;
    this.#sawData = true;
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
      snapshotFailed: (entry, error) => {
        if (!this.#connection.isOpen) return;
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

  /** Carries an instrument beyond the configured ones; false, and counted, when there is no room. */
  #pullIn(entry: Entry): boolean {
    if (this.#pulledIn >= this.#pulledInMax || this.#set.carried.length >= this.#profile.carriedMax) {
      this.counters.pullInsRefused++;
      return false;
    }
    this.#pulledIn++;
    this.#carry(entry);
    return true;
  }

  #carry(entry: Entry): void {
    this.#set.carry(entry);
    entry.unsynced = AWAITING_BOOK;
    this.#status.refresh(entry);
  }

  #subscribeAdded(): void {
    this.#addTimer = null;
    const added = this.#added;
    this.#added = [];
    if (added.length > 0 && this.#connection.isOpen) this.#session.subscribe(added);
  }

  #checkSilence(): void {
    this.counters.instrumentSilences += this.#status.checkSilence(this.#options.clock.monotonicMs(), this.#instrumentSilenceMs);
  }

  async #loadList(): Promise<void> {
    const { clock, listRefreshMs, log, random } = this.#options;
    const run = this.#run;
    let nextMs = listRefreshMs ?? VENUE_FEED_DEFAULTS.listRefreshMs;
    try {
      const list = this.#profile.parseList(await this.#rest.get(this.#profile.listPath));
      if (!this.#isRunning || run !== this.#run) return;
      this.#listFailures = 0;
      for (const instrument of list.instruments) this.#set.define(instrument);
      this.counters.listSkipped = list.skipped;
      for (const entry of this.#set.carried) this.#status.refresh(entry);
    } catch (error) {
      if (!this.#isRunning || run !== this.#run) return;
      this.counters.listFailures++;
      nextMs = backoffMs(CONNECTION_LIMITS, this.#listFailures++, random);
      log.warn({ feed: this.name, error: messageOf(error), retryMs: Math.round(nextMs) }, "no list of instruments, going on with what is known");
    }
    this.#listTimer = clock.after(nextMs, () => void this.#loadList());
    this.#carryConfigured();
    this.#connection.start();
  }

  /** Repeated after every list: a name unknown before may be known now. */
  #carryConfigured(): void {
    const { instruments, log } = this.#options;
    const isListed = this.#listFailures === 0;
    const names = instruments === undefined || instruments.length === 0 ? this.#profile.defaultSymbols : instruments;
    const unknown: string[] = [];
    const added: Entry[] = [];
    for (const name of names) {
      const colon = name.indexOf(":");
      if (colon >= 0 && name.slice(0, colon).toLowerCase() !== this.#profile.venue) continue;
      const entry = this.#set.find(name) ?? (isListed ? undefined : this.#assume(name.slice(colon + 1)));
      if (entry === undefined || (!entry.isCarried && this.#set.carried.length >= this.#profile.carriedMax)) unknown.push(name);
      else if (!entry.isCarried) {
        this.#carry(entry);
        added.push(entry);
      }
    }
    this.counters.configuredUnknown = unknown.length;
    if (unknown.length > 0) log.warn({ feed: this.name, instruments: unknown.slice(0, 20), count: unknown.length, carriedMax: this.#profile.carriedMax }, "configured instruments are unknown to the venue or over its limit");
    if (added.length > 0 && this.#connection.isOpen) this.#session.subscribe(added);
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
