/**
 * What is different between a venue's list as it was known and as it is now. Pure.
 */
import type { Micros } from "../core/time.ts";
import type { Instrument } from "../market/instrument.ts";
import { formatScaled } from "../market/price.ts";
import type { InstrumentChange, RegisteredInstrument } from "../ports/storage.ts";

export interface ListDifference {
  /** New, changed, delisted and listed again, as they are from now on. */
  readonly instruments: readonly RegisteredInstrument[];
  readonly changes: readonly InstrumentChange[];
}

/** @param known of this venue, by id; an empty map is a venue that was never listed: then nothing counts as a change */
export function differenceOf(known: ReadonlyMap<string, RegisteredInstrument>, listed: readonly Instrument[], at: Micros): ListDifference {
  const instruments: RegisteredInstrument[] = [];
  const changes: InstrumentChange[] = [];
  const ids = new Set<string>();
  for (const instrument of listed) {
    const { id } = instrument;
    if (ids.has(id)) continue;
    ids.add(id);
    const before = known.get(id);
    const members = before === undefined ? [] : membersThatDiffer(before.instrument, instrument);
    const isListed = before === undefined || before.delistedAt !== null;
    if (isListed) changes.push({ kind: "listed", id, members: [], time: at });
    else if (members.length > 0) changes.push({ kind: "changed", id, members, time: at });
    if (isListed || members.length > 0 || !isSame(before.instrument, instrument)) instruments.push({ instrument, delistedAt: null });
  }
  for (const [id, { instrument, delistedAt }] of known) {
    if (ids.has(id) || delistedAt !== null) continue;
    instruments.push({ instrument: { ...instrument, state: "inactive" }, delistedAt: at });
    changes.push({ kind: "delisted", id, members: [], time: at });
  }
  return { instruments, changes: known.size === 0 ? [] : changes };
}

/** By the names under which clients see them. */
function membersThatDiffer(before: Instrument, now: Instrument): string[] {
  const [old, fresh] = [shown(before), shown(now)];
  return Object.keys(fresh).filter((name) => old[name] !== fresh[name]);
}

function shown(instrument: Instrument): Readonly<Record<string, string>> {
  const { native, state, tickSize, priceScale, lotSize, sizeScale } = instrument;
  return { native, tick_size: stepText(tickSize, priceScale), lot_size: stepText(lotSize, sizeScale), state };
}

/** A step as plain decimal text without zeros at its end: `0.01`. */
export function stepText(step: number, scale: number): string {
  const text = formatScaled(step, scale);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Scales may change without anything that clients see. */
function isSame(before: Instrument, now: Instrument): boolean {
  return before.priceScale === now.priceScale && before.sizeScale === now.sizeScale;
}
