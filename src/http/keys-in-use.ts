/**
 * Which idempotency keys a request is busy with here, so that others with the same key execute nothing and cost little.
 *
 * The database decides what is executed; this only tells the first of simultaneous requests from the others.
 */
import type { IncomingMessage } from "node:http";
import type { HttpContext } from "./problem.ts";

export class KeysInUse {
  readonly #inUse = new Set<string>();
  readonly #followers = new WeakSet<IncomingMessage>();

  /** True: this request is the first; until its answer is sent, or its client has gone. */
  claim(c: HttpContext, owner: string, key: string): boolean {
    const { incoming, outgoing } = c.env;
    const name = `${owner}\n${key}`;
    if (this.#inUse.has(name)) {
      this.#followers.add(incoming);
      return false;
    }
    this.#inUse.add(name);
    outgoing.once("close", () => this.#inUse.delete(name));
    return true;
  }

  /** Whether another request was busy with its key when it came. */
  isFollower(c: HttpContext): boolean {
    return this.#followers.has(c.env.incoming);
  }
}
