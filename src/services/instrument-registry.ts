/**
 * The instruments of all venues: the lists as the venues told them, kept in memory and in the database, searched and compared.
 *
 * Owns: the newest list of each venue, what is not stored yet. Runs on: main thread.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { messageOf, NotFoundError, StoreError } from "../core/errors.ts";
import type { Micros } from "../core/time.ts";
import type { Instrument } from "../market/instrument.ts";
import type { ListOutcome } from "../ports/feeds.ts";
import type { NewestValues } from "../ports/newest-values.ts";
import type { InstrumentChange, InstrumentChangeKind, InstrumentStore, ListRefresh, RegisteredInstrument } from "../ports/storage.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { Catalogue, type InstrumentQuery } from "./instrument-catalogue.ts";
import { differenceOf } from "./instrument-diff.ts";

/** A list that could not be stored is tried again this often. */
const RETRY_MS = 5_000;
/** Changes of a venue that wait for the database; beyond it the oldest are dropped, counted. */
const UNSAVED_CHANGES_MAX = 10_000;
/** Ids that a log line names of each kind of change. */
const LOGGED_IDS_MAX = 20;
const KINDS: readonly InstrumentChangeKind[] = ["listed", "delisted", "changed"];

export interface InstrumentRegistryDeps {
  readonly store: InstrumentStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the stream knows, for venues without a list. */
  readonly values: Pick<NewestValues, "instruments">;
  /** Venues in `FEEDS` that have a list. Lists of others are left in the database. */
  readonly listVenues: readonly string[];
  /** Venues in `FEEDS` that make their instruments up: known before the stream has said any. */
  readonly madeVenues: readonly string[];
  /** A list is asked for this often; twice as old, it is stale. */
  readonly refreshMs: number;
  /** Most instruments of all lists, delisted ones included; beyond it the ones delisted first are forgotten. */
  readonly instrumentsMax: number;
}

/** Where the instruments of a venue come from. */
export type ListSource = "venue" | "cache" | "feed" | "none";

export interface VenueListState {
  readonly venue: string;
  readonly source: ListSource;
  readonly count: number;
  readonly active: number;
  readonly refreshedAt: Micros | null;
  readonly attemptedAt: Micros | null;
  readonly nextAt: Micros | null;
  /** Milliseconds since `refreshedAt`; null when that is. */
  readonly ageMs: number | null;
  readonly isStale: boolean;
  /** Why it is; empty when it is not. */
  readonly why: string;
}

/** Told of every refresh that found something different, in the order of the refreshes. */
export type InstrumentChangeListener = (venue: string, changes: readonly InstrumentChange[]) => void;

interface VenueList {
  refresh: ListRefresh;
  nextAt: Micros | null;
  /** Told by the venue since this process started. */
  isFresh: boolean;
  /** What the newest refresh that worked has found. */
  changes: readonly InstrumentChange[];
  /** Not in the database yet. */
  readonly unsaved: Map<string, RegisteredInstrument>;
  unsavedChanges: readonly InstrumentChange[];
  isUnsaved: boolean;
}

export class InstrumentRegistry implements Component, MetricSource {
  readonly name = "instruments";
  readonly #deps: InstrumentRegistryDeps;
  readonly #known = new Map<string, Map<string, RegisteredInstrument>>();
  readonly #lists = new Map<string, VenueList>();
  readonly #listeners: InstrumentChangeListener[] = [];
  #listed = new Catalogue([]);
  #all = new Catalogue([]);
  /** Of which `#all` was made. */
  #seen: { readonly listed: Catalogue; readonly values: readonly Instrument[] } | null = null;
  #saving: Promise<void> = Promise.resolve();
  #retry: Timer | null = null;
  readonly #counts: Record<InstrumentChangeKind, number> = { listed: 0, delisted: 0, changed: 0 };
  #refreshes = 0;
  #failures = 0;
  #storeFailures = 0;
  #forgotten = 0;
  #changesDropped = 0;

  constructor(deps: InstrumentRegistryDeps) {
    this.#deps = deps;
    for (const venue of deps.listVenues) this.#known.set(venue, new Map());
  }

