/**
 * The one error hierarchy: failures of the world with a stable code that REST and the stream share.
 */

/** A failure that somebody outside can cause and read. Our own mistakes are plain assertion errors instead. */
export abstract class AppError extends Error {
  /** Stable, machine-readable, upper case with underscores. */
  abstract readonly code: string;
  /** Whether the same call can succeed later without being changed. */
  abstract readonly retryable: boolean;
}

/** Configuration that cannot be used; carries every fault found, not only the first. */
export class ConfigurationError extends AppError {
  override readonly name = "ConfigurationError";
  readonly code = "CONFIGURATION";
  readonly retryable = false;
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`configuration: ${faults.length} fault${faults.length === 1 ? "" : "s"}\n${faults.map((f) => `  - ${f}`).join("\n")}`);
    this.faults = faults;
  }
}

/** A venue, file or other source of data that does not answer or answers nonsense. */
export class FeedError extends AppError {
  override readonly name = "FeedError";
  readonly code = "FEED";
  readonly retryable = true;
}

/** A port, folder or other resource of this machine that is not to be had. */
export class ResourceError extends AppError {
  override readonly name = "ResourceError";
  readonly code = "RESOURCE";
  readonly retryable = false;
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
