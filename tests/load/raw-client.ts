/**
 * A WebSocket client cheap enough to load a server with thousands of: raw sockets, one shared read buffer, frames counted.
 *
 * It reads just enough of the protocol (RFC 6455) to count messages and to see the sequence of the first one in a frame.
 */
import { connect, type Socket } from "node:net";

const READ_BUFFER = Buffer.allocUnsafe(1 << 20);
const SEQ = Buffer.from('"seq":');
/** FIN and opcode of a text frame, of a ping, of a pong. */
const TEXT = 0x81;
const PING = 0x89;
const PONG = 0x8a;
const CLOSE = 0x88;
/** Status 1000 of a close frame (RFC 6455, 7.4.1). */
const CLOSE_NORMAL = Buffer.from([3, 232]);
const OPENING_BRACKET = 91;

/** What a load test wants to know of what arrives. Called per frame, so it must be cheap. */
export interface FrameListener {
  /** An array frame. `payload` lies in a shared buffer from `from` to `to`. */
  data(client: RawClient, payload: Buffer, from: number, to: number): void;
  /** An object frame, as text. */
  control(client: RawClient, text: string): void;
}

export class RawClient {
  readonly index: number;
  /** Messages received. */
  received = 0;
  #socket: Socket | null = null;
  readonly #listener: FrameListener;
  #upgraded = false;
  #carry: Buffer | null = null;
  onUpgraded: () => void = () => {};
  onClosed: () => void = () => {};

  constructor(index: number, listener: FrameListener) {
    this.index = index;
    this.#listener = listener;
  }

  connect(host: string, port: number, path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.onUpgraded = resolve;
      const socket = connect({ port, host, noDelay: true, onread: { buffer: READ_BUFFER, callback: (length) => this.#read(length) } }, () => {
        socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n`);
      });
      socket.on("error", reject);
      socket.on("close", () => this.onClosed());
      this.#socket = socket;
    });
  }

  send(text: string): void {
    this.#frame(TEXT, Buffer.from(text));
  }

  /** Stops and goes on reading: the kernel's buffers fill up meanwhile. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  close(): void {
    this.#socket?.destroy();
  }

  /** Says goodbye with a close frame; the server ends the connection. */
  leave(): void {
    this.#frame(CLOSE, CLOSE_NORMAL);
  }

  /** Client frames are masked; a mask of zeros is a mask. */
  #frame(head: number, payload: Buffer): void {
    const header = payload.length < 126 ? Buffer.from([head, 0x80 | payload.length, 0, 0, 0, 0]) : Buffer.from([head, 0xfe, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]);
    this.#socket?.write(Buffer.concat([header, payload]));
  }

  #read(length: number): boolean {
    let buffer = READ_BUFFER;
    let end = length;
    if (this.#carry !== null) {
      buffer = Buffer.concat([this.#carry, READ_BUFFER.subarray(0, length)]);
      end = buffer.length;
      this.#carry = null;
    }
    let at = 0;
    if (!this.#upgraded) {
      const headers = buffer.subarray(0, end).indexOf("\r\n\r\n");
      if (headers < 0) return this.#keep(buffer, 0, end);
      this.#upgraded = true;
      this.onUpgraded();
      at = headers + 4;
    }
    while (at + 2 <= end) {
      let size = (buffer[at + 1] ?? 0) & 127;
      let payload = at + 2;
      if (size === 126) {
        payload += 2;
        if (payload > end) break;
        size = buffer.readUInt16BE(at + 2);
      } else if (size === 127) {
        payload += 8;
        if (payload > end) break;
        size = Number(buffer.readBigUInt64BE(at + 2));
      }
      if (payload + size > end) break;
      this.#handle(buffer[at] ?? 0, buffer, payload, payload + size);
      at = payload + size;
    }
    return at === end ? true : this.#keep(buffer, at, end);
  }

  #keep(buffer: Buffer, from: number, to: number): true {
    this.#carry = Buffer.from(buffer.subarray(from, to));
    return true;
  }

  #handle(head: number, buffer: Buffer, from: number, to: number): void {
    if (head === TEXT && buffer[from] === OPENING_BRACKET) {
      this.#listener.data(this, buffer, from, to);
    } else if (head === TEXT) {
      this.#listener.control(this, buffer.toString("latin1", from, to));
    } else if (head === PING) {
      this.#frame(PONG, buffer.subarray(from, to));
    }
  }
}

/** No message is shorter than this. */
const MESSAGE_MIN = 100;

/** Messages of an array frame: each has exactly one member `seq`. */
export function countMessages(payload: Buffer, from: number, to: number): number {
  let count = 1;
  for (let at = from + MESSAGE_MIN; at + MESSAGE_MIN < to; count++) {
    at = payload.indexOf(SEQ, at);
    if (at < 0 || at >= to) break;
    at += MESSAGE_MIN;
  }
  return count;
}

/** The whole number behind the first `"seq":` from `from`. */
export function firstSequence(payload: Buffer, from: number): number {
  let at = payload.indexOf(SEQ, from) + SEQ.length;
  let value = 0;
  for (let digit = (payload[at] ?? 0) - 48; digit >= 0 && digit <= 9; digit = (payload[++at] ?? 0) - 48) value = value * 10 + digit;
  return value;
}
