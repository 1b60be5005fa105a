/**
 * Node's response with cheaper headers: they are collected in a plain object and checked once, when they are written.
 *
 * Node checks and copies each header twice, in `setHeader` and in `writeHead`: 10 of 49 µs of a small answer with the fourteen
 * that every answer here has.
 */
import { type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from "node:http";

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

export class LeanResponse extends ServerResponse {
  /** By name as `spelled` writes it: a later one replaces an earlier one, however it is written. */
  readonly #collected: OutgoingHttpHeaders = {};

  override setHeader(name: string, value: number | string | readonly string[]): this {
    this.#collected[spelled(name)] = typeof value === "object" ? [...value] : value;
    return this;
  }

  override getHeader(name: string): number | string | string[] | undefined {
    return this.#collected[spelled(name)];
  }

  override hasHeader(name: string): boolean {
    return spelled(name) in this.#collected;
  }

  override removeHeader(name: string): void {
    delete this.#collected[spelled(name)];
  }

  override getHeaders(): OutgoingHttpHeaders {
    return { ...this.#collected };
  }

  override getHeaderNames(): string[] {
    return Object.keys(this.#collected);
  }

  /** @throws {TypeError} when a name or a value may not stand in a header (RFC 9110 section 5) */
  override writeHead(statusCode: number, message?: string | Headers, headers?: Headers): this {
    const given = typeof message === "object" ? message : headers;
    if (Array.isArray(given)) throw new TypeError("expected headers as an object");
    for (const name in given) this.#collected[spelled(name)] = given[name];
    return typeof message === "string" ? super.writeHead(statusCode, message, this.#collected) : super.writeHead(statusCode, this.#collected);
  }
}

/** Usual spellings by name in lower case and as they are, and each other name that our code has used: a small number. */
const SPELLINGS = new Map<string, string>();
for (const name of ["ETag", "WWW-Authenticate", "X-Request-ID", "X-Correlation-ID", "RateLimit", "RateLimit-Policy"]) {
  SPELLINGS.set(name, name);
  SPELLINGS.set(name.toLowerCase(), name);
}

/** The name with the capitals that people look for. */
function spelled(name: string): string {
  const known = SPELLINGS.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  const spelling = SPELLINGS.get(lower) ?? lower.replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
  SPELLINGS.set(name, spelling);
  return spelling;
}
