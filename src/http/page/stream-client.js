/**
 * The page's end of the stream: ticket, connection with backoff, subscriptions, and the books kept by seq.
 */

const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15_000];
const STABLE_MS = 10_000;
const CHANNEL_OF = { quote: "quotes", trade: "trades", ticker: "ticker", status: "status" };
const CHANNELS = Object.values(CHANNEL_OF);

/** Refused for lack of a key: the page asks for one. */
export class KeyNeeded extends Error {}

export class StreamClient {
  /** Counters of the footer. */
  counts = { events: 0, missing: 0, repeated: 0, gaps: 0, reconnects: 0 };
  #seqs = new Map();
  #attempt = 0;
  #handlers;
  #key = "";

  /** @param handlers onState(state, text), onEvent(message), onFeeds(feeds), onKeyNeeded(reason), onRefused(text) */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  useKey(key) {
    this.#key = key;
    this.#attempt = 0;
    return this.connect();
  }

  async connect() {
    this.#handlers.onState("connecting", "connecting");
    try {
      const { ticket, url } = await this.#ticket();
      this.#open(url, ticket);
    } catch (error) {
      if (error instanceof KeyNeeded) {
        this.#handlers.onState("refused", "key needed");
        this.#handlers.onKeyNeeded(error.message);
      } else this.#retry("server away");
    }
  }

  async #ticket() {
    const [config, answer] = await Promise.all([
      fetch("/page-config.json").then((reply) => reply.json()),
      fetch("/v1/stream-tickets", { method: "POST", headers: this.#key === "" ? {} : { "X-API-Key": this.#key } }),
    ]);
    const body = await answer.json();
    if (answer.status === 401 || answer.status === 403) throw new KeyNeeded(this.#key === "" ? "This service gives tickets to holders of a key only." : body.detail);
    if (!answer.ok || (config.stream_url === null && config.stream_port === null)) throw new Error("not ready");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    return { ticket: body.ticket, url: config.stream_url ?? `${scheme}://${location.hostname}:${config.stream_port}/v1/stream` };
  }

  #open(url, ticket) {
    const socket = new WebSocket(url);
    let openedAt = 0;
    let delay = null;
    let refusal = "";
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(data);
      if (Array.isArray(message)) for (const event of message) this.#event(event);
      else if (message.type === "welcome") socket.send(JSON.stringify({ type: "auth", api_key: ticket }));
      else if (message.type === "authenticated") {
        openedAt = performance.now();
        this.#seqs.clear();
        for (const [i, channel] of CHANNELS.entries()) socket.send(JSON.stringify({ type: "subscribe", id: i + 1, channel, symbols: ["*"] }));
        this.#handlers.onState("live", "live");
      } else if (message.type === "goodbye") delay = message.reconnect_after_ms ?? null;
      else if (message.type === "error") {
        refusal = message.message ?? message.name;
        this.#handlers.onRefused(refusal);
      } else this.#control(message);
    });
    socket.addEventListener("close", () => {
      if (openedAt > 0 && performance.now() - openedAt > STABLE_MS) this.#attempt = 0;
      this.#retry(refusal || "connection lost", delay);
    });
  }

  #control(message) {
    if (message.type === "subscribed") {
      for (const topic of message.topics) this.#seqs.set(`${topic.channel}|${topic.symbol}`, topic.seq);
    } else if (message.type === "heartbeat") {
      this.#handlers.onFeeds(message.feeds);
      this.#handlers.onBanner(message.banner ?? null);
    } else if (message.type === "gap") this.#gap(message);
  }

  #gap({ channel, symbol, to }) {
    this.counts.gaps++;
    const topic = `${channel}|${symbol}`;
    if (typeof to === "number") this.#seqs.set(topic, to);
    else this.#seqs.delete(topic);
  }

  #event(event) {
    if (event.type === "gap") return this.#gap(event);
    const topic = `${CHANNEL_OF[event.type]}|${event.symbol}`;
    const last = this.#seqs.get(topic);
    if (event.snapshot !== true) {
      this.counts.events++;
      if (last !== undefined && event.seq > last + 1) this.counts.missing += event.seq - last - 1;
      if (last !== undefined && event.seq <= last) this.counts.repeated++;
    }
    if (last === undefined || event.seq > last) this.#seqs.set(topic, event.seq);
    this.#handlers.onEvent(event);
  }

  #retry(reason, delay = null) {
    const base = BACKOFF_MS[Math.min(this.#attempt++, BACKOFF_MS.length - 1)];
    const wait = delay ?? base * (0.5 + Math.random() / 2);
    this.counts.reconnects++;
    this.#handlers.onState("waiting", `${reason}, again in ${(wait / 1000).toFixed(1)} s`);
    setTimeout(() => void this.connect(), wait);
  }
}
