/**
 * The books that a loopback venue knows at its present position, and the snapshots it can make of them.
 *
 * Rebuilt from the recording by the venue's own rules, apart from the code under test: levels are kept as spelled.
 */
import { isForeignRecord, type ForeignRecord } from "../../src/feeds/foreign.ts";

/** One level as the venue spelled it: price, size and what else came with it. */
export type Level = readonly string[];

/** What a message means to the venue that sends it. */
export interface Seen {
  /** The venue's spelling of the instrument; null for messages of none. */
  readonly native: string | null;
  readonly isBookUpdate: boolean;
}

export class LoopbackBook {
  readonly bids = new Map<number, Level>();
  readonly asks = new Map<number, Level>();
  /** Binance: number of the last update applied. */
  lastId = 0;
  /** Kraken: what stands around the levels in a message. */
  channelId = 0;
  channelName = "";

  set(side: "bids" | "asks", level: unknown): void {
    if (!Array.isArray(level)) return;
    const spelled = level.filter((each) => typeof each === "string");
    const price = Number(spelled[0]);
    if (Number(spelled[1]) === 0) this[side].delete(price);
    else this[side].set(price, spelled);
  }

  /** Best first. */
  sorted(side: "bids" | "asks"): Level[] {
    const sign = side === "bids" ? -1 : 1;
    return [...this[side].entries()].toSorted(([a], [b]) => sign * (a - b)).map(([, level]) => level);
  }

  /** Kraken's books have a fixed depth: levels pushed out are forgotten without a message. */
  truncate(depth: number): void {
    for (const side of ["bids", "asks"] as const) {
      if (this[side].size <= depth) continue;
      for (const level of this.sorted(side).slice(depth)) this[side].delete(Number(level[0]));
    }
  }
}

export interface LoopbackBooks {
  readonly books: ReadonlyMap<string, LoopbackBook>;
  see(message: unknown): Seen;
  /** Messages that give a client the book as it stands; none when it is not known yet. */
  snapshot(native: string): unknown[];
}

function levelsOf(record: ForeignRecord, key: string): readonly unknown[] {
  const levels = record[key];
  return Array.isArray(levels) ? levels : [];
}

const NOTHING: Seen = { native: null, isBookUpdate: false };

export class BinanceBooks implements LoopbackBooks {
  readonly books = new Map<string, LoopbackBook>();
  /** By symbol: the body of the recorded depth request. */
  readonly #recorded: ReadonlyMap<string, string>;

  constructor(recorded: ReadonlyMap<string, string>) {
    this.#recorded = recorded;
    for (const [native, body] of recorded) {
      const parsed: unknown = JSON.parse(body);
      if (!isForeignRecord(parsed)) continue;
      const book = new LoopbackBook();
      book.lastId = Number(parsed["lastUpdateId"]);
      for (const level of levelsOf(parsed, "bids")) book.set("bids", level);
      for (const level of levelsOf(parsed, "asks")) book.set("asks", level);
      this.books.set(native, book);
    }
  }

  see(message: unknown): Seen {
    const data = isForeignRecord(message) ? message["data"] : undefined;
    if (!isForeignRecord(data)) return NOTHING;
    const native = typeof data["s"] === "string" ? data["s"] : null;
    if (data["e"] !== "depthUpdate" || native === null) return { native, isBookUpdate: false };
    const book = this.books.get(native);
    if (book !== undefined && Number(data["u"]) > book.lastId) {
      for (const level of levelsOf(data, "b")) book.set("bids", level);
      for (const level of levelsOf(data, "a")) book.set("asks", level);
      book.lastId = Number(data["u"]);
    }
    return { native, isBookUpdate: true };
  }

  snapshot(): unknown[] {
    return [];
  }

  /** The answer of GET /api/v3/depth: as recorded until the play has passed its place, rebuilt from then on. */
  depth(native: string, hasPassed: boolean): string | null {
    const book = this.books.get(native);
    if (book === undefined) return null;
    if (!hasPassed) return this.#recorded.get(native) ?? null;
    return JSON.stringify({ lastUpdateId: book.lastId, bids: book.sorted("bids"), asks: book.sorted("asks") });
  }
}

export class CoinbaseBooks implements LoopbackBooks {
  readonly books = new Map<string, LoopbackBook>();

  see(message: unknown): Seen {
    if (!isForeignRecord(message)) return NOTHING;
    const native = typeof message["product_id"] === "string" ? message["product_id"] : null;
    if (native === null) return NOTHING;
    if (message["type"] === "snapshot") {
      const book = new LoopbackBook();
      for (const level of levelsOf(message, "bids")) book.set("bids", level);
      for (const level of levelsOf(message, "asks")) book.set("asks", level);
      this.books.set(native, book);
      return { native, isBookUpdate: false };
    }
    if (message["type"] !== "l2update") return { native, isBookUpdate: false };
    for (const change of levelsOf(message, "changes")) {
      if (Array.isArray(change)) this.books.get(native)?.set(change[0] === "buy" ? "bids" : "asks", change.slice(1));
    }
    return { native, isBookUpdate: true };
  }

  snapshot(native: string): unknown[] {
    const book = this.books.get(native);
    if (book === undefined) return [];
    return [{ type: "snapshot", product_id: native, asks: book.sorted("asks"), bids: book.sorted("bids") }];
  }
}

export class KrakenBooks implements LoopbackBooks {
  readonly books = new Map<string, LoopbackBook>();

  see(message: unknown): Seen {
    if (isForeignRecord(message)) return { native: typeof message["pair"] === "string" ? message["pair"] : null, isBookUpdate: false };
    if (!Array.isArray(message)) return NOTHING;
    const native: unknown = message.at(-1);
    const name: unknown = message.at(-2);
    if (typeof native !== "string" || typeof name !== "string") return NOTHING;
    if (!name.startsWith("book-")) return { native, isBookUpdate: false };
    const parts = message.slice(1, -2).filter((part) => isForeignRecord(part));
    const isSnapshot = parts.some((part) => "as" in part || "bs" in part);
    const book = isSnapshot ? new LoopbackBook() : this.books.get(native);
    if (book === undefined) return { native, isBookUpdate: true };
    if (isSnapshot) {
      this.books.set(native, book);
      book.channelId = Number(message[0]);
      book.channelName = name;
    }
    for (const part of parts) {
      for (const level of [...levelsOf(part, "bs"), ...levelsOf(part, "b")]) book.set("bids", level);
      for (const level of [...levelsOf(part, "as"), ...levelsOf(part, "a")]) book.set("asks", level);
    }
    book.truncate(Number(name.slice("book-".length)));
    return { native, isBookUpdate: !isSnapshot };
  }

  snapshot(native: string): unknown[] {
    const book = this.books.get(native);
    if (book === undefined) return [];
    return [[book.channelId, { as: book.sorted("asks").map(timed), bs: book.sorted("bids").map(timed) }, book.channelName, native]];
  }
}

/** A snapshot's level is price, size and time; updates may carry a fourth member, `r` for republished. */
function timed(level: Level): Level {
  return level.slice(0, 3);
}
