/**
 * The socket library and the network as a model: native topics, a user-space queue, a kernel buffer, a client that reads or not.
 *
 * For tests on a fake clock. It keeps the library's promises that we rely on: order of sends and publishes, nothing from
 * before a subscription, everything from before its end.
 */
import type { SocketEvents } from "../../src/fanout/socket-server.ts";
import { Session, type Socket } from "../../src/fanout/session.ts";
import type { ClientServer } from "../../src/fanout/socket-server.ts";

type Item = { readonly kind: "frame"; readonly text: string } | { readonly kind: "ping" };

const PING_BYTES = 2;

function bytesOf(item: Item): number {
  return item.kind === "ping" ? PING_BYTES : item.text.length;
}

export class FakeSocket implements Socket {
  readonly topics = new Set<string>();
  readonly session = new Session("127.0.0.1");
  closeCode: number | null = null;
  readonly #server: FakeServer;
  readonly #kernelMax: number;
  readonly #queue: Item[] = [];
  readonly #kernel: Item[] = [];
  #queued = 0;
  #inKernel = 0;

  constructor(server: FakeServer, kernelMax: number) {
    this.#server = server;
    this.#kernelMax = kernelMax;
  }

  send(payload: string | Uint8Array): number {
    this.push({ kind: "frame", text: typeof payload === "string" ? payload : Buffer.from(payload).toString("latin1") });
    return 1;
  }

  subscribe(topic: string): boolean {
    if (this.topics.has(topic)) return false;
    this.topics.add(topic);
    return true;
  }

  unsubscribe(topic: string): boolean {
    return this.topics.delete(topic);
  }

  ping(): number {
    this.push({ kind: "ping" });
    return 1;
  }

  end(code: number): void {
    this.#gone(code);
  }

  close(): void {
    this.#gone(1006);
  }

  getBufferedAmount(): number {
    return this.#queued;
  }

  cork(run: () => void): void {
    run();
  }

  push(item: Item): void {
    this.#queue.push(item);
    this.#queued += bytesOf(item);
    this.#transmit();
  }

  /** The client reads up to `count` items; its library answers pings. */
  read(count: number, hear: (text: string) => void): void {
    for (let i = 0; i < count; i++) {
      const item = this.#kernel.shift();
      if (item === undefined) return;
      this.#inKernel -= bytesOf(item);
      const wasQueued = this.#queued > 0;
      this.#transmit();
      if (item.kind === "frame") hear(item.text);
      else if (this.closeCode === null) this.#server.events.pong(this.session, true);
      if (wasQueued && this.#queued === 0 && this.closeCode === null) this.#server.events.drained(this.session);
    }
  }

  get unread(): number {
    return this.#kernel.length + this.#queue.length;
  }

  #transmit(): void {
    for (let item = this.#queue[0]; item !== undefined && this.#inKernel < this.#kernelMax; item = this.#queue[0]) {
      this.#queue.shift();
      this.#queued -= bytesOf(item);
      this.#kernel.push(item);
      this.#inKernel += bytesOf(item);
    }
  }

  #gone(code: number): void {
    if (this.closeCode !== null) return;
    this.closeCode = code;
    this.#server.gone(this);
  }
}

export class FakeServer implements ClientServer {
  readonly events: SocketEvents;
  readonly #sockets = new Set<FakeSocket>();

  constructor(events: SocketEvents) {
    this.events = events;
  }

  async listen(): Promise<number> {
    return 1;
  }

  publish(topic: string, frame: string | Uint8Array): void {
    for (const socket of this.#sockets) if (socket.topics.has(topic)) socket.send(frame);
  }

  stopListening(): void {}

  close(): void {}

  /** @param kernelMax bytes that the kernel takes off our hands whether the client reads or not */
  connect(kernelMax: number): FakeSocket {
    const socket = new FakeSocket(this, kernelMax);
    this.#sockets.add(socket);
    socket.session.socket = socket;
    this.events.opened(socket.session);
    return socket;
  }

  gone(socket: FakeSocket): void {
    this.#sockets.delete(socket);
    socket.session.socket = null;
    this.events.closed(socket.session);
  }
}
