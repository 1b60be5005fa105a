/**
 * Subscriptions when the database or the stream thread fails in the middle of a change.
 */
import { expect, it } from "vitest";
import { StoreError, UnavailableError } from "../../../src/core/errors.ts";
import { assumedInstrument } from "../../../src/feeds/instrument-set.ts";
import type { CarryRefusal, FeedControl } from "../../../src/ports/feed-control.ts";
import type { CarriedSubscription, SubscriptionStore } from "../../../src/ports/storage.ts";
import { CLI } from "../../../src/services/admin-charge.ts";
import { SubscriptionService } from "../../../src/services/subscription-service.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog } from "../../support/silent-log.ts";

/** Fails as it is told: before it did anything, or after. */
class FailingStore implements SubscriptionStore {
  kept: readonly CarriedSubscription[] = [];
  failure: "before" | "after" | null = null;
  onAdd = (): void => undefined;

  list = async (): Promise<readonly CarriedSubscription[]> => this.kept;

  async add(subscription: CarriedSubscription): Promise<void> {
    this.onAdd();
    if (this.failure === "before") throw new StoreError("away");
    this.kept = [...this.kept, subscription];
    if (this.failure === "after") throw new StoreError("silent");
  }

  async remove(id: string): Promise<boolean> {
    if (this.failure === "before") throw new StoreError("away");
    const before = this.kept.length;
    this.kept = this.kept.filter((each) => each.id !== id);
    if (this.failure === "after") throw new StoreError("silent");
    return this.kept.length < before;
  }
}

/** Counts what is carried, as the feeds do. */
class CountingFeeds implements Pick<FeedControl, "carry" | "release" | "term"> {
  readonly counts = new Map<string, number>();
  present = 1;
  isAway = false;
  refusals: readonly CarryRefusal[] = [];

  term = (): number => this.present;

  async carry(symbols: readonly string[]): Promise<readonly CarryRefusal[]> {
    if (this.isAway) throw new UnavailableError("away");
    if (this.refusals.length > 0) return this.refusals;
    for (const symbol of symbols) this.counts.set(symbol, (this.counts.get(symbol) ?? 0) + 1);
    return [];
  }

  release(symbols: readonly string[]): void {
    for (const symbol of symbols) this.counts.set(symbol, (this.counts.get(symbol) ?? 0) - 1);
  }

  carried(): string[] {
    return [...this.counts].filter(([, count]) => count !== 0).map(([symbol, count]) => `${symbol}=${count}`);
  }
}

async function setup() {
  const store = new FailingStore();
  const feeds = new CountingFeeds();
  let ids = 0;
  const service = new SubscriptionService({
    store, feeds, clock: new FakeClock(), log: new KeepingLog(), newId: () => `sub_${++ids}`, subscriptionsMax: 10,
    registry: { find: (id) => ({ instrument: assumedInstrument("v", id.slice(2), id.slice(2)), delistedAt: null }), suggest: () => [] },
  });
  await service.start();
  const create = (...symbols: string[]) => service.create({ symbols, channels: null }, CLI, null);
  return { store, feeds, service, create };
}

it.each(["before", "after"] as const)("a database that fails %s it stored leaves the feeds and the list as the database has them", async (failure) => {
  const { store, feeds, service, create } = await setup();
  await create("v:A");
  store.failure = failure;
  await expect(create("v:B")).rejects.toThrow(StoreError);
  expect(feeds.carried()).toEqual(["v:A=1"]);
  store.failure = null;
  await create("v:C");
  expect(service.list()).toEqual(store.kept);
  expect(feeds.carried()).toEqual(store.kept.flatMap(({ symbols }) => symbols).map((symbol) => `${symbol}=1`).toSorted((a, b) => (a < b ? -1 : 1)));
  expect(service.list()).toHaveLength(failure === "before" ? 2 : 3);
});

it.each(["before", "after"] as const)("a removal whose database fails %s it took place is settled with the next change", async (failure) => {
  const { store, feeds, service, create } = await setup();
  const { subscription } = await create("v:A");
  store.failure = failure;
  await expect(service.remove(subscription.id, CLI, null)).rejects.toThrow(StoreError);
  store.failure = null;
  await create("v:B");
  expect(service.list()).toEqual(store.kept);
  expect(feeds.carried()).toEqual(failure === "before" ? ["v:A=1", "v:B=1"] : ["v:B=1"]);
});

it("is carried by a stream thread that started while it was being stored", async () => {
  const { store, feeds, create } = await setup();
  store.onAdd = () => {
    feeds.present++;
    feeds.counts.clear();
  };
  await create("v:A");
  expect(feeds.carried()).toEqual(["v:A=1"]);
});

it("is not taken back from a stream thread that never had it", async () => {
  const { store, feeds, create } = await setup();
  store.failure = "before";
  store.onAdd = () => {
    feeds.present++;
    feeds.counts.clear();
  };
  await expect(create("v:A")).rejects.toThrow(StoreError);
  expect(feeds.carried()).toEqual([]);
});

it("without the stream thread is refused and not stored; so is one that no feed has", async () => {
  const { store, feeds, create } = await setup();
  feeds.isAway = true;
  await expect(create("v:A")).rejects.toThrow(UnavailableError);
  feeds.isAway = false;
  feeds.refusals = [{ symbol: "v:A", why: "foreign" }];
  await expect(create("v:A")).rejects.toThrow(UnavailableError);
  expect(store.kept).toEqual([]);
});
