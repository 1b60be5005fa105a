/**
 * What of a request is checked before a route's schema sees it: known query parameters, a body of the right kind and size.
 */
import type { RouteConfig } from "@hono/zod-openapi";
import { type InputFault, MalformedError, ValidationError } from "../core/errors.ts";
import type { Scope } from "../ports/access.ts";
import { hasBody, MediaTypeError, readBody } from "./request-body.ts";
import type { HttpContext } from "./problem.ts";
import { parseStrict } from "./strict-json.ts";

const JSON_TYPE = /^application\/([a-z0-9.-]+\+)?json\s*(;|$)/i;
/** Faults that one answer lists. */
const FAULTS_MAX = 100;

export class InputCheck {
  readonly #known: ReadonlySet<string>;
  readonly #takesJson: boolean;
  readonly #isBodyRequired: boolean;
  readonly #bytesMax: number;
  /** Pages and probes get queries from load balancers and links: those are ignored. */
  readonly #isQueryStrict: boolean;

  /** @param bytesMax of a body */
  constructor({ request, path }: RouteConfig, scope: Scope | null, bytesMax: number) {
    this.#isQueryStrict = scope !== null || path === "/data";
    this.#known = new Set(namesOf(request?.query));
    this.#takesJson = request?.body !== undefined;
    this.#isBodyRequired = request?.body?.required !== false;
    this.#bytesMax = bytesMax;
  }

  /** @throws {MalformedError} {@link ValidationError} {@link MediaTypeError} {@link BodyTooLargeError} */
  async check(c: HttpContext): Promise<void> {
    const { incoming } = c.env;
    this.#checkUrl(incoming.url ?? "");
    if (this.#takesJson) await this.#checkJson(c);
    else if (hasBody(incoming)) await readBody(incoming, this.#bytesMax);
  }

  #checkUrl(url: string): void {
    if (/%00/.test(url)) throw new MalformedError("the URL holds a NUL (%00); leave it out");
    const start = url.indexOf("?");
    if (start < 0 || !this.#isQueryStrict) return;
    const names = new Set(new URLSearchParams(url.slice(start + 1)).keys());
    const unknown = [...names].filter((name) => !this.#known.has(name));
    const remedy = this.#known.size === 0 ? "there are none here" : `known are ${[...this.#known].join(", ")}`;
    if (unknown.length > 0) throw new ValidationError(unknown.slice(0, FAULTS_MAX).map((name) => ({ path: `query.${name.slice(0, 100)}`, message: `unknown parameter; ${remedy}` })));
  }

  async #checkJson(c: HttpContext): Promise<void> {
    const { incoming } = c.env;
    const type = incoming.headers["content-type"];
    if (!hasBody(incoming) && !this.#isBodyRequired) {
      giveBody(c, "{}");
      return;
    }
    if (hasBody(incoming) && !JSON_TYPE.test(type ?? "")) {
      throw new MediaTypeError(`expected Content-Type: application/json, found ${type === undefined ? "none" : `"${type.slice(0, 100)}"`}`);
    }
    const bytes = await readBody(incoming, this.#bytesMax);
    parseStrict(bytes);
    giveBody(c, new TextDecoder().decode(bytes));
  }
}

/** The schema's validator reads the body from here. */
function giveBody(c: HttpContext, text: string): void {
  Object.assign(c.req.bodyCache, { text: Promise.resolve(text) });
}

/** Names of the members of an object schema. */
function namesOf(schema: unknown): string[] {
  return typeof schema === "object" && schema !== null && "shape" in schema && typeof schema.shape === "object" && schema.shape !== null ? Object.keys(schema.shape) : [];
}

/** A fault of a schema, as zod says it. */
interface SchemaIssue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
}

const PLACES: Readonly<Record<string, string>> = { json: "body", form: "body", query: "query", param: "path", header: "header", cookie: "cookie" };

/** Every fault with the path of its member: `body.symbols.0`, `query.limit`. */
export function faultsOf(target: string, issues: readonly SchemaIssue[]): InputFault[] {
  const place = PLACES[target] ?? target;
  return issues.flatMap(({ code, path, message, keys }): InputFault[] => {
    const at = [place, ...path.map(String)].join(".");
    if (code === "unrecognized_keys" && keys !== undefined) return keys.map((key) => ({ path: `${at}.${key.slice(0, 100)}`, message: "unknown field; leave it out" }));
    return [{ path: at, message }];
  }).slice(0, FAULTS_MAX);
}
