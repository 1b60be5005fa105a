/**
 * What an error of Alpaca's SDK proves.
 *
 * Source: docs.alpaca.markets, "Orders", responses 403, 404, 422, 429.
 */
import { messageOf } from "../../core/errors.ts";
import { THROTTLED_WAIT_MS, type CallTrace } from "./outgoing.ts";
import { unknown, type WireAnswer } from "./wire.ts";

interface ApiErrorLike extends Error {
  readonly status: number;
  /** Of the answer's body; undefined when it was none of Alpaca's. */
  readonly code?: number | string | undefined;
}

export interface AlpacaErrors {
  readonly ApiError: abstract new (...args: never) => ApiErrorLike;
}

const DUPLICATE = /client_order_id must be unique/i;

export function judgeAlpaca<T>(errors: AlpacaErrors, error: unknown, trace: CallTrace): WireAnswer<T> {
  const reason = messageOf(error);
  if (!(error instanceof Error) || !(error instanceof errors.ApiError)) return unknown(reason, trace.waitMs);
  if (error.status === 429) return unknown(reason, trace.waitMs || THROTTLED_WAIT_MS, true);
  const isOfAlpaca = error.code !== undefined || error.status === 401 || error.status === 403;
  if (error.status >= 500 || error.status < 400 || error.status === 408 || !isOfAlpaca) return unknown(`status ${error.status}: ${reason}`, trace.waitMs);
  if (error.status === 404) return { type: "absent" };
  if (DUPLICATE.test(reason)) return { type: "duplicate", reason };
  return { type: "refused", code: error.code === undefined ? `http_${error.status}` : `alpaca_${error.code}`, reason };
}
