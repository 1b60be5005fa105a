/**
 * What the feeds are asked to carry beyond their configuration: durable subscriptions, applied to the running feeds.
 *
 * Owns: the subscriptions, in memory as in the database. Runs on: main thread. One change after the other, so that two
 * requests for the same end in one subscription. Everybody sees all of them and may end any: they say what the feeds do.
 */
import type { Clock } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { ConflictError, type InputFault, NotFoundError, UnavailableError, ValidationError } from "../core/errors.ts";
import type { Actor, Audited } from "../ports/audit.ts";
import type { CarryRefusal, FeedControl } from "../ports/feed-control.ts";
import type { CarriedSubscription, SubscriptionStore } from "../ports/storage.ts";
import type { Logger, MetricSample, MetricSource } from "../ports/telemetry.ts";
import { type Channel, CHANNELS } from "../protocol/topic.ts";
import type { InstrumentRegistry } from "./instrument-registry.ts";

export interface SubscriptionServiceDeps {
  readonly store: SubscriptionStore;
  readonly registry: Pick<InstrumentRegistry, "find" | "suggest">;
  readonly feeds: Pick<FeedControl, "carry" | "release" | "term">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of a new subscription. */
  readonly newId: () => string;
  /** Subscriptions at a time. */
  readonly subscriptionsMax: number;
}

export interface SubscriptionRequest {
  /** Ids, native spellings or aliases. */
  readonly symbols: readonly string[];
  /** Null: all. */
  readonly channels: readonly Channel[] | null;
}

export class SubscriptionService implements Component, MetricSource {
  readonly name = "subscriptions";
  readonly #deps: SubscriptionServiceDeps;
  #subscriptions: readonly CarriedSubscription[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  /** A change whose outcome nobody knows: the database is read again before the next. */
  #isUncertain = false;
  #refused = 0;

  constructor(deps: SubscriptionServiceDeps) {
    this.#deps = deps;
  }

  /** @throws {StoreError} when the database is away. */
  async start(): Promise<void> {
    this.#subscriptions = await this.#deps.store.list();
  }

  async stop(): Promise<void> {
    await this.#turn;
  }

  /** Oldest first. What a stream thread that starts is to carry. */
  list(): readonly CarriedSubscription[] {
    return this.#subscriptions;
  }

