/**
 * Addresses and networks: which of a list a client's address belongs to.
 */
import { BlockList, isIP } from "node:net";

/** A set of addresses and networks in CIDR form. */
export class AddressSet {
  readonly #list = new BlockList();

  /** @param networks `10.0.0.0/8`, `::1`; already checked. */
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

/** An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) in its short form. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}

/** Whether a client's address is one of these networks; an empty list allows any. */
export function isAddressAllowed(networks: readonly string[], address: string): boolean {
  return networks.length === 0 || new AddressSet(networks).has(plainAddress(address));
}
