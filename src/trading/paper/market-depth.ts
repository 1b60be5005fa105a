/**
 * The paper broker's view of the market: instruments, and the depth of those whose feed delivers, from the newest values.
 */
import type { Instrument } from "../../market/instrument.ts";
import { parseDecimal } from "../../market/decimal.ts";
import type { NewestValue, NewestValues } from "../../ports/newest-values.ts";
import { PAPER_UNIT_SCALE } from "../../ports/paper.ts";
import type { Depth, DepthLevel } from "./depth.ts";
import { quoteOf } from "./terms.ts";

/** What the broker must know of the market. */
export interface PaperMarket {
  /** By id or the venue's spelling. */
  find(spelling: string): Instrument | null;
  /** The book as it stands, else the best bid and ask; null: there is none, or its feed does not deliver. */
  depthOf(symbol: string): Depth | null;
  /** In which pairs are paid, sorted. */
  currencies(): readonly string[];
}

export class NewestDepth implements PaperMarket {
  readonly #values: Pick<NewestValues, "find" | "newest" | "quote" | "instruments">;

  constructor(values: Pick<NewestValues, "find" | "newest" | "quote" | "instruments">) {
    this.#values = values;
  }

  find(spelling: string): Instrument | null {
    return this.#values.find(spelling);
  }

  depthOf(symbol: string): Depth | null {
    const values = this.#values;
    const instrument = values.find(symbol);
    if (!instrument || !this.#isLive(symbol) || !this.#isLive(`${instrument.venue}:*`)) return null;
    const book = values.newest(symbol, { channel: "book", depth: 100 });
    if (book) {
      const members = membersOf(book.json);
      return { version: versionOf(book), bids: new Levels(members["bids"]), asks: new Levels(members["asks"]) };
    }
    const quote = values.quote(symbol);
    return quote && { version: versionOf(quote), bids: new Levels([[quote.bid, quote.bidSize]]), asks: new Levels([[quote.ask, quote.askSize]]) };
  }

  currencies(): readonly string[] {
    return [...new Set(this.#values.instruments().flatMap((instrument) => quoteOf(instrument) ?? []))].toSorted();
  }

  /** Without a status nothing speaks against it. */
  #isLive(symbol: string): boolean {
    const status = this.#values.newest(symbol, { channel: "status" });
    return status === null || membersOf(status.json)["state"] === "live";
  }
}

/** Levels as text, read as they are asked for: most orders look at a few of a hundred. */
class Levels implements Iterable<DepthLevel> {
  readonly #levels: unknown;

  constructor(levels: unknown) {
    this.#levels = levels;
  }

  *[Symbol.iterator](): Generator<DepthLevel> {
    if (!Array.isArray(this.#levels)) return;
    for (const level of this.#levels) {
      const [price, quantity] = Array.isArray(level) ? level.map((text) => (typeof text === "string" ? parseDecimal(text, PAPER_UNIT_SCALE) : null)) : [];
      if (typeof price === "bigint" && typeof quantity === "bigint") yield { price, quantity };
    }
  }
}

function versionOf({ epoch, seq }: Pick<NewestValue, "epoch" | "seq">): string {
  return `${epoch} ${seq}`;
}

function membersOf(json: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(json);
  return typeof value === "object" && value !== null ? { ...value } : {};
}
