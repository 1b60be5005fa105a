/**
 * Reads TypeScript as text: code with comments and the insides of strings blanked out, at unchanged positions.
 */

export interface SourceText {
  /** From the repository's top, with slashes. */
  readonly path: string;
  readonly text: string;
  /** As long as `text`; comments, string contents and regular expressions are blanks, line breaks stay. */
  readonly code: string;
  /** As long as `text`; only comments are left. */
  readonly comments: string;
}

/** Words after which a slash begins a regular expression, not a division. */
const BEFORE_REGEXP = /(?:^|[([{,;:=!&|?+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield))\s*$/;

/** Splits the text of a file. A scanner, not a parser: enough for files that compile. */
export function readSource(path: string, text: string): SourceText {
  const scanner = new Scanner(text);
  scanner.code(0, false);
  return { path, text, code: scanner.result(scanner.kept), comments: scanner.result(scanner.commented) };
}

class Scanner {
  readonly #text: string;
  readonly kept: boolean[];
  readonly commented: boolean[];

  constructor(text: string) {
    this.#text = text;
    this.kept = Array.from({ length: text.length }, () => false);
    this.commented = Array.from({ length: text.length }, () => false);
  }

  result(shown: readonly boolean[]): string {
    let out = "";
    for (let i = 0; i < this.#text.length; i++) out += shown[i] === true || this.#text[i] === "\n" ? this.#text[i] : " ";
    return out;
  }

  /** Scans code from `at`; inside a template's `${` until its closing brace. Answers where it ended. */
  code(at: number, isInTemplate: boolean): number {
    let depth = 0;
    let recent = "";
    while (at < this.#text.length) {
      const char = this.#text[at] ?? "";
      const next = this.#text[at + 1];
      if (char === "/" && (next === "/" || next === "*")) at = this.#comment(at);
      else if (char === '"' || char === "'") at = this.#string(at, char);
      else if (char === "`") at = this.#template(at);
      else if (char === "/" && BEFORE_REGEXP.test(recent)) at = this.#regexp(at);
      else {
        if (isInTemplate && char === "}" && depth === 0) return at;
        if (char === "{") depth++;
        if (char === "}") depth--;
        this.kept[at] = true;
        recent = (recent + char).slice(-12);
        at++;
        continue;
      }
      recent = char === "/" && (next === "/" || next === "*") ? recent : `${recent}0`.slice(-12);
    }
    return at;
  }

  #comment(at: number): number {
    const isLine = this.#text[at + 1] === "/";
    const found = this.#text.indexOf(isLine ? "\n" : "*/", at + 2);
    const end = found < 0 ? this.#text.length : found + (isLine ? 0 : 2);
    this.commented.fill(true, at, end);
    return end;
  }

  #string(at: number, quote: string): number {
    this.kept[at] = true;
    for (at++; at < this.#text.length && this.#text[at] !== quote && this.#text[at] !== "\n"; at++) if (this.#text[at] === "\\") at++;
    this.kept[at] = true;
    return at + 1;
  }

  #template(at: number): number {
    this.kept[at] = true;
    for (at++; at < this.#text.length && this.#text[at] !== "`"; at++) {
      if (this.#text[at] === "\\") at++;
      else if (this.#text[at] === "$" && this.#text[at + 1] === "{") at = this.code(at + 2, true);
    }
    this.kept[at] = true;
    return at + 1;
  }

  #regexp(at: number): number {
    let isInClass = false;
    for (at++; at < this.#text.length && (isInClass || this.#text[at] !== "/") && this.#text[at] !== "\n"; at++) {
      if (this.#text[at] === "\\") at++;
      else if (this.#text[at] === "[") isInClass = true;
      else if (this.#text[at] === "]") isInClass = false;
    }
    return at + 1;
  }
}

/** 1-based line of a position. */
export function lineAt(text: string, position: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i >= 0 && i < position; i = text.indexOf("\n", i + 1)) line++;
  return line;
}
