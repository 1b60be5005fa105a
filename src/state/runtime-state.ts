/**
 * Runtime settings: one writer, the log first, then a frozen snapshot for everybody who reads.
 *
 * Owns: the snapshot. Runs on: main thread. A value that is not in the log never took effect. Changes wait in line; after a
 * failure of the store, whose outcome nobody knows, the log is read again before the next one. Another process may change the
 * log: it is looked at every `pollMs`.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { type InputFault, messageOf, NotFoundError, PreconditionError, StoreError, UnavailableError, ValidationError } from "../core/errors.ts";
import type { Micros } from "../core/time.ts";
import type { Actor, Charge } from "../ports/audit.ts";
import type { SettingsLog, SettingsRevision } from "../ports/settings-log.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { faultsAcross, faultsOfChange, readValue, type RuntimeValues, type Setting, type SettingsDefaults, settingsTable, type SettingValues, typedValues, withDefaults } from "./settings.ts";

/** Everything at one revision. Frozen, and whole: readers keep the one they have or take the newest. */
export interface SettingsSnapshot {
  /** 0: nothing was ever changed. */
  readonly revision: number;
  /** Every key. */
  readonly values: SettingValues;
  /** The same, as code reads them. */
  readonly typed: RuntimeValues;
  /** As they are in the log; those of keys that this configuration does not know, or refuses, are kept and have no effect. */
  readonly overrides: SettingValues;
  readonly updatedBy: string | null;
  readonly updatedAt: Micros | null;
}

export interface ChangeContext {
  readonly actor: Actor;
  readonly reason: string | null;
  /** The revision that the change was made for; null: whichever is the newest. */
  readonly expectedRevision: number | null;
}

export interface RuntimeStateDeps {
  readonly defaults: SettingsDefaults;
  readonly store: SettingsLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pollMs: number;
  /** Changes that wait for those before them; beyond it 503. */
  readonly waitingMax: number;
  /** What a change by this actor costs; null: nothing. */
  readonly chargeOf: (actor: Actor) => Charge | null;
}

/** What an incident needs at once is never charged: stopping all orders. */
const KILL_SWITCH = "orders.enabled";

export class RuntimeState implements Component, MetricSource {
  readonly name = "settings";
  readonly table: ReadonlyMap<string, Setting>;
  readonly #deps: RuntimeStateDeps;
  readonly #listeners: ((snapshot: SettingsSnapshot) => void)[] = [];
  #current: SettingsSnapshot;
  #line: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #poll: Timer | null = null;
  #isPolling = false;
  /** The store failed during a change: it may have taken place. */
  #isUncertain = false;
  #isLogAway = false;
  #changes = 0;
  #conflicts = 0;
  #overflowed = 0;
  #failures = 0;
  #adopted = 0;
  #ignored = 0;

  constructor(deps: RuntimeStateDeps) {
    this.#deps = deps;
    this.table = settingsTable(deps.defaults);
    this.#current = this.#snapshotOf({ revision: 0, overrides: {}, updatedBy: null, updatedAt: null });
  }

  /** @throws {StoreError} when the log cannot be read. */
  async start(): Promise<void> {
    this.#take(await this.#deps.store.newest());
    this.#poll = this.#deps.clock.every(this.#deps.pollMs, () => this.#look());
  }

  async stop(): Promise<void> {
    this.#poll?.stop();
    await this.#line;
  }

  current(): SettingsSnapshot {
    return this.#current;
  }

  defaults(): SettingValues {
    return withDefaults(this.table, {});
  }

