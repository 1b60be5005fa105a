/**
 * The main thread's side of what it asks of the feeds, with a deadline for each question.
 *
 * Owns: the questions that wait. Runs on: main thread.
 */
import type { Clock } from "../core/clock.ts";
import { UnavailableError } from "../core/errors.ts";
import type { CarryRefusal, FeedControl, FeedNotice, FeedOrder, RefreshedVenue } from "../ports/feed-control.ts";
import type { Channel } from "../protocol/topic.ts";

const CARRY_MS = 2_000;
/** A venue's REST side has ten seconds. */
const REFRESH_MS = 15_000;
const WAITING_MAX = 1_000;

interface Waiting<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: UnavailableError) => void;
}

export interface FeedControlDeps {
  readonly clock: Clock;
  /** False when the stream thread does not listen. */
  readonly order: (order: FeedOrder) => boolean;
}

export class ThreadFeedControl implements FeedControl {
  readonly #deps: FeedControlDeps;
  readonly #carried = new Map<number, Waiting<readonly CarryRefusal[]>>();
  readonly #refreshed = new Map<number, Waiting<readonly RefreshedVenue[]>>();
  #calls = 0;
  #term = 0;

  constructor(deps: FeedControlDeps) {
    this.#deps = deps;
  }

  term(): number {
    return this.#term;
  }

  /** A stream thread starts with what the memory says: what was asked of the one before is not answered any more. */
  threadStarts(): void {
    this.#term++;
    for (const { reject } of [...this.#carried.values(), ...this.#refreshed.values()]) reject(new UnavailableError("the stream thread started anew: try again in a few seconds"));
  }

  /** Answers of the feeds. */
  hear(notice: Exclude<FeedNotice, { readonly type: "listed" }>): void {
    if (notice.type === "carried") this.#carried.get(notice.call)?.resolve(notice.refusals);
    else this.#refreshed.get(notice.call)?.resolve(notice.venues);
  }

  async carry(symbols: readonly string[], channels: readonly Channel[]): Promise<readonly CarryRefusal[]> {
    const term = this.#term;
    try {
      return await this.#ask(this.#carried, CARRY_MS, (call) => ({ type: "carry", call, symbols, channels }));
    } catch (error) {
      // Orders arrive in order: a late `carry` is followed by this.
      if (error instanceof LateError && term === this.#term) this.release(symbols, channels);
      throw error;
    }
  }

  release(symbols: readonly string[], channels: readonly Channel[]): void {
    this.#deps.order({ type: "release", symbols, channels });
  }

  refresh(): Promise<readonly RefreshedVenue[]> {
    return this.#ask(this.#refreshed, REFRESH_MS, (call) => ({ type: "refresh", call }));
  }

  #ask<Answer>(waiting: Map<number, Waiting<Answer>>, withinMs: number, orderOf: (call: number) => FeedOrder): Promise<Answer> {
    if (waiting.size >= WAITING_MAX) return Promise.reject(new UnavailableError(`${WAITING_MAX} requests wait for the feeds: try again in a few seconds`));
    const call = ++this.#calls;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        late.stop();
        waiting.delete(call);
      };
      const late = this.#deps.clock.after(withinMs, () => {
        end();
        reject(new LateError(`the feeds did not answer within ${withinMs} ms: try again in a few seconds`));
      });
      waiting.set(call, {
        resolve: (answer) => {
          end();
          resolve(answer);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      });
      if (this.#deps.order(orderOf(call))) return;
      end();
      reject(new UnavailableError("the stream thread does not run just now: try again in a few seconds"));
    });
  }
}

/** It may still be done. */
class LateError extends UnavailableError {}
