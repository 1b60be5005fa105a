/**
 * Lists as answers: JSON from texts that are made already, CSV (RFC 4180) and NDJSON.
 */
import { z } from "@hono/zod-openapi";
import { stringify } from "csv-stringify/sync";
import type { HttpContext } from "./problem.ts";

export const FORMATS = ["json", "csv", "ndjson"] as const;
export type Format = (typeof FORMATS)[number];

/** `format` of a list. */
export const format = z.enum(FORMATS).optional().transform((given): Format => given ?? "json").openapi({ enum: [...FORMATS], default: "json", description: "Form of the answer" });

export const NEXT_CURSOR_HEADER = "X-Next-Cursor";

/** A list in JSON for the responses of a route whose answer is text that is made already. */
export function LIST_OF(description: string, item: z.ZodType, more: Readonly<Record<string, z.ZodType>> = {}) {
  return JSON_TEXT(description, z.object({ items: z.array(item), next_cursor: z.string().nullable(), ...more }));
}

/** An answer in JSON that a handler gives as text. */
export function JSON_TEXT(description: string, schema: z.ZodType): { readonly description: string; readonly content: Readonly<Record<string, { readonly schema: z.ZodType }>> } {
  return { description, content: { "application/json": { schema } } };
}

/** The same list in the three forms. */
export function LIST_IN_FORMATS(description: string, item: z.ZodType, more: Readonly<Record<string, z.ZodType>> = {}) {
  const { content } = LIST_OF(description, item, more);
  const text = { schema: z.string() };
  return { description: `${description}. CSV and NDJSON say next_cursor in ${NEXT_CURSOR_HEADER}.`, content: { ...content, "text/csv": text, "application/x-ndjson": text } };
}

/** @param items JSON texts */
export function answerList(c: HttpContext, items: readonly string[], next: string | null, more = ""): Response {
  return answerJson(c, `{"items":[${items.join(",")}],"next_cursor":${JSON.stringify(next)}${more}}`);
}

export function answerJson(c: HttpContext, json: string): Response {
  return c.body(json, 200, { "content-type": "application/json" });
}

export interface FormattedList {
  readonly format: Format;
  /** Of the file that a browser saves: letters, digits and `-`. */
  readonly name: string;
  /** JSON texts of flat objects. */
  readonly items: readonly string[];
  readonly columns: readonly string[];
  readonly next: string | null;
  /** Further members of the JSON form, each with a comma before it. */
  readonly more?: string;
}

/** A page in the form that was asked for; CSV and NDJSON come as a file to save and name the next page in a header. */
export function answerFormatted(c: HttpContext, { format: form, name, items, columns, next, more }: FormattedList): Response {
  if (form === "json") return answerList(c, items, next, more);
  const headers = {
    "content-disposition": `attachment; filename="${name}.${form}"`,
    ...(next === null ? {} : { [NEXT_CURSOR_HEADER]: next }),
  };
  if (form === "ndjson") return c.body(items.map((item) => `${item}\n`).join(""), 200, { ...headers, "content-type": "application/x-ndjson" });
  const rows = items.map((item): unknown => JSON.parse(item));
  return c.body(stringify(rows, { header: true, columns: [...columns], record_delimiter: "windows" }), 200, { ...headers, "content-type": "text/csv; charset=utf-8" });
}
