/**
 * Why an event or line of a producer was refused, as the producer reads it in an acknowledgement.
 */
import { REJECT_REASONS, type RejectReason } from "../../ports/records.ts";

/** Reasons of ingest, and those that only a push connection knows. */
export const PUSH_CODES = [
  ...REJECT_REASONS, "invalid_syntax", "limit", "not_authenticated", "auth_failed", "already_authenticated",
  "insufficient_scope", "auth_timeout", "key_revoked", "line_too_long", "connection_limit",
] as const;
export type PushCode = (typeof PUSH_CODES)[number];

export interface PushFault {
  readonly kind: "fault";
  readonly code: PushCode;
  /** Name of the field at fault, or `line`. */
  readonly field: string;
  /** What was expected, what was found, what to do. */
  readonly message: string;
}

export function fault(code: PushCode, field: string, message: string): PushFault {
  return { kind: "fault", code, field, message };
}

const REJECTIONS: Readonly<Record<RejectReason, PushFault>> = {
  stale: fault("stale", "time", "expected events of one kind and instrument in order of time; send them in order or leave time out"),
  crossed: fault("crossed", "bid", "expected a bid not above the ask; create the instrument with \"may_cross\":true when it can be"),
  non_positive: fault("non_positive", "price", "expected prices and sizes above 0; leave out what has none"),
  malformed: fault("malformed", "event", "expected the shape of protocol section 2.3; compare the fields with it"),
  future: fault("future", "time", "expected a time at most 60 s ahead of ours; set the producer's clock or leave time out"),
  unknown_instrument: fault("unknown_instrument", "symbol", "expected a known instrument; send \"create\":true with the first event"),
  wrong_venue: fault("wrong_venue", "symbol", "expected a venue of your own; another feed owns this one, choose another name"),
};

/** The fault that stands for a refusal by ingest. */
export function rejection(reason: RejectReason): PushFault {
  return REJECTIONS[reason];
}

/** A piece of foreign input for a message: short, and safe however deep it is nested. */
export function found(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return JSON.stringify(typeof value === "string" ? value.slice(0, 60) : value);
}
