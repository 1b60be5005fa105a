/**
 * Which instruments of a venue are carried, with which channels and for whom; and what the venue must be asked for it.
 *
 * Owns: the reference counts of subscriptions, how many are pulled in. Path: cold.
 */
import { ALL_CHANNELS, ChannelCounts, type ChannelMask } from "./channel-mask.ts";
import type { Entry, InstrumentSet } from "./instrument-set.ts";
import type { UpstreamChannel } from "./venue-profile.ts";

export interface CarriageLimits {
  /** Most instruments beyond the configured ones, whoever asked. */
  readonly pulledInMax: number;
  /** Most instruments on one connection. */
  readonly carriedMax: number;
}

/** Entries that need the same of the venue. */
export interface UpstreamGroup {
  readonly entries: readonly Entry[];
  /** Bits of the profile's list of channels. */
  readonly channels: number;
}

/** Told after the channels of an entry have changed. */
export type CarriageListener = (entry: Entry, before: { readonly channels: ChannelMask; readonly hasBook: boolean }) => void;

export class Carriage {
  readonly #set: InstrumentSet;
  readonly #limits: CarriageLimits;
  readonly #upstream: readonly UpstreamChannel[];
  readonly #changed: CarriageListener;
  /** What subscriptions ask for, by upper-case symbol; of instruments that are not known yet, too. */
  readonly #asked = new Map<string, ChannelCounts>();
  /** Entries whose channels changed since the venue was last told. */
  readonly #touched = new Set<Entry>();
  /** Carried beyond the configured ones. */
  pulledIn = 0;
  /** Times that there was no room. */
  refused = 0;

  constructor(set: InstrumentSet, limits: CarriageLimits, upstream: readonly UpstreamChannel[], changed: CarriageListener) {
    this.#set = set;
    this.#limits = limits;
    this.#upstream = upstream;
    this.#changed = changed;
  }

  /** Instruments that subscriptions ask for and that are not carried: unknown, or no room. */
  get waiting(): number {
    let waiting = 0;
    for (const symbol of this.#asked.keys()) if (this.#set.find(symbol)?.isCarried !== true) waiting++;
    return waiting;
  }

  /** For as long as the feed lives. False when the connection has no room. */
  configure(entry: Entry): boolean {
    if (entry.isConfigured) return true;
    if (!entry.isCarried && this.#set.carried.length >= this.#limits.carriedMax) return false;
    if (entry.isCarried) this.pulledIn--;
    entry.isConfigured = true;
    this.#settle(entry);
    return true;
  }

  /** A client asked: for as long as the feed lives. False, and counted, when there is no room. */
  demand(entry: Entry): boolean {
    if (entry.isConfigured || entry.isDemanded) return true;
    if (!this.#hasRoom(entry)) return false;
    entry.isDemanded = true;
    this.#settle(entry);
    return true;
  }

  /** One more subscription asks for these channels. Nothing is changed when there is no room. */
  hold(symbol: string, channels: ChannelMask): "carried" | "unknown" | "full" {
    const entry = this.#set.find(symbol);
    if (entry !== undefined && !this.#hasRoom(entry)) return "full";
    const key = symbol.toUpperCase();
    const counts = this.#asked.get(key) ?? new ChannelCounts();
    this.#asked.set(key, counts);
    counts.add(channels, 1);
    if (entry === undefined) return "unknown";
    this.#settle(entry);
    return "carried";
  }

  /** One subscription less. */
  letGo(symbol: string, channels: ChannelMask): void {
    const key = symbol.toUpperCase();
    const counts = this.#asked.get(key);
    if (counts === undefined) return;
    counts.add(channels, -1);
    if (counts.mask === 0) this.#asked.delete(key);
    const entry = this.#set.find(symbol);
    if (entry !== undefined) this.#settle(entry);
  }

  /** More instruments are known now: those that subscriptions wait for are carried as far as there is room. */
  learned(): void {
    for (const symbol of this.#asked.keys()) {
      const entry = this.#set.find(symbol);
      if (entry !== undefined && !entry.isCarried && this.#hasRoom(entry)) this.#settle(entry);
    }
  }

  /** The address of a new connection is about to be made: it subscribes to these, and to nothing else. */
  begin(addressed: readonly Entry[]): void {
    for (const entry of this.#set.all()) entry.upstream = 0;
    for (const entry of addressed) entry.upstream = this.#upstreamOf(entry);
    this.#touched.clear();
  }

  /** Everything carried is to be compared with what the venue was asked for. */
  touchAll(): void {
    for (const entry of this.#set.carried) this.#touched.add(entry);
  }

  /** What the venue is to be asked for, and to be left by, since the last call; from now on it counts as told. */
  changes(): { readonly leave: readonly UpstreamGroup[]; readonly join: readonly UpstreamGroup[] } {
    const leave = grouped(this.#touched, (entry) => entry.upstream & ~this.#upstreamOf(entry));
    const join = grouped(this.#touched, (entry) => this.#upstreamOf(entry) & ~entry.upstream);
    for (const entry of this.#touched) entry.upstream = this.#upstreamOf(entry);
    this.#touched.clear();
    return { leave, join };
  }

  #hasRoom(entry: Entry): boolean {
    if (entry.isCarried) return true;
    const hasRoom = this.pulledIn < this.#limits.pulledInMax && this.#set.carried.length < this.#limits.carriedMax;
    if (!hasRoom) this.refused++;
    return hasRoom;
  }

  #settle(entry: Entry): void {
    const before = { channels: entry.channels, hasBook: entry.hasBook };
    const wanted = entry.isConfigured || entry.isDemanded ? ALL_CHANNELS : (this.#asked.get(entry.instrument.symbol.toUpperCase())?.mask ?? 0);
    if (wanted === before.channels) return;
    this.#touched.add(entry);
    if (wanted === 0) {
      this.#set.release(entry);
      this.pulledIn--;
    } else if (this.#set.carry(entry, wanted, this.#upstream.some(({ serves, isBook }) => isBook && (serves & wanted) !== 0)) && !entry.isConfigured) this.pulledIn++;
    this.#changed(entry, before);
  }

  #upstreamOf(entry: Entry): number {
    return this.#upstream.reduce((bits, { serves }, bit) => ((serves & entry.channels) !== 0 ? bits | (1 << bit) : bits), 0);
  }
}

function grouped(entries: Iterable<Entry>, bitsOf: (entry: Entry) => number): UpstreamGroup[] {
  const groups = new Map<number, Entry[]>();
  for (const entry of entries) {
    const bits = bitsOf(entry);
    const group = groups.get(bits);
    if (group !== undefined) group.push(entry);
    else if (bits !== 0) groups.set(bits, [entry]);
  }
  return [...groups].map(([channels, members]) => ({ channels, entries: members }));
}
