/**
 * What an administrator asks of all fan-out threads at once, with a deadline for each.
 *
 * Owns: the questions that wait for an answer. Runs on: stream thread. Path: cold.
 */
import type { Clock } from "../core/clock.ts";
import { type Connection, type ConnectionList, type ConnectionPage, type ConnectionQuery, type FoundConnection, mergePages } from "../ports/connections.ts";
import { Calls, type FromWorker, type ToWorker } from "./thread-channel.ts";

const ANSWER_MS = 1_000;

type Post = (message: ToWorker) => void;

export class WorkerQuestions {
  readonly #clock: Clock;
  readonly #pages = new Calls<ConnectionPage | null>();
  readonly #connections = new Calls<Connection | null>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param workers in the order of their numbers; one that does not answer within a second counts as silent */
  async list(workers: readonly Post[], query: ConnectionQuery): Promise<ConnectionList> {
    const pages = await Promise.all(workers.map((post) => this.#ask(this.#pages, (call) => post({ type: "connections", call, query }))));
    return mergePages(pages, query.limit);
  }

  /** The session of that id, wherever it is. @param isDisconnected whether it is told goodbye and closed */
  async connection(workers: readonly Post[], id: string, isDisconnected: boolean): Promise<FoundConnection | null> {
    const found = await Promise.all(workers.map((post) => this.#ask(this.#connections, (call) => post({ type: "connection", call, id, isDisconnected }))));
    return found.flatMap((connection, worker) => (connection === null ? [] : [{ ...connection, worker }]))[0] ?? null;
  }

  answered(message: Extract<FromWorker, { readonly type: "connections" | "connection" }>): void {
    if (message.type === "connections") this.#pages.answer(message.call, message.page);
    else this.#connections.answer(message.call, message.connection);
  }

  #ask<Answer>(calls: Calls<Answer | null>, post: (call: number) => void): Promise<Answer | null> {
    return new Promise((resolve) => {
      const call = calls.open((answer) => {
        late.stop();
        resolve(answer);
      });
      const late = this.#clock.after(ANSWER_MS, () => calls.answer(call, null));
      post(call);
    });
  }
}
