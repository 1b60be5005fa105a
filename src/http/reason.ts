/**
 * Why somebody does what they ask for: `X-Reason`, which emergency keys must send with every use.
 */
import { ValidationError } from "../core/errors.ts";
import type { HttpContext } from "./problem.ts";

/** Characters. */
export const REASON_MAX = 500;

/** Null when none was given. @throws {ValidationError} when it is longer than 500 characters */
export function reasonOf(c: HttpContext): string | null {
  const given = c.req.header("x-reason")?.trim() ?? "";
  if (given.length > REASON_MAX) throw new ValidationError([{ path: "header.X-Reason", message: `expected at most ${REASON_MAX} characters, found ${given.length}` }]);
  return given === "" ? null : given;
}

/** The reason of an emergency key's use. @throws {ValidationError} when there is none */
export function requiredReasonOf(c: HttpContext): string {
  const reason = reasonOf(c);
  if (reason === null) throw new ValidationError([{ path: "header.X-Reason", message: "expected why this breakglass key is used: send the header X-Reason with every request" }], "reason_required");
  return reason;
}
