/**
 * Many clients that count frames and bytes of any encoding, deflated or not; only the first looks into its frames.
 */
import { connect, type Socket } from "node:net";
import { constants, inflateRawSync } from "node:zlib";
import { KEY, symbolName } from "./servers.ts";

export interface Variant {
  readonly name: string;
  readonly encoding: "json" | "msgpack";
  readonly deflate: boolean;
}

const OPENING_AT_ONCE = 200;
const DEADLINE_MS = 30_000;
const READ_BUFFER = Buffer.allocUnsafe(1 << 20);
const PING = 9;
const COMPRESSED = 0x40;
/** What RFC 7692 section 7.2.2 leaves out at the end of a message. */
const DEFLATE_TAIL = Buffer.from([0, 0, 0xff, 0xff]);
/** The key `seq`, of which each message has one. */
const SEQ = { json: Buffer.from('"seq":'), msgpack: Buffer.from("\xa3seq", "latin1") } as const;

class WireClient {
  readonly socket: Socket;
  frames = 0;
  onFrame: (head: number, payload: Buffer) => void = () => {};
  #isUpgraded = false;
  #carry: Buffer = Buffer.alloc(0);

  constructor(port: number, { deflate }: Variant) {
    const query = deflate ? "?compression=deflate" : "";
    const extensions = deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "";
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true, onread: { buffer: READ_BUFFER, callback: (length) => this.#read(length) } }, () => {
      this.socket.write(`GET /v1/stream${query} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n${extensions}\r\n`);
    });
  }

  say(command: unknown): void {
    this.#send(0x81, Buffer.from(JSON.stringify(command)));
  }

  /** Client frames are masked; a mask of zeros is a mask. */
  #send(head: number, payload: Buffer): void {
    const size = payload.length < 126 ? [0x80 | payload.length] : [0xfe, payload.length >> 8, payload.length & 255];
    this.socket.write(Buffer.concat([Buffer.from([head, ...size, 0, 0, 0, 0]), payload]));
  }

  #read(length: number): true {
    let bytes: Buffer = this.#carry.length === 0 ? READ_BUFFER.subarray(0, length) : Buffer.concat([this.#carry, READ_BUFFER.subarray(0, length)]);
    if (!this.#isUpgraded) {
      const end = bytes.indexOf("\r\n\r\n");
      this.#isUpgraded = end >= 0;
      bytes = end < 0 ? bytes : bytes.subarray(end + 4);
    }
    while (this.#isUpgraded && bytes.length >= 2) {
      const size = (bytes[1] ?? 0) & 127;
      const from = size < 126 ? 2 : size === 126 ? 4 : 10;
      if (bytes.length < from) break;
      const end = from + (size < 126 ? size : size === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2)));
      if (bytes.length < end) break;
      this.#frame(bytes[0] ?? 0, bytes.subarray(from, end));
      bytes = bytes.subarray(end);
    }
    this.#carry = Buffer.from(bytes);
    return true;
  }

  #frame(head: number, payload: Buffer): void {
    if ((head & 15) === PING) return this.#send(0x8a, payload);
    this.frames++;
    this.onFrame(head, payload);
  }
}

/** Clients of one variant that all hold the same topics. */
export class WireGroup {
  readonly #clients: WireClient[] = [];
  readonly #variant: Variant;
  #frames = 0;
  /** Messages that the first client found in its frames. */
  #messages = 0;
  #firstFrames = 0;
  #holds: () => boolean = () => false;
  #wake: () => void = () => {};

  constructor(variant: Variant) {
    this.#variant = variant;
  }

  get size(): number {
    return this.#clients.length;
  }

  get bytesRead(): number {
    return this.#clients.reduce((sum, { socket }) => sum + socket.bytesRead, 0);
  }

  /** Connects, authenticates and subscribes to the quotes of `symbols`, each of which has a value: a snapshot follows. */
  async open(port: number, count: number, symbols: readonly number[]): Promise<void> {
    for (let from = 0; from < count; from += OPENING_AT_ONCE) {
      const some = Array.from({ length: Math.min(OPENING_AT_ONCE, count - from) }, () => new WireClient(port, this.#variant));
      for (const client of some) client.onFrame = (head, payload) => this.#heard(client, head, payload);
      this.#clients.push(...some);
      // `welcome`, `authenticated` and `subscribed`, then the snapshots.
      const each = 3 + symbols.length;
      await this.#until(() => this.#frames === from * each + some.length);
      for (const client of some) client.say({ type: "auth", api_key: KEY, encoding: this.#variant.encoding });
      for (const client of some) client.say({ type: "subscribe", id: 1, channel: "quotes", symbols: symbols.map(symbolName) });
      await this.#until(() => this.#frames === (from + some.length) * each);
    }
    this.#frames = this.#messages = this.#firstFrames = 0;
  }

  /** Resolves when every client has had so many more messages. */
  async delivered(messages: number): Promise<void> {
    const target = this.#messages + messages;
    await this.#until(() => this.#messages >= target && this.#frames === this.#firstFrames * this.#clients.length);
  }

  close(): void {
    for (const { socket } of this.#clients) socket.destroy();
  }

  #heard(client: WireClient, head: number, payload: Buffer): void {
    this.#frames++;
    if (client === this.#clients[0]) {
      this.#firstFrames++;
      this.#messages += this.#count((head & COMPRESSED) === 0 ? payload : inflateRawSync(Buffer.concat([payload, DEFLATE_TAIL]), { finishFlush: constants.Z_SYNC_FLUSH }));
    }
    if (this.#holds()) this.#wake();
  }

  #count(payload: Buffer): number {
    const seq = SEQ[this.#variant.encoding];
    let count = 0;
    for (let at = payload.indexOf(seq); at >= 0; at = payload.indexOf(seq, at + seq.length)) count++;
    return count;
  }

  #until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${this.#variant.name}: waited ${DEADLINE_MS} ms, ${this.#frames} frames at ${this.size} clients`)), DEADLINE_MS);
      this.#holds = holds;
      this.#wake = () => {
        clearTimeout(late);
        this.#holds = () => false;
        resolve();
      };
    });
  }
}
