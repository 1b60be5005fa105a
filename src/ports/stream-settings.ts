/**
 * Runtime settings as the stream thread and its workers need them. Plain data: it crosses by structured clone.
 */

/** What a fan-out works by. */
export interface FanoutSettings {
  /** Revision of the settings these are of. */
  readonly revision: number;
  readonly softLimitBytes: number;
  readonly hardLimitBytes: number;
  readonly ringBytesMax: number;
  readonly sessionsPerKeyMax: number;
  /** Told to every client in the heartbeats; null: nothing. */
  readonly banner: string | null;
}

/** What the stream thread works by. */
export interface StreamSettings extends FanoutSettings {
  /** Feeds that shall run, by name; one that is not named runs. */
  readonly feedsEnabled: Readonly<Record<string, boolean>>;
  /** Lines below it do not leave the thread. */
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

/** Revisions that the stream thread and its workers have applied. */
export interface StreamApplied {
  readonly stream: number;
  /** In the order of the workers; only of those that take messages. */
  readonly workers: readonly number[];
}
