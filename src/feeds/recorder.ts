/**
 * Writes what crosses a feed's socket and REST to a file, in the format that replay and the loopback venue read.
 *
 * Owns: the file. Path: `received` is hot while recording: one line of JSON per message.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import { createGzip, type Gzip } from "node:zlib";
import { finished } from "node:stream/promises";
import type { Clock } from "../core/clock.ts";
import type { ConnectionTap } from "./feed-connection.ts";

/** Characters that may wait for the disk; beyond it records are left out and counted. */
export const RECORDER_BACKLOG_MAX = 64 * 1024 * 1024;

interface Line {
  readonly conn: string;
  readonly dir: "in" | "out";
  readonly kind?: "open" | "http";
  readonly url?: string;
  readonly frame?: "binary";
  readonly enc?: "base64";
  readonly raw: string;
}

export class Recorder implements ConnectionTap {
  readonly #exchange: string;
  readonly #clock: Clock;
  readonly #backlogMax: number;
  readonly #gzip: Gzip;
  readonly #file: WriteStream;
  /** Settles with the file: what went wrong is told by `close`. */
  readonly #written: Promise<Error | null>;
  #connection = 0;
  #isClosed = false;
  records = 0;
  /** Records left out because the disk did not keep up: the recording then has a hole. */
  dropped = 0;

  /** Writes to `path`, which must not exist. `exchange` is the venue's name in upper case. */
  constructor(path: string, exchange: string, clock: Clock, backlogMax = RECORDER_BACKLOG_MAX) {
    this.#exchange = exchange;
    this.#clock = clock;
    this.#backlogMax = backlogMax;
    this.#gzip = createGzip();
    this.#file = createWriteStream(path, { flags: "wx" });
    this.#file.on("error", (error) => this.#gzip.destroy(error));
    this.#written = finished(this.#gzip.pipe(this.#file)).then(() => null, (error: unknown) => (error instanceof Error ? error : new Error(String(error))));
    this.#gzip.on("error", () => {
      this.#isClosed = true;
    });
  }

  opened(url: string): void {
    this.#connection++;
    this.#write({ conn: this.#conn(), dir: "out", kind: "open", url, raw: "" });
  }

  received(bytes: Buffer, isBinary: boolean): void {
    if (isBinary) this.#write({ conn: this.#conn(), dir: "in", frame: "binary", enc: "base64", raw: bytes.toString("base64") });
    else this.#write({ conn: this.#conn(), dir: "in", raw: bytes.toString() });
  }

  sent(text: string): void {
    this.#write({ conn: this.#conn(), dir: "out", raw: text });
  }

  /** The body of a REST answer. */
  readonly answered = (url: string, body: string): void => {
    this.#write({ conn: this.#connection === 0 ? "setup" : "http.0", dir: "in", kind: "http", url, raw: body });
  };

  /** Resolves when everything is on disk. @throws what the file system said. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#gzip.end();
    const error = await this.#written;
    if (error !== null) throw error;
  }

  #conn(): string {
    return `ws.${this.#connection}`;
  }

  #write(line: Line): void {
    if (this.#isClosed || this.#gzip.writableLength > this.#backlogMax) {
      this.dropped++;
      return;
    }
    this.records++;
    this.#gzip.write(`${JSON.stringify({ ts: this.#clock.nowMicros() / 1000, exchange: this.#exchange, ...line })}\n`);
  }
}