  /** Reads the lists of the last time. @throws {StoreError} when the database is away. */
  async start(): Promise<void> {
    const { store } = this.#deps;
    for (const registered of await store.list()) this.#known.get(registered.instrument.venue)?.set(registered.instrument.id, registered);
    for (const refresh of await store.refreshes()) if (this.#known.has(refresh.venue)) this.#lists.set(refresh.venue, newList(refresh));
    this.#rebuild();
  }

  async stop(): Promise<void> {
    this.#retry?.stop();
    await this.#saving;
  }

  /** The lists for a stream thread that starts: it goes on with them while a venue's REST is away. */
  remembered(): readonly Instrument[] {
    return this.#listed.entries.map(({ instrument }) => instrument);
  }

  onChange(listener: InstrumentChangeListener): void {
    this.#listeners.push(listener);
  }

  /** What a venue has answered: compared and told at once, stored soon; what cannot be stored is tried again. */
  hear(outcome: ListOutcome): void {
    const known = this.#known.get(outcome.venue);
    if (known === undefined) return;
    const { venue, at } = outcome;
    const list = this.#lists.get(venue) ?? newList({ venue, refreshedAt: null, attemptedAt: at, failure: null, count: 0 });
    this.#lists.set(venue, list);
    list.nextAt = outcome.nextAt;
    list.isUnsaved = true;
    if (outcome.kind === "failed") {
      this.#failures++;
      list.refresh = { ...list.refresh, attemptedAt: at, failure: outcome.failure };
    } else this.#take(list, known, outcome.instruments, at);
    this.#save();
  }

  /** What the newest refresh of a venue that worked has found. */
  newestChanges(venue: string): readonly InstrumentChange[] {
    return this.#lists.get(venue)?.changes ?? [];
  }

  /** Resolves when everything heard so far has been stored, or was tried to. */
  settled(): Promise<void> {
    return this.#saving;
  }

  find(spelling: string): RegisteredInstrument | null {
    return this.#catalogue().find(spelling);
  }

  /** @throws {NotFoundError} `unknown_symbol` with `did_you_mean` */
  get(spelling: string): RegisteredInstrument {
    const found = this.find(spelling);
    if (found !== null) return found;
    const near = this.suggest(spelling);
    const hint = near.length === 0 ? "see GET /v1/instruments?q=" : `did you mean ${near.join(", ")}?`;
    throw new NotFoundError(`id: there is no instrument "${spelling}"; ${hint}`, "unknown_symbol", { did_you_mean: near });
  }

  suggest(spelling: string): readonly string[] {
    return this.#catalogue().suggest(spelling);
  }

  /** By id, ascending. */
  search(query: InstrumentQuery): readonly RegisteredInstrument[] {
    return this.#catalogue().search(query);
  }

  /** Each venue, by name. */
  status(): readonly VenueListState[] {
    const venues = new Set([...this.#deps.listVenues, ...this.#deps.madeVenues, ...this.#catalogue().entries.map(({ instrument }) => instrument.venue)]);
    const counts = new Map([...venues].map((venue) => [venue, { count: 0, active: 0 }]));
    for (const { instrument } of this.#catalogue().entries) {
      const count = counts.get(instrument.venue);
      if (count === undefined) continue;
      count.count++;
      if (instrument.state === "active") count.active++;
    }
    return [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([venue, { count, active }]) => ({ venue, count, active, ...this.#stateOf(venue, count) }));
  }

  samples(): MetricSample[] {
    const states = this.status();
    const sample = (name: string, help: string, type: "counter" | "gauge", value: number, labels: Record<string, string> = {}): MetricSample => ({ name, help, type, labels, value });
    return [
      ...states.map(({ venue, count }) => sample("ticker_registry_instruments", "Instruments known of a venue, delisted ones included", "gauge", count, { venue })),
      ...states.map(({ venue, isStale }) => sample("ticker_registry_stale", "1 while the list of a venue is stale", "gauge", isStale ? 1 : 0, { venue })),
      ...states.flatMap(({ venue, ageMs }) => (ageMs === null ? [] : [sample("ticker_registry_age_seconds", "Since the list of a venue came", "gauge", ageMs / 1000, { venue })])),
      ...KINDS.map((kind) => sample("ticker_registry_changes_total", "Instruments that a refresh found listed, delisted or changed", "counter", this.#counts[kind], { kind })),
      sample("ticker_registry_refreshes_total", "Lists that came", "counter", this.#refreshes),
      sample("ticker_registry_failures_total", "Lists that did not come", "counter", this.#failures),
      sample("ticker_registry_store_failures_total", "Times that a list could not be stored; it is tried again", "counter", this.#storeFailures),
      sample("ticker_registry_changes_dropped_total", "Changes that were never stored because the database was away for too long", "counter", this.#changesDropped),
      sample("ticker_registry_forgotten_total", "Delisted instruments that were forgotten for want of room", "counter", this.#forgotten),
    ];
  }

  #take(list: VenueList, known: Map<string, RegisteredInstrument>, instruments: readonly Instrument[], at: Micros): void {
    const { instruments: fresh, changes } = differenceOf(known, instruments, at);
    for (const registered of fresh) {
      known.set(registered.instrument.id, registered);
      list.unsaved.set(registered.instrument.id, registered);
    }
    this.#refreshes++;
    list.refresh = { venue: list.refresh.venue, refreshedAt: at, attemptedAt: at, failure: null, count: instruments.length };
    list.isFresh = true;
    list.changes = changes;
    const unsaved = [...list.unsavedChanges, ...changes];
    this.#changesDropped += Math.max(0, unsaved.length - UNSAVED_CHANGES_MAX);
    list.unsavedChanges = unsaved.slice(-UNSAVED_CHANGES_MAX);
    if (fresh.length > 0) this.#rebuild();
    if (changes.length > 0) this.#tell(list.refresh.venue, changes);
  }

  #tell(venue: string, changes: readonly InstrumentChange[]): void {
    const idsOf = (kind: InstrumentChangeKind): string[] => changes.filter((change) => change.kind === kind).map(({ id }) => id);
    const [listed = [], delisted = [], changed = []] = KINDS.map(idsOf);
    for (const { kind } of changes) this.#counts[kind]++;
    this.#deps.log.info({
      venue, listed: listed.length, delisted: delisted.length, changed: changed.length,
      ids: [...listed.slice(0, LOGGED_IDS_MAX), ...delisted.slice(0, LOGGED_IDS_MAX), ...changed.slice(0, LOGGED_IDS_MAX)],
    }, "the venue's list of instruments has changed");
    for (const listener of this.#listeners) listener(venue, changes);
  }

  /** The ones that were delisted first make room. */
  #rebuild(): void {
    const all = [...this.#known.values()].flatMap((known) => [...known.values()]);
    const tooMany = all.length - this.#deps.instrumentsMax;
    if (tooMany > 0) {
      const oldest = all.filter(({ delistedAt }) => delistedAt !== null).toSorted((a, b) => Number(a.delistedAt) - Number(b.delistedAt)).slice(0, tooMany);
      for (const { instrument } of oldest) {
        this.#known.get(instrument.venue)?.delete(instrument.id);
        this.#lists.get(instrument.venue)?.unsaved.delete(instrument.id);
      }
      this.#forgotten += oldest.length;
      const ids = oldest.map(({ instrument }) => instrument.id);
      this.#saving = this.#saving.then(() => this.#deps.store.forget(ids)).catch((error: unknown) => this.#notStored(error));
    }
    this.#listed = new Catalogue([...this.#known.values()].flatMap((known) => [...known.values()]));
  }

  /** All lists, and what the stream knows of venues without one. */
  #catalogue(): Catalogue {
    const values = this.#deps.values.instruments();
    if (this.#seen?.listed === this.#listed && this.#seen.values === values) return this.#all;
    this.#seen = { listed: this.#listed, values };
    const made = values.filter(({ venue }) => !this.#known.has(venue)).map((instrument) => ({ instrument, delistedAt: null }));
    this.#all = made.length === 0 ? this.#listed : new Catalogue([...this.#listed.entries, ...made]);
    return this.#all;
  }

  #stateOf(venue: string, count: number): Omit<VenueListState, "venue" | "count" | "active"> {
    const list = this.#lists.get(venue);
    const { clock, refreshMs } = this.#deps;
    const none = { refreshedAt: null, attemptedAt: null, nextAt: null, ageMs: null };
    if (!this.#known.has(venue)) return { ...none, source: count > 0 ? "feed" : "none", isStale: count === 0, why: count > 0 ? "" : "the feed has not said its instruments yet" };
    if (list === undefined) return { ...none, source: "none", isStale: true, why: "the venue has not answered yet" };
    const { refreshedAt, attemptedAt, failure } = list.refresh;
    const ageMs = refreshedAt === null ? null : Math.max(0, (clock.nowMicros() - refreshedAt) / 1000);
    const source = refreshedAt === null ? "none" : list.isFresh ? "venue" : "cache";
    const why = failure !== null ? `the venue was asked and did not give its list: ${failure}`
      : !list.isFresh ? "the list is of an earlier run; the venue has not answered yet"
      : ageMs !== null && ageMs > 2 * refreshMs ? `the list is older than two refreshes (${Math.round((2 * refreshMs) / 1000)} s)` : "";
    return { refreshedAt, attemptedAt, nextAt: list.nextAt, ageMs, source, isStale: why !== "", why };
  }

  #save(): void {
    this.#saving = this.#saving.then(() => this.#saveAll());
  }

  async #saveAll(): Promise<void> {
    for (const list of this.#lists.values()) {
      if (!list.isUnsaved) continue;
      const [instruments, changes] = [[...list.unsaved.values()], list.unsavedChanges];
      list.isUnsaved = false;
      try {
        await this.#deps.store.save({ refresh: list.refresh, instruments, changes });
      } catch (error) {
        list.isUnsaved = true;
        this.#notStored(error);
        return;
      }
      for (const registered of instruments) if (list.unsaved.get(registered.instrument.id) === registered) list.unsaved.delete(registered.instrument.id);
      const saved = new Set(changes);
      list.unsavedChanges = list.unsavedChanges.filter((change) => !saved.has(change));
    }
  }

  #notStored(error: unknown): void {
    this.#storeFailures++;
    const isAway = error instanceof StoreError;
    this.#deps.log[isAway ? "warn" : "error"]({ reason: messageOf(error), retryMs: RETRY_MS }, "the lists of instruments could not be stored");
    this.#retry?.stop();
    this.#retry = this.#deps.clock.after(RETRY_MS, () => this.#save());
  }
}

/** Of an earlier run, until the venue answers. */
function newList(refresh: ListRefresh): VenueList {
  return { refresh, nextAt: null, isFresh: false, changes: [], unsaved: new Map(), unsavedChanges: [], isUnsaved: false };
}
