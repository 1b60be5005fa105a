/**
 * The client-facing WebSocket server: upgrade checks, and the library's events handed on. The only importer of uWebSockets.js.
 *
 * Owns: the listening socket. Runs on: the thread of its fan-out, sharing the port with others (SO_REUSEPORT).
 */
import { BlockList, isIP } from "node:net";
import { App, us_listen_socket_close, us_socket_local_port, type HttpRequest, type HttpResponse, type us_listen_socket, type us_socket_context_t, type WebSocket, type WebSocketBehavior } from "uWebSockets.js";
import { ResourceError } from "../core/errors.ts";
import type { Payload } from "../protocol/codec.ts";
import { DEFLATED_BYTES_MIN, DeflatingSocket } from "./deflating-socket.ts";
import type { FanoutOptions } from "./options.ts";
import { Session } from "./session.ts";

export const STREAM_PATH = "/v1/stream";

/**
 * `DISABLED` and `SHARED_COMPRESSOR` of the library, which declares them as types only. Shared: one window for all, empty at
 * the start of every frame, so that a connection costs no memory; a dedicated one costs 73 kB.
 */
const DISABLED = 0;
const SHARED_COMPRESSOR = 1;
/** Compression is negotiated only where this is asked for: browsers offer it always (protocol section 2.6). */
const ASKS_DEFLATE = /(?:^|&)compression=deflate(?:&|$)/;

export interface SocketEvents {
  /** Null: let it in. Otherwise the HTTP status line and a sentence. */
  admit(): { readonly status: string; readonly reason: string; readonly message: string } | null;
  opened(session: Session): void;
  /** `payload` is in force during the call only. */
  frame(session: Session, payload: Payload, bytes: number): void;
  /** A ping of the client's, or its answer to ours. */
  pong(session: Session, isPong: boolean): void;
  drained(session: Session): void;
  dropped(session: Session): void;
  closed(session: Session): void;
  refused(reason: string): void;
}

/** What a fan-out needs of its server. */
export interface ClientServer {
  listen(host: string, port: number): Promise<number>;
  publish(topic: string, frame: string | Uint8Array, isBinary: boolean): void;
  /** Connections at `?compression=deflate`. */
  readonly deflating?: number;
  stopListening(): void;
  close(): void;
}

type ClientSocket = WebSocket<Session>;

export class SocketServer implements ClientServer {
  readonly #options: FanoutOptions;
  readonly #events: SocketEvents;
  readonly #proxies: BlockList;
  readonly #app = App();
  #listening: us_listen_socket | null = null;
  #deflating = 0;

