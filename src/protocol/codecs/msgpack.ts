/**
 * MessagePack frames (protocol section 2.1): our JSON, transcoded, so that no field can differ between the encodings.
 *
 * Path: hot while a session uses it. Events stay JSON text until their frame leaves; a frame is transcoded in one pass over
 * its bytes. Formats: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
import type { Codec } from "../codec.ts";
import { jsonCodec } from "../json-codec.ts";
import { jsonOfMsgpack } from "./msgpack-reader.ts";

/** Binary MessagePack frames: maps, and arrays of maps. */
export const msgpackCodec: Codec = {
  ...jsonCodec,
  encoding: "msgpack",
  isBinary: true,
  frame: (messages, count) => msgpackOfJson(String(jsonCodec.frame(messages, count))),
  control: (json) => msgpackOfJson(json),
  read: jsonOfMsgpack,
};

/** Bytes that one byte of JSON becomes, at most: `0.5,` becomes 9. */
const GROWTH_MAX = 3;
const SPARE_BYTES = 16;
/** Bytes that a UTF-16 unit becomes in UTF-8, at most. */
const UTF8_MAX = 3;
/** Digits of the largest whole number below 2^53. */
const DIGITS_MAX = 16;
const QUOTE = 34;
const COMMA = 44;
const ZERO = 48;
const OPEN_ARRAY = 91;
const BACKSLASH = 92;
const CLOSE_ARRAY = 93;
const OPEN_MAP = 123;
const CLOSE_MAP = 125;

/**
 * JSON without white space, as the codecs and `JSON.stringify` make it, as MessagePack in bytes of its own.
 *
 * Whole numbers from -2^31 to 2^32 - 1 are integers, all others 64-bit floats, times among them: uint64 would carry them as
 * well, but msgpackr reads that as a bigint. @throws {Error} when the text is no such JSON: our mistake.
 */
export function msgpackOfJson(json: string): Uint8Array {
  return transcoder.transcode(json);
}

/** Owns: the bytes that a frame is read from and built in. One per thread. */
class Transcoder {
  #in = Buffer.alloc(0);
  #out = Buffer.alloc(0);
  #view = new DataView(new ArrayBuffer(0));
  /** Next byte to read, end of what there is to read, next byte to write. */
  #from = 0;
  #end = 0;
  #to = 0;

