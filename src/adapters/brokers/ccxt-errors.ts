/**
 * What an error of ccxt proves.
 *
 * Source: docs.ccxt.com, "Exception hierarchy": ExchangeError and what derives from it is an answer of the exchange,
 * OperationFailed and what derives from it is not. Binance, "General API information": 5XX is no failure, the status is unknown.
 */
import { messageOf } from "../../core/errors.ts";
import { THROTTLED_WAIT_MS, type CallTrace } from "./outgoing.ts";
import { unknown, type WireAnswer } from "./wire.ts";

type ErrorClass = abstract new (...args: never) => Error;

/** The classes of ccxt that matter here. */
export interface CcxtErrors {
  readonly ExchangeError: ErrorClass;
  readonly OrderNotFound: ErrorClass;
  readonly DuplicateOrderId: ErrorClass;
  readonly DDoSProtection: ErrorClass;
  readonly RateLimitExceeded: ErrorClass;
}

/** Exchanges say it in words; believing it wrongly costs a look-up. */
const DUPLICATE = /duplicate|client.?order.?id.*(exist|unique|use)/i;

export function judgeCcxt<T>(errors: CcxtErrors, error: unknown, trace: CallTrace): WireAnswer<T> {
  const reason = messageOf(error);
  if (!(error instanceof Error)) return unknown(reason, trace.waitMs);
  if (is(error, errors.RateLimitExceeded) || is(error, errors.DDoSProtection)) return unknown(reason, trace.waitMs || THROTTLED_WAIT_MS, true);
  const isAnswer = trace.requests === 0 || (trace.status !== null && trace.status < 500);
  if (!is(error, errors.ExchangeError) || !isAnswer) return unknown(reason, trace.waitMs);
  if (is(error, errors.OrderNotFound)) return { type: "absent" };
  if (is(error, errors.DuplicateOrderId) || DUPLICATE.test(reason)) return { type: "duplicate", reason };
  return { type: "refused", code: codeOf(error), reason };
}

/** Does not narrow: to the compiler every class of ccxt is the same. */
function is(error: unknown, errorClass: ErrorClass): boolean {
  return error instanceof errorClass;
}

/** `InsufficientFunds` becomes `insufficient_funds`. */
function codeOf(error: Error): string {
  return error.constructor.name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
}
