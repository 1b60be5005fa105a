/**
 * Remembers which client order ids were ever used, in memory of a fixed size: may say yes to a new one, never no to a used one.
 *
 * A Bloom filter (Bloom 1970): an id that it does not know needs no look into the ledger, so a new order costs one
 * transaction; a false yes costs one read. At a million ids about 1 in 50 is one.
 */
import type { PaperKey } from "../../ports/paper.ts";

const BITS = 2 ** 23;
const HASHES = 6;

export class KnownIds {
  readonly #bytes = new Uint8Array(BITS / 8);

  add(key: PaperKey): void {
    this.#each(key, (byte, mask) => {
      this.#bytes[byte] = (this.#bytes[byte] ?? 0) | mask;
      return true;
    });
  }

  mayHave(key: PaperKey): boolean {
    return this.#each(key, (byte, mask) => ((this.#bytes[byte] ?? 0) & mask) !== 0);
  }

  /** Until `visit` says false; answers whether it never did. */
  #each({ owner, clientOrderId }: PaperKey, visit: (byte: number, mask: number) => boolean): boolean {
    const text = `${owner}\n${clientOrderId}`;
    const first = fnv1a(text, 0x811c9dc5);
    const second = fnv1a(text, 0x01234567) | 1;
    for (let i = 0; i < HASHES; i++) {
      const bit = (first + Math.imul(i, second)) >>> 0 & (BITS - 1);
      if (!visit(bit >>> 3, 1 << (bit & 7))) return false;
    }
    return true;
  }
}

/** FNV-1a (Fowler, Noll, Vo) over code units, mixed once more so that all bits count. */
function fnv1a(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
