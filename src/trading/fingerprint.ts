/**
 * What makes two requests the same: a hash of route and body, however its members are ordered.
 */
import { createHash } from "node:crypto";

/** Lower-case hex SHA-256. @param body as JSON gave it */
export function fingerprintOf(route: string, body: unknown): string {
  return createHash("sha256").update(`${route}\n${ordered(body)}`).digest("hex");
}

/** JSON text in canonical form (RFC 8785): members by their UTF-16 code units, numbers as ECMAScript writes them. */
function ordered(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(ordered).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${ordered(member)}`).join(",")}}`;
}
