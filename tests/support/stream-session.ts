/**
 * An authenticated session of the stream, for tests of the process.
 */
import { WebSocket } from "ws";

export interface StreamSession {
  readonly socket: WebSocket;
  /** The answer to `auth`. */
  readonly authenticated: unknown;
  /** Control messages so far. */
  readonly messages: readonly unknown[];
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
}

/** Connects and authenticates; rejects with the server's error when it refuses. */
export function openStream(url: string, secret: string): Promise<StreamSession> {
  const socket = new WebSocket(url);
  const messages: unknown[] = [];
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", (code) => reject(new Error(`closed ${code}: ${JSON.stringify(messages.at(-1))}`)));
    socket.once("open", () => socket.send(JSON.stringify({ type: "auth", api_key: secret })));
    socket.on("message", (bytes: Buffer) => {
      const message: unknown = JSON.parse(bytes.toString());
      messages.push(message);
      if (typeof message === "object" && message !== null && "type" in message && message.type === "authenticated") resolve({ socket, authenticated: message, messages, closed });
    });
  });
}
