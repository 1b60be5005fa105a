/**
 * One side of a comparison in a process of its own: a server's clients and load, so that each side may have 10,000 sockets.
 *
 * The benchmark starts its own file again with `--side NAME`; there the file calls `serveSide`. Tasks go to and fro by IPC.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

export type SideName = "ours" | "bare";

/** What a task found. */
export interface Measured {
  /** Processor time of the server. */
  readonly cpuSeconds: number;
  /** Messages that clients read. */
  readonly deliveries: number;
  readonly seconds: number;
  /** Milliseconds; what of is the benchmark's business. */
  readonly latencies: readonly number[];
}

export type Task = (numbers: readonly number[]) => Promise<Measured>;

export const NOTHING: Measured = { cpuSeconds: 0, deliveries: 0, seconds: 0, latencies: [] };

/** Says that the side has begun, and answers tasks until the benchmark disconnects, then calls `stop` and ends. A task that fails ends the process. */
export function serveSide(tasks: Readonly<Record<string, Task>>, stop: () => Promise<void>): void {
  process.on("message", (message: unknown) => {
    const { name, numbers } = requestOf(message);
    const task = tasks[name];
    if (!task) throw new Error(`expected one of ${Object.keys(tasks).join(", ")}, found ${name}`);
    void task(numbers).then((measured) => process.send?.(measured));
  });
  process.once("disconnect", () => void stop().then(() => process.exit(0)));
  process.send?.(NOTHING);
}

export class SideProcess {
  readonly name: SideName;
  readonly #child: ChildProcess;
  readonly #begun: Promise<Measured>;

  /** @param file of the benchmark, as `import.meta.url` */
  constructor(file: string, name: SideName, options: readonly string[] = []) {
    this.name = name;
    this.#child = fork(fileURLToPath(file), ["--side", name, ...options]);
    this.#begun = this.#heard("start");
  }

  /** One task at a time. @throws when the process ends before it has answered */
  async ask(name: string, ...numbers: readonly number[]): Promise<Measured> {
    await this.#begun;
    const answer = this.#heard(name);
    this.#child.send({ name, numbers });
    return answer;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    if (child.connected) child.disconnect();
    await exited;
  }

  #heard(during: string): Promise<Measured> {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const failed = (code: number | null): void => reject(new Error(`${this.name}: the load process ended during ${during}, exit code ${code}`));
      child.once("exit", failed);
      child.once("message", (message: unknown) => {
        child.off("exit", failed);
        resolve(measuredOf(message));
      });
    });
  }
}

function requestOf(message: unknown): { readonly name: string; readonly numbers: readonly number[] } {
  if (typeof message !== "object" || message === null || !("name" in message) || typeof message.name !== "string") throw new Error("expected a task");
  return { name: message.name, numbers: "numbers" in message ? numbersOf(message.numbers) : [] };
}

function measuredOf(message: unknown): Measured {
  if (typeof message !== "object" || message === null) throw new Error("expected what was measured");
  const { cpuSeconds, deliveries, seconds, latencies }: { cpuSeconds?: unknown; deliveries?: unknown; seconds?: unknown; latencies?: unknown } = message;
  const [cpu = 0, count = 0, took = 0] = numbersOf([cpuSeconds, deliveries, seconds]);
  return { cpuSeconds: cpu, deliveries: count, seconds: took, latencies: numbersOf(latencies) };
}

function numbersOf(value: unknown): readonly number[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "number") : [];
}
