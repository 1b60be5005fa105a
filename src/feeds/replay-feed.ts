/**
 * Plays a recording through the mappers of its venue, at the recorded pace, N times that, or as fast as possible.
 *
 * Owns: the position in the recording and the books. Runs on: stream thread. Path: `#message` is hot.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { micros, type Micros } from "../core/time.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import type { MarketEvent } from "../market/market-event.ts";
import type { CarryOutcome, Feed, FeedReport } from "../ports/feeds.ts";
import type { EventSink } from "../ports/records.ts";
import type { Logger, MetricSample } from "../ports/telemetry.ts";
import { readCapture, type CaptureRecord } from "./capture.ts";
import { MalformedLog } from "./feed-counters.ts";
import { FeedStatus } from "./feed-status.ts";
import { InstrumentSet, venueInstrument } from "./instrument-set.ts";
import type { MapperOutput } from "./mapper.ts";
import { surveyCapture, type CaptureSurvey } from "./replay-survey.ts";
import type { ReplayMapper } from "./replay-venues.ts";

export interface ReplayFeedOptions {
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Path of the recording (gzip JSON lines). */
  readonly path: string;
  /** 1 is the recorded pace; 0 as fast as possible, with pauses for the rest of the thread. */
  readonly speed: number;
}

/** At full speed the event loop gets a turn after this many milliseconds. */
const SLICE_MS = 4;
/** Sooner than this is now: a timer is not finer. */
const EARLY_MS = 1;
const PROGRESS_MS = 10_000;

export class ReplayFeed implements Feed, MapperOutput {
  readonly name: string;
  readonly counters = { messages: 0, bytes: 0, malformed: 0, resyncs: 0, synced: 0, unplayable: 0 };
  readonly #options: ReplayFeedOptions;
  readonly #malformed: MalformedLog;
  #survey: CaptureSurvey | null = null;
  #status: FeedStatus | null = null;
  #set: InstrumentSet | null = null;
  #mapper: ReplayMapper | null = null;
  #isRunning = false;
  #playing: Promise<void> = Promise.resolve();
  #wake: (() => void) | null = null;
  #pause: Timer | null = null;
  #sliceMs = 0;
  #nowMs = 0;
  #lastMs = Number.NaN;
  #text = "";

  constructor(options: ReplayFeedOptions) {
    this.#options = options;
    this.name = `replay:${options.path}`;
    this.#malformed = new MalformedLog(this.name, options.clock, options.log);
  }

