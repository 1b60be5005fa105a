/**
 * The listening server of the HTTP app: time limits, malformed requests, and a stop that does not wait for idle clients.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { getRequestListener, RequestError } from "@hono/node-server";
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, ResourceError } from "../core/errors.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";
import { LeanResponse } from "./lean-response.ts";
import type { HttpApp } from "./server.ts";

export interface HttpServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly headersMs: number;
  readonly requestMs: number;
  readonly connectionsMax: number;
  readonly clock: Clock;
}

/** Idle connections are closed this often while stopping; what is still open after `CLOSE_MS` is cut. */
const CLOSE_IDLE_MS = 50;
const CLOSE_MS = 2000;
/** Headers of a request in all; beyond it 431. */
const HEADERS_BYTES_MAX = 16_384;

/** What Node's parser refuses before the app sees it. */
const PARSER_REFUSALS: Readonly<Record<string, readonly [status: number, title: string, detail: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "the request did not arrive in time"],
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", `headers have at most ${HEADERS_BYTES_MAX} bytes`],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "Payload Too Large", "chunk extensions are too long"],
};
const MALFORMED = [400, "Bad Request", "this is no HTTP request that can be read"] as const;

export class HttpServer implements Component, MetricSource {
  readonly name = "http";
  readonly #options: HttpServerOptions;
  readonly #server: Server<typeof IncomingMessage, typeof LeanResponse>;
  readonly #app: HttpApp;
  #unreadable = 0;
  #turnedAway = 0;

  constructor(app: HttpApp, options: HttpServerOptions) {
    this.#app = app;
    this.#options = options;
    const settings = { ServerResponse: LeanResponse, headersTimeout: options.headersMs, requestTimeout: options.requestMs, connectionsCheckingInterval: 1000, maxHeaderSize: HEADERS_BYTES_MAX, requireHostHeader: false };
    const listener = getRequestListener(app.app.fetch, { errorHandler: (error) => this.#failed(error) });
    const server = createServer(settings, (incoming, outgoing) => void listener(incoming, outgoing));
    server.maxConnections = options.connectionsMax;
    server.on("clientError", (error: Error, socket) => this.#refuse(error, socket));
    server.on("drop", () => {
      this.#turnedAway++;
    });
    this.#server = server;
  }

  /** @throws {ResourceError} when the port cannot be had. */
  start(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error) => reject(new ResourceError(`HTTP_PORT ${port} on ${host}: ${error.message}`, { cause: error })));
      this.#server.listen(port, host, resolve);
    });
  }

  /** The port in use. */
  port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : this.#options.port;
  }

  stop(): Promise<void> {
    if (!this.#server.listening) return Promise.resolve();
    const { clock } = this.#options;
    const idle = clock.every(CLOSE_IDLE_MS, () => this.#server.closeIdleConnections());
    const cut = clock.after(CLOSE_MS, () => this.#server.closeAllConnections());
    return new Promise((resolve) => {
      this.#server.close(() => {
        idle.stop();
        cut.stop();
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  samples(): MetricSample[] {
    return [
      ...this.#app.samples(),
      { name: "ticker_http_unreadable_total", help: "Connections closed because what came was no readable request, or came too slowly", type: "counter", labels: {}, value: this.#unreadable },
      { name: "ticker_http_connections_dropped_total", help: "Connections closed at once because there were too many", type: "counter", labels: {}, value: this.#turnedAway },
    ];
  }

  /** Answers what is no request, in the form of all other answers, and closes. */
  #refuse(error: Error, socket: Duplex): void {
    this.#unreadable++;
    const code = "code" in error ? String(error.code) : "";
    if (!socket.writable || code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const [status, title, detail] = PARSER_REFUSALS[code] ?? MALFORMED;
    const { body, headers } = problem(status, title, detail);
    const lines = Object.entries({ ...headers, Connection: "close", "Content-Length": String(Buffer.byteLength(body)) }).map(([name, value]) => `${name}: ${value}`);
    socket.end([`HTTP/1.1 ${status} ${title}`, ...lines, "", body].join("\r\n"));
  }

  /** Answers what is HTTP, but not addressed in a way that can be read; anything else is a failure of ours. */
  #failed(error: unknown): Response {
    const isTheirs = error instanceof RequestError;
    if (isTheirs) this.#unreadable++;
    else this.#app.log.error({ reason: messageOf(error) }, "request failed outside the app");
    const { body, headers } = isTheirs ? problem(400, "Malformed request", `the address cannot be read: ${error.message}`) : problem(500, "Internal error", "try again later");
    return new Response(body, { status: isTheirs ? 400 : 500, headers });
  }
}

/** A problem for requests that never got as far as the app. */
function problem(status: number, title: string, detail: string) {
  const id = randomUUID();
  return {
    body: JSON.stringify({ type: "about:blank", title, status, code: status === 500 ? "internal" : "unreadable_request", detail, request_id: id }),
    headers: {
      "Content-Type": "application/problem+json", "X-Request-ID": id, "X-Correlation-ID": id, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
    },
  };
}
