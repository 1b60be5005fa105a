/**
 * Runtime settings inside the stream thread: the fan-out works by them, feeds run or stand, the log is as loud as it should be.
 *
 * Owns: the level of the thread's lines. Runs on: stream thread.
 */
import { messageOf } from "../core/errors.ts";
import type { FeedSupervisor } from "../feeds/feed-supervisor.ts";
import type { FanoutSettings, StreamApplied, StreamSettings } from "../ports/stream-settings.ts";
import type { Logger } from "../ports/telemetry.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;
type Level = (typeof LEVELS)[number];

/** A logger that hands on only lines of its level and above. */
export class LeveledLog implements Logger {
  readonly #say: (level: Level, fields: Readonly<Record<string, unknown>>, message: string) => void;
  #least: number;

  constructor(level: Level, say: (level: Level, fields: Readonly<Record<string, unknown>>, message: string) => void) {
    this.#least = LEVELS.indexOf(level);
    this.#say = say;
  }

  setLevel(level: Level): void {
    this.#least = LEVELS.indexOf(level);
  }

  debug(fields: Readonly<Record<string, unknown>>, message: string): void {
    if (this.#least <= 0) this.#say("debug", fields, message);
  }

  info(fields: Readonly<Record<string, unknown>>, message: string): void {
    if (this.#least <= 1) this.#say("info", fields, message);
  }

  warn(fields: Readonly<Record<string, unknown>>, message: string): void {
    if (this.#least <= 2) this.#say("warn", fields, message);
  }

  error(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#say("error", fields, message);
  }
}

export interface ThreadSettingsParts {
  readonly feeds: Pick<FeedSupervisor, "enable" | "disable">;
  /** The one fan-out, or all of them. */
  readonly sink: { applySettings(settings: FanoutSettings): void };
  readonly log: LeveledLog;
  /** Revisions of the fan-outs. */
  readonly workers: () => readonly number[];
  readonly onApplied: (applied: StreamApplied) => void;
}

export class ThreadSettings {
  readonly #parts: ThreadSettingsParts;
  #enabled: Readonly<Record<string, boolean>> = {};
  #revision = 0;
  /** Changes of feeds take their turns. */
  #turn: Promise<void> = Promise.resolve();

  constructor(parts: ThreadSettingsParts) {
    this.#parts = parts;
  }

  /** The fan-outs get theirs at once; it counts as applied once the feeds stand or run as they should. */
  apply(settings: StreamSettings): void {
    this.#parts.log.setLevel(settings.logLevel);
    this.#parts.sink.applySettings(settings);
    this.#turn = this.#turn.then(() => this.#switchFeeds(settings)).then(() => {
      this.#revision = settings.revision;
      this.say();
    });
  }

  /** Resolves when everything so far has been applied. */
  settled(): Promise<void> {
    return this.#turn;
  }

  say(): void {
    this.#parts.onApplied({ stream: this.#revision, workers: this.#parts.workers() });
  }

  async #switchFeeds({ feedsEnabled }: StreamSettings): Promise<void> {
    const { feeds, log } = this.#parts;
    const changed = Object.entries(feedsEnabled).filter(([name, isEnabled]) => isEnabled !== (this.#enabled[name] ?? true));
    this.#enabled = feedsEnabled;
    await Promise.all(changed.map(([name, isEnabled]) => (isEnabled ? feeds.enable(name) : feeds.disable(name)).catch((error: unknown) => {
      // Its report says why it is down; a change of settings is not undone by it.
      log.error({ feed: name, reason: messageOf(error) }, "feed could not be switched");
    })));
  }
}
