/**
 * Streams to the terminal: one line per message, until Ctrl-C.
 */

export interface TailOptions {
  readonly symbols: readonly string[];
  readonly channels: readonly string[];
  /** Null: a ticket is fetched, which works on the service's own machine outside production. */
  readonly key: string | null;
  /** End after this many messages; null: never. */
  readonly count: number | null;
  readonly httpUrl: string;
  readonly streamUrl: string;
}

/** Answers the exit code: 0 after `count` messages, 1 when the connection ended. */
export async function tail(options: TailOptions): Promise<number> {
  if (options.symbols.length === 0) throw new TypeError("tail needs at least one symbol, e.g. sim:BTC-USD or sim:*");
  const secret = options.key ?? await ticketFrom(options.httpUrl);
  const socket = new WebSocket(options.streamUrl);
  let left = options.count ?? Number.POSITIVE_INFINITY;
  let refused = 0;
  return new Promise((resolve) => {
    socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "auth", api_key: secret })));
    socket.addEventListener("error", () => console.error(`cannot reach ${options.streamUrl}`));
    socket.addEventListener("close", (event) => {
      if (left > 0) console.error(`closed ${event.code} ${event.reason}`);
      resolve(left > 0 ? 1 : 0);
    });
    socket.addEventListener("message", (event) => {
      const message: unknown = JSON.parse(String(event.data));
      if (!Array.isArray(message)) {
        if (!control(message, socket, options)) refused++;
        if (refused === options.channels.length) socket.close(1000, "no such symbol");
        return;
      }
      for (const entry of message) {
        if (left <= 0) return;
        console.log(line(entry));
        if (--left <= 0) socket.close(1000);
      }
    });
  });
}

/** Acts on a control message; false when it says that a subscription got nothing. */
function control(message: unknown, socket: WebSocket, { channels, symbols }: TailOptions): boolean {
  if (typeof message !== "object" || message === null || !("type" in message)) return true;
  if (message.type === "authenticated") {
    for (const [i, channel] of channels.entries()) socket.send(JSON.stringify({ type: "subscribe", id: i + 1, channel, symbols }));
  } else if (message.type === "subscribed" && "topics" in message && "rejected" in message && Array.isArray(message.topics) && Array.isArray(message.rejected)) {
    if (message.rejected.length > 0) console.error(`rejected: ${JSON.stringify(message.rejected)}`);
    return message.topics.length > 0 || message.rejected.length === 0;
  } else if (message.type !== "welcome" && message.type !== "heartbeat") console.error(JSON.stringify(message));
  return message.type !== "error";
}

async function ticketFrom(httpUrl: string): Promise<string> {
  const url = new URL("/v1/stream-tickets", httpUrl);
  const answer = await fetch(url, { method: "POST" }).catch((error: unknown) => {
    throw new TypeError(`cannot reach ${url.href}: ${String(error)}; is the service running? --http says where`);
  });
  const body: unknown = await answer.json();
  if (typeof body === "object" && body !== null && "ticket" in body && typeof body.ticket === "string") return body.ticket;
  throw new TypeError(`no ticket without a key (${answer.status}); give one with --key`);
}

/** `quote sim:BTC-USD #12 bid=... ask=...`. */
function line(entry: unknown): string {
  if (typeof entry !== "object" || entry === null) return String(entry);
  const { type, symbol, seq, time: _time, received: _received, ...rest } = Object.fromEntries<unknown>(Object.entries(entry));
  const fields = Object.entries(rest).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return [String(type), String(symbol), `#${String(seq)}`, ...fields].join(" ");
}
