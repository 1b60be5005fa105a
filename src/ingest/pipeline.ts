/**
 * The tick's route on the writer: accept, number, write the record, build bars, hand the flush to the sinks.
 *
 * Owns: sequences, instruments, the open flush, running bars. Runs on: stream thread, single writer. Path: hot.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { unreachable } from "../core/types.ts";
import { BarBuilder } from "../market/bar-builder.ts";
import { type Instrument, type InstrumentIndex, isVenue } from "../market/instrument.ts";
import type { Bar, MarketEvent, MarketEventKind, Ticker } from "../market/market-event.ts";
import { scaledOrNaN } from "../market/price.ts";
import { type EventSink, REJECT_REASONS, type RecordBatch, type RecordSink, type RejectReason } from "../ports/records.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";
import { changePercent, FLAG_JUMP, isPlainText, RecordWriter } from "../protocol/record.ts";
import { FlushWindow } from "./flush-window.ts";
import { Sequencer } from "./sequencer.ts";

/** How often running bars are looked at: a fifth of the 250 ms between two updates of a bar. */
const BAR_TICK_MS = 50;
/** Longest decimal text of a ticker field. */
const DECIMAL_TEXT_MAX = 60;
/** A flush holds at most this many events, however long the read. */
const FLUSH_EVENTS_MAX = 4096;

export interface PipelineOptions {
  readonly flushMaxMs: number;
  readonly jumpBandPct: number;
  readonly instrumentsMax: number;
}

export class Pipeline implements EventSink, Component, MetricSource {
  readonly name = "ingest";
  readonly #clock: Clock;
  readonly #sinks: readonly RecordSink[];
  readonly #instrumentsMax: number;
  readonly #instruments: Instrument[] = [];
  readonly #indexes = new Map<string, InstrumentIndex>();
  readonly #sequencer: Sequencer;
  readonly #writer = new RecordWriter();
  readonly #bars: BarBuilder;
  readonly #window: FlushWindow;
  #barTimer: Timer | null = null;
  readonly #accepted: Record<MarketEventKind, number> = { trade: 0, quote: 0, book: 0, ticker: 0, bar: 0, status: 0 };
  readonly #rejected: Record<RejectReason, number> = { stale: 0, crossed: 0, non_positive: 0, malformed: 0, future: 0, unknown_instrument: 0, wrong_venue: 0 };
  #flagged = 0;
  #flushes = 0;
  /** Events accepted since the last flush. */
  #unflushed = 0;
  #lost = 0;
  #refusedInstruments = 0;

  constructor(clock: Clock, sinks: readonly RecordSink[], options: PipelineOptions) {
    this.#clock = clock;
    this.#sinks = sinks;
    this.#instrumentsMax = options.instrumentsMax;
    this.#sequencer = new Sequencer(options.jumpBandPct);
    this.#bars = new BarBuilder((bar) => this.#record(bar));
    this.#window = new FlushWindow(clock, options.flushMaxMs, () => this.flush());
  }