  constructor(options: FanoutOptions, events: SocketEvents) {
    this.#options = options;
    this.#events = events;
    this.#proxies = blockListOf(options.trustedProxies);
    this.#app.ws<Session>(STREAM_PATH, this.#behavior(true));
    this.#app.ws<Session>("/*", this.#behavior(false));
    this.#app.any("/*", (response) => {
      events.refused("not_a_websocket");
      refuse(response, "426 Upgrade Required", `this port speaks WebSocket at ${STREAM_PATH}`);
    });
  }

  /** Resolves with the port in use. @param port 0 for any free one */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#app.listen(host, port, (listening) => {
        if (listening === false) {
          reject(new ResourceError(`cannot listen on ${host}:${port}: set HOST and STREAM_PORT to an address and a free port of this machine`));
        } else {
          this.#listening = listening;
          resolve(us_socket_local_port(listening));
        }
      });
    });
  }

  publish(topic: string, frame: string | Uint8Array, isBinary: boolean): void {
    this.#app.publish(topic, frame, isBinary, this.#deflating > 0 && frame.length >= DEFLATED_BYTES_MIN);
  }

  get deflating(): number {
    return this.#deflating;
  }

  /** Takes no more connections; those that are open stay. */
  stopListening(): void {
    if (this.#listening !== null) us_listen_socket_close(this.#listening);
    this.#listening = null;
  }

  /** Drops every connection and the server. */
  close(): void {
    this.stopListening();
    this.#app.close();
  }

  /** One route each with and without compression: the first leaves to the second who does not ask for it. */
  #behavior(isDeflating: boolean): WebSocketBehavior<Session> {
    const events = this.#events;
    return {
      compression: isDeflating ? SHARED_COMPRESSOR : DISABLED,
      // Of a compressed frame, the inflated bytes: a bomb is dropped when it reaches them.
      maxPayloadLength: this.#options.frameBytesDropped,
      maxBackpressure: this.#options.nativeBackpressureMax,
      // A closed session whose client never reads is held by the library until this; live ones are pinged far more often.
      idleTimeout: 120,
      sendPingsAutomatically: false,
      upgrade: (response, request, context) => {
        if (isDeflating && !ASKS_DEFLATE.test(request.getQuery() ?? "")) request.setYield(true);
        else this.#upgrade(response, request, context);
      },
      open: (socket) => this.#opened(socket, isDeflating),
      message: (socket, message, isBinary) => events.frame(socket.getUserData(), isBinary ? new Uint8Array(message) : Buffer.from(message).toString("utf8"), message.byteLength),
      ping: (socket) => events.pong(socket.getUserData(), false),
      pong: (socket) => events.pong(socket.getUserData(), true),
      drain: (socket) => events.drained(socket.getUserData()),
      dropped: (socket) => events.dropped(socket.getUserData()),
      close: (socket) => this.#closed(socket, isDeflating),
    };
  }

  #upgrade(response: HttpResponse, request: HttpRequest, context: us_socket_context_t): void {
    const fault = this.#faultOf(request) ?? this.#events.admit();
    if (fault) {
      this.#events.refused(fault.reason);
      return refuse(response, fault.status, fault.message);
    }
    const session = new Session(this.#addressOf(response, request));
    response.upgrade(session, request.getHeader("sec-websocket-key"), "", request.getHeader("sec-websocket-extensions"), context);
  }

  #faultOf(request: HttpRequest): { status: string; reason: string; message: string } | null {
    if (request.getUrl() !== STREAM_PATH) return { status: "404 Not Found", reason: "path", message: `the stream is at ${STREAM_PATH}` };
    if (request.getHeader("upgrade").toLowerCase() !== "websocket") return { status: "426 Upgrade Required", reason: "upgrade_header", message: "the header Upgrade must be websocket" };
    if (request.getHeader("sec-websocket-version") !== "13") return { status: "426 Upgrade Required", reason: "version", message: "the header Sec-WebSocket-Version must be 13 (RFC 6455)" };
    if (Buffer.from(request.getHeader("sec-websocket-key"), "base64").length !== 16) return { status: "400 Bad Request", reason: "key_header", message: "the header Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455)" };
    if (/(^|&)(api_?key|key|token|auth|ticket)=/i.test(request.getQuery() ?? "")) return { status: "400 Bad Request", reason: "key_in_url", message: "keys are never accepted in the URL: send them in the first frame" };
    if (/(^|&)compression=/.test(request.getQuery() ?? "") && !ASKS_DEFLATE.test(request.getQuery() ?? "")) return { status: "400 Bad Request", reason: "compression", message: "`compression` must be deflate: leave it out for none" };
    const origin = request.getHeader("origin");
    if (origin !== "" && !this.#isAllowed(origin, request.getHeader("host"))) return { status: "403 Forbidden", reason: "origin", message: "this Origin is not allowed: name it in ALLOWED_ORIGINS" };
    return null;
  }

  /** Exact origins when configured, otherwise any port of the host that was asked (RFC 6454). */
  #isAllowed(origin: string, host: string): boolean {
    const { allowedOrigins } = this.#options;
    if (allowedOrigins.length > 0) return allowedOrigins.includes(origin) || allowedOrigins.includes("*");
    const hostName = URL.parse(`http://${host}`)?.hostname;
    return hostName !== undefined && hostName !== "" && URL.parse(origin)?.hostname === hostName;
  }

  /** The last address that no trusted proxy has, read from the right end of X-Forwarded-For. */
  #addressOf(response: HttpResponse, request: HttpRequest): string {
    let address = plainAddress(Buffer.from(response.getRemoteAddressAsText()).toString("latin1"));
    const forwarded = request.getHeader("x-forwarded-for").split(",");
    while (forwarded.length > 0 && this.#isProxy(address)) {
      const before = plainAddress((forwarded.pop() ?? "").trim());
      if (isIP(before) === 0) break;
      address = before;
    }
    return address;
  }

  #isProxy(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#proxies.check(address, family === 4 ? "ipv4" : "ipv6");
  }

  #opened(socket: ClientSocket, isDeflating: boolean): void {
    const session = socket.getUserData();
    session.socket = isDeflating ? new DeflatingSocket(socket) : socket;
    if (isDeflating) this.#deflating++;
    this.#events.opened(session);
  }

  #closed(socket: ClientSocket, isDeflating: boolean): void {
    const session = socket.getUserData();
    if (isDeflating) this.#deflating--;
    session.socket = null;
    this.#events.closed(session);
  }
}

function refuse(response: HttpResponse, status: string, message: string): void {
  response.cork(() => {
    response.writeStatus(status).writeHeader("content-type", "text/plain; charset=utf-8");
    if (status.startsWith("426")) response.writeHeader("upgrade", "websocket").writeHeader("sec-websocket-version", "13");
    response.end(`${message}\n`, true);
  });
}

/** IPv4 in its own form also where the socket is dual-stack (`::ffff:...`, expanded by the library). */
function plainAddress(text: string): string {
  const mapped = /^(?:0{1,4}:){5}ffff:([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  if (mapped) return mapped.slice(1).map((byte) => Number.parseInt(byte, 16)).join(".");
  return text.replace(/^::ffff:(?=\d+\.)/i, "");
}

function blockListOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}
