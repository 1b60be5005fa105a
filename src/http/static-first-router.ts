/**
 * A router that remembers what it found for paths without parameters: most requests are for those.
 *
 * Hono's fast router takes no static path beside a parameter (`/v1/orders/batch`, `/v1/orders/{id}`), so its general one
 * does the first look-up.
 */
import type { Result, Router } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

export class StaticFirstRouter<T> implements Router<T> {
  readonly name = "StaticFirstRouter";
  readonly #router = new TrieRouter<T>();
  /** Paths without parameters that were added; nothing else is remembered, so the number is bounded. */
  readonly #static = new Set<string>();
  readonly #found = new Map<string, Result<T>>();

  add(method: string, path: string, handler: T): void {
    this.#router.add(method, path, handler);
    if (!/[:*{?]/.test(path)) this.#static.add(path);
    this.#found.clear();
  }

  match(method: string, path: string): Result<T> {
    const name = `${method} ${path}`;
    const known = this.#found.get(name);
    if (known) return known;
    const result = this.#router.match(method, path);
    if (this.#static.has(path) && /^[A-Z]{3,7}$/.test(method)) this.#found.set(name, result);
    return result;
  }
}
