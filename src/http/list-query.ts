/**
 * Parameters that lists share (protocol section 3): symbols, venue, times, limit and cursor.
 */
import { z } from "@hono/zod-openapi";
import { micros, type Micros, microsFromRfc3339 } from "../core/time.ts";

/** Items of a page when nobody says how many, and at most. */
export const PAGE_LIMIT_DEFAULT = 50;
export const PAGE_LIMIT_MAX = 1000;
/** Symbols that one request may name. */
const SYMBOLS_MAX = 500;
const SYMBOL_LENGTH_MAX = 100;
const CURSOR_LENGTH_MAX = 1000;

const symbol = z.string().min(1).max(SYMBOL_LENGTH_MAX);

/** `symbol`, any number of times: an id `venue:SYMBOL` or the venue's own spelling behind `venue:`. */
export const symbols = z.union([symbol.transform((one) => [one]), z.array(symbol).max(SYMBOLS_MAX)]).optional().transform((given) => given ?? [])
  .openapi({ type: "array", items: { type: "string" }, description: "Instrument id or venue:NATIVE; may be repeated", example: ["sim:BTC-USD"] });

export const venue = z.string().min(1).max(40).optional().openapi({ description: "Only of this venue", example: "sim" });

/** Items of a page. */
export function limit(fallback = PAGE_LIMIT_DEFAULT) {
  const message = `expected a whole number from 1 to ${PAGE_LIMIT_MAX}`;
  return z.string().regex(/^\d{1,6}$/, message).transform(Number).pipe(z.int().min(1, message).max(PAGE_LIMIT_MAX, message)).optional().transform((given) => given ?? fallback)
    .openapi({ type: "integer", minimum: 1, maximum: PAGE_LIMIT_MAX, default: fallback, description: "Items of a page" });
}

/** RFC 3339 or whole microseconds since 1970. */
export function time(description: string) {
  return z.string().max(40).transform((text, context): Micros => {
    try {
      return /^\d{1,16}$/.test(text) ? micros(Number(text)) : microsFromRfc3339(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.addIssue({ code: "custom", message: `expected RFC 3339 such as 2026-01-31T12:00:00Z (a + as %2B) or whole microseconds since 1970, found "${text}"` });
      return z.NEVER;
    }
  }).optional().openapi({ type: "string", description, example: "2026-01-31T12:00:00Z" });
}

/** A position in a list as text that nobody but us reads. */
export function writeCursor(list: string, after: unknown): string {
  return Buffer.from(JSON.stringify([list, after])).toString("base64url");
}

/** `cursor` of a list: what `writeCursor` made of it for the same list; everything else is a fault of the input. */
export function cursor<T extends z.ZodType>(list: string, after: T) {
  const shape = z.tuple([z.literal(list), z.unknown()]);
  return z.string().max(CURSOR_LENGTH_MAX).transform((text, context): z.output<T> => {
    const read = shape.safeParse(jsonOf(text));
    const position = after.safeParse(read.data?.[1]);
    if (read.success && position.success) return position.data;
    context.addIssue({ code: "custom", message: "expected next_cursor of the page before, of the same list; begin without a cursor" });
    return z.NEVER;
  }).optional().openapi({ type: "string", description: "next_cursor of the page before" });
}

/** Undefined when it is no JSON in base64url. */
function jsonOf(text: string): unknown {
  const decoded = Buffer.from(text, "base64url");
  if (decoded.toString("base64url") !== text) return undefined;
  try {
    return JSON.parse(decoded.toString());
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