  /** Told after each change, in this thread and in order; must not throw. */
  onChange(listener: (snapshot: SettingsSnapshot) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Sets some values, null for the default, all or none. Values that are what they were make no revision and cost nothing.
   * @throws {PreconditionError} 412 when the newest revision is another. @throws {ValidationError} naming every fault; nothing changed.
   * @throws {RateLimitError} when the budget of the actor is used up. @throws {StoreError} when nobody knows whether it took place.
   */
  change(given: Readonly<Record<string, unknown>>, context: ChangeContext): Promise<SettingsSnapshot> {
    return this.#inLine(async () => {
      await this.#expect(context.expectedRevision);
      const faults = Object.keys(given).length === 0 ? [{ path: "body", message: "expected at least one setting" }] : faultsOfChange(this.table, given);
      if (faults.length > 0) throw new ValidationError(faults);
      return this.#append(this.#overridesAfter(given), "settings.changed", context, Object.keys(given));
    });
  }

  /** Makes everything what it was at a revision, by one more change. @throws {NotFoundError} when there never was such a revision. Otherwise as `change`. */
  rollback(revision: number, context: ChangeContext): Promise<SettingsSnapshot> {
    return this.#inLine(async () => {
      await this.#expect(context.expectedRevision);
      const then = await this.#deps.store.at(revision);
      if (then === null) throw new NotFoundError(`there is no revision ${revision}; the newest is ${this.#current.revision}`);
      return this.#append(then.overrides, "settings.rolled_back", context, this.#difference(then.overrides).keys);
    });
  }

  /** @throws {PreconditionError} 412 when the newest revision is another, by the log if need be. */
  async expect(revision: number): Promise<void> {
    if (revision !== this.#current.revision) await this.#inLine(() => this.#expect(revision));
  }

  samples(): MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "counter", labels: {}, value });
    const gauge = (name: string, help: string, value: number): MetricSample => ({ name, help, type: "gauge", labels: {}, value });
    return [
      gauge("ticker_settings_revision", "Revision of the runtime settings", this.#current.revision),
      gauge("ticker_settings_ignored", "Changed settings that this configuration does not know or refuses", this.#ignored),
      gauge("ticker_settings_waiting", "Changes that wait for those before them", this.#waiting),
      counter("ticker_settings_changes_total", "Changes of runtime settings made by this process", this.#changes),
      counter("ticker_settings_adopted_total", "Revisions found in the log that this process did not write", this.#adopted),
      counter("ticker_settings_conflicts_total", "Changes refused because somebody else was first", this.#conflicts),
      counter("ticker_settings_overflowed_total", "Changes refused because too many were waiting", this.#overflowed),
      counter("ticker_settings_store_failures_total", "Times the settings log could not be read or written", this.#failures),
    ];
  }

  #inLine<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#deps.waitingMax) {
      this.#overflowed++;
      return Promise.reject(new UnavailableError(`${this.#deps.waitingMax} changes of settings are waiting: try again in a second`, "settings_busy", 1));
    }
    this.#waiting++;
    const done = this.#line.then(work).finally(() => {
      this.#waiting--;
    });
    // The next in line waits for the end of this one, however it ends; whoever asked hears of a failure.
    this.#line = done.then(() => undefined, () => undefined);
    return done;
  }

  async #expect(expected: number | null): Promise<void> {
    // A revision that is not known here may be one of another process.
    if (this.#isUncertain || (expected !== null && expected > this.#current.revision)) await this.#read();
    if (expected === null || expected === this.#current.revision) return;
    this.#conflicts++;
    throw new PreconditionError(412, `expected revision ${expected}, the newest is ${this.#current.revision}: read it, and decide anew`);
  }

  #overridesAfter(given: Readonly<Record<string, unknown>>): SettingValues {
    const overrides = new Map(Object.entries(this.#current.overrides));
    for (const [name, value] of Object.entries(given)) {
      const setting = this.table.get(name);
      if (setting === undefined || value === null) overrides.delete(name);
      else overrides.set(name, readValue(setting, value));
    }
    return Object.fromEntries([...overrides].filter(([name, value]) => !isSame(value, this.table.get(name)?.default)));
  }

  async #append(overrides: SettingValues, action: string, { actor, reason }: ChangeContext, named: readonly string[]): Promise<SettingsSnapshot> {
    const faults: InputFault[] = faultsAcross(this.#effective(overrides).values).map(({ path, message }) => ({ path, message }));
    const unexplained = reason === null ? named.filter((key) => this.table.get(key)?.isReasonRequired === true) : [];
    faults.push(...unexplained.map((path) => ({ path, message: "expected a reason for a change of it: send _reason in the body or X-Reason in the header" })));
    if (faults.length > 0) throw new ValidationError(faults);
    const { before, after, keys } = this.#difference(overrides);
    if (keys.length === 0 && isSame(overrides, this.#current.overrides)) return this.#current;
    const isFree = keys.length === 1 && keys[0] === KILL_SWITCH && after[KILL_SWITCH] === false;
    const entry = { actor, action, target: keys.join(","), before, after, reason };
    this.#take(await this.#write(() => this.#deps.store.append(this.#current.revision, overrides, { entry, charge: isFree ? null : this.#deps.chargeOf(actor) })));
    this.#changes++;
    this.#deps.log.info({ revision: this.#current.revision, keys, actor: actor.keyId, requestId: actor.requestId, correlationId: actor.correlationId }, "settings changed");
    return this.#current;
  }

  async #write(append: () => Promise<SettingsRevision>): Promise<SettingsRevision> {
    try {
      return await append();
    } catch (error) {
      if (error instanceof StoreError) {
        this.#failures++;
        this.#isUncertain = true;
        this.#look();
      }
      if (error instanceof PreconditionError) {
        this.#conflicts++;
        await this.#read();
      }
      throw error;
    }
  }

  /** Keys whose value would be another, with both values. */
  #difference(overrides: SettingValues): { readonly keys: readonly string[]; readonly before: SettingValues; readonly after: SettingValues } {
    const [before, after] = [this.#current.values, this.#effective(overrides).values];
    const keys = [...this.table.keys()].filter((name) => !isSame(before[name], after[name]));
    const only = (values: SettingValues): SettingValues => Object.fromEntries(keys.map((name) => [name, values[name] ?? null]));
    return { keys, before: only(before), after: only(after) };
  }

  /** All values, without regard to overrides that this configuration does not know or refuses: those are `ignored`. */
  #effective(overrides: SettingValues): { readonly values: SettingValues; readonly ignored: ReadonlySet<string> } {
    const ignored = new Set(Object.keys(overrides).filter((name) => faultsOfChange(this.table, { [name]: overrides[name] }).length > 0));
    return { values: this.#without(overrides, ignored), ignored };
  }

  #without(overrides: SettingValues, ignored: ReadonlySet<string>): SettingValues {
    return withDefaults(this.table, Object.fromEntries(Object.entries(overrides).filter(([name]) => !ignored.has(name))));
  }

  #snapshotOf({ revision, overrides, updatedBy, updatedAt }: SettingsRevision): SettingsSnapshot {
    const { values: alone, ignored: refused } = this.#effective(overrides);
    // With other defaults than when it was changed a value may contradict another: then neither counts.
    const ignored = new Set([...refused, ...faultsAcross(alone).flatMap(({ keys }) => keys).filter((key) => key in overrides)]);
    this.#ignored = ignored.size;
    if (ignored.size > 0) this.#deps.log.warn({ revision, ignored: [...ignored] }, "settings that this configuration does not know or refuses have no effect");
    const values = this.#without(overrides, ignored);
    return deepFreeze({ revision, values, typed: typedValues(values, this.#deps.defaults.feeds), overrides, updatedBy, updatedAt });
  }

  #take(found: SettingsRevision): void {
    this.#isUncertain = false;
    this.#isLogAway = false;
    if (found.revision === this.#current.revision) return;
    this.#current = this.#snapshotOf(found);
    for (const listener of this.#listeners) listener(this.#current);
  }

  async #read(): Promise<void> {
    const found = await this.#deps.store.newest();
    if (found.revision !== this.#current.revision) {
      this.#adopted++;
      this.#deps.log.info({ revision: found.revision, before: this.#current.revision, by: found.updatedBy }, "settings were changed elsewhere");
    }
    this.#take(found);
  }

  /** Looks into the log after whoever is in line. */
  #look(): void {
    if (this.#isPolling) return;
    this.#isPolling = true;
    this.#line = this.#line.then(() => this.#read()).catch((error: unknown) => {
      this.#failures++;
      if (!this.#isLogAway) this.#deps.log.error({ reason: messageOf(error) }, "the settings log cannot be read; the settings stay as they were");
      this.#isLogAway = true;
    }).finally(() => {
      this.#isPolling = false;
    });
  }
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const [left, right] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return left.size === right.size && [...left].every(([name, value]) => right.has(name) && isSame(value, right.get(name)));
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}
