/**
 * The yardstick: a bare publish loop. Lines `topic TAB frame` in over TCP, native publish out, nothing else.
 *
 * `node tests/load/bare-server.ts --threads 2` prints one line of JSON with its ports and runs until its input ends.
 */
import { createServer, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { App, us_socket_local_port, type WebSocket } from "uWebSockets.js";

/** Connections are pinged in slices this often, each once a second. */
const SLICE_MS = 25;
const TAB = 9;
const NEWLINE = 10;

function symbolsOf(message: ArrayBuffer): string[] {
  const command: unknown = JSON.parse(Buffer.from(message).toString());
  if (typeof command !== "object" || command === null || !("symbols" in command) || !Array.isArray(command.symbols)) return [];
  return command.symbols.filter((symbol) => typeof symbol === "string");
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/**
 * Each connection once a second, as the protocol of the service demands. Without it the yardstick is another: a client that
 * answers pings acknowledges data later and in the sender's time (docs/performance.md).
 */
function pingInTurn(sockets: readonly WebSocket<unknown>[], pingsPerSMax: number): void {
  let next = 0;
  setInterval(() => {
    for (let i = Math.ceil((Math.min(sockets.length, pingsPerSMax) * SLICE_MS) / 1000); i > 0; i--) sockets[next++ % sockets.length]?.ping();
  }, SLICE_MS);
}

/** Runs one loop; answers the port for clients and the port for lines. @param pingsPerSMax 0: no pings */
function run(port: number, pingsPerSMax: number): Promise<{ stream: number; ingest: number }> {
  const app = App();
  const sockets: WebSocket<unknown>[] = [];
  if (pingsPerSMax > 0) pingInTurn(sockets, pingsPerSMax);
  app.ws("/*", {
    idleTimeout: 0, sendPingsAutomatically: false, maxPayloadLength: 1 << 17, maxBackpressure: 16 << 20,
    close: (socket) => { sockets.splice(sockets.indexOf(socket), 1); },
    message: (socket, message) => {
      const symbols = symbolsOf(message);
      for (const symbol of symbols) socket.subscribe(symbol);
      socket.send(symbols.length > 0 ? '{"type":"subscribed"}' : '{"type":"authenticated"}');
      if (symbols.length > 0) sockets.push(socket);
    },
  });
  const publishLines = (socket: Socket): void => {
    let carry: Buffer | null = null;
    socket.on("data", (chunk) => {
      const buffer = carry === null ? chunk : Buffer.concat([carry, chunk]);
      let at = 0;
      for (let end = buffer.indexOf(NEWLINE, at); end >= 0; end = buffer.indexOf(NEWLINE, at)) {
        const tab = buffer.indexOf(TAB, at);
        app.publish(buffer.toString("latin1", at, tab), buffer.toString("latin1", tab + 1, end));
        at = end + 1;
      }
      carry = at === buffer.length ? null : buffer.subarray(at);
    });
    socket.on("error", () => {});
  };
  return new Promise((resolve) => {
    app.listen("127.0.0.1", port, (listening) => {
      if (listening === false) throw new Error("cannot listen");
      const lines = createServer({ noDelay: true }, publishLines);
      lines.listen(0, "127.0.0.1", () => {
        const address = lines.address();
        resolve({ stream: us_socket_local_port(listening), ingest: typeof address === "object" && address !== null ? address.port : 0 });
      });
    });
  });
}

if (isMainThread) {
  const { values } = parseArgs({ options: { threads: { type: "string", default: "1" }, "no-ping": { type: "boolean", default: false }, "pings-per-s": { type: "string", default: "1000000" } } });
  const pingsPerSMax = values["no-ping"] ? 0 : Number(values["pings-per-s"]);
  const threads = Number(values.threads);
  process.stdin.on("end", () => process.exit(0)).resume();
  if (threads === 1) {
    const ports = await run(0, pingsPerSMax);
    console.log(JSON.stringify({ stream: ports.stream, ingest: [ports.ingest] }));
  } else {
    // The library shares a port that is named, not one that the kernel chose.
    const port = await freePort();
    const ports: { stream: number; ingest: number }[] = [];
    for (let i = 0; i < threads; i++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { port, pingsPerSMax } });
      ports.push(await new Promise((resolve) => worker.once("message", resolve)));
    }
    console.log(JSON.stringify({ stream: ports[0]?.stream, ingest: ports.map((port) => port.ingest) }));
  }
} else {
  parentPort?.postMessage(await run(workerData.port, workerData.pingsPerSMax));
}
