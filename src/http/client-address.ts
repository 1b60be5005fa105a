/**
 * Whose request it is: the client's address, believed from `X-Forwarded-For` only behind a configured proxy.
 */
import { BlockList, isIP } from "node:net";
import type { HttpContext } from "./problem.ts";

/** A set of addresses and networks in CIDR form. */
export class AddressSet {
  readonly #list = new BlockList();

  /** @param networks `10.0.0.0/8`, `::1`; already checked by the configuration. */
  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const [address = "", bits] = network.split("/");
      const isV6 = isIP(address) === 6;
      this.#list.addSubnet(address, bits === undefined ? (isV6 ? 128 : 32) : Number(bits), isV6 ? "ipv6" : "ipv4");
    }
  }

  has(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#list.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}

const LOOPBACK = new AddressSet(["127.0.0.0/8", "::1"]);
const LOOPBACK_NAMES = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) in its short form. */
function plain(address: string): string {
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}

/**
 * The client's address; empty when the connection is already gone. From the right of `X-Forwarded-For`, the first
 * address that is no trusted proxy; a malformed entry ends the walk.
 */
export function clientAddress(c: HttpContext, trustedProxies: AddressSet): string {
  let address = plain(c.env.incoming.socket.remoteAddress ?? "");
  const forwarded = (c.req.header("x-forwarded-for") ?? "").split(",").map((part) => plain(part.trim()));
  while (trustedProxies.has(address)) {
    const next = forwarded.pop();
    if (next === undefined || isIP(next) === 0) break;
    address = next;
  }
  return address;
}

/**
 * Whether somebody on this machine asks, not a page of another site in their browser and not a stranger through a
 * proxy that nobody configured: address and `Host` are loopback, `Origin` is absent or this very server.
 */
export function isLocal(c: HttpContext, trustedProxies: AddressSet): boolean {
  const peer = plain(c.env.incoming.socket.remoteAddress ?? "");
  if (!LOOPBACK.has(clientAddress(c, trustedProxies))) return false;
  const isForwarded = c.req.header("x-forwarded-for") !== undefined || c.req.header("forwarded") !== undefined;
  if (isForwarded && !trustedProxies.has(peer)) return false;
  const host = c.req.header("host") ?? "";
  if (!LOOPBACK_NAMES.has(host.replace(/:\d+$/, ""))) return false;
  const origin = c.req.header("origin");
  return origin === undefined || origin === `http://${host}`;
}
