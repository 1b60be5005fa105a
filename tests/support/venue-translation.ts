/**
 * Recorded messages of older protocol versions, told in the words of the present ones, so that those mappers meet real books.
 */
import { krakenV2Native } from "../../src/feeds/kraken/instruments.ts";
import { list, member } from "./venue-data.ts";

/** Coinbase Exchange `snapshot` and `l2update` as Advanced Trade l2_data without its number; null for other messages. */
export function advancedOf(message: unknown): Record<string, unknown> | null {
  const type = member(message, "type");
  const time = String(member(message, "time"));
  const side = (name: unknown): string => (name === "buy" ? "bid" : "offer");
  const envelope = (kind: string, timestamp: string, updates: unknown[]): Record<string, unknown> =>
    ({ channel: "l2_data", timestamp, events: [{ type: kind, product_id: member(message, "product_id"), updates }] });
  if (type === "l2update") {
    return envelope("update", time, list(member(message, "changes")).map((change) =>
      ({ side: side(member(change, 0)), event_time: time, price_level: member(change, 1), new_quantity: member(change, 2) })));
  }
  if (type !== "snapshot") return null;
  const levels = (name: string, key: string): unknown[] => list(member(message, key)).map((level) =>
    ({ side: name, event_time: "1970-01-01T00:00:00Z", price_level: member(level, 0), new_quantity: member(level, 1) }));
  return envelope("snapshot", "2021-04-17T16:43:37.000000Z", [...levels("bid", "bids"), ...levels("offer", "asks")]);
}

/** Messages with the number of their place in the connection. */
export function numbered(messages: readonly Record<string, unknown>[], first = 0): Record<string, unknown>[] {
  return messages.map((message, i) => ({ ...message, sequence_num: first + i }));
}

/** Kraken v1 book data as v2; null for other messages. */
export function v2Of(message: unknown): Record<string, unknown> | null {
  if (!Array.isArray(message) || !String(message.at(-2)).startsWith("book")) return null;
  const parts = message.slice(1, -2);
  const isSnapshot = member(parts[0], "as") !== undefined || member(parts[0], "bs") !== undefined;
  const levels = parts.flatMap((part: unknown) => ["a", "b", "as", "bs"].flatMap((key) => {
    const side = member(part, key);
    return side === undefined ? [] : list(side).map((level) => ({ key: key.slice(0, 1), level }));
  }));
  const of = (key: string): unknown[] => levels.filter((each) => each.key === key)
    .map(({ level }) => ({ price: Number(member(level, 0)), qty: Number(member(level, 1)) }));
  const newest = levels.map(({ level }) => String(member(level, 2))).toSorted().at(-1) ?? "0.000000";
  const [seconds, fraction] = newest.split(".");
  const timestamp = `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${fraction ?? "0"}Z`;
  const checksum = parts.map((part: unknown) => member(part, "c")).find((c: unknown) => c !== undefined);
  const entry = { symbol: krakenV2Native(String(message.at(-1))), bids: of("b"), asks: of("a"), timestamp };
  return {
    channel: "book", type: isSnapshot ? "snapshot" : "update",
    data: [checksum === undefined ? entry : { ...entry, checksum: Number(checksum) }],
  };
}

/** What a v2 connection says before the data: the depth of each book, and the decimals that enter the checksum. */
export function v2Preamble(messages: readonly unknown[]): Record<string, unknown>[] {
  const decimals = (text: unknown): number => String(text).length - String(text).indexOf(".") - 1;
  const snapshots = messages.filter((message) => Array.isArray(message) && member(message[1], "as") !== undefined);
  const pairs = snapshots.map((message) => {
    const level = member(member(member(message, 1), "as"), 0);
    return { symbol: krakenV2Native(String(list(message).at(-1))), price_precision: decimals(member(level, 0)), qty_precision: decimals(member(level, 1)) };
  });
  return [
    { channel: "instrument", type: "snapshot", data: { assets: [], pairs } },
    ...pairs.map(({ symbol }) => ({ method: "subscribe", result: { channel: "book", depth: 1000, snapshot: true, symbol }, success: true })),
  ];
}
