/**
 * A WebSocket client that may break every rule of RFC 6455: bytes out as they are given, frames in as they come.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { systemClock } from "../../src/core/clock.ts";
import type { Message } from "./stream-client.ts";

export const UPGRADE = "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameShape {
  /** Default text. */
  readonly opcode?: number;
  readonly isFinal?: boolean;
  /** The three reserved bits, 0 to 7. */
  readonly reserved?: number;
  readonly isMasked?: boolean;
  /** Length told in the head instead of the true one. */
  readonly toldLength?: bigint;
}

const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** One frame as a client sends it (RFC 6455 section 5.2), or as a client must not. */
export function frame(payload: string | Buffer, shape: FrameShape = {}): Buffer {
  const { opcode = OPCODE.text, isFinal = true, reserved = 0, isMasked = true } = shape;
  const body = Buffer.from(payload);
  const length = shape.toldLength ?? BigInt(body.length);
  const size = length < 126n ? 0 : length < 65_536n ? 2 : 8;
  const head = Buffer.alloc(2 + size);
  head[0] = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (isMasked ? 0x80 : 0) | (size === 0 ? Number(length) : size === 2 ? 126 : 127);
  if (size === 2) head.writeUInt16BE(Number(length), 2);
  if (size === 8) head.writeBigUInt64BE(length, 2);
  if (!isMasked) return Buffer.concat([head, body]);
  for (let i = 0; i < body.length; i++) body[i] = (body[i] ?? 0) ^ (MASK[i & 3] ?? 0);
  return Buffer.concat([head, MASK, body]);
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

export class RawStream {
  /** Head of the HTTP answer; empty before it came. */
  response = "";
  /** Control messages in the order of arrival; data frames are only counted. */
  readonly messages: Message[] = [];
  dataFrames = 0;
  /** Payloads of pong frames. */
  readonly pongs: Buffer[] = [];
  /** Code of each close frame; 1005 for one without a code. */
  readonly closes: number[] = [];
  isEnded = false;
  readonly #socket: Socket;
  #unread: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  private constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("data", (bytes) => {
      this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
      this.#read();
      this.#wake();
    });
    const end = (): void => {
      this.isEnded = true;
      this.#socket.destroy();
      this.#wake();
    };
    this.#socket.on("error", end);
    this.#socket.on("end", end);
    this.#socket.on("close", end);
  }

  /** A TCP connection, nothing said yet. */
  static async connected(port: number): Promise<RawStream> {
    const stream = new RawStream(port);
    await once(stream.#socket, "connect");
    return stream;
  }

  /** After `welcome`, and after `authenticated` when a key is given. */
  static async open(port: number, key?: string): Promise<RawStream> {
    const stream = await RawStream.connected(port);
    stream.write(UPGRADE);
    await stream.until("welcome", () => stream.messages.length > 0);
    if (key !== undefined) {
      stream.write(frame(JSON.stringify({ type: "auth", api_key: key })));
      await stream.until("authenticated", () => stream.messages.some((m) => m.type === "authenticated"));
    }
    return stream;
  }

  write(bytes: string | Buffer): void {
    if (!this.isEnded) this.#socket.write(bytes);
  }

  /** Drops the connection; with a reset instead of an end when asked. */
  drop(withReset = false): void {
    if (withReset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Resolves once it holds; rejects at the deadline, or when the connection has ended without it. */
  async until(what: string, holds: () => boolean, deadlineMs = 10_000): Promise<void> {
    let isLate = false;
    const deadline = systemClock.after(deadlineMs, () => {
      isLate = true;
      this.#wake();
    });
    while (!holds() && !isLate && !this.isEnded) await new Promise<void>((resolve) => { this.#wake = resolve; });
    deadline.stop();
    if (holds()) return;
    throw new Error(`${this.isEnded ? "ended" : `waited ${deadlineMs} ms`} without: ${what}; closes ${String(this.closes)}, last: ${JSON.stringify(this.messages.slice(-3))} ${this.response.slice(0, 60)}`);
  }

  ended(deadlineMs = 10_000): Promise<void> {
    return this.until("the end of the connection", () => this.isEnded, deadlineMs);
  }

  #read(): void {
    if (this.response === "") {
      const end = this.#unread.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.response = this.#unread.toString("latin1", 0, end);
      this.#unread = this.#unread.subarray(end + 4);
    }
    if (!this.response.startsWith("HTTP/1.1 101")) return;
    for (;;) {
      const length = this.#frame(this.#unread);
      if (length === 0) return;
      this.#unread = this.#unread.subarray(length);
    }
  }

  /** Bytes of the frame at the start; 0 when it is not whole. */
  #frame(bytes: Buffer): number {
    if (bytes.length < 2) return 0;
    let length = (bytes[1] ?? 0) & 127;
    const from = length < 126 ? 2 : length === 126 ? 4 : 10;
    if (bytes.length < from) return 0;
    if (from === 4) length = bytes.readUInt16BE(2);
    if (from === 10) length = Number(bytes.readBigUInt64BE(2));
    if (bytes.length < from + length) return 0;
    this.#payload((bytes[0] ?? 0) & 15, bytes.subarray(from, from + length));
    return from + length;
  }

  #payload(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE.close) this.closes.push(payload.length < 2 ? 1005 : payload.readUInt16BE(0));
    else if (opcode === OPCODE.pong) this.pongs.push(Buffer.from(payload));
    else if (opcode === OPCODE.ping) this.write(frame(Buffer.from(payload), { opcode: OPCODE.pong }));
    else if (payload[0] === 0x5b) this.dataFrames++;
    else if (payload[0] === 0x7b) {
      const parsed: unknown = JSON.parse(payload.toString("utf8"));
      if (isMessage(parsed)) this.messages.push(parsed);
    }
  }
}
