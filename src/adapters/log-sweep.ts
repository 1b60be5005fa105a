/**
 * Keeps the folder of log files small: rolled ones are gzipped, old ones removed.
 *
 * Owns: the files of the folder that the logger no longer writes. Runs on: main thread, compression on the thread pool.
 * It starts after the folder's lock, so that no other process sweeps the same files.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";

export interface LogSweepOptions {
  readonly folder: string;
  /** Path of the file that is being written: never touched, even when the machine's date was set back. */
  readonly written: () => string;
  readonly clock: Clock;
  readonly log: Logger;
  /** A sweep this often, and one at the start. A file that was written within this time is left alone. */
  readonly everyMs: number;
  /** A file that was last written longer ago is removed. */
  readonly keepMs: number;
  /** Files kept besides the newest, whatever their age; beyond it the oldest are removed. */
  readonly filesMax: number;
}

interface LogFile {
  readonly name: string;
  readonly date: string;
  readonly number: number;
  readonly isPacked: boolean;
}

/** As pino-roll names them; `.gz` and `.gz.tmp` are ours. */
const NAME = /^app\.(\d{4}-\d{2}-\d{2})\.(\d+)\.log(\.gz)?$/;
const LEFT_OVER = /^app\.\d{4}-\d{2}-\d{2}\.\d+\.log\.gz\.tmp$/;

export class LogSweep implements Component, MetricSource {
  readonly name = "log sweep";
  readonly #options: LogSweepOptions;
  readonly #removed = { age: 0, count: 0 };
  #packed = 0;
  #failures = 0;
  #timer: Timer | null = null;
  #running: Promise<void> | null = null;
  #stopping = new AbortController();

  constructor(options: LogSweepOptions) {
    this.#options = options;
  }

  /** Does not wait for the first sweep: there may be much to compress. */
  start(): Promise<void> {
    this.#stopping = new AbortController();
    this.#timer = this.#options.clock.every(this.#options.everyMs, () => void this.sweep());
    void this.sweep();
    return Promise.resolve();
  }

  /** Compression that is under way is given up; the file stays as it is. */
  async stop(): Promise<void> {
    this.#timer?.stop();
    this.#stopping.abort();
    await this.#running;
  }

  /** One sweep, or the one that is under way. Failures are counted and logged. */
  sweep(): Promise<void> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number, labels: Readonly<Record<string, string>> = {}): MetricSample => ({ name, help, type: "counter", labels, value });
    return [
      counter("ticker_log_files_packed_total", "Log files gzipped", this.#packed),
      counter("ticker_log_files_removed_total", "Log files removed", this.#removed.age, { reason: "age" }),
      counter("ticker_log_files_removed_total", "Log files removed", this.#removed.count, { reason: "count" }),
      counter("ticker_log_sweep_failures_total", "Log files that could not be gzipped or removed", this.#failures),
    ];
  }

  async #sweep(): Promise<void> {
    await this.#attempt("the folder", async () => {
      const names = await readdir(this.#options.folder);
      for (const name of names.filter((each) => LEFT_OVER.test(each))) await this.#attempt(name, () => this.#remove(name));
      const written = basename(this.#options.written());
      const older = filesOf(names).filter((file, place) => file.name !== written && (place > 0 || file.isPacked));
      for (const [place, file] of older.entries()) await this.#attempt(file.name, () => this.#settle(file, place));
    });
  }

  /** `place` 0 is the newest of those that are not written any more. */
  async #settle(file: LogFile, place: number): Promise<void> {
    const { clock, everyMs, filesMax, folder, keepMs } = this.#options;
    if (this.#stopping.signal.aborted) return;
    const { mtimeMs } = await stat(join(folder, file.name));
    const ageMs = clock.nowMicros() / 1000 - mtimeMs;
    if (ageMs < everyMs) return;
    const reason = ageMs > keepMs ? "age" : place >= filesMax ? "count" : null;
    if (reason !== null) {
      await this.#remove(file.name);
      this.#removed[reason]++;
    } else if (!file.isPacked) await this.#pack(file.name);
  }

  /** The packed file appears whole, with the time of the original, before the original goes: a crash loses nothing. */
  async #pack(name: string): Promise<void> {
    const path = join(this.#options.folder, name);
    const { atime, mtime, mode } = await stat(path);
    const temporary = `${path}.gz.tmp`;
    try {
      await pipeline(createReadStream(path), createGzip(), createWriteStream(temporary, { mode, flush: true }), { signal: this.#stopping.signal });
    } catch (error) {
      await rm(temporary, { force: true });
      if (this.#stopping.signal.aborted) return;
      throw error;
    }
    await utimes(temporary, atime, mtime);
    await rename(temporary, `${path}.gz`);
    await rm(path);
    this.#packed++;
  }

  #remove(name: string): Promise<void> {
    return rm(join(this.#options.folder, name));
  }

  /** One file that cannot be handled does not keep the others; it is tried again with the next sweep. */
  async #attempt(what: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#failures++;
      this.#options.log.warn({ file: what, reason: messageOf(error) }, "a log file cannot be swept");
    }
  }
}

/** Newest first. */
function filesOf(names: readonly string[]): LogFile[] {
  const files = names.flatMap((name): LogFile[] => {
    const match = NAME.exec(name);
    return match === null ? [] : [{ name, date: match[1] ?? "", number: Number(match[2]), isPacked: match[3] !== undefined }];
  });
  return files.toSorted((a, b) => (a.date === b.date ? b.number - a.number : a.date < b.date ? 1 : -1));
}
