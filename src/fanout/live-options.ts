/**
 * The options of a fan-out of which operators may change some while it runs: every part holds the same object.
 *
 * Owns: that object. Reading it costs what reading constants does; a change is seen at the next look.
 */
import type { FanoutSettings } from "../ports/stream-settings.ts";
import type { FanoutOptions } from "./options.ts";

type LiveName = "softLimitBytes" | "hardLimitBytes" | "ringBytesMax" | "sessionsPerKeyMax";

type Changing = Omit<FanoutOptions, LiveName> & { -readonly [Name in LiveName]: FanoutOptions[Name] };

export class LiveOptions {
  readonly #options: Changing;
  #revision = 0;
  #banner: string | null = null;

  constructor(options: FanoutOptions) {
    this.#options = { ...options };
  }

  /** To be kept and read anew each time. */
  get options(): FanoutOptions {
    return this.#options;
  }

  /** Of the settings that were applied last; 0: none. */
  get revision(): number {
    return this.#revision;
  }

  /** What operators tell every client; null: nothing. */
  get banner(): string | null {
    return this.#banner;
  }

  apply({ revision, banner, softLimitBytes, hardLimitBytes, ringBytesMax, sessionsPerKeyMax }: FanoutSettings): void {
    this.#revision = revision;
    this.#banner = banner;
    this.#options.softLimitBytes = softLimitBytes;
    this.#options.hardLimitBytes = hardLimitBytes;
    this.#options.ringBytesMax = ringBytesMax;
    this.#options.sessionsPerKeyMax = sessionsPerKeyMax;
  }
}
