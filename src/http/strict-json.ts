/**
 * JSON bodies without tricks: strict grammar, bounded depth, each member once, every number in a double's range.
 */
import { type JSONVisitor, visit } from "jsonc-parser";
import { MalformedError, messageOf } from "../core/errors.ts";

/** Arrays and objects within each other. */
export const DEPTH_MAX = 32;

/** Members that reach into the language instead of the data. */
const FORBIDDEN_MEMBERS = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Reads JSON (RFC 8259) in UTF-8.
 * @throws {MalformedError} 400 naming the path of what is wrong and the remedy
 */
export function parseStrict(bytes: Uint8Array): unknown {
  const text = decoded(bytes);
  if (text.trim() === "") throw new MalformedError("the body is empty; send JSON", "empty_body");
  visit(text, new StrictVisitor(text), { disallowComments: true, allowTrailingComma: false });
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (error) {
    throw new MalformedError(`the body is no JSON: ${messageOf(error)}`, "malformed_json");
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new MalformedError("the body is not UTF-8; JSON is sent in UTF-8 (RFC 8259)", "malformed_json");
  }
}

type Segments = readonly (string | number)[];

/** Told of each piece of the text in turn; refuses what JSON.parse would let through. What is no JSON at all is left to it. */
class StrictVisitor implements JSONVisitor {
  readonly #text: string;
  /** Names of the members so far of each open object; null for an array. */
  readonly #open: (Set<string> | null)[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  onObjectBegin = (_offset: number, _length: number, _line: number, _character: number, path: () => Segments): void => {
    this.#enter(new Set(), path);
  };

  onArrayBegin = (_offset: number, _length: number, _line: number, _character: number, path: () => Segments): void => {
    this.#enter(null, path);
  };

  onObjectEnd = (): void => {
    this.#open.pop();
  };

  onArrayEnd = (): void => {
    this.#open.pop();
  };

  onObjectProperty = (name: string, _offset: number, _length: number, _line: number, _character: number, path: () => Segments): void => {
    if (FORBIDDEN_MEMBERS.has(name)) throw refusal([...path(), name], "a member of this name is not taken; leave it out");
    this.#checkText(name, path);
    const names = this.#open.at(-1);
    if (names?.has(name) === true) throw refusal([...path(), name], "the member is there twice; send it once");
    names?.add(name);
  };

  onLiteralValue = (value: unknown, offset: number, length: number, _line: number, _character: number, path: () => Segments): void => {
    if (typeof value === "string") this.#checkText(value, path);
    if (typeof value !== "number") return;
    const digits = this.#text.slice(offset, offset + length);
    const isLost = value === 0 && /[1-9]/.test(digits.split(/[eE]/)[0] ?? "");
    if (!Number.isFinite(value) || isLost) throw refusal(path(), `the number ${digits.slice(0, 40)} is outside the range of a double; send a smaller one, or a decimal as text`);
  };

  onError = (): void => {
    // JSON.parse refuses the same text, and says better where.
  };

  #enter(names: Set<string> | null, path: () => Segments): void {
    this.#open.push(names);
    if (this.#open.length > DEPTH_MAX) throw refusal(path(), `nested deeper than ${DEPTH_MAX}; send a flatter value`);
  }

  /** Half a surrogate pair and NUL are no text that can be kept. */
  #checkText(text: string, path: () => Segments): void {
    if (!text.isWellFormed() || text.includes("\0")) throw refusal(path(), "the text holds half a surrogate pair or NUL; leave it out");
  }
}

/** At most this many segments of a path are said. */
const SEGMENTS_SHOWN = 10;

function refusal(path: Segments, why: string): MalformedError {
  const shown = path.length > SEGMENTS_SHOWN ? [...path.slice(0, SEGMENTS_SHOWN), "…"] : path;
  return new MalformedError(`${["body", ...shown].join(".").slice(0, 300)}: ${why}`, "malformed_json");
}
