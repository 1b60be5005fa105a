/**
 * The real stream thread, which fails when a file appears: FEED_INSTRUMENTS is `fail:PATH`. The file is removed first.
 */
import { existsSync, rmSync } from "node:fs";
import { workerData } from "node:worker_threads";
import "../../src/compose/stream.ts";
import type { StreamOptions } from "../../src/compose/stream-options.ts";
import { systemClock } from "../../src/core/clock.ts";

const options: StreamOptions = workerData;
const marker = (options.feedInstruments[0] ?? "").replace(/^fail:/, "");

const look = systemClock.every(20, () => {
  if (!existsSync(marker)) return;
  rmSync(marker);
  look.stop();
  throw new Error("the test wants it to fail");
});
