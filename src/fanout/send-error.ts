/**
 * Sends error frames: the one place, because each is counted. Path: per fault.
 */
import { type CommandId, errorJson, type StreamErrorCode } from "../protocol/errors.ts";
import type { FanoutCounters } from "./counters.ts";
import { say, type Session } from "./session.ts";

/** The session goes on. `extraJson` are further members of the frame, with a leading comma. */
export function sendError(counters: FanoutCounters, session: Session, code: StreamErrorCode, message: string, id: CommandId = null, extraJson = ""): void {
  counters.error(code);
  say(session, errorJson(code, message, id, extraJson));
}
