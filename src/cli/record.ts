/**
 * Records a venue's traffic to a file: `node src/cli/record.ts --help`.
 */
import { parseArgs } from "node:util";
import { systemClock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { binanceFeed } from "../feeds/binance/feed.ts";
import { coinbaseFeed } from "../feeds/coinbase/feed.ts";
import { krakenFeed } from "../feeds/kraken/feed.ts";
import { Recorder } from "../feeds/recorder.ts";
import type { EventSink } from "../ports/records.ts";
import type { Logger, LogFields } from "../ports/telemetry.ts";

const USAGE = `node src/cli/record.ts --venue binance|coinbase|kraken --out FILE.jsonl.gz [--for SECONDS] [--instruments BTC-USD,ETH-USD] [--ws-url URL] [--rest-url URL]
Records until --for seconds have passed (default 60) or Ctrl-C; play it with FEEDS=replay:FILE.jsonl.gz npm start.`;

const FEEDS = { binance: binanceFeed, coinbase: coinbaseFeed, kraken: krakenFeed } as const;
const SECONDS_MAX = 86_400;

/** The events themselves are not wanted, only what crosses the socket. */
function nowhere(): EventSink {
  const known = new Map<string, number>();
  return {
    define: (instrument) => {
      const index = known.get(instrument.id) ?? known.size;
      known.set(instrument.id, index);
      return index;
    },
    event: () => null,
    lost: () => {},
    endOfRead: () => {},
  };
}

function say(fields: LogFields, message: string): void {
  console.error(message, JSON.stringify(fields));
}

const log: Logger = { debug: () => {}, info: say, warn: say, error: say };

async function record(): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { venue: text, out: text, for: text, instruments: text, "ws-url": text, "rest-url": text, help: { type: "boolean", default: false } } });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const seconds = Number(values.for ?? "60");
  if (!(seconds > 0 && seconds <= SECONDS_MAX)) throw new Error(`--for: expected seconds from above 0 to ${SECONDS_MAX}, found "${values.for}"`);
  if (values.out === undefined) throw new Error("--out: expected the file to write, found nothing");
  const { venue } = values;
  if (venue !== "binance" && venue !== "coinbase" && venue !== "kraken") throw new Error(`--venue: expected one of ${Object.keys(FEEDS).join(", ")}, found "${venue ?? ""}"`);
  const recorder = new Recorder(values.out, venue.toUpperCase(), systemClock);
  const feed = FEEDS[venue]({
    sink: nowhere(), clock: systemClock, log, random: Math.random, tap: recorder,
    wsUrl: values["ws-url"], restUrl: values["rest-url"],
    instruments: (values.instruments ?? "").split(",").filter((name) => name !== ""),
  });
  await feed.start();
  await new Promise<void>((resolve) => {
    const timer = systemClock.after(seconds * 1000, resolve);
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => {
        timer.stop();
        resolve();
      });
    }
  });
  await feed.stop();
  await recorder.close();
  console.log(`${recorder.records} records in ${values.out}${recorder.dropped > 0 ? `, ${recorder.dropped} left out because the disk did not keep up` : ""}`);
}

try {
  await record();
} catch (error) {
  console.error(`${messageOf(error)}\n${USAGE}`);
  process.exitCode = 1;
}
