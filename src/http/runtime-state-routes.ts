/**
 * Runtime settings over HTTP, for administrators (protocol 3.3). A change names the revision that it was made for.
 *
 * Order of checks: 401, 403, 428, 412, 422, and last the budget `admin.write`, because only the body says whether a change is
 * exempt from it.
 */
import { z } from "@hono/zod-openapi";
import { type InputFault, PreconditionError, ValidationError } from "../core/errors.ts";
import type { Actor, Charge } from "../ports/audit.ts";
import type { ChangeContext, RuntimeState, SettingsSnapshot } from "../state/runtime-state.ts";
import { changeJsonSchema } from "../state/settings.ts";
import { actorOf } from "./guard.ts";
import { faultsOf } from "./input-check.ts";
import { addBudget, type HttpContext } from "./problem.ts";
import type { RouteRules } from "./route-rules.ts";
import { REASON_MAX, reasonOf } from "./reason.ts";
import { type Api, JSON_OF, PROBLEM } from "./route.ts";

/** Revisions that each place works with. */
export interface SettingsApplied {
  readonly main: number;
  /** Null while there is no stream thread. */
  readonly stream: number | null;
  /** Of those that take connections. */
  readonly workers: readonly number[];
}

export interface RuntimeStateRoutesDeps {
  readonly settings: RuntimeState;
  readonly settingsApplied: () => SettingsApplied;
  /** What a change by this actor costs; null: nothing. */
  readonly chargeOf: (actor: Actor) => Charge | null;
  /** What is left of a budget. */
  readonly remaining: (charge: Charge) => Promise<{ readonly remaining: number; readonly resetMs: number }>;
}

const READ: RouteRules = { scope: "admin", limit: "default" };
const WRITE: RouteRules = { scope: "admin", limit: "default", charges: "admin.write" };
/** Control characters, and half surrogate pairs, which are no text. */
const NO_TEXT = /[\p{Cc}\p{Cs}]/u;
const PATH = "/v1/admin/runtime-state";

const StateSchema = z.object({
  revision: z.int(), values: z.record(z.string(), z.unknown()), defaults: z.record(z.string(), z.unknown()),
  updated_by: z.string().nullable(), updated_at: z.int().nullable(), effects: z.record(z.string(), z.string()),
  applied: z.object({ main: z.int(), stream: z.int().nullable(), workers: z.array(z.int()) }),
}).openapi("RuntimeState");
const RollbackRequest = z.strictObject({ revision: z.int().min(0), _reason: z.string().optional() });
const Headers = z.object({
  "if-match": z.string().optional().openapi({ description: "The quoted revision that the change was made for; * for whichever is the newest." }),
  "x-reason": z.string().optional().openapi({ description: "Why, where the body does not say." }),
});
const REFUSALS = {
  412: PROBLEM("Somebody else was first: the newest revision is another"), 428: PROBLEM("If-Match is missing"), 503: PROBLEM("The database is away: nobody knows whether it took place"),
};

export function mountRuntimeState(api: Api, deps: RuntimeStateRoutesDeps): void {
  const { settings } = deps;
  const answer = (c: HttpContext, snapshot: SettingsSnapshot) => {
    c.header("ETag", `"${snapshot.revision}"`);
    return c.json(shown(deps, snapshot), 200);
  };

  api.add(READ, {
    method: "get", path: PATH, tags: ["admin"], summary: "The runtime settings, their defaults, and where the newest have been applied", responses: { 200: JSON_OF("The settings; ETag is the quoted revision", StateSchema) },
  }, (c) => answer(c, settings.current()));

  api.add(WRITE, {
    method: "patch", path: PATH, tags: ["admin"], summary: "Changes settings, all or none; null restores a default",
    request: { headers: Headers, body: bodyOf(changeJsonSchema(settings.table)) },
    responses: { 200: JSON_OF("The settings after it", StateSchema), ...REFUSALS },
  }, async (c) => {
    const expectedRevision = await expectedOf(c, settings);
    const body: unknown = await c.req.json();
    if (typeof body !== "object" || body === null || Array.isArray(body)) throw new ValidationError([{ path: "body", message: "expected an object of settings by name" }]);
    const given = new Map<string, unknown>(Object.entries(body));
    const reason = givenReason(c, given.get("_reason"));
    given.delete("_reason");
    return answer(c, await spend(c, deps, (context) => settings.change(Object.fromEntries(given), context), { reason, expectedRevision }));
  });

  api.add(WRITE, {
    method: "post", path: `${PATH}/rollback`, tags: ["admin"], summary: "Makes everything what it was at a revision, by one more change; If-Match is optional, because the revision says what is wanted",
    request: { headers: Headers, body: bodyOf({ type: "object", properties: { revision: { type: "integer", minimum: 0 }, _reason: { type: "string" } }, required: ["revision"], additionalProperties: false }) },
    responses: { 200: JSON_OF("The settings after it", StateSchema), 404: PROBLEM("There never was such a revision"), ...REFUSALS },
  }, async (c) => {
    const expectedRevision = c.req.header("if-match") === undefined ? null : await expectedOf(c, settings);
    const read = RollbackRequest.safeParse(await c.req.json());
    if (!read.success) throw new ValidationError(faultsOf("json", read.error.issues));
    const { revision, _reason } = read.data;
    const reason = givenReason(c, _reason);
    return answer(c, await spend(c, deps, (context) => settings.rollback(revision, context), { reason, expectedRevision }));
  });
}

