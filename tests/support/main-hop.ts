/**
 * The way of records from the pipeline to the main thread's copy in the test's own thread: what is posted waits until it is taken in.
 */
import { MainChannel, type MainChannelParts } from "../../src/fanout/main-channel.ts";
import { RecordCache, type RecordCacheOptions } from "../../src/fanout/record-cache.ts";
import { MarketCopy } from "../../src/compose/newest-values.ts";
import type { Instrument, InstrumentIndex } from "../../src/market/instrument.ts";
import type { MarketNotice } from "../../src/ports/market-notices.ts";
import type { RecordBatch, RecordSink } from "../../src/ports/records.ts";
import type { FakeClock } from "./fake-clock.ts";
import { KeepingLog } from "./silent-log.ts";

export class MainHop implements RecordSink {
  /** Stands for the cache of the fan-out. */
  readonly cache: RecordCache;
  readonly channel: MainChannel;
  readonly copy: MarketCopy;
  readonly log = new KeepingLog();
  /** Sent and not taken in. */
  readonly posted: MarketNotice[] = [];

  constructor(clock: FakeClock, options: RecordCacheOptions, parts: Partial<MainChannelParts> = {}) {
    this.cache = new RecordCache(options);
    this.copy = new MarketCopy(clock, options);
    this.channel = new MainChannel({
      clock, log: this.log, epoch: "e", cache: this.cache, everyMs: 10, messagesInFlightMax: 4, ...parts,
      post: (notice, transfer) => this.posted.push(structuredClone(notice, { transfer: [...transfer] })),
    });
    void this.channel.start();
  }

  /** The main thread takes in so many messages. */
  take(count = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < count; i++) {
      const notice = this.posted.shift();
      if (!notice) return;
      this.copy.hear(notice);
    }
  }

  define(index: InstrumentIndex, defined: Instrument): void {
    this.channel.define(index, defined);
  }

  batch(batch: RecordBatch): void {
    for (let i = 0; i < batch.count; i++) this.cache.put(batch.words, batch.offsets[i] ?? 0, batch.offsets[i + 1] ?? 0);
    this.channel.batch(batch);
  }

  lost(index: InstrumentIndex, kind: "trade", missed: number | null): void {
    this.channel.lost(index, kind, missed);
  }

  sample(name: string): number | undefined {
    return [...this.channel.samples(), ...this.copy.samples()].find((sample) => sample.name === name)?.value;
  }
}
