/**
 * Reads recordings of venue traffic: gzip JSON lines, one record a line.
 *
 * Source: CAPTURE-FORMAT.md of the recordings.
 */
import { createReadStream, readFileSync } from "node:fs";
import { createGunzip, gunzipSync } from "node:zlib";
import { FeedError, messageOf } from "../core/errors.ts";
import { isForeignRecord, shownText, type ForeignRecord } from "./foreign.ts";

/** One line of a recording. */
export interface CaptureRecord {
  /** Epoch milliseconds with a fraction, the recorder's clock; 0 for `config`. */
  readonly ts: number;
  /** The venue's name as the recorder writes it. */
  readonly exchange: string;
  /** `ws.N`, `http.N` or `setup`. */
  readonly conn: string;
  readonly dir: "in" | "out";
  /** The message exactly as it was received; empty for `open`. */
  readonly raw: string;
  readonly kind: "message" | "open" | "http" | "config";
  /** Empty when the record has none. */
  readonly url: string;
  readonly frame: "text" | "binary";
  /** How `raw` holds the bytes of a frame. */
  readonly encoding: "text" | "base64";
  /** How those bytes are compressed. */
  readonly packed: "none" | "gzip";
}

/** Characters a line may have: room for an instrument list of 20,000 entries. */
export const CAPTURE_LINE_MAX = 64 * 1024 * 1024;

/**
 * Records of a file one by one, holding one line at a time.
 * @throws {FeedError} naming file, line and field when a line is malformed, or the file when it cannot be read.
 */
export async function* readCapture(path: string): AsyncGenerator<CaptureRecord> {
  let number = 0;
  for await (const line of readLines(path)) yield decodeCaptureLine(line, path, ++number);
}

/** All records at once, for tests and small recordings. @throws {FeedError} as `readCapture`. */
export function readCaptureSync(path: string): CaptureRecord[] {
  let text: string;
  try {
    text = gunzipSync(readFileSync(path)).toString("utf8");
  } catch (error) {
    throw new FeedError(`recording ${path}: expected a readable gzip file: ${messageOf(error)}`, { cause: error });
  }
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line, i) => decodeCaptureLine(line, path, i + 1));
}

async function* readLines(path: string): AsyncGenerator<string> {
  const file = createReadStream(path);
  const stream = file.pipe(createGunzip()).setEncoding("utf8");
  file.on("error", (error) => stream.destroy(error));
  let pending = "";
  try {
    for await (const chunk of stream) {
      const lines = String(chunk).split("\n");
      lines[0] = pending + (lines[0] ?? "");
      pending = lines.pop() ?? "";
      if (pending.length > CAPTURE_LINE_MAX) throw new Error(`a line has more than ${CAPTURE_LINE_MAX} characters`);
      yield* lines;
    }
  } catch (error) {
    throw new FeedError(`recording ${path}: expected a readable gzip file: ${messageOf(error)}`, { cause: error });
  } finally {
    file.destroy();
  }
  if (pending !== "") yield pending;
}

/** One line. @throws {FeedError} naming file, line and field. */
export function decodeCaptureLine(line: string, path: string, number: number): CaptureRecord {
  const where = `recording ${path}, line ${number}`;
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch (error) {
    throw new FeedError(`${where}: expected one JSON object: ${messageOf(error)}`, { cause: error });
  }
  if (!isForeignRecord(record)) throw new FeedError(`${where}: expected one JSON object, found ${line.slice(0, 40)}`);
  const ts = record["ts"];
  if (typeof ts !== "number" || !(ts >= 0)) throw new FeedError(`${where}: expected "ts" to be milliseconds since 1970, found ${shownText(ts)}`);
  return {
    ts,
    exchange: text(record, "exchange", where),
    conn: text(record, "conn", where),
    dir: oneOf(record, "dir", ["in", "out"], null, where),
    raw: text(record, "raw", where),
    kind: oneOf(record, "kind", ["message", "open", "http", "config"], "message", where),
    url: record["url"] === undefined ? "" : text(record, "url", where),
    frame: oneOf(record, "frame", ["text", "binary"], "text", where),
    encoding: oneOf(record, "enc", ["text", "base64"], "text", where),
    packed: oneOf(record, "packed", ["none", "gzip"], "none", where),
  };
}

function text(record: ForeignRecord, field: string, where: string): string {
  const value = record[field];
  if (typeof value !== "string") throw new FeedError(`${where}: expected "${field}" to be a string, found ${shownText(value)}`);
  return value;
}

function oneOf<const T extends string>(record: ForeignRecord, field: string, allowed: readonly T[], absent: T | null, where: string): T {
  const value = record[field];
  if (value === undefined && absent !== null) return absent;
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw new FeedError(`${where}: expected "${field}" to be one of ${allowed.join(", ")}, found ${shownText(value)}`);
  return found;
}
