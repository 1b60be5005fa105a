/**
 * The socket of a session that asked for compression: what is long enough to get smaller is sent deflated.
 *
 * Owns nothing. Path: per frame of such a session; what is published does not come by here.
 */
import type { Socket } from "./session.ts";

/**
 * Shorter frames (bytes; JSON: characters) go as they are: each frame is deflated by itself, without the ones before it,
 * and a single quote of 178 bytes becomes 124.
 */
export const DEFLATED_BYTES_MIN = 128;

/** As the library has it: `compress` means nothing where the client did not offer permessage-deflate. */
export interface CompressingSocket extends Socket {
  send(payload: string | Uint8Array, isBinary?: boolean, compress?: boolean): number;
}

export class DeflatingSocket implements Socket {
  readonly #socket: CompressingSocket;

  constructor(socket: CompressingSocket) {
    this.#socket = socket;
  }

  send(payload: string | Uint8Array, isBinary?: boolean): number {
    return this.#socket.send(payload, isBinary, payload.length >= DEFLATED_BYTES_MIN);
  }

  subscribe(topic: string): boolean {
    return this.#socket.subscribe(topic);
  }

  unsubscribe(topic: string): boolean {
    return this.#socket.unsubscribe(topic);
  }

  ping(): number {
    return this.#socket.ping();
  }

  end(code: number, reason: string): void {
    this.#socket.end(code, reason);
  }

  close(): void {
    this.#socket.close();
  }

  getBufferedAmount(): number {
    return this.#socket.getBufferedAmount();
  }

  cork(run: () => void): unknown {
    return this.#socket.cork(run);
  }
}
