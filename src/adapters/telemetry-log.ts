/**
 * The logger: pino into rolled files of the data folder, and onto the console.
 *
 * Runs on: main thread; the stream thread's lines arrive as notices. Files hold every line as JSON; the console shows JSON
 * in production and short lines elsewhere.
 */
import { join } from "node:path";
import { multistream, pino } from "pino";
import buildRolledFile from "pino-roll";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../ports/telemetry.ts";

export interface LogOptions {
  readonly folder: string;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly isProduction: boolean;
  /** Rolled above this size (checked after a write, so a burst overshoots) and every day. */
  readonly fileBytesMax: number;
  /** Where console lines go. */
  readonly console: (line: string) => void;
}

/** A logger that can be closed: what was logged is on disk afterwards. */
export interface OpenLog {
  readonly log: Logger;
  /** Path of the file that is being written. */
  readonly written: () => string;
  /** Writes out at once what is still in memory; for the moment before a forced exit. */
  readonly flush: () => void;
  readonly close: () => Promise<void>;
  /** The least level that is written from now on, to the file and to the console. */
  readonly setLevel: (level: LogOptions["level"]) => void;
}

/** Field names whose values are never written. A name reaches its own level and one below. */
const SECRET_FIELDS = ["apiKey", "api_key", "key", "token", "ticket", "secret", "password", "authorization", "cookie"];

/** What the streams take: the logger in front of them has the level. */
const LEAST = "debug";

/** Opens the log files. @throws when the folder cannot be written. */
export async function openLog(options: LogOptions): Promise<OpenLog> {
  const file = await buildRolledFile({
    file: join(options.folder, "app"), frequency: "daily", dateFormat: "yyyy-MM-dd", size: `${options.fileBytesMax}b`, mkdir: true,
  });
  if (file.fd < 0) await new Promise<void>((resolve) => file.once("ready", resolve));
  let failures = 0;
  file.on("error", (error) => {
    if (failures++ === 0) options.console(`the log file cannot be written: ${error.message}\n`);
  });
  const shown = options.isProduction ? options.console : (line: string) => options.console(shortLine(line));
  const log = pino(
    { level: options.level, redact: { paths: [...SECRET_FIELDS, ...SECRET_FIELDS.map((name) => `*.${name}`), 'headers["x-api-key"]'], censor: "[redacted]" } },
    multistream([{ level: LEAST, stream: { write: (line: string) => void file.write(line) } }, { level: LEAST, stream: { write: shown } }]),
  );
  return {
    log,
    setLevel: (level) => {
      log.level = level;
    },
    written: () => file.file,
    flush: () => {
      try {
        file.flushSync();
      } catch (error) {
        options.console(`the last log lines could not be written: ${messageOf(error)}\n`);
      }
    },
    close: () => new Promise((resolve) => {
      file.once("close", resolve);
      file.end();
    }),
  };
}

const LEVEL_NAMES: Readonly<Record<number, string>> = { 20: "debug", 30: "info ", 40: "WARN ", 50: "ERROR" };
const OWN_FIELDS = new Set(["level", "time", "msg", "pid", "hostname"]);

/** `17:03:21 info  the stream listens  port=8081`. */
export function shortLine(line: string): string {
  const parsed: unknown = JSON.parse(line);
  if (typeof parsed !== "object" || parsed === null) return line;
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const time = new Date(Number(fields.get("time"))).toTimeString().slice(0, 8);
  const level = LEVEL_NAMES[Number(fields.get("level"))] ?? String(fields.get("level"));
  const rest = [...fields].filter(([name]) => !OWN_FIELDS.has(name))
    .map(([name, value]) => `${name}=${textOf(value)}`);
  return `${[time, level, textOf(fields.get("msg")), ...rest].join(" ")}\n`;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
