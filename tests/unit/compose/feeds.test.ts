/**
 * Which feeds may run beside each other: one owner a venue.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { CircuitBreakers } from "../../../src/adapters/breaker.ts";
import { createFeeds } from "../../../src/compose/feeds.ts";
import type { FeedSpec } from "../../../src/compose/stream-options.ts";
import { loadConfig } from "../../../src/config.ts";
import { KeyTable } from "../../../src/fanout/key-table.ts";
import { CollectingSink } from "../../support/collecting-sink.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog } from "../../support/silent-log.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ticker-feeds-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A recording of one message of the exchange. */
function recording(name: string, exchange: string): FeedSpec {
  const path = join(folder, name);
  writeFileSync(path, gzipSync(`${JSON.stringify({ ts: 1, exchange, conn: "ws.1", dir: "in", raw: "{}" })}\n`));
  return { kind: "replay", path, speed: 1 };
}

const venue = (name: "binance" | "kraken"): FeedSpec => ({ kind: "venue", venue: name, wsUrl: null, restUrl: null });
const claim = (...feeds: FeedSpec[]): Promise<void> => {
  const options = { ...loadConfig({}).stream, feeds, keys: [], trips: [], memory: { instruments: [], carried: [] } };
  return createFeeds({ options, clock: new FakeClock(), log: new KeepingLog(), sink: new CollectingSink(), keys: new KeyTable([]), breakers: new CircuitBreakers({ clock: new FakeClock(), limits: options.breakers }), listed: () => undefined }).venues.start();
};

it("refuses a venue beside a recording of it, in a sentence that names both", async () => {
  const replay = recording("b.jsonl.gz", "BINANCE");
  await expect(claim(venue("binance"), venue("kraken"), replay)).rejects.toThrow(`FEEDS: "binance" and "replay:${folder}/b.jsonl.gz" are both of the venue binance; keep one of them`);
});

it("refuses two recordings of one venue", async () => {
  await expect(claim(recording("k1.jsonl.gz", "KRAKEN"), recording("k2.jsonl.gz", "KRAKEN"))).rejects.toThrow(/k1\.jsonl\.gz" and "replay:.*k2\.jsonl\.gz" are both of the venue kraken/);
});

it("lets feeds of different venues run beside each other, a recording of Binance US beside Binance among them", async () => {
  await expect(claim({ kind: "sim" }, { kind: "push" }, venue("binance"), venue("kraken"), recording("us.jsonl.gz", "BINANCE_US"))).resolves.toBeUndefined();
});

it("leaves it to a recording that cannot be read to say so itself", async () => {
  await expect(claim(venue("binance"), { kind: "replay", path: join(folder, "absent.gz"), speed: 1 })).resolves.toBeUndefined();
});
