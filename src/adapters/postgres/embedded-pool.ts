/**
 * The embedded database seen as a pg pool of one connection: statements wait in line, a transaction has it to itself.
 *
 * Owns: the thread and the line. It survives `kill -9`, not a power cut: PGlite cannot flush to disk on commit.
 */
import { Worker } from "node:worker_threads";
import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import { type Clock } from "../../core/clock.ts";
import { messageOf, ResourceError, StoreError } from "../../core/errors.ts";

export interface EmbeddedInit {
  readonly folder: string;
}

export type EmbeddedRequest =
  | { readonly type: "query"; readonly call: number; readonly text: string; readonly values: readonly unknown[] }
  | { readonly type: "close"; readonly call: number };

/** @typeParam Row what the statement selects; only whoever wrote it knows */
export type EmbeddedAnswer<Row = never> =
  | { readonly type: "ready" }
  | { readonly type: "result"; readonly call: number; readonly rows: Row[]; readonly rowCount: number }
  | { readonly type: "failure"; readonly call: number; readonly message: string; readonly code: string };

interface Result {
  readonly rows: never[];
  readonly rowCount: number;
}

interface Waiting {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

/** Creating the folder takes some 2 s, opening it 0.5. */
const OPEN_MS = 60_000;

/** As pg does it: `code` is the SQLSTATE. */
class DatabaseFailure extends Error {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

export class EmbeddedPool implements PostgresPool {
  /** What Kysely's dialect looks at of a pool. */
  readonly options = {};
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  /** Resolves when the connection is free. */
  #line: Promise<void> = Promise.resolve();
  #gone: StoreError | null = null;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (answer: EmbeddedAnswer) => this.#heard(answer));
    worker.on("error", (error) => this.#fail(`the embedded database failed: ${messageOf(error)}`));
    worker.on("exit", (code) => this.#fail(`the embedded database ended with code ${code}`));
  }

  /** Opens or creates the database. The folder must be locked: two processes would damage it. @throws {ResourceError} when it cannot be opened. */
  static async open(folder: string, clock: Clock): Promise<EmbeddedPool> {
    const init: EmbeddedInit = { folder };
    const worker = new Worker(new URL("./embedded-worker.ts", import.meta.url), { workerData: init });
    const pool = new EmbeddedPool(worker);
    await new Promise<void>((resolve, reject) => {
      const refuse = (why: string): void => reject(new ResourceError(`the database in ${folder} cannot be opened: ${why}; restore it from a backup, or set DATA_DIR to another folder`));
      const late = clock.after(OPEN_MS, () => refuse(`no answer within ${OPEN_MS} ms`));
      worker.once("error", (error) => refuse(messageOf(error)));
      worker.once("exit", (code) => refuse(`its thread ended with code ${code}`));
      worker.once("message", () => {
        late.stop();
        resolve();
      });
    });
    return pool;
  }

  async connect(): Promise<PostgresPoolClient> {
    return new EmbeddedClient((text, values) => this.#query(text, values), await this.#take());
  }

  /** Statements in line are finished. */
  async end(): Promise<void> {
    const free = await this.#take();
    try {
      if (this.#gone === null) await this.#send({ type: "close" });
    } finally {
      this.#gone = new StoreError("the embedded database is closed");
      free();
    }
  }

  /** Resolves with what gives the connection back. */
  async #take(): Promise<() => void> {
    let release = (): void => undefined;
    const before = this.#line;
    this.#line = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    return release;
  }

  async #query(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<never>> {
    const { rows, rowCount } = await this.#send({ type: "query", text, values });
    return { command: commandOf(text), rowCount, rows };
  }

  #send(request: { readonly type: "query"; readonly text: string; readonly values: readonly unknown[] } | { readonly type: "close" }): Promise<Result> {
    if (this.#gone) return Promise.reject(this.#gone);
    const call = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve, reject });
      this.#worker.postMessage({ ...request, call } satisfies EmbeddedRequest);
    });
  }

  #heard(answer: EmbeddedAnswer): void {
    if (answer.type === "ready") return;
    const waiting = this.#waiting.get(answer.call);
    this.#waiting.delete(answer.call);
    if (answer.type === "result") waiting?.resolve(answer);
    else waiting?.reject(new DatabaseFailure(answer.message, answer.code));
  }

  #fail(why: string): void {
    this.#gone ??= new StoreError(why);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone);
    this.#waiting.clear();
  }
}

type Query = (text: string, values: readonly unknown[]) => Promise<PostgresQueryResult<never>>;

/** The one connection while somebody has it. */
class EmbeddedClient implements PostgresPoolClient {
  readonly #query: Query;
  readonly release: () => void;

  constructor(query: Query, release: () => void) {
    this.#query = query;
    this.release = release;
  }

  query<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>>;
  query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
  query(text: unknown, values: readonly unknown[] = []): unknown {
    if (typeof text !== "string") throw new TypeError("the embedded database has no cursors");
    return this.#query(text, values);
  }
}

const COMMANDS = ["UPDATE", "DELETE", "INSERT", "SELECT", "MERGE"] as const;

/** The first word of a statement, as pg reports it; SELECT for any other, whose row count nobody asks for. */
function commandOf(text: string): (typeof COMMANDS)[number] {
  const word = /^\s*(\w+)/.exec(text)?.[1]?.toUpperCase();
  return COMMANDS.find((command) => command === word) ?? "SELECT";
}
