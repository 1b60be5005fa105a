/**
 * A push feed for one test: real TCP, fake clock, keys by name, a sink that keeps everything.
 */
import { afterEach } from "vitest";
import { PushFeed, type PushFeedOptions } from "../../src/feeds/push/push-feed.ts";
import type { Grant } from "../../src/ports/access.ts";
import { CollectingSink } from "./collecting-sink.ts";
import { FakeClock } from "./fake-clock.ts";
import { PushClient } from "./push-client.ts";

const KEYS: Readonly<Record<string, Grant>> = {
  tk_publisher: { keyId: "k1", scopes: ["publish"], isBreakglass: false },
  tk_admin: { keyId: "k2", scopes: ["read", "trade", "admin", "publish"], isBreakglass: false },
  tk_reader: { keyId: "k3", scopes: ["read"], isBreakglass: false },
};
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const feeds: PushFeed[] = [];
const clients: PushClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  for (const feed of feeds.splice(0)) await feed.stop();
});

/** A feed on a free port of this machine, on a fake clock; stopped after the test. */
export async function startPush(options: Partial<PushFeedOptions> = {}) {
  const sink = new CollectingSink();
  const clock = new FakeClock();
  const feed = new PushFeed({
    sink, clock, log: silent, keys: { check: (secret) => KEYS[secret] ?? null }, host: "127.0.0.1", port: 0,
    lineBytesMax: 1_048_576, connectionsMax: 8, venuesTaken: () => new Set(["coinbase"]), ...options,
  });
  await feed.start();
  feeds.push(feed);
  const open = async (key?: string) => {
    const client = await PushClient.open(feed.port(), key);
    clients.push(client);
    return client;
  };
  const of = (kind: string) => sink.events.filter((event) => event.kind === kind);
  const count = (name: string, reason?: string) =>
    feed.samples().find((sample) => sample.name === `ticker_push_${name}` && (reason === undefined || sample.labels["reason"] === reason))?.value ?? 0;
  const statuses = () => sink.events.flatMap((event) => (event.kind === "status" ? [`${sink.idOf(event)} ${event.state} ${event.reason}`.trim()] : []));
  return { sink, clock, feed, open, of, count, statuses };
}

/** A trade as a producer sends it. */
export const trade = (fields: Readonly<Record<string, unknown>> = {}) => ({ type: "trade", symbol: "mine:ABC-USD", price: "10.5", size: "2", side: "buy", id: "7", time: 1_700_000_000_000_001, create: true, ...fields });
