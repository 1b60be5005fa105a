/**
 * History for REST: closed bars from the database, trades from those that are kept.
 *
 * Pages go on after the last item of the one before, by the whole order, so ties and new items neither hide nor repeat one.
 */
import { ValidationError } from "../core/errors.ts";
import { type Micros, micros } from "../core/time.ts";
import type { BarInterval } from "../market/market-event.ts";
import type { NewestValue, NewestValues } from "../ports/newest-values.ts";
import type { BarStore, StoredBar } from "../ports/storage.ts";
import { knownOf, requireData, unknownSymbols } from "./market-data-service.ts";

export interface HistoryFilter<After> {
  /** Ids or native spellings; empty: every instrument (bars only). */
  readonly symbols: readonly string[];
  /** At or after. */
  readonly from: Micros | null;
  /** Before. */
  readonly to: Micros | null;
  readonly limit: number;
  readonly after: After | null;
}

export interface AfterBar {
  readonly start: number;
  readonly symbol: string;
}

export interface AfterTrade {
  readonly epoch: string;
  readonly symbol: string;
  readonly seq: number;
}

export interface Page<Item, After> {
  readonly items: readonly Item[];
  /** Null: there are no more. */
  readonly next: After | null;
}

/** From when on the trades of an instrument are kept, all of them. */
export interface KeptRange {
  readonly symbol: string;
  readonly epoch: string;
  readonly seq: number;
  /** Microseconds since 1970. */
  readonly time: number;
}

export interface TradePage extends Page<NewestValue, AfterTrade> {
  /** One for each instrument asked for that has trades. */
  readonly kept: readonly KeptRange[];
}

export class HistoryService {
  readonly #values: NewestValues;
  readonly #store: BarStore;

  constructor(values: NewestValues, store: BarStore) {
    this.#values = values;
    this.#store = store;
  }

  /**
   * Closed bars by start, then symbol. A symbol that no feed has any more is answered from what is stored.
   * @throws {ValidationError} `unknown_symbol` when nothing is stored of symbols that no feed has
   * @throws {StoreError} when the database is away
   */
  async bars(interval: BarInterval, { symbols, from, to, limit, after }: HistoryFilter<AfterBar>): Promise<Page<StoredBar, AfterBar>> {
    requireOrder(from, to);
    const ids = [...new Set(symbols.map((symbol) => this.#values.find(symbol)?.id ?? symbol))];
    const found = await this.#store.query({
      symbols: ids, interval, from, to, limit: limit + 1, after: after && { start: micros(after.start), symbol: after.symbol },
    });
    const unknown = symbols.filter((symbol) => this.#values.find(symbol) === null);
    if (found.length === 0 && after === null && unknown.length > 0) await this.#requireStored(unknown);
    return pageOf(found, limit, ({ start, symbol }) => ({ start, symbol }));
  }

  /**
   * Kept trades by symbol, then sequence number.
   * @throws {ValidationError} `unknown_symbol`; `cursor_expired` when the stream began anew since the page before
   * @throws {UnavailableError} before anything was heard of the stream
   */
  trades({ symbols, from, to, limit, after }: HistoryFilter<AfterTrade>): TradePage {
    const values = this.#values;
    requireData(values);
    requireOrder(from, to);
    const epoch = values.epoch() ?? "";
    if (after !== null && after.epoch !== epoch) {
      throw new ValidationError([{ path: "query.cursor", message: "the stream began anew and what this cursor counted from is gone; begin without a cursor" }], "cursor_expired");
    }
    const ids = [...new Set(knownOf(values, symbols).map(({ id }) => id))].toSorted();
    const found: NewestValue[] = [];
    const kept: KeptRange[] = [];
    for (const symbol of ids) {
      const isPassed = after !== null && symbol < after.symbol;
      const max = isPassed ? 0 : limit + 1 - found.length;
      const { trades, first } = values.trades({ symbol, after: symbol === after?.symbol ? after.seq : 0, from, to, max });
      found.push(...trades);
      if (first) kept.push({ symbol, epoch, ...first });
    }
    return { ...pageOf(found, limit, ({ symbol, seq }) => ({ epoch, symbol, seq })), kept };
  }

  async #requireStored(unknown: readonly string[]): Promise<void> {
    const stored = await this.#store.hasAny(unknown);
    if (!stored) throw unknownSymbols(this.#values, unknown);
  }
}

function pageOf<Item, After>(found: readonly Item[], limit: number, afterOf: (item: Item) => After): Page<Item, After> {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? afterOf(last) : null };
}

function requireOrder(from: Micros | null, to: Micros | null): void {
  if (from !== null && to !== null && from >= to) throw new ValidationError([{ path: "query.to", message: `expected a time after from (${from}), found ${to}` }]);
}
