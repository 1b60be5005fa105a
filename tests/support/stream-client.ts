/**
 * A WebSocket client for tests: keeps every message, waits for one with a deadline, counts as the protocol says.
 */
import { decode, encode } from "@msgpack/msgpack";
import { once } from "node:events";
import type { Socket } from "node:net";
import { WebSocket } from "ws";

/** Any message of the server; members are read as they come. */
export type Message = { readonly type: string; readonly [member: string]: unknown };

/** An object inside a message, e.g. an entry of `topics`. */
export type Entry = { readonly [member: string]: unknown };

const DEADLINE_MS = 5_000;

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null;
}

/** The objects in an array member of a message; none when there is no such member. */
export function entriesOf(message: Entry | undefined, member: string): Entry[] {
  const value = message?.[member];
  return Array.isArray(value) ? value.filter(isEntry) : [];
}

export class StreamClient {
  readonly socket: WebSocket;
  /** Control and data messages in the order of arrival. */
  readonly messages: Message[] = [];
  /** Array frames: how many messages each held. */
  readonly arrays: number[] = [];
  readonly texts: string[] = [];
  /** Binary frames, which are MessagePack. */
  binaryFrames = 0;
  closeCode: number | null = null;
  closeReason = "";
  #transport: Socket | null = null;
  #taken = 0;
  #wake: () => void = () => {};

  /** @param offersDeflate permessage-deflate, as browsers do always; what it sends is compressed whatever its size */
  constructor(url: string, headers: Record<string, string> = {}, offersDeflate = false) {
    this.socket = new WebSocket(url, { headers, perMessageDeflate: offersDeflate && { threshold: 0 } });
    this.socket.on("message", (data, isBinary) => {
      if (Buffer.isBuffer(data) && isBinary) this.#readBinary(data);
      else this.#readText(Buffer.isBuffer(data) ? data.toString("utf8") : "");
      this.#wake();
    });
    this.socket.on("upgrade", (response) => { this.#transport = response.socket; });
    this.socket.on("error", () => {});
    this.socket.on("close", (code, reason) => {
      this.closeCode = code;
      this.closeReason = String(reason);
      this.#wake();
    });
  }

  /** Bytes that came over the wire, with the head of the HTTP answer. */
  get bytesRead(): number {
    return this.#transport?.bytesRead ?? 0;
  }

  async opened(): Promise<void> {
    if (this.socket.readyState !== WebSocket.OPEN) await once(this.socket, "open", { signal: AbortSignal.timeout(DEADLINE_MS) });
  }

  say(command: unknown): void {
    this.socket.send(typeof command === "string" ? command : JSON.stringify(command));
  }

  /** Says a command in a binary frame. */
  sayBinary(command: unknown): void {
    this.socket.send(encode(command));
  }

  /** The next message, not taken yet, that fits; those before it count as taken. */
  async next(fits: (message: Message) => boolean, deadlineMs = DEADLINE_MS): Promise<Message> {
    const end = Date.now() + deadlineMs;
    for (;;) {
      for (; this.#taken < this.messages.length; this.#taken++) {
        const message = this.messages[this.#taken];
        if (message && fits(message)) {
          this.#taken++;
          return message;
        }
      }
      const leftMs = end - Date.now();
      if (leftMs <= 0 || this.closeCode !== null) throw new Error(`no such message${this.closeCode === null ? "" : `, closed ${this.closeCode}`}; last: ${JSON.stringify(this.messages.slice(-5))}`);
      await this.#woken(leftMs);
    }
  }

  /** Says a command and waits for the answer with its id. */
  async ask(command: { readonly id: number | string; readonly [member: string]: unknown }): Promise<Message> {
    this.say(command);
    return this.next((m) => m["id"] === command.id);
  }

  /** Everything up to the answer of a ping: what was on its way before is there. */
  async settled(): Promise<void> {
    const id = `settle-${Math.random()}`;
    this.say({ type: "ping", id });
    await this.next((m) => m["id"] === id);
  }

  async closed(deadlineMs = DEADLINE_MS): Promise<number> {
    const end = Date.now() + deadlineMs;
    while (this.closeCode === null) {
      const leftMs = end - Date.now();
      if (leftMs <= 0) throw new Error("the connection was not closed");
      await this.#woken(leftMs);
    }
    return this.closeCode;
  }

  /** Data messages of a kind and symbol, in order. */
  of(type: string, symbol: string): Message[] {
    return this.messages.filter((m) => m.type === type && m["symbol"] === symbol);
  }

  close(): void {
    this.socket.terminate();
  }

  #readText(text: string): void {
    this.texts.push(text);
    if (text.startsWith("[") || text.startsWith("{")) this.#keep(JSON.parse(text));
  }

  #readBinary(bytes: Buffer): void {
    this.binaryFrames++;
    this.#keep(decode(bytes));
  }

  #keep(parsed: unknown): void {
    const all: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
    if (Array.isArray(parsed)) this.arrays.push(all.length);
    for (const message of all) if (isMessage(message)) this.messages.push(message);
  }

  #woken(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const late = setTimeout(resolve, withinMs);
      this.#wake = () => {
        clearTimeout(late);
        resolve();
      };
    });
  }
}
