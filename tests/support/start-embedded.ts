/**
 * Runs the service inside the test, embedded unless a database is named, with the stub of the stream thread, on free ports.
 */
import { rmSync } from "node:fs";
import { embedded } from "../../src/compose/embedded.ts";
import { served } from "../../src/compose/served.ts";
import type { Service } from "../../src/compose/service.ts";
import { loadConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { fillDataFolder, newDataFolder } from "./data-folder.ts";

const STUB = new URL("./stub-stream.ts", import.meta.url);
const DEADLINE_MS = 10_000;

export interface EmbeddedService extends Service {
  /** `http://127.0.0.1:PORT`. */
  readonly page: string;
  readonly dataDir: string;
  /** Console lines so far. */
  readonly lines: readonly string[];
  /** Resolves with the first console line that matches. */
  said(pattern: RegExp): Promise<string>;
  /** Resolves with the reason when the process would have ended. */
  readonly fatal: Promise<string>;
  /** Resolves when the process would have been stopped by a drain. */
  readonly drained: Promise<void>;
  stop(): Promise<boolean>;
}

/** @param behaviour of the stub, see stub-stream.ts. */
export async function startEmbedded(env: Readonly<Record<string, string>> = {}, behaviour = ""): Promise<EmbeddedService> {
  const dataDir = env["DATA_DIR"] ?? newDataFolder("ticker-embedded-");
  if (env["DATABASE_URL"] === undefined) fillDataFolder(dataDir);
  const lines: string[] = [];
  const looking = new Set<() => void>();
  let onFatal = (_reason: string): void => undefined;
  const fatal = new Promise<string>((resolve) => {
    onFatal = resolve;
  });
  let onDrain = (): void => undefined;
  const drained = new Promise<void>((resolve) => {
    onDrain = resolve;
  });
  const config = loadConfig({ HTTP_PORT: "0", STREAM_PORT: "0", TICKER_SHUTDOWN_MS: "2000", FEED_INSTRUMENTS: behaviour, DATA_DIR: dataDir, ...env });
  const service = await (config.databaseUrl === null ? embedded : served)({
    config, clock: systemClock, streamEntry: STUB, onFatal: (reason) => onFatal(reason), onDrain: () => onDrain(),
    console: (line) => {
      lines.push(line);
      for (const look of looking) look();
    },
  });
  const stop = async (): Promise<boolean> => {
    const isClean = await service.app.stop();
    await service.log.close();
    if (env["DATA_DIR"] === undefined) rmSync(dataDir, { recursive: true, force: true });
    return isClean;
  };
  try {
    await service.app.start();
  } catch (error) {
    await stop();
    throw error;
  }
  const said = (pattern: RegExp): Promise<string> => new Promise((resolve, reject) => {
    const look = (): void => {
      const line = lines.find((candidate) => pattern.test(candidate));
      if (line === undefined) return;
      deadline.stop();
      looking.delete(look);
      resolve(line);
    };
    const deadline = systemClock.after(DEADLINE_MS, () => reject(new Error(`nobody said ${pattern.source}:\n${lines.join("")}`)));
    looking.add(look);
    look();
  });
  return { ...service, page: service.urls().page, dataDir, lines, said, fatal, drained, stop };
}
