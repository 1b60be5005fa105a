/**
 * Requests to Kite and what their answers prove.
 *
 * Source: Kite Connect 3 documentation, "Response structure" and "Exceptions and errors".
 */
import { isForeignRecord, memberOf, textOf } from "./foreign.ts";
import { outgoingFetch, THROTTLED_WAIT_MS, type OutgoingRequest } from "./outgoing.ts";
import { ok, unknown, type WireAnswer } from "./wire.ts";

export interface KiteAccess {
  /** Without a trailing slash. */
  readonly url: string;
  readonly apiKey: string;
  /** Of the day: Kite ends it at 6 in the morning. */
  readonly accessToken: string;
}

/** Kite's own machinery failed, or the exchange's did: the order may be there. */
const UNPROVEN: readonly string[] = ["NetworkException", "DataException", "GeneralException"];

export class KiteHttp {
  readonly #access: KiteAccess;

  constructor(access: KiteAccess) {
    this.#access = access;
  }

  get(path: string): Promise<WireAnswer<unknown>> {
    return this.#ask(path, { method: "GET" });
  }

  post(path: string, body: unknown): Promise<WireAnswer<unknown>> {
    return this.#ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  }

  form(method: "POST" | "DELETE", path: string, form: URLSearchParams): Promise<WireAnswer<unknown>> {
    return this.#ask(path, { method, headers: { "content-type": "application/x-www-form-urlencoded" }, body: method === "POST" ? form.toString() : null });
  }

  /** @returns `data` of the answer */
  async #ask(path: string, request: OutgoingRequest): Promise<WireAnswer<unknown>> {
    const { url, apiKey, accessToken } = this.#access;
    const headers = new Headers(request.headers);
    headers.set("x-kite-version", "3");
    headers.set("authorization", `token ${apiKey}:${accessToken}`);
    const answer = await outgoingFetch(`${url}${path}`, { ...request, headers });
    const what = `${request.method} ${path.replace(/\?.*/, "")} was answered with ${answer.status}`;
    if (answer.status === 429) return unknown(what, Number(answer.headers.get("retry-after") ?? 0) * 1000 || THROTTLED_WAIT_MS, true);
    if (answer.status >= 500) return unknown(what);
    const body = parsed(await answer.text());
    if (!isForeignRecord(body)) return unknown(`${what} and nonsense`);
    if (answer.ok && body["status"] === "success") return ok(memberOf(body, "data"));
    const code = textOf(body, "error_type");
    if (body["status"] !== "error" || code === null || UNPROVEN.includes(code)) return unknown(`${what}: ${code ?? "nonsense"}`);
    return { type: "refused", code: code.replace(/Exception$/, "").toLowerCase(), reason: textOf(body, "message") ?? code };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