/** A body that is documented and not checked before the handler: the precondition comes first. */
function bodyOf(schema: Readonly<Record<string, unknown>>) {
  return { required: true, content: { "application/json": { schema } } };
}

function shown({ settings, settingsApplied }: RuntimeStateRoutesDeps, { revision, values, updatedBy, updatedAt }: SettingsSnapshot): z.infer<typeof StateSchema> {
  const { main, stream, workers } = settingsApplied();
  return {
    revision, values: { ...values }, defaults: { ...settings.defaults() }, updated_by: updatedBy, updated_at: updatedAt,
    effects: Object.fromEntries([...settings.table.values()].map(({ name, effect }) => [name, effect])), applied: { main, stream, workers: [...workers] },
  };
}

/** Makes a change, names its faults by their place in the body, and says what is left of the budget. */
async function spend(c: HttpContext, deps: RuntimeStateRoutesDeps, change: (context: ChangeContext) => Promise<SettingsSnapshot>, made: Omit<ChangeContext, "actor">): Promise<SettingsSnapshot> {
  const actor = actorOf(c);
  const charge = deps.chargeOf(actor);
  const snapshot = await change({ ...made, actor }).catch((error: unknown) => {
    throw error instanceof ValidationError ? new ValidationError(error.errors.map(inBody), error.code) : error;
  });
  if (charge !== null) addBudget(c, { ...charge, ...await deps.remaining(charge) });
  return snapshot;
}

function inBody({ path, message }: InputFault): InputFault {
  return { path: path === "body" ? path : `body.${path}`, message };
}

/**
 * The revision of `If-Match` (RFC 9110 13.1.1); null for `*`. The comparison is strong: a weak tag matches nothing.
 * @throws {PreconditionError} 428 without the header, 412 when none of its tags is the newest revision
 */
async function expectedOf(c: HttpContext, settings: RuntimeState): Promise<number | null> {
  const header = c.req.header("if-match")?.trim();
  if (header === undefined || header === "") throw new PreconditionError(428, `send If-Match with the revision that the change is made for, e.g. If-Match: "${settings.current().revision}"`);
  if (header === "*") return null;
  const revisions = header.split(",").flatMap((tag) => /^("?)(0|[1-9]\d{0,9})\1$/.exec(tag.trim())?.[2] ?? []).map(Number);
  const newest = revisions.includes(settings.current().revision) ? settings.current().revision : Math.max(...revisions);
  if (revisions.length === 0) throw new PreconditionError(412, `If-Match: expected the quoted revision "${settings.current().revision}", found ${header.slice(0, 100)}`);
  await settings.expect(newest);
  return newest;
}

/** From `_reason` of the body or the header `X-Reason`; null when there is none. */
function givenReason(c: HttpContext, inBodyGiven: unknown): string | null {
  if (inBodyGiven === undefined) return reasonOf(c);
  const text = typeof inBodyGiven === "string" ? inBodyGiven.trim() : "";
  if (text === "" || text.length > REASON_MAX || NO_TEXT.test(text)) throw new ValidationError([{ path: "body._reason", message: `expected text of 1 to ${REASON_MAX} characters in one line` }]);
  return text;
}
