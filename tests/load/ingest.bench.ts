/**
 * `npm run bench:ingest`: recorded exchange traffic through JSON.parse, mapper, ingest and an idle fan-out, as fast as possible.
 *
 * What is printed is processor time of this process per recorded message, so it is messages per second of one core.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { systemClock } from "../../src/core/clock.ts";
import { micros } from "../../src/core/time.ts";
import { Fanout } from "../../src/fanout/fanout.ts";
import { KeyTable } from "../../src/fanout/key-table.ts";
import { createPlaceTable } from "../../src/fanout/places.ts";
import { type CaptureRecord, readCaptureSync } from "../../src/feeds/capture.ts";
import { InstrumentSet } from "../../src/feeds/instrument-set.ts";
import type { MapperOutput } from "../../src/feeds/mapper.ts";
import { surveyCapture } from "../../src/feeds/replay-survey.ts";
import { Pipeline } from "../../src/ingest/pipeline.ts";
import { TEST_OPTIONS } from "../support/stream-rig.ts";
import { median } from "./load-group.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "7" }, messages: { type: "string", default: "100000" }, help: { type: "boolean", default: false } } });
if (values.help) {
  console.log("npm run bench:ingest -- [--rounds N (7)] [--messages N (100000): a recording is played again until a round has so many]");
  process.exit(0);
}
const CAPTURES = ["BINANCE_SPOT_BTCUSDT_2024-08-08", "BINANCE", "BINANCE_US", "COINBASE", "KRAKEN"];
/** Messages a second per core, on the Binance recordings. */
const BAR = 150_000;

interface Tally { messages: number; events: number; /** Processor microseconds of the messages. */ micros: number; /** Those of the recorded REST answers (book snapshots of 1,000 levels). */ answerMicros: number }

/** Plays the recording once through new parts; what is not timed (survey, definitions) is done before. */
async function player(path: string, records: readonly CaptureRecord[]): Promise<() => Tally> {
  const { profile, instruments } = await surveyCapture(path, systemClock);
  return () => {
    const fanout = new Fanout({ clock: systemClock, options: TEST_OPTIONS, epoch: "bench", keys: new KeyTable([]), redeem: (_ticket, done) => done(null), placeTable: createPlaceTable(), demand: () => {} });
    const pipeline = new Pipeline(systemClock, [fanout], { flushMaxMs: 5, jumpBandPct: 10, instrumentsMax: 20_000 });
    const set = new InstrumentSet(pipeline, instruments.length, profile.spellings);
    for (const instrument of instruments) {
      const entry = set.define({ ...instrument, timeBase: "event" });
      if (entry) set.carry(entry);
    }
    const tally: Tally = { messages: 0, events: 0, micros: 0, answerMicros: 0 };
    const out: MapperOutput = {
      event: (event) => { if (pipeline.event(event) === null) tally.events++; },
      resync: () => {}, synced: () => {}, malformed: () => {}, control: () => {},
    };
    const mapper = profile.mapper(set, out);
    const before = process.cpuUsage();
    for (const record of records) {
      const at = micros(Math.round(record.ts * 1000));
      if (record.kind === "http") {
        const start = process.cpuUsage();
        mapper.answer(record.url, record.raw, at);
        const took = process.cpuUsage(start);
        tally.answerMicros += took.user + took.system;
      }
      if (record.kind !== "message" || record.dir !== "in") continue;
      tally.messages++;
      mapper.message(JSON.parse(record.raw), at);
      pipeline.flush();
    }
    const { user, system } = process.cpuUsage(before);
    tally.micros = user + system - tally.answerMicros;
    return tally;
  };
}

for (const name of CAPTURES) {
  const path = fileURLToPath(new URL(`../../../shared/data/captures/${name}.jsonl.gz`, import.meta.url));
  if (!existsSync(path)) {
    console.log(`skipped ${name}: no recordings beside the project`);
    continue;
  }
  const play = await player(path, readCaptureSync(path));
  let tally = play();
  const passes = Math.ceil(Number(values.messages) / tally.messages);
  const micros: number[] = [];
  let answers = 0;
  for (let round = 0; round < Number(values.rounds); round++) {
    let total = 0;
    answers = 0;
    for (let pass = 0; pass < passes; pass++) {
      tally = play();
      total += tally.micros;
      answers += tally.answerMicros / passes;
    }
    micros.push(total / (tally.messages * passes));
  }
  const each = median(micros);
  const bar = name.startsWith("BINANCE") ? `  bar ${BAR.toLocaleString("en")}` : "";
  console.log(`${name.padEnd(33)} ${String(tally.messages).padStart(6)} messages, ${String(tally.events).padStart(6)} events: ${each.toFixed(2).padStart(6)} us (${Math.min(...micros).toFixed(2)} to ${Math.max(...micros).toFixed(2)}), ${Math.round(1e6 / each).toLocaleString("en").padStart(9)} messages/s per core${bar}${answers > 0 ? `; REST snapshots ${(answers / 1000).toFixed(1)} ms in all` : ""}`);
}
