/**
 * Runs the real service as a child process on free ports with a data folder of its own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { newDataFolder } from "./data-folder.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const START_MS = 30_000;

export interface RunningService {
  readonly pid: number;
  /** `http://127.0.0.1:PORT`. */
  readonly page: string;
  /** `ws://127.0.0.1:PORT/v1/stream`. */
  readonly stream: string;
  readonly dataDir: string;
  /** All it wrote so far. */
  output(): string;
  /** Resolves when the output matches; rejects after `withinMs` with the output. */
  said(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray>;
  signal(signal: "SIGTERM" | "SIGINT" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
  /** Exit code, or null after a killing signal. */
  readonly exited: Promise<number | null>;
  /** Sends SIGTERM (or kills), waits, removes the data folder. Answers the exit code. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<number | null>;
}

export interface ServiceOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Kept when given; else a new one that `stop` removes. */
  readonly dataDir?: string;
  /** Folder of another installation, see `stubbedInstallation`. */
  readonly root?: string;
}

/**
 * Two free ports below those that the kernel hands out, for a service that will be started again on them. A port that the
 * kernel chose would not do: see decision 0001.
 */
export async function restartablePorts(): Promise<{ readonly HTTP_PORT: string; readonly STREAM_PORT: string }> {
  const [http, stream] = [await freePort(), await freePort()];
  return { HTTP_PORT: String(http), STREAM_PORT: String(stream) };
}

async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer().once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** A copy of the sources in which the stream thread is the stub. The caller removes the folder. */
export function stubbedInstallation(): string {
  const folder = mkdtempSync(join(tmpdir(), "ticker-stubbed-"));
  cpSync(join(ROOT, "src"), join(folder, "src"), { recursive: true });
  for (const name of ["node_modules", "package.json"]) symlinkSync(join(ROOT, name), join(folder, name));
  const stub = readFileSync(join(ROOT, "tests/support/stub-stream.ts"), "utf8");
  writeFileSync(join(folder, "src/compose/stream.ts"), stub.replaceAll("../../src/", "../"));
  return folder;
}

/** Starts it without waiting for anything. */
export function spawnService(options: ServiceOptions = {}): RunningService {
  const dataDir = options.dataDir ?? newDataFolder("ticker-service-");
  const child = spawn(process.execPath, ["src/main.ts"], {
    cwd: options.root ?? ROOT, stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] ?? "", HTTP_PORT: "0", STREAM_PORT: "0", PUSH_PORT: "0", DATA_DIR: dataDir, ...options.env },
  });
  const output = new Output(child);
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  return {
    pid: child.pid ?? -1, dataDir, exited,
    get page() {
      return output.found(/(http:\/\/[\w.:[\]]+?:\d+)/);
    },
    get stream() {
      return output.found(/(wss?:\/\/[\w.:[\]]+?:\d+\/v1\/stream)/);
    },
    output: () => output.text,
    said: (pattern, withinMs = START_MS) => output.said(pattern, withinMs),
    signal: (signal) => void child.kill(signal),
    stop: async (signal = "SIGTERM") => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const code = await exited;
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
      return code;
    },
  };
}

/** Starts it and waits until its URLs are known, which is when it runs. */
export async function startService(options: ServiceOptions = {}): Promise<RunningService> {
  const service = spawnService(options);
  await service.said(/\/v1\/stream/).catch(async (error: unknown) => {
    await service.stop("SIGKILL");
    throw error;
  });
  return service;
}

class Output {
  text = "";
  readonly #waiting = new Set<() => void>();

  constructor(child: ChildProcess) {
    const take = (chunk: Buffer): void => {
      this.text += chunk.toString();
      for (const look of this.#waiting) look();
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    child.once("exit", (code, signal) => take(Buffer.from(`\n[exited ${code ?? signal}]\n`)));
  }

  found(pattern: RegExp): string {
    const match = pattern.exec(this.text)?.[1];
    if (match === undefined) throw new Error(`the service has not said ${pattern.source}:\n${this.text}`);
    return match;
  }

  said(pattern: RegExp, withinMs: number): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(this.text);
        if (!match && !this.text.includes("[exited ")) return;
        clearTimeout(deadline);
        this.#waiting.delete(look);
        if (match) resolve(match);
        else reject(new Error(`the service ended without saying ${pattern.source}:\n${this.text}`));
      };
      const deadline = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`the service did not say ${pattern.source} within ${withinMs} ms:\n${this.text}`));
      }, withinMs);
      this.#waiting.add(look);
      look();
    });
  }
}