  /**
   * Reads the recording once, so that its instruments are known before the first of them moves.
   * @throws {FeedError} when it cannot be read, is of a venue without a mapper, or holds no instrument.
   */
  async start(): Promise<void> {
    if (this.#isRunning) return;
    const { path, sink, clock } = this.#options;
    this.#survey ??= await surveyCapture(path, clock);
    const { profile, venue, instruments } = this.#survey;
    const set = new InstrumentSet(sink, instruments.length, profile.spellings);
    this.#set = set;
    this.#status = new FeedStatus(sink, clock, set, sink.define(venueInstrument(venue, "event")));
    for (const instrument of instruments) this.#carry(set, { ...instrument, timeBase: "event" });
    this.#mapper = profile.mapper(set, this);
    this.#status.forget();
    this.#status.venue("starting", "reading the recording");
    this.#isRunning = true;
    this.#playing = this.#play();
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#pause?.stop();
    this.#wake?.();
    await this.#playing;
    if (this.#status !== null && this.#status.state !== "down") this.#status.venue("down", "feed stopped");
  }

  report(): FeedReport {
    const survey = this.#survey;
    return {
      name: this.name,
      venues: survey === null ? [] : [survey.venue],
      state: this.#status?.state ?? "starting",
      reason: this.#status?.reason ?? "not started",
      ageMs: Number.isNaN(this.#lastMs) ? null : this.#options.clock.monotonicMs() - this.#lastMs,
      reconnects: 0,
      instruments: survey?.instruments.length ?? 0,
      simulated: false,
    };
  }

  samples(): MetricSample[] {
    const sample = (name: string, help: string, value: number): MetricSample =>
      ({ name: `ticker_feed_${name}_total`, help, type: "counter", labels: { feed: this.name }, value });
    return [
      sample("messages", "Messages received", this.counters.messages),
      sample("received_bytes", "Bytes of messages received", this.counters.bytes),
      sample("malformed", "Messages or parts that could not be read", this.counters.malformed),
      sample("resyncs", "Books lost by a gap, a checksum or an impossible update", this.counters.resyncs),
      sample("books_synced", "Books made whole by a snapshot", this.counters.synced),
      sample("unplayable", "Records of a recording that are left out: binary frames, which these venues do not send", this.counters.unplayable),
      ...(this.#mapper?.counts ?? []).flatMap((counts) => counts.samples({ feed: this.name })),
    ];
  }

  /** Everything recorded is carried from the start. */
  demand(): void {}

  carry(id: string): CarryOutcome {
    return this.#survey !== null && id.startsWith(`${this.#survey.venue}:`) ? "carried" : "foreign";
  }

  release(): void {}

  /** A recording has one list. */
  refresh(): Promise<null> {
    return Promise.resolve(null);
  }

  // --- MapperOutput

  event(event: MarketEvent): void {
    this.#options.sink.event(event);
    const entry = this.#set?.at(event.instrument);
    if (entry !== undefined) this.#status?.dataSeen(entry, this.#nowMs);
  }

  /** A recording has no fresh snapshot to ask for; Binance's come later in it. */
  resync(instrument: InstrumentIndex, reason: string): void {
    const entry = this.#set?.at(instrument);
    if (entry === undefined) return;
    if (entry.unsynced === "") this.counters.resyncs++;
    entry.unsynced = reason;
    this.#status?.refresh(entry);
  }

  synced(instrument: InstrumentIndex): void {
    const entry = this.#set?.at(instrument);
    if (entry === undefined) return;
    this.counters.synced++;
    entry.unsynced = "";
    this.#status?.dataSeen(entry, this.#nowMs);
    this.#status?.refresh(entry);
  }

  malformed(reason: string): void {
    this.counters.malformed++;
    this.#malformed.seen(reason, this.#text);
  }

  control(): void {}

  // ---

  #carry(set: InstrumentSet, instrument: Instrument): void {
    const entry = set.define(instrument);
    if (entry !== null) set.carry(entry);
  }

  async #play(): Promise<void> {
    const { clock, log, path, speed } = this.#options;
    const startMs = clock.monotonicMs();
    let startTs = Number.NaN;
    let progressMs = startMs + PROGRESS_MS;
    this.#sliceMs = startMs;
    try {
      for await (const record of readCapture(path)) {
        if (record.dir !== "in" || record.kind === "open" || record.kind === "config" || record.conn === "setup") continue;
        if (Number.isNaN(startTs)) startTs = record.ts;
        this.#nowMs = clock.monotonicMs();
        const waitMs = speed === 0 ? 0 : startMs + (record.ts - startTs) / speed - this.#nowMs;
        if (waitMs >= EARLY_MS || this.#nowMs - this.#sliceMs >= SLICE_MS) await this.#giveWay(waitMs);
        if (!this.#isRunning) return;
        this.#record(record);
        if (this.#nowMs < progressMs) continue;
        progressMs = this.#nowMs + PROGRESS_MS;
        log.info({ feed: this.name, messages: this.counters.messages, of: this.#survey?.messages ?? 0 }, "replay goes on");
      }
      this.#status?.venue("down", "end of recording");
    } catch (error) {
      this.#status?.venue("down", `recording cannot be read on: ${messageOf(error)}`);
      log.error({ feed: this.name, error: messageOf(error) }, "replay ended early");
    }
    this.#options.sink.endOfRead(false);
    log.info({ feed: this.name, ...this.counters }, "replay ended");
  }

  /** Lets what was read leave, then waits; at least one turn of the event loop. */
  async #giveWay(waitMs: number): Promise<void> {
    const { clock, sink } = this.#options;
    sink.endOfRead(false);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (waitMs >= EARLY_MS) this.#pause = clock.after(waitMs, resolve);
      else clock.endOfTurn(resolve);
    });
    this.#nowMs = clock.monotonicMs();
    this.#sliceMs = this.#nowMs;
  }

  #record(record: CaptureRecord): void {
    const receiveTime = micros(Math.round(record.ts * 1000));
    this.#lastMs = this.#nowMs;
    if (record.kind === "http") this.#mapper?.answer(record.url, record.raw, receiveTime);
    else if (record.frame === "binary") this.counters.unplayable++;
    else this.#message(record.raw, receiveTime);
    if (this.#status?.state === "starting") this.#status.venue("live", "");
    this.#options.sink.endOfRead(true);
  }

  #message(raw: string, receiveTime: Micros): void {
    this.counters.messages++;
    this.counters.bytes += raw.length;
    this.#text = raw;
    let message: unknown;
    try {
      message = JSON.parse(raw);
    } catch (error) {
      this.malformed(`expected JSON: ${messageOf(error)}`);
      return;
    }
    this.#mapper?.message(message, receiveTime);
  }
}
