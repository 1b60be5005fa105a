/**
 * The one way out to brokers: bounded HTTP that ends with the deadline of the call it belongs to and never goes on behind its back.
 *
 * Vendors' libraries queue, and would send an order after we have given up on it; here a request of a call that is over
 * is refused instead. Owns: nothing. Path: cold.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { BrokerError, messageOf } from "../../core/errors.ts";

/** Largest answer in bytes: an exchange's instrument list has some 20 MB. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** What is asked for when 429 comes without Retry-After. */
export const THROTTLED_WAIT_MS = 1000;
/** The longest wait that is believed. */
const WAIT_MAX_MS = 3_600_000;

/** What a call has done so far, for whoever has to judge its outcome. */
export class CallTrace {
  readonly signal: AbortSignal;
  /** Requests that have left. */
  requests = 0;
  /** Status of the newest answer; null while there is none. */
  status: number | null = null;
  /** Its Retry-After, 0 without. */
  waitMs = 0;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }
}

const traces = new AsyncLocalStorage<CallTrace>();

/** Runs a call whose requests are traced and end with the signal. */
export function traced<T>(signal: AbortSignal, call: (trace: CallTrace) => Promise<T>): Promise<T> {
  const trace = new CallTrace(signal);
  return traces.run(trace, () => call(trace));
}

/** Runs a part of a call with a trace of its own. @throws {BrokerError} outside a call */
export function tracedPart<T>(call: (trace: CallTrace) => Promise<T>): Promise<T> {
  const outer = traces.getStore();
  if (outer === undefined) return Promise.reject(new BrokerError("expected to be part of a call"));
  return traced(outer.signal, call);
}

/** The part of a request that vendors' libraries give. */
export interface OutgoingRequest {
  readonly method?: string | undefined;
  readonly headers?: RequestInit["headers"] | undefined;
  readonly body?: string | null | undefined;
}

/**
 * One request; the whole answer is read. Redirects are not followed: they would carry credentials elsewhere.
 * @throws {BrokerError} when it cannot be sent, is not answered in time, or the answer is too large
 */
export async function outgoingFetch(url: string, request: OutgoingRequest = {}): Promise<Response> {
  const trace = traces.getStore();
  const method = (request.method ?? "GET").toUpperCase();
  const what = `${method} ${withoutQuery(url)}`;
  if (trace === undefined) throw new BrokerError(`${what}: expected to be part of a call`);
  if (trace.signal.aborted) throw new BrokerError(`${what}: not sent, its call is over`);
  const { headers = {}, body = null } = request;
  trace.status = null;
  trace.requests++;
  try {
    const answer = await fetch(url, { method, headers, body, signal: trace.signal, redirect: "error" });
    const text = await boundedText(answer);
    trace.waitMs = waitMsOf(answer.headers.get("retry-after"));
    trace.status = answer.status;
    return new Response(hasNoBody(answer.status) ? null : text, { status: answer.status, statusText: answer.statusText, headers: answer.headers });
  } catch (error) {
    throw new BrokerError(`${what}: ${trace.signal.aborted ? "no answer in time" : causeOf(error)}`, { cause: error });
  }
}

async function boundedText(answer: Response): Promise<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new BrokerError(`expected at most ${ANSWER_BYTES_MAX} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Fetch standard, "null body status". */
function hasNoBody(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

/** Seconds only (RFC 9110 section 10.2.3 allows dates, which no broker here sends). */
function waitMsOf(header: string | null): number {
  const seconds = Number(header ?? "0");
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(WAIT_MAX_MS, Math.ceil(seconds * 1000)) : 0;
}

/** Queries carry signatures. */
function withoutQuery(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? url : url.slice(0, at);
}

function causeOf(error: unknown): string {
  return error instanceof Error && error.cause !== undefined ? `${error.message}: ${messageOf(error.cause)}` : messageOf(error);
}
