/**
 * What an encoding must be able to do: an event once for all its subscribers, events joined to a frame, a control frame.
 */
import type { Instrument } from "../market/instrument.ts";
import type { Scale } from "../market/price.ts";

export const ENCODINGS = ["json", "msgpack"] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** Text of a text frame or bytes of a binary one. */
export type Payload = string | Uint8Array;

/** What a codec needs to know of an instrument, prepared once. */
export class CodecInstrument {
  /** `"symbol":"venue:SYMBOL","seq":` */
  readonly symbolJson: string;
  readonly priceScale: Scale;
  readonly sizeScale: Scale;

  constructor(instrument: Instrument) {
    this.symbolJson = `"symbol":${JSON.stringify(instrument.id)},"seq":`;
    this.priceScale = instrument.priceScale;
    this.sizeScale = instrument.sizeScale;
  }
}

export interface Codec {
  readonly encoding: Encoding;
  /** Whether its frames are binary. */
  readonly isBinary: boolean;
  /**
   * The record at word `at` as one message.
   * @param depth levels of a side to show; only read for books
   */
  event(words: Float64Array, bytes: Uint8Array, at: number, of: CodecInstrument, depth: number, isSnapshot: boolean): Payload;
  /** Messages already joined, and one more behind them. */
  join(messages: Payload, message: Payload): Payload;
  /** The array frame of `count` joined messages. */
  frame(messages: Payload, count: number): Payload;
  /** A control frame or message that is at hand as JSON text. */
  control(json: string): Payload;
  /** A client's binary frame as JSON text; null when the encoding has none. @throws {SyntaxError} when it cannot be read. */
  readonly read: ((frame: Uint8Array) => string) | null;
}
