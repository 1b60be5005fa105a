/**
 * Whose request it is: the client's address, believed from `X-Forwarded-For` only behind a configured proxy.
 */
import { isIP } from "node:net";
import { AddressSet, plainAddress } from "../core/address.ts";
import type { HttpContext } from "./problem.ts";

const LOOPBACK = new AddressSet(["127.0.0.0/8", "::1"]);
const LOOPBACK_NAMES = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * The client's address; empty when the connection is already gone. From the right of `X-Forwarded-For`, the first
 * address that is no trusted proxy; a malformed entry ends the walk.
 */
export function clientAddress(c: HttpContext, trustedProxies: AddressSet): string {
  const { incoming } = c.env;
  let address = plainAddress(incoming.socket.remoteAddress ?? "");
  const header = incoming.headers["x-forwarded-for"];
  if (header === undefined) return address;
  const forwarded = String(header).split(",").map((part) => plainAddress(part.trim()));
  while (trustedProxies.has(address)) {
    const next = forwarded.pop();
    if (next === undefined || isIP(next) === 0) break;
    address = next;
  }
  return address;
}

/** Whom limits count an address as: itself, of IPv6 its /64, which one customer has whole. */
export function limitSubject(address: string): string {
  return address.includes(":") ? `${networkOf(address)}::/64` : address;
}

/** The first four groups of an IPv6 address. */
function networkOf(address: string): string {
  const [before = "", after] = address.split("%", 1)[0]?.split("::") ?? [];
  const groups = before === "" ? [] : before.split(":");
  const rest = after === undefined || after === "" ? [] : after.split(":");
  const zeros = after === undefined ? 0 : Math.max(0, 8 - groups.length - rest.length);
  return [...groups, ...Array.from({ length: zeros }, () => "0"), ...rest].slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}

/** Whether a trusted proxy says that the client reached it over TLS. */
export function isOverTls(c: HttpContext, trustedProxies: AddressSet): boolean {
  const { incoming } = c.env;
  return incoming.headers["x-forwarded-proto"] === "https" && trustedProxies.has(plainAddress(incoming.socket.remoteAddress ?? ""));
}

/**
 * Whether somebody on this machine asks, not a page of another site in their browser and not a stranger through a
 * proxy that nobody configured: address and `Host` are loopback, `Origin` is absent or this very server.
 */
export function isLocal(c: HttpContext, trustedProxies: AddressSet): boolean {
  const peer = plainAddress(c.env.incoming.socket.remoteAddress ?? "");
  if (!LOOPBACK.has(clientAddress(c, trustedProxies))) return false;
  const isForwarded = c.req.header("x-forwarded-for") !== undefined || c.req.header("forwarded") !== undefined;
  if (isForwarded && !trustedProxies.has(peer)) return false;
  const host = c.req.header("host") ?? "";
  if (!LOOPBACK_NAMES.has(host.replace(/:\d+$/, ""))) return false;
  const origin = c.req.header("origin");
  return origin === undefined || origin === `http://${host}`;
}
