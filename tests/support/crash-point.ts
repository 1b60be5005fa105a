/**
 * A process that dies: from a chosen write or sending on, nothing of it reaches the database or the broker any more.
 */
import { StoreError } from "../../src/core/errors.ts";
import type { Broker } from "../../src/ports/broker.ts";
import type { BatchStore, OrderStore } from "../../src/ports/orders.ts";

/** Durable writes and sendings: what the world sees of the process. */
const WRITES: readonly PropertyKey[] = ["write", "begin", "reject", "rollBack", "finish"];
const SENDINGS: readonly PropertyKey[] = ["place", "cancel"];

export class CrashPoint {
  /** Writes and sendings so far. */
  passed = 0;
  /** Where it died: `after write`. Empty while it lives. */
  where = "";
  readonly #at: number;
  readonly #isAfter: boolean;

  /** @param at number of the write or sending, from 1; Infinity: never. @param isAfter whether that one still takes effect */
  constructor(at: number, isAfter: boolean) {
    this.#at = at;
    this.#isAfter = isAfter;
  }

  get isDead(): boolean {
    return this.where !== "";
  }

  store<T extends OrderStore | BatchStore>(store: T): T {
    return this.#watched(store, WRITES, () => Promise.reject(new StoreError("the process is dead")));
  }

  broker(broker: Broker): Broker {
    return this.#watched(broker, SENDINGS, () => new Promise(() => undefined));
  }

  #watched<T extends object>(target: T, counted: readonly PropertyKey[], dead: () => Promise<never>): T {
    return new Proxy(target, {
      get: (_, name): unknown => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...args: readonly unknown[]): unknown => {
          const call = (): unknown => Reflect.apply(member, target, args);
          if (name === "onUpdate" || name === "onEvents") return call();
          if (this.isDead) return dead();
          if (!counted.includes(name)) return call();
          return this.#counted(String(name), call, dead);
        };
      },
    });
  }

  async #counted(name: string, call: () => unknown, dead: () => Promise<never>): Promise<unknown> {
    const isLast = ++this.passed === this.#at;
    if (isLast && !this.#isAfter) this.where = `before ${name}`;
    if (this.isDead) return dead();
    const answer = isLast ? this.#dieAfter(name, call) : call();
    const value = await answer;
    return this.isDead ? dead() : value;
  }

  /** What was begun takes effect; everything else that begins meanwhile does not. */
  #dieAfter(name: string, call: () => unknown): unknown {
    const begun = call();
    this.where = `after ${name}`;
    return begun;
  }
}
