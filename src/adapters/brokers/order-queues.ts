/**
 * One thing at a time per order: two placements of one client order id, or a look-up beside a placement, would judge each other wrongly.
 */

export class OrderQueues {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs after everything asked before it for the same order. */
  async inTurn<T>(clientOrderId: string, run: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(clientOrderId);
    const turn = Promise.withResolvers<void>();
    this.#tails.set(clientOrderId, turn.promise);
    try {
      await before;
      return await run();
    } finally {
      turn.resolve();
      if (this.#tails.get(clientOrderId) === turn.promise) this.#tails.delete(clientOrderId);
    }
  }
}