  /**
   * A new subscription; or the one that holds all of it already.
   * @throws {ValidationError} `unknown_symbol` naming every symbol that is unknown or not traded, with `did_you_mean`
   * @throws {ConflictError} `carry_limit` when a venue has no room, `subscription_limit` when there are too many subscriptions
   * @throws {UnavailableError} when the stream thread is away
   */
  create(request: SubscriptionRequest, actor: Actor, reason: string | null): Promise<{ readonly subscription: CarriedSubscription; readonly isNew: boolean }> {
    return this.#inTurn(async () => {
      const symbols = this.#idsOf(request.symbols);
      const channels = CHANNELS.filter((channel) => request.channels === null || request.channels.includes(channel));
      const existing = this.#subscriptions.find((held) => symbols.every((symbol) => held.symbols.includes(symbol)) && channels.every((channel) => held.channels.includes(channel)));
      if (existing !== undefined) return { subscription: existing, isNew: false };
      await this.#add({ id: this.#deps.newId(), symbols, channels, owner: actor.keyId, createdAt: this.#deps.clock.nowMicros() }, actor, reason);
      const subscription = this.#subscriptions.at(-1);
      if (subscription === undefined) throw new Error("unreachable: a subscription was added");
      return { subscription, isNew: true };
    });
  }

  /** @throws {NotFoundError} when there is none of that id. */
  remove(id: string, actor: Actor, reason: string | null): Promise<void> {
    return this.#inTurn(async () => {
      const held = this.#subscriptions.find((subscription) => subscription.id === id);
      const change = (of: CarriedSubscription): Audited => ({ entry: { actor, action: "subscription.removed", target: id, before: shown(of), after: null, reason }, charge: null });
      const unknown = new NotFoundError(`id: there is no subscription "${id}"; see GET /v1/subscriptions`, "unknown_subscription");
      if (held === undefined) throw unknown;
      if (!await this.#stored(() => this.#deps.store.remove(id, change(held)))) {
        // Another process removed it.
        this.#isUncertain = true;
        throw unknown;
      }
      this.#subscriptions = this.#subscriptions.filter((subscription) => subscription !== held);
      this.#deps.feeds.release(held.symbols, held.channels);
      this.#deps.log.info({ id, symbols: held.symbols, channels: held.channels, actor: actor.keyId }, "subscription removed");
    });
  }

  samples(): MetricSample[] {
    return [
      { name: "ticker_carried_subscriptions", help: "Subscriptions that say what the feeds carry", type: "gauge", labels: {}, value: this.#subscriptions.length },
      { name: "ticker_carried_subscriptions_refused_total", help: "Subscriptions refused because of a limit", type: "counter", labels: {}, value: this.#refused },
    ];
  }

  async #add(subscription: CarriedSubscription, actor: Actor, reason: string | null): Promise<void> {
    const { store, feeds, log, subscriptionsMax } = this.#deps;
    const { id, symbols, channels } = subscription;
    if (this.#subscriptions.length >= subscriptionsMax) {
      this.#refused++;
      throw new ConflictError(`${subscriptionsMax} subscriptions are the limit (TICKER_CARRIED_SUBSCRIPTIONS_MAX); delete one, or put more symbols into one`, "subscription_limit");
    }
    const refusals = await feeds.carry(symbols, channels);
    if (refusals.length > 0) {
      this.#refused++;
      throw refusalOf(refusals);
    }
    const term = feeds.term();
    try {
      await this.#stored(() => store.add(subscription, { entry: { actor, action: "subscription.created", target: id, before: null, after: shown(subscription), reason }, charge: null }));
    } catch (error) {
      if (term === feeds.term()) feeds.release(symbols, channels);
      throw error;
    }
    this.#subscriptions = [...this.#subscriptions, subscription];
    // A stream thread that started meanwhile did not know of it.
    if (term !== feeds.term()) await this.#carryAgain(subscription);
    log.info({ id, symbols, channels, actor: actor.keyId }, "subscription created");
  }

  /** It is stored, so it is carried at the latest when the stream thread starts again. */
  async #carryAgain({ id, symbols, channels }: CarriedSubscription): Promise<void> {
    const { feeds, log } = this.#deps;
    const refusals = await feeds.carry(symbols, channels);
    if (refusals.length > 0) log.warn({ id, refusals }, "a subscription that is stored cannot be carried");
  }

  /** Ids, sorted, each once. */
  #idsOf(spellings: readonly string[]): readonly string[] {
    const { registry } = this.#deps;
    const faults: InputFault[] = [];
    const near: string[] = [];
    const ids = new Set<string>();
    for (const [i, spelling] of spellings.entries()) {
      const found = registry.find(spelling);
      if (found?.instrument.state === "inactive") faults.push({ path: `body.symbols.${i}`, message: `${found.instrument.id} is not traded at its venue; leave it out` });
      else if (found !== null) ids.add(found.instrument.id);
      else {
        const meant = registry.suggest(spelling);
        near.push(...meant);
        faults.push({ path: `body.symbols.${i}`, message: `there is no instrument "${spelling}"; ${meant.length === 0 ? "see GET /v1/instruments" : `did you mean ${meant.join(", ")}?`}` });
      }
    }
    if (faults.length > 0) throw new ValidationError(faults, "unknown_symbol", { did_you_mean: [...new Set(near)] });
    return [...ids].toSorted();
  }

  /** After a failure of the database nobody knows whether the change took place. */
  async #stored<T>(change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } catch (error) {
      this.#isUncertain = true;
      throw error;
    }
  }

  /** What the database holds becomes what the feeds carry. */
  async #readAgain(): Promise<void> {
    const { store, feeds, log } = this.#deps;
    const stored = await store.list();
    const before = this.#subscriptions;
    const gone = before.filter(({ id }) => stored.every((each) => each.id !== id));
    const added = stored.filter(({ id }) => before.every((each) => each.id !== id));
    for (const { symbols, channels } of gone) feeds.release(symbols, channels);
    for (const subscription of added) await this.#carryAgain(subscription);
    this.#subscriptions = stored;
    this.#isUncertain = false;
    if (gone.length + added.length > 0) log.warn({ gone: gone.length, added: added.length }, "subscriptions were read again after a failure of the database");
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(async () => {
      if (this.#isUncertain) await this.#readAgain();
      return change();
    });
    // The one who asked hears of a failure; the next one only waits for the end.
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

function refusalOf(refusals: readonly CarryRefusal[]): ConflictError | UnavailableError {
  const symbols = refusals.map(({ symbol }) => symbol).join(", ");
  if (refusals.some(({ why }) => why === "foreign")) return new UnavailableError(`no feed carries ${symbols} just now; try again in a few seconds`);
  return new ConflictError(`no room to carry ${symbols}: TICKER_FEED_PULLED_IN_MAX instruments of a venue beyond FEED_INSTRUMENTS are carried; delete a subscription or raise it`, "carry_limit");
}

function shown({ symbols, channels }: CarriedSubscription): { readonly symbols: readonly string[]; readonly channels: readonly string[] } {
  return { symbols, channels };
}
