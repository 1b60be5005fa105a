/**
 * A venue whose every word a test decides: real WebSocket and REST on 127.0.0.1.
 */
import { createServer } from "node:http";
import { WebSocketServer, type WebSocket } from "ws";

export interface ScriptedVenue {
  readonly wsUrl: string;
  readonly restUrl: string;
  readonly sockets: readonly WebSocket[];
  readonly paths: readonly string[];
  /** What clients said, parsed, in order. */
  readonly heard: readonly unknown[];
  /** REST paths asked for, in order. */
  readonly asked: readonly string[];
  /** Connections are answered only after this; a test sets it to hold one half-open. */
  admit: Promise<void>;
  /** Connections begun, answered or not. */
  readonly knocks: number;
  /** Sends to the newest connection. */
  say(message: unknown): void;
  stop(): Promise<void>;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** `answer` decides by path and query; null is a 404. */
export async function startScriptedVenue(
  answer: (path: string) => Answer | null, onConnection: (say: (message: unknown) => void) => void = () => {},
): Promise<ScriptedVenue> {
  const sockets: WebSocket[] = [];
  const paths: string[] = [];
  const heard: unknown[] = [];
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    asked.push(path);
    const found = answer(path);
    response.writeHead(found === null ? 404 : (found.status ?? 200), found?.headers ?? {}).end(JSON.stringify(found?.body ?? {}));
  });
  const websockets = new WebSocketServer({ noServer: true });
  const state = { admit: Promise.resolve(), knocks: 0 };
  server.on("upgrade", (request, raw, head) => {
    state.knocks++;
    void state.admit.then(() => websockets.handleUpgrade(request, raw, head, (socket) => websockets.emit("connection", socket, request)));
  });
  websockets.on("connection", (socket, request) => {
    sockets.push(socket);
    paths.push(request.url ?? "/");
    socket.on("message", (data) => {
      if (Buffer.isBuffer(data)) heard.push(JSON.parse(data.toString()));
    });
    onConnection((message) => socket.send(JSON.stringify(message)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  return {
    wsUrl: `ws://127.0.0.1:${port}`, restUrl: `http://127.0.0.1:${port}`, sockets, paths, heard, asked,
    get admit() {
      return state.admit;
    },
    set admit(until) {
      state.admit = until;
    },
    get knocks() {
      return state.knocks;
    },
    say: (message) => sockets.at(-1)?.send(JSON.stringify(message)),
    stop: async () => {
      for (const socket of sockets) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
