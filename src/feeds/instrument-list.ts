/**
 * What every parser of a venue's instrument list answers.
 */
import type { Instrument } from "../market/instrument.ts";

export interface InstrumentList {
  readonly instruments: readonly Instrument[];
  /** Entries that could not be read, each left out. */
  readonly skipped: number;
}
