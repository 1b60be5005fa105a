/**
 * Client order ids for brokers that allow less than we do.
 */
import { createHash } from "node:crypto";

const BITS_PER_CHARACTER = Math.log2(36);

/**
 * Lower-case letters and digits, the same for the same id; two ids share one with a chance of 2^-103 at 20 characters.
 * @param length characters, at most 48
 */
export function derivedId(clientOrderId: string, length: number): string {
  const digest = createHash("sha256").update(clientOrderId).digest("hex");
  const kept = Math.min(256, Math.floor(length * BITS_PER_CHARACTER));
  return (BigInt(`0x${digest}`) >> BigInt(256 - kept)).toString(36).padStart(length, "0");
}

/** The id itself when the broker takes it and it cannot be mistaken for a derived one, else a derived one. */
export function idWithin(clientOrderId: string, pattern: RegExp, derivedLength: number): string {
  const looksDerived = clientOrderId.length === derivedLength && /^[0-9a-z]+$/.test(clientOrderId);
  return pattern.test(clientOrderId) && !looksDerived ? clientOrderId : derivedId(clientOrderId, derivedLength);
}