  transcode(json: string): Uint8Array {
    if (json.length * UTF8_MAX > this.#in.length) this.#grow(json.length * UTF8_MAX);
    this.#end = this.#in.write(json, 0, "utf8");
    this.#from = 0;
    this.#to = 0;
    this.#value();
    if (this.#from !== this.#end) throw this.#fault();
    return Buffer.from(this.#out.subarray(0, this.#to));
  }

  #grow(needed: number): void {
    const size = Math.max(needed * 2, 64 * 1024);
    this.#in = Buffer.alloc(size);
    this.#out = Buffer.alloc(size * GROWTH_MAX + SPARE_BYTES);
    this.#view = new DataView(this.#out.buffer, this.#out.byteOffset);
  }

  #value(): void {
    const byte = this.#in[this.#from];
    if (byte === QUOTE) this.#string();
    else if (byte === OPEN_MAP) this.#container(CLOSE_MAP, 0x80, 0xde);
    else if (byte === OPEN_ARRAY) this.#container(CLOSE_ARRAY, 0x90, 0xdc);
    else this.#plain();
  }

  /** A map or array: its head has room for 15 entries and is widened when there turn out to be more. */
  #container(close: number, small: number, large: number): void {
    const head = this.#to++;
    let count = 0;
    this.#from++;
    while (this.#in[this.#from] !== close) {
      if (this.#from >= this.#end) throw this.#fault();
      if (count > 0 && this.#in[this.#from++] !== COMMA) throw this.#fault();
      if (close === CLOSE_MAP) {
        this.#string();
        this.#from++;
      }
      this.#value();
      count++;
    }
    this.#from++;
    if (count < 16) this.#out[head] = small | count;
    else this.#widen(head, count, large);
  }

  #widen(head: number, count: number, large: number): void {
    const extra = count < 0x10000 ? 2 : 4;
    this.#out.copyWithin(head + 1 + extra, head + 1, this.#to);
    this.#out[head] = extra === 2 ? large : large + 1;
    this.#out.writeUIntBE(count, head + 1, extra);
    this.#to += extra;
  }

  #string(): void {
    const input = this.#in;
    const output = this.#out;
    const first = this.#from + 1;
    // Up to 31 bytes have a head of one byte, so that they are copied while their end is looked for.
    let from = first;
    let to = this.#to + 1;
    for (const last = Math.min(first + 32, this.#end); from < last; ) {
      const byte = input[from] ?? 0;
      if (byte === QUOTE) {
        output[this.#to] = 0xa0 | (from - first);
        this.#from = from + 1;
        this.#to = to;
        return;
      }
      if (byte === BACKSLASH) break;
      output[to++] = byte;
      from++;
    }
    this.#longString(first);
  }

  /** Any string: longer than 31 bytes, or with an escape. A lone surrogate becomes U+FFFD, because MessagePack strings are UTF-8. */
  #longString(first: number): void {
    const input = this.#in;
    let end = first;
    let isPlain = true;
    for (; input[end] !== QUOTE; end++) {
      if (end >= this.#end) throw this.#fault();
      if (input[end] === BACKSLASH) {
        isPlain = false;
        end++;
      }
    }
    this.#from = end + 1;
    if (isPlain) {
      this.#stringHead(end - first);
      this.#to += input.copy(this.#out, this.#to, first, end);
    } else {
      const text: unknown = JSON.parse(input.toString("utf8", first - 1, end + 1));
      this.#stringHead(Buffer.byteLength(String(text)));
      this.#to += this.#out.write(String(text), this.#to, "utf8");
    }
  }

  #stringHead(length: number): void {
    if (length < 32) this.#out[this.#to++] = 0xa0 | length;
    else {
      const size = length < 0x100 ? 1 : length < 0x10000 ? 2 : 4;
      this.#out[this.#to] = size === 1 ? 0xd9 : size === 2 ? 0xda : 0xdb;
      this.#to = this.#out.writeUIntBE(length, this.#to + 1, size);
    }
  }

  /** A number, `true`, `false` or `null`. */
  #plain(): void {
    const input = this.#in;
    const first = this.#from;
    let end = first;
    let whole = 0;
    for (let digit = (input[end] ?? 0) - ZERO; digit >= 0 && digit <= 9 && end < this.#end; digit = (input[++end] ?? 0) - ZERO) whole = whole * 10 + digit;
    if (end > first && end - first <= DIGITS_MAX && this.#isEnd(end) && whole <= Number.MAX_SAFE_INTEGER) {
      this.#from = end;
      return this.#unsigned(whole);
    }
    while (!this.#isEnd(end)) end++;
    const value: unknown = JSON.parse(input.toString("latin1", first, end));
    this.#from = end;
    if (value === null) this.#out[this.#to++] = 0xc0;
    else if (typeof value === "boolean") this.#out[this.#to++] = value ? 0xc3 : 0xc2;
    else this.#number(Number(value));
  }

  #isEnd(at: number): boolean {
    const byte = this.#in[at];
    return at >= this.#end || byte === COMMA || byte === CLOSE_MAP || byte === CLOSE_ARRAY;
  }

  #unsigned(value: number): void {
    const to = this.#to;
    if (value < 0x80) {
      this.#out[to] = value;
      this.#to = to + 1;
    } else if (value < 0x100) {
      this.#out[to] = 0xcc;
      this.#out[to + 1] = value;
      this.#to = to + 2;
    } else if (value < 0x10000) {
      this.#out[to] = 0xcd;
      this.#view.setUint16(to + 1, value);
      this.#to = to + 3;
    } else if (value < 0x100000000) {
      this.#out[to] = 0xce;
      this.#view.setUint32(to + 1, value);
      this.#to = to + 5;
    } else this.#float(value);
  }

  #number(value: number): void {
    if (!(Number.isInteger(value) && value < 0 && value >= -0x80000000)) return this.#float(value);
    this.#out[this.#to] = 0xd2;
    this.#view.setInt32(this.#to + 1, value);
    this.#to += 5;
  }

  #float(value: number): void {
    this.#out[this.#to] = 0xcb;
    this.#view.setFloat64(this.#to + 1, value);
    this.#to += 9;
  }

  #fault(): Error {
    return new Error(`unreachable: at ${this.#from} this is not JSON of ours: ${this.#in.toString("utf8", 0, Math.min(this.#end, 100))}`);
  }
}

const transcoder = new Transcoder();
