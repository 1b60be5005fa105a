/**
 * Sessions per key and per address, counted exactly over all fan-out threads of the node.
 *
 * Owns: a table in shared memory: open addressing by a 64-bit hash of the name, changed by atomic operations only.
 */
import { createHash } from "node:crypto";

const ENTRIES = 1 << 16;
/** Entries looked at before a name is counted by its thread alone. */
const PROBES_MAX = 64;

/** Shared by all threads of a node: a hash (8 bytes) and a count (4 bytes) per entry. */
export function createPlaceTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(ENTRIES * 12);
}

export class Places {
  readonly #hashes: BigInt64Array;
  readonly #counts: Int32Array;
  readonly #own = new Map<string, number>();
  /** Names that found no entry and were counted by this thread alone. */
  overflowed = 0;

  constructor(table: SharedArrayBuffer) {
    this.#hashes = new BigInt64Array(table, 0, ENTRIES);
    this.#counts = new Int32Array(table, ENTRIES * 8, ENTRIES);
  }

  /** Takes a place of `name` unless `max` are taken; the answer says whether. */
  take(name: string, max: number): boolean {
    const entry = this.#find(name);
    const own = this.#own.get(name) ?? 0;
    if (entry < 0) {
      this.overflowed++;
      if (own >= max) return false;
    } else if (Atomics.add(this.#counts, entry, 1) >= max) {
      Atomics.sub(this.#counts, entry, 1);
      return false;
    }
    this.#own.set(name, own + 1);
    return true;
  }

  release(name: string): void {
    const own = this.#own.get(name) ?? 0;
    if (own === 0) return;
    if (own === 1) this.#own.delete(name);
    else this.#own.set(name, own - 1);
    const entry = this.#find(name);
    if (entry >= 0) Atomics.sub(this.#counts, entry, 1);
  }

  /** Entry of a name, claimed for a new one; -1 when there is none near its hash. Entries are never given back. */
  #find(name: string): number {
    const hash = createHash("sha256").update(name).digest().readBigInt64LE(0) | 1n;
    const first = Number(hash & 0xffffffn);
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const entry = (first + probe) % ENTRIES;
      const found = Atomics.compareExchange(this.#hashes, entry, 0n, hash);
      if (found === 0n || found === hash) return entry;
    }
    return -1;
  }
}
