/**
 * The one error hierarchy: failures of the world with a stable code, from which REST takes its status and the stream its code.
 */

/** A failure that somebody outside can cause and read. Our own mistakes are plain assertion errors instead. */
export abstract class AppError extends Error {
  /** Stable, machine-readable, lower case with underscores: `code` of a problem (RFC 9457). */
  abstract readonly code: string;
  /** HTTP status of an answer that fails with it (RFC 9110). */
  abstract readonly status: number;
  /** Whether the same call can succeed later without being changed. */
  abstract readonly retryable: boolean;
  /** Seconds after which to try again; null: not known. */
  readonly retryAfterS: number | null = null;
  /** Members of a problem beside the standard ones, e.g. `did_you_mean`. */
  readonly members: Readonly<Record<string, unknown>> = {};
}

/** Configuration that cannot be used; carries every fault found, not only the first. */
export class ConfigurationError extends AppError {
  override readonly name = "ConfigurationError";
  readonly code = "configuration";
  readonly status = 500;
  readonly retryable = false;
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`configuration: ${faults.length} fault${faults.length === 1 ? "" : "s"}\n${faults.map((f) => `  - ${f}`).join("\n")}`);
    this.faults = faults;
  }
}

/** A port, folder or other resource of this machine that is not to be had. */
export class ResourceError extends AppError {
  override readonly name = "ResourceError";
  readonly code = "resource";
  readonly status = 503;
  readonly retryable = false;
}

/** One fault of an input: where, and what was expected and found. */
export interface InputFault {
  /** Path to the member: `orders.0.quantity`, `query.limit`. */
  readonly path: string;
  readonly message: string;
}

/** The caller's fault: the same call fails again. */
abstract class CallerError extends AppError {
  readonly retryable = false;
  readonly code: string;
  override readonly members: Readonly<Record<string, unknown>>;

  constructor(message: string, code: string, members: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.members = members;
  }
}

/** A body that cannot be read as what it says it is. */
export class MalformedError extends CallerError {
  override readonly name = "MalformedError";
  readonly status = 400;

  constructor(message: string, code = "malformed") {
    super(message, code);
  }
}

/** Input that can be read and is not acceptable; lists every fault. */
export class ValidationError extends CallerError {
  override readonly name = "ValidationError";
  readonly status = 422;
  readonly errors: readonly InputFault[];

  constructor(errors: readonly InputFault[], code = "validation_failed", members: Readonly<Record<string, unknown>> = {}) {
    super(errors.map(({ path, message }) => `${path}: ${message}`).join("; "), code, members);
    this.errors = errors;
  }
}

/** No key, or one that is not accepted. */
export class AuthenticationError extends AppError {
  override readonly name = "AuthenticationError";
  readonly status = 401;
  readonly retryable = false;
  readonly code: "missing_key" | "invalid_key";

  constructor(code: "missing_key" | "invalid_key", message: string) {
    super(message);
    this.code = code;
  }
}

/** A key that is accepted and may not do this. */
export class AuthorisationError extends CallerError {
  override readonly name = "AuthorisationError";
  readonly status = 403;

  constructor(message: string, code = "insufficient_scope") {
    super(message, code);
  }
}

export class NotFoundError extends CallerError {
  override readonly name = "NotFoundError";
  readonly status = 404;

  constructor(message: string, code = "not_found", members: Readonly<Record<string, unknown>> = {}) {
    super(message, code, members);
  }
}

/** It contradicts what is there. */
export class ConflictError extends CallerError {
  override readonly name = "ConflictError";
  readonly status = 409;

  constructor(message: string, code = "conflict", members: Readonly<Record<string, unknown>> = {}) {
    super(message, code, members);
  }
}

/** A condition of the request (RFC 9110 section 13, RFC 6585 section 3) is missing (428) or does not hold (412). */
export class PreconditionError extends AppError {
  override readonly name = "PreconditionError";
  readonly status: 412 | 428;
  readonly retryable = false;
  readonly code: "precondition_failed" | "precondition_required";

  constructor(status: 412 | 428, message: string) {
    super(message);
    this.status = status;
    this.code = status === 412 ? "precondition_failed" : "precondition_required";
  }
}

/** A durable budget that is used up, as the headers of the answer tell it. */
export interface UsedBudget {
  readonly name: string;
  readonly max: number;
  readonly windowMs: number;
  /** Until the window ends. */
  readonly resetMs: number;
}

/** A limit is used up until its window ends. */
export class RateLimitError extends AppError {
  override readonly name = "RateLimitError";
  readonly code = "rate_limited";
  readonly status = 429;
  readonly retryable = true;
  override readonly retryAfterS: number;
  /** Null when the headers of the answer tell of the limit already. */
  readonly budget: UsedBudget | null;

  constructor(message: string, retryAfterS: number, budget: UsedBudget | null = null) {
    super(message);
    this.retryAfterS = retryAfterS;
    this.budget = budget;
  }
}

/** Something that this needs is away or switched off. */
export class UnavailableError extends AppError {
  override readonly name = "UnavailableError";
  readonly status = 503;
  readonly retryable = true;
  readonly code: string;
  override readonly retryAfterS: number;

  constructor(message: string, code = "unavailable", retryAfterS = 5, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

/** The database does not answer, or not in time: nothing is known to have changed. */
export class StoreError extends AppError {
  override readonly name = "StoreError";
  readonly code = "database_unavailable";
  readonly status = 503;
  readonly retryable = true;
  override readonly retryAfterS = 5;
}

/** Somebody whom we asked did not answer in time. */
export class TimeoutError extends AppError {
  override readonly name = "TimeoutError";
  readonly code = "timeout";
  readonly status = 504;
  readonly retryable = true;
}

/** Somebody whom we asked answered that it failed, or answered nonsense. */
export class UpstreamError extends AppError {
  override readonly name: string = "UpstreamError";
  readonly code: string = "upstream";
  readonly status = 502;
  readonly retryable = true;
}

/** A venue, file or other source of data that does not answer or answers nonsense. */
export class FeedError extends UpstreamError {
  override readonly name = "FeedError";
  override readonly code = "feed";
}

/** A broker that does not answer or answers nonsense. */
export class BrokerError extends UpstreamError {
  override readonly name = "BrokerError";
  override readonly code = "broker";
}

/** A receiver of webhooks that does not take one. */
export class WebhookDeliveryError extends UpstreamError {
  override readonly name = "WebhookDeliveryError";
  override readonly code = "webhook_delivery";
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
