/**
 * What an unknown spelling of an instrument may have meant: an index of symbols that finds those one edit away.
 *
 * Owns: references to what was added. Written when instruments load; a look-up costs as many map look-ups as the spelling has characters.
 */

/** What an instrument must say of itself. */
export interface Named {
  readonly id: string;
  readonly venue: string;
  readonly symbol: string;
}

const SUGGESTIONS_MAX = 3;
/** Longer spellings are looked at this far. */
const SYMBOL_LENGTH_MAX = 64;
/** Candidates that are compared. */
const FOUND_MAX = 100;

export class SuggestionIndex {
  /** By their symbol with at most one character left out (upper case, letters and digits only). */
  readonly #near = new Map<string, Named[]>();

  add(named: Named): void {
    for (const key of nearKeys(named.symbol)) {
      const list = this.#near.get(key);
      if (list) list.push(named);
      else this.#near.set(key, [named]);
    }
  }

  /** Up to three ids that an unknown spelling may have meant: the same symbol elsewhere first, then one edit away. */
  suggest(spelling: string): string[] {
    const colon = spelling.indexOf(":");
    const venue = colon < 0 ? "" : spelling.slice(0, colon).toLowerCase();
    const symbol = spelling.slice(colon + 1, colon + 1 + SYMBOL_LENGTH_MAX);
    const found = new Map<string, number>();
    for (const [distance, key] of nearKeys(symbol).entries()) {
      for (const named of this.#near.get(key) ?? []) {
        if (found.size > FOUND_MAX) continue;
        const score = (distance === 0 ? 0 : 2) + (named.venue === venue ? 0 : 1) + (plain(named.symbol) === key ? 0 : 1);
        found.set(named.id, Math.min(score, found.get(named.id) ?? score));
      }
    }
    return [...found].toSorted((a, b) => a[1] - b[1]).slice(0, SUGGESTIONS_MAX).map(([id]) => id);
  }
}

function plain(symbol: string): string {
  return symbol.toUpperCase().replace(/[^A-Z0-9]/g, "");
}

/** The symbol itself first, then each form with one character left out: two symbols one edit apart share a form. */
function nearKeys(symbol: string): string[] {
  const whole = plain(symbol);
  const keys = [whole];
  for (let i = 0; i < whole.length; i++) keys.push(whole.slice(0, i) + whole.slice(i + 1));
  return [...new Set(keys)];
}
