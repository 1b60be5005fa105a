/**
 * A broker on 127.0.0.1 that keeps its own books and misbehaves when it is told to; how it talks is a dialect's part.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { systemClock } from "../../src/core/clock.ts";
import type { BrokerLedger, LedgerOrder } from "./loopback-broker-ledger.ts";

export interface Heard {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

export interface Reply {
  readonly status: number;
  /** Text is sent as it is, null sends nothing, the rest as JSON. */
  readonly body: unknown;
}

export type RequestKind = "place" | "cancel" | "read";

/**
 * `_before`: the request has had no effect, `_after`: it has. silent: no answer ever; late: the effect comes after
 * `lateMs`, without an answer; error: 5xx; nonsense: 200 and something else.
 */
export const FAULTS = [
  "refuse", "slow", "silent_before", "silent_after", "late", "throttle", "error_before", "error_after",
  "drop_before", "drop_after", "nonsense_before", "nonsense_after", "fill_first",
] as const;
/** `none`: served as usual; for scripts that let some requests pass. */
export type Fault = (typeof FAULTS)[number] | "none";

export interface Dialect {
  readonly ledger: BrokerLedger;
  /** Null: neither an order nor a question about one. */
  kindOf(heard: Heard): RequestKind | null;
  /** Answers a request and writes what it does into the ledger. */
  answer(heard: Heard, nowMs: number): Reply;
  /** How it says no to an order or a cancel for reasons of its own. */
  refusal(kind: RequestKind): Reply;
  /** The order that a cancel is about. */
  targetOf(heard: Heard): LedgerOrder | undefined;
  readonly failure: Reply;
}

export interface LoopbackBroker {
  readonly url: string;
  readonly ledger: BrokerLedger;
  /** Requests as `METHOD path`, in order. */
  readonly asked: readonly string[];
  /** What is done with the next requests of a kind, one entry each. */
  readonly faults: Record<RequestKind, Fault[]>;
  slowMs: number;
  lateMs: number;
  retryAfterS: number;
  /** Told of each order, cancel and question about an order before it has an effect; null: nobody. */
  onHeard: ((kind: RequestKind) => void) | null;
  /** Resolves when every late effect has come. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

class Loopback implements LoopbackBroker {
  readonly asked: string[] = [];
  readonly faults: Record<RequestKind, Fault[]> = { place: [], cancel: [], read: [] };
  slowMs = 30;
  lateMs = 100;
  retryAfterS = 1;
  onHeard: ((kind: RequestKind) => void) | null = null;
  readonly #dialect: Dialect;
  readonly #server: Server;
  readonly #late = new Set<Promise<void>>();

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  get ledger(): BrokerLedger {
    return this.#dialect.ledger;
  }

  get url(): string {
    const address: AddressInfo | string | null = this.#server.address();
    return `http://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`;
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
  }

  async settled(): Promise<void> {
    await Promise.all(this.#late);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const heard: Heard = { method: request.method ?? "GET", path: url.pathname, query: url.searchParams, body, headers: request.headers };
    this.asked.push(`${heard.method} ${heard.path}`);
    const kind = this.#dialect.kindOf(heard);
    if (kind !== null) this.onHeard?.(kind);
    const fault = kind === null ? undefined : this.faults[kind].shift();
    if (kind === null || fault === undefined || fault === "none") send(response, this.#do(heard));
    else await this.#misbehave(fault, kind, heard, response);
  }

  #do(heard: Heard): Reply {
    return this.#dialect.answer(heard, systemClock.nowMicros() / 1000);
  }

  async #misbehave(fault: Fault, kind: RequestKind, heard: Heard, response: ServerResponse): Promise<void> {
    if (fault.endsWith("_after")) this.#do(heard);
    switch (fault) {
      case "refuse": return send(response, this.#dialect.refusal(kind));
      case "slow":
        await elapsed(this.slowMs);
        return send(response, this.#do(heard));
      case "late": return this.#comeLate(heard);
      case "throttle": return send(response, { status: 429, body: this.#dialect.failure.body }, this.retryAfterS);
      case "error_before":
      case "error_after": return send(response, this.#dialect.failure);
      case "drop_before":
      case "drop_after": return void response.socket?.destroy();
      case "nonsense_before":
      case "nonsense_after": return send(response, { status: 200, body: "<html>under maintenance</html>" });
      case "fill_first": {
        const order = this.#dialect.targetOf(heard);
        if (order !== undefined) this.ledger.fill(order, order.quantity, systemClock.nowMicros() / 1000);
        return send(response, this.#do(heard));
      }
      default: return;
    }
  }

  #comeLate(heard: Heard): void {
    const coming = elapsed(this.lateMs).then(() => {
      this.#do(heard);
      this.#late.delete(coming);
    });
    this.#late.add(coming);
  }
}

function elapsed(ms: number): Promise<void> {
  return new Promise((resolve) => systemClock.after(ms, resolve));
}

function send(response: ServerResponse, { status, body }: Reply, retryAfterS = 0): void {
  if (retryAfterS > 0) response.setHeader("retry-after", String(retryAfterS));
  response.writeHead(status, { "content-type": typeof body === "string" ? "text/html" : "application/json" });
  response.end(body === null ? undefined : typeof body === "string" ? body : JSON.stringify(body));
}

/** Listens on a free port, or the one given. */
export async function startLoopbackBroker(dialect: Dialect, port = 0): Promise<LoopbackBroker> {
  const broker = new Loopback(dialect);
  await broker.listen(port);
  return broker;
}
