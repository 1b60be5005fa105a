/**
 * Keys of HTTP requests: reads the presented key, checks it and its scope.
 */
import type { Grant, KeyCheck, Scope } from "../ports/access.ts";
import { answerProblem, type HttpContext } from "./problem.ts";

/** The key of `X-API-Key` or `Authorization: Bearer`; null when neither is there. */
export function presentedKey(c: HttpContext): string | null {
  const direct = c.req.header("x-api-key");
  if (direct !== undefined) return direct;
  return /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? (c.req.header("authorization") === undefined ? null : "");
}

/** The grant of the request when it includes the scope, else the answer that refuses it. */
export function requireScope(c: HttpContext, keys: KeyCheck, scope: Scope): Grant | Response {
  const key = presentedKey(c);
  if (key === null) {
    c.header("WWW-Authenticate", "Bearer");
    return answerProblem(c, { status: 401, code: "missing_key", title: "Key required", detail: "send a key in X-API-Key or as Authorization: Bearer" });
  }
  const grant = keys.check(key, c.get("address"));
  if (!grant) {
    c.header("WWW-Authenticate", 'Bearer error="invalid_token"');
    return answerProblem(c, { status: 401, code: "invalid_key", title: "Key not accepted", detail: "the key is unknown or revoked" });
  }
  if (!grant.scopes.includes(scope)) {
    return answerProblem(c, { status: 403, code: "insufficient_scope", title: "Scope missing", detail: `this needs the scope ${scope}; the key has ${grant.scopes.join(", ")}` });
  }
  return grant;
}
