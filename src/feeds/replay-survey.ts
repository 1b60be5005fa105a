/**
 * Reads a recording from end to end to learn of which venue it is and which instruments it holds.
 *
 * Path: cold, but long: gives way to the rest of the thread.
 */
import type { Clock } from "../core/clock.ts";
import { FeedError, messageOf } from "../core/errors.ts";
import type { Instrument, InstrumentIndex } from "../market/instrument.ts";
import { micros } from "../core/time.ts";
import { readCapture, type CaptureRecord } from "./capture.ts";
import type { InstrumentLookup, MapperOutput } from "./mapper.ts";
import { replayProfile, type ReplayProfile } from "./replay-venues.ts";

export interface CaptureSurvey {
  readonly profile: ReplayProfile;
  /** The exchange's name in lower case. */
  readonly venue: string;
  /** Those with market data, in order of appearance, defined by the recorded list or else assumed. */
  readonly instruments: readonly Instrument[];
  /** WebSocket messages from the venue. */
  readonly messages: number;
}

const SLICE_MS = 4;

/** Says nothing: the survey only wants to know what is looked up. */
const NOBODY: MapperOutput = { event: () => {}, resync: () => {}, synced: () => {}, malformed: () => {}, control: () => {} };

/** Answers every spelling that the list knows or that can be assumed, and remembers which were asked for. */
class SurveyLookup implements InstrumentLookup {
  readonly asked = new Map<string, { readonly index: InstrumentIndex; readonly instrument: Instrument }>();
  readonly #listed = new Map<string, Instrument>();
  readonly #profile: ReplayProfile;

  constructor(profile: ReplayProfile) {
    this.#profile = profile;
  }

  list(instruments: readonly Instrument[]): void {
    for (const instrument of instruments) {
      for (const spelling of [instrument.native, ...this.#profile.spellings(instrument.native)]) this.#listed.set(spelling, instrument);
    }
  }

  byNative(native: string): { readonly index: InstrumentIndex; readonly instrument: Instrument } | undefined {
    let found = this.asked.get(native);
    if (found !== undefined) return found;
    const instrument = this.#listed.get(native) ?? this.#profile.assume(native);
    if (instrument === null) return undefined;
    found = { index: this.asked.size, instrument };
    this.asked.set(native, found);
    return found;
  }
}

/** @throws {FeedError} when the recording cannot be read, is of a venue without a mapper, or holds no instrument. */
export async function surveyCapture(path: string, clock: Clock): Promise<CaptureSurvey> {
  let exchange = "";
  let messages = 0;
  let profile: ReplayProfile | null = null;
  let lookup: SurveyLookup | null = null;
  let feed: ((record: CaptureRecord) => void) | null = null;
  let sliceMs = clock.monotonicMs();
  for await (const record of readCapture(path)) {
    if (profile === null || lookup === null || feed === null) {
      exchange = record.exchange;
      profile = replayProfile(exchange, path);
      lookup = new SurveyLookup(profile);
      feed = reader(profile, lookup, path);
    }
    if (record.exchange !== exchange) throw new FeedError(`recording ${path}: expected one exchange, found "${exchange}" and "${record.exchange}"`);
    if (record.dir === "in" && record.kind === "message") messages++;
    feed(record);
    if (clock.monotonicMs() - sliceMs < SLICE_MS) continue;
    await new Promise<void>((resolve) => clock.endOfTurn(resolve));
    sliceMs = clock.monotonicMs();
  }
  if (profile === null || lookup === null) throw new FeedError(`recording ${path}: expected at least one record, found none`);
  const venue = exchange.toLowerCase();
  const instruments = new Map([...lookup.asked.values()].map(({ instrument }) => [instrument.symbol, inVenue(instrument, venue)]));
  if (instruments.size === 0) throw new FeedError(`recording ${path}: expected market data of known instruments, found none in ${messages} messages`);
  return { profile, venue, instruments: [...instruments.values()], messages };
}

/** The venue that a recording names in its first record. @throws {FeedError} when that cannot be read. */
export async function captureVenue(path: string): Promise<string> {
  const records = readCapture(path);
  const first = await records.next();
  await records.return(undefined);
  if (first.done === true) throw new FeedError(`recording ${path}: expected at least one record, found none`);
  return first.value.exchange.toLowerCase();
}

function reader(profile: ReplayProfile, lookup: SurveyLookup, path: string): (record: CaptureRecord) => void {
  const mapper = profile.mapper(lookup, NOBODY);
  return (record) => {
    if (record.dir !== "in" || record.frame === "binary") return;
    try {
      if (record.kind === "http" && new URL(record.url).pathname === profile.listPath) lookup.list(profile.parseList(JSON.parse(record.raw)).instruments);
      else if (record.kind === "message") mapper.message(JSON.parse(record.raw), micros(Math.round(record.ts * 1000)));
    } catch (error) {
      // A message that is no JSON is counted when it is played; a list that is none makes the recording useless.
      if (record.kind === "http") throw new FeedError(`recording ${path}: instrument list: ${messageOf(error)}`, { cause: error });
    }
  };
}

/** `binance_us` is read like `binance` but is a venue of its own. */
function inVenue(instrument: Instrument, venue: string): Instrument {
  return { ...instrument, venue, id: `${venue}:${instrument.symbol}` };
}
