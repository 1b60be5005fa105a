/**
 * Error codes of the stream (protocol section 2.7), their names and the close codes that follow them.
 */

export const STREAM_ERRORS = {
  400: "invalid_syntax",
  401: "not_authenticated",
  402: "auth_failed",
  403: "already_authenticated",
  404: "auth_timeout",
  405: "subscription_limit",
  406: "connection_limit",
  407: "slow_client",
  409: "insufficient_scope",
  410: "unknown_channel",
  411: "unknown_symbol",
  413: "frame_too_large",
  414: "invalid_option",
  417: "unknown_subscription",
  418: "key_revoked",
  419: "idle",
  429: "rate_limited",
  500: "internal",
  503: "draining",
  504: "unavailable",
} as const;

export type StreamErrorCode = keyof typeof STREAM_ERRORS;

const RETRYABLE: ReadonlySet<StreamErrorCode> = new Set([404, 406, 407, 419, 429, 500, 503, 504]);

/** The WebSocket close code (RFC 6455 section 7.4) that goes with a fatal error. */
export function closeCodeOf(code: StreamErrorCode): number {
  if (code === 413) return 1009;
  if (code === 500) return 1011;
  return code === 503 ? 1012 : 4000 + code;
}

/** The id of a command: echoed as it came. */
export type CommandId = string | number | null;

export function idJson(id: CommandId): string {
  return id === null ? "" : `,"id":${JSON.stringify(id)}`;
}

/** An `error` control frame; `message` names the field and the remedy. */
export function errorJson(code: StreamErrorCode, message: string, id: CommandId = null, extraJson = ""): string {
  return `{"type":"error"${idJson(id)},"code":${code},"name":"${STREAM_ERRORS[code]}","message":${JSON.stringify(message)},"retryable":${RETRYABLE.has(code)}${extraJson}}`;
}