  async start(): Promise<void> {
    this.#barTimer = this.#clock.every(BAR_TICK_MS, () => {
      this.#bars.tick(this.#clock.nowMicros());
      this.endOfRead(false);
    });
  }

  async stop(): Promise<void> {
    this.#barTimer?.stop();
    this.flush();
  }

  /** @throws {RangeError} when a new instrument would be one more than `instrumentsMax`. */
  define(instrument: Instrument): InstrumentIndex {
    const known = this.#indexes.get(instrument.id);
    if (known === undefined && this.#instruments.length >= this.#instrumentsMax) {
      this.#refusedInstruments++;
      throw new RangeError(`${instrument.id} refused: ${this.#instrumentsMax} instruments are the limit (TICKER_INSTRUMENTS_MAX)`);
    }
    const index = known ?? this.#instruments.length;
    this.#instruments[index] = instrument;
    this.#indexes.set(instrument.id, index);
    // What was accepted under the old definition leaves under it.
    if (known !== undefined) this.flush();
    for (const sink of this.#sinks) sink.define(index, instrument);
    return index;
  }

  event(event: MarketEvent): RejectReason | null {
    const instrument = this.#instruments[event.instrument];
    const reason = instrument === undefined ? "unknown_instrument" : this.#accept(event, instrument);
    if (reason === null) this.#unflushed++;
    else this.#rejected[reason]++;
    return reason;
  }

  lost(instrument: InstrumentIndex, kind: "trade", missed: number | null): void {
    this.#lost += missed ?? 1;
    this.flush();
    for (const sink of this.#sinks) sink.lost(instrument, kind, missed);
  }

  endOfRead(more: boolean): void {
    if (this.#writer.count > 0) this.#window.endOfRead(more, this.#unflushed);
  }

  /** Hands over what has been accepted. */
  flush(): void {
    const writer = this.#writer;
    if (writer.count === 0) return;
    this.#flushes++;
    this.#unflushed = 0;
    const batch: RecordBatch = writer;
    for (const sink of this.#sinks) sink.batch(batch);
    writer.clear();
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, labels: Record<string, string>, value: number): MetricSample => ({ name, help, type: "counter", labels, value });
    return [
      ...Object.entries(this.#accepted).map(([kind, value]) => counter("ticker_ingest_events_total", "Events accepted and numbered", { kind }, value)),
      ...REJECT_REASONS.map((reason) => counter("ticker_ingest_rejected_total", "Events rejected", { reason }, this.#rejected[reason])),
      counter("ticker_ingest_flagged_total", "Events accepted and flagged", { flag: "jump" }, this.#flagged),
      counter("ticker_ingest_lost_total", "Events that the venue lost before they had a sequence", {}, this.#lost),
      counter("ticker_ingest_late_trades_total", "Trades that came after a bar they belong to had closed", {}, this.#bars.late),
      counter("ticker_ingest_flushes_total", "Flushes handed to the fan-out", {}, this.#flushes),
      counter("ticker_ingest_flush_windows_total", "Flushes that waited because the loop was busy", {}, this.#window.windows),
      counter("ticker_ingest_instruments_refused_total", "Instruments beyond the limit", {}, this.#refusedInstruments),
      { name: "ticker_ingest_instruments", help: "Instruments known", type: "gauge", labels: {}, value: this.#instruments.length },
    ];
  }

  #accept(event: MarketEvent, instrument: Instrument): RejectReason | null {
    if (event.kind !== "status" && isVenue(instrument)) return "unknown_instrument";
    if (event.kind === "ticker" && !isDecimalTicker(event)) return "malformed";
    const topic = this.#sequencer.topicOf(event);
    const reason = this.#sequencer.judge(event, topic, instrument);
    if (reason !== null) return reason;
    const jumped = this.#sequencer.jumped;
    if (jumped) this.#flagged++;
    if (event.kind !== "status" && event.kind !== "bar") this.#bars.passed(event.instrument, event.eventTime, event.receiveTime);
    this.#write(event, topic, instrument, jumped ? FLAG_JUMP : 0);
    if (event.kind === "trade") this.#bars.trade(event.instrument, event.price, event.size, event.eventTime, event.receiveTime, instrument.timeBase);
    return null;
  }

  #record(bar: Bar): void {
    const instrument = this.#instruments[bar.instrument];
    if (instrument) this.#write(bar, this.#sequencer.topicOf(bar), instrument, 0);
  }

  #write(event: MarketEvent, topic: number, instrument: Instrument, flags: number): void {
    const writer = this.#writer;
    if (writer.count >= FLUSH_EVENTS_MAX) this.flush();
    this.#accepted[event.kind]++;
    const sequence = this.#sequencer.next(topic);
    switch (event.kind) {
      case "trade": return writer.trade(event, topic, sequence, flags);
      case "quote": return writer.quote(event, topic, sequence, flags);
      case "book": return writer.book(event, topic, sequence);
      case "ticker": return writer.ticker(event, changeOf(event, instrument), topic, sequence);
      case "bar": return writer.bar(event, topic, sequence);
      case "status": return writer.status(event, topic, sequence);
      default: return unreachable(event);
    }
  }
}

function changeOf(event: Ticker, instrument: Instrument): string | null {
  if (event.open24h === null) return null;
  return changePercent(scaledOrNaN(event.last, instrument.priceScale), scaledOrNaN(event.open24h, instrument.priceScale));
}

const DECIMAL = /^-?\d+(\.\d+)?$/;

function isDecimalTicker(event: Ticker): boolean {
  return isDecimal(event.last) && isDecimal(event.open24h) && isDecimal(event.high24h) && isDecimal(event.low24h)
    && isDecimal(event.volume24h) && isDecimal(event.bid) && isDecimal(event.ask);
}

function isDecimal(text: string | null): boolean {
  return text === null || (isPlainText(text, DECIMAL_TEXT_MAX) && DECIMAL.test(text));
}
