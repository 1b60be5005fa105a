/**
 * A producer on a real TCP connection, for tests of the push feed: sends what it is told, keeps the answers.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { systemClock } from "../../src/core/clock.ts";

const DEADLINE_MS = 5000;

export interface Ack {
  readonly type: string;
  readonly received: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly errors: readonly { readonly index: number | null; readonly code: string; readonly field: string; readonly message: string }[];
}

/** Looks once a turn of the loop. @throws {Error} when it has not come true within five seconds. */
export async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = systemClock.monotonicMs() + DEADLINE_MS;
  while (!isTrue()) {
    if (systemClock.monotonicMs() > deadline) throw new Error(`waited ${DEADLINE_MS} ms for: ${what}`);
    await new Promise<void>((resolve) => systemClock.endOfTurn(resolve));
  }
}

export class PushClient {
  readonly acks: Ack[] = [];
  isClosed = false;
  readonly socket: Socket;
  #unfinished = "";

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      const lines = (this.#unfinished + chunk.toString()).split("\n");
      this.#unfinished = lines.pop() ?? "";
      for (const line of lines) this.acks.push(JSON.parse(line));
    });
    socket.on("error", () => { this.isClosed = true; });
    socket.on("close", () => { this.isClosed = true; });
  }

  /** Connected, and authenticated when a key is given. */
  static async open(port: number, key?: string): Promise<PushClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const client = new PushClient(socket);
    if (key !== undefined) client.send({ type: "auth", api_key: key });
    return client;
  }

  send(...values: readonly unknown[]): void {
    this.write(values.map((value) => `${JSON.stringify(value)}\n`).join(""));
  }

  write(text: string | Buffer): void {
    this.socket.write(text);
  }

  /** The first acknowledgement for which `isTrue` holds, also one that came already. */
  async ack(what: string, isTrue: (ack: Ack) => boolean = () => true): Promise<Ack> {
    await until(what, () => this.acks.some(isTrue));
    const ack = this.acks.find(isTrue);
    if (!ack) throw new Error(what);
    return ack;
  }

  async closed(): Promise<void> {
    await until("the connection to be closed", () => this.isClosed);
  }
}
