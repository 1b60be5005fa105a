/**
 * What administrators ask of the stream thread, with a deadline: sessions and breakers.
 *
 * Owns: the questions that wait for an answer. Runs on: main thread.
 */
import type { Clock } from "../core/clock.ts";
import { UnavailableError } from "../core/errors.ts";
import { unreachable } from "../core/types.ts";
import type { BreakerOrder, BreakerReport } from "../ports/breakers.ts";
import type { ConnectionControl, ConnectionList, ConnectionQuery, FoundConnection } from "../ports/connections.ts";
import type { StreamAnswer, StreamQuestion } from "../ports/stream-control.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";

/** The stream thread waits a second for its workers. */
const ANSWER_MS = 2_000;
const WAITING_MAX = 1_000;

interface Waiting<Answer> {
  answer(answer: Answer): void;
  lost(): void;
}

export class StreamQuestions implements ConnectionControl, MetricSource {
  readonly #clock: Clock;
  /** Null while the thread does not listen. */
  readonly #post: () => ((question: StreamQuestion) => void) | null;
  readonly #lists = new Map<number, Waiting<ConnectionList>>();
  readonly #found = new Map<number, Waiting<FoundConnection | null>>();
  readonly #reports = new Map<number, Waiting<BreakerReport | null>>();
  #calls = 0;
  #unanswered = 0;

  constructor(clock: Clock, post: () => ((question: StreamQuestion) => void) | null) {
    this.#clock = clock;
    this.#post = post;
  }

  list(query: ConnectionQuery): Promise<ConnectionList> {
    return this.#ask(this.#lists, (call) => ({ type: "connections", call, query }));
  }

  one(id: string, isDisconnected: boolean): Promise<FoundConnection | null> {
    return this.#ask(this.#found, (call) => ({ type: "connection", call, id, isDisconnected }));
  }

  /** @throws {UnavailableError} when the thread does not answer */
  order(name: string, order: BreakerOrder): Promise<BreakerReport | null> {
    return this.#ask(this.#reports, (call) => ({ type: "breaker", call, name, order }));
  }

  answered(answer: StreamAnswer): void {
    switch (answer.type) {
      case "connections": return this.#lists.get(answer.call)?.answer(answer.list);
      case "connection": return this.#found.get(answer.call)?.answer(answer.connection);
      case "breaker": return this.#reports.get(answer.call)?.answer(answer.report);
      default: return unreachable(answer);
    }
  }

  /** The thread is gone: nobody answers what was asked. */
  lost(): void {
    for (const waiting of [...this.#lists.values(), ...this.#found.values(), ...this.#reports.values()]) waiting.lost();
  }

  samples(): MetricSample[] {
    return [{ name: "ticker_stream_questions_unanswered_total", help: "Questions of administrators that the stream thread did not answer in time", type: "counter", labels: {}, value: this.#unanswered }];
  }

  #ask<Answer>(waiting: Map<number, Waiting<Answer>>, question: (call: number) => StreamQuestion): Promise<Answer> {
    const post = this.#post();
    if (post === null) return Promise.reject(new UnavailableError("the stream thread does not run just now: try again in a few seconds"));
    if (waiting.size >= WAITING_MAX) return Promise.reject(new UnavailableError(`${WAITING_MAX} questions wait for the stream thread: try again in a few seconds`));
    const call = ++this.#calls;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        late.stop();
        waiting.delete(call);
      };
      const lost = (): void => {
        this.#unanswered++;
        settle();
        reject(new UnavailableError(`the stream thread did not answer within ${ANSWER_MS} ms: try again in a few seconds`));
      };
      const late = this.#clock.after(ANSWER_MS, lost);
      waiting.set(call, {
        lost,
        answer: (answer) => {
          settle();
          resolve(answer);
        },
      });
      post(question(call));
    });
  }
}
